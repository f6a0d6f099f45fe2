//! MLflow over its REST interface: a run, and in it one for every training.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::{Error, io};
use crate::follow::{make, now};
use crate::{Mark, Point, Run, Status, Tracker};

/// Most metrics, and most parameters, in a request.
const METRICS: usize = 1000;
const PARAMETERS: usize = 100;
/// Longest key and value of a parameter.
const KEY: usize = 250;
const VALUE: usize = 6000;
const CONNECT: Duration = Duration::from_secs(3);
const ANSWER: Duration = Duration::from_secs(10);
const UPLOAD: Duration = Duration::from_secs(120);

/// Posts to a server. Its runs are noted in `track/mlflow.json` of the run folder, where a run that goes on finds
/// them. `MLFLOW_TRACKING_TOKEN`, or `MLFLOW_TRACKING_USERNAME` and `_PASSWORD`, go with every request.
pub struct MlFlow {
    uri: String,
    run: Run,
    agent: ureq::Agent,
    authorisation: Option<String>,
    state: State,
}

/// What is known of the server.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct State {
    uri: String,
    experiment: String,
    artifacts: String,
    /// Ids by training; the whole has the empty name.
    runs: BTreeMap<String, String>,
    told: Mark,
}

impl MlFlow {
    /// Of a run, on a server.
    pub fn new(uri: &str, run: Run) -> Self {
        let mut agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .user_agent(concat!("kd/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT))
            .timeout_global(Some(ANSWER));
        if ["http://127.0.0.1", "http://localhost"]
            .iter()
            .any(|here| uri.starts_with(here))
        {
            agent = agent.proxy(None);
        }
        Self {
            uri: uri.into(),
            run,
            agent: agent.build().into(),
            authorisation: authorisation(),
            state: State::default(),
        }
    }

    fn path(&self) -> PathBuf {
        self.run.folder.join("track/mlflow.json")
    }

    fn load(&mut self) -> Result<(), Error> {
        let path = self.path();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(io("read", &path)(e)),
        };
        // One that was half written is of no use; the server is asked for the runs instead.
        let state: State = serde_json::from_str(&text).unwrap_or_default();
        if state.uri == self.uri {
            self.state = state;
        }
        Ok(())
    }

    fn save(&self) -> Result<(), Error> {
        let path = self.path();
        make(&self.run.folder.join("track"))?;
        let text = serde_json::to_string_pretty(&self.state);
        let text = text.expect("strings and numbers are JSON");
        let new = path.with_extension("new");
        std::fs::write(&new, text)
            .and_then(|()| std::fs::rename(&new, &path))
            .map_err(io("write", &path))
    }

    fn error(&self, problem: String, passes: bool) -> Error {
        let uri = self.uri.clone();
        Error::Server {
            uri,
            problem,
            passes,
        }
    }

    fn answer(
        &self,
        sent: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Value, Error> {
        let mut response = sent.map_err(|e| self.error(format!("no answer ({e})"), true))?;
        let status = response.status();
        let text = response.body_mut().read_to_string();
        let text = text.map_err(|e| self.error(format!("no whole answer ({e})"), true))?;
        if status.is_success() {
            let read = serde_json::from_str(if text.is_empty() { "{}" } else { &text });
            return read.map_err(|_| {
                let start: String = text.chars().take(80).collect();
                self.error(format!("is no MLflow server: it answered `{start}`"), false)
            });
        }
        let passes = status.is_server_error() || [408, 425, 429].contains(&status.as_u16());
        let body: Value = serde_json::from_str(&text).unwrap_or_default();
        let field = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let hint = match status.as_u16() {
            401 | 403 => "; set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and _PASSWORD",
            404 if body.is_null() => "; is this the address of an MLflow server?",
            _ => "",
        };
        let (code, message) = (field("error_code"), field("message"));
        Err(self.error(format!("{status} {code} {message}{hint}"), passes))
    }

    fn post(&self, what: &str, body: &Value) -> Result<Value, Error> {
        let mut request = self
            .agent
            .post(format!("{}/api/2.0/mlflow/{what}", self.uri))
            .header("Content-Type", "application/json");
        if let Some(authorisation) = &self.authorisation {
            request = request.header("Authorization", authorisation);
        }
        self.answer(request.send(body.to_string()))
    }

    fn get(&self, what: &str, key: &str, value: &str) -> Result<Value, Error> {
        let mut request = self
            .agent
            .get(format!("{}/api/2.0/mlflow/{what}", self.uri))
            .query(key, value);
        if let Some(authorisation) = &self.authorisation {
            request = request.header("Authorization", authorisation);
        }
        self.answer(request.call())
    }

    fn text(&self, answer: &Value, path: &str) -> Result<String, Error> {
        let text = answer.pointer(path).and_then(Value::as_str);
        text.map(Into::into)
            .ok_or_else(|| self.error(format!("its answer has no {path}"), false))
    }

    /// The experiment's id: of that name, made where there is none.
    fn experiment(&self) -> Result<String, Error> {
        let name = "kd";
        match self.post("experiments/create", &json!({ "name": name })) {
            Ok(answer) => self.text(&answer, "/experiment_id"),
            Err(Error::Server { problem, .. }) if problem.contains("RESOURCE_ALREADY_EXISTS") => {
                let answer = self.get("experiments/get-by-name", "experiment_name", name)?;
                self.text(&answer, "/experiment/experiment_id")
            }
            Err(error) => Err(error),
        }
    }

    /// The run of a training, or with an empty name that of all: the one that the server has, or a new one.
    fn run_of(&mut self, training: &str) -> Result<String, Error> {
        if let Some(id) = self.state.runs.get(training) {
            return Ok(id.clone());
        }
        let key = format!("{}/{training}", self.run.id);
        let experiment = self.state.experiment.clone();
        let search = json!({
            "experiment_ids": [experiment],
            "filter": format!("tags.`kd.key` = '{}'", key.replace('\'', "")),
            "max_results": 1,
        });
        // A request whose answer was lost may have made it.
        let found = self.post("runs/search", &search)?;
        let answer = match found.pointer("/runs/0") {
            Some(run) => json!({ "run": run }),
            None => {
                let mut tags = vec![
                    json!({ "key": "kd.key", "value": key }),
                    json!({ "key": "mlflow.source.name", "value": "kd" }),
                ];
                if let Some(parent) = self.state.runs.get("") {
                    tags.push(json!({ "key": "mlflow.parentRunId", "value": parent }));
                }
                let name = match training {
                    "" => self.run.name.clone(),
                    training => format!("{} {training}", self.run.name),
                };
                let start = milliseconds(self.run.started);
                self.post(
                    "runs/create",
                    &json!({
                        "experiment_id": experiment, "run_name": name, "start_time": start, "tags": tags,
                    }),
                )?
            }
        };
        let id = self.text(&answer, "/run/info/run_id")?;
        if training.is_empty() {
            self.state.artifacts = self.text(&answer, "/run/info/artifact_uri")?;
        }
        self.parameters(&id, &answer)?;
        self.state.runs.insert(training.into(), id.clone());
        self.save()?;
        Ok(id)
    }

    /// Sends the parameters that the run does not have: one that is there cannot change.
    fn parameters(&self, id: &str, run: &Value) -> Result<(), Error> {
        let known = run.pointer("/run/data/params").and_then(Value::as_array);
        let known: BTreeSet<&str> = known
            .into_iter()
            .flatten()
            .filter_map(|p| p["key"].as_str())
            .collect();
        let missing = self
            .run
            .parameters
            .iter()
            .filter(|(key, _)| key.len() <= KEY && !known.contains(allowed(key).as_str()));
        let parameters: Vec<Value> = missing
            .map(|(key, value)| {
                let text = value.as_str().map_or_else(|| value.to_string(), Into::into);
                let text: String = text.chars().take(VALUE).collect();
                json!({ "key": allowed(key), "value": text })
            })
            .collect();
        for some in parameters.chunks(PARAMETERS) {
            self.post("runs/log-batch", &json!({ "run_id": id, "params": some }))?;
        }
        Ok(())
    }

    fn send(&mut self, points: &[Point]) -> Result<(), Error> {
        let mut by_training: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
        for point in points {
            let metrics = by_training.entry(&point.training).or_default();
            metrics.extend(point.values.iter().map(|(key, value)| {
                json!({
                    "key": allowed(key),
                    "value": number(*value),
                    "timestamp": milliseconds(point.wall),
                    "step": point.step,
                })
            }));
        }
        for (training, metrics) in by_training {
            let id = self.run_of(training)?;
            for some in metrics.chunks(METRICS) {
                self.post("runs/log-batch", &json!({ "run_id": id, "metrics": some }))?;
            }
        }
        Ok(())
    }

    fn upload(&self, name: &str) -> Result<(), Error> {
        let path = self.run.folder.join(name);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(io("read", &path)(e)),
        };
        let Some((_, below)) = self.state.artifacts.split_once("mlflow-artifacts:/") else {
            return Err(self.error(
                format!(
                    "keeps artifacts at {}, which only its own client can write to: the files stay in {}",
                    self.state.artifacts,
                    self.run.folder.display()
                ),
                false,
            ));
        };
        // With an authority, mlflow-artifacts://HOST/..., the path begins after it.
        let below = match below.strip_prefix('/') {
            Some(rest) => rest.split_once('/').map_or("", |(_, path)| path),
            None => below,
        };
        let mut request = self
            .agent
            .put(format!(
                "{}/api/2.0/mlflow-artifacts/artifacts/{below}/{name}",
                self.uri
            ))
            .config()
            .timeout_global(Some(UPLOAD))
            .build();
        if let Some(authorisation) = &self.authorisation {
            request = request.header("Authorization", authorisation);
        }
        self.answer(request.send(&bytes[..])).map(|_| ())
    }
}

impl Tracker for MlFlow {
    fn begin(&mut self) -> Result<Mark, Error> {
        self.load()?;
        if self.state.experiment.is_empty() {
            self.state = State {
                uri: self.uri.clone(),
                experiment: self.experiment()?,
                ..State::default()
            };
        }
        let id = self.run_of("")?;
        // One that ended early goes on.
        self.post("runs/update", &json!({ "run_id": id, "status": "RUNNING" }))?;
        Ok(self.state.told)
    }

    /// A server forgets no metric: of two values for a step the later one counts.
    fn rewind(&mut self) -> Result<(), Error> {
        self.state.told = Mark::default();
        self.save()
    }

    fn points(&mut self, points: &[Point], mark: Mark) -> Result<(), Error> {
        self.send(points)?;
        self.state.told = mark;
        self.save()
    }

    fn finish(&mut self, status: Status, results: &[Point]) -> Result<(), Error> {
        self.send(results)?;
        let status = match status {
            Status::Finished => "FINISHED",
            Status::Failed => "FAILED",
            Status::Interrupted => "KILLED",
        };
        for id in self.state.runs.values() {
            let end = milliseconds(now());
            self.post(
                "runs/update",
                &json!({ "run_id": id, "status": status, "end_time": end }),
            )?;
        }
        let artifacts = self.run.artifacts.iter();
        artifacts
            .map(String::as_str)
            .try_for_each(|name| self.upload(name))
    }
}

/// A name with `_` in the place of what the server does not allow.
fn allowed(name: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_-. /".contains(c);
    name.chars()
        .map(|c| if allowed(c) { c } else { '_' })
        .collect()
}

fn milliseconds(seconds: f64) -> i64 {
    (seconds * 1e3) as i64
}

/// A number, or its name where JSON has none.
fn number(value: f64) -> Value {
    match value {
        v if v.is_nan() => "NaN".into(),
        v if v.is_infinite() => if v > 0.0 { "Infinity" } else { "-Infinity" }.into(),
        v => v.into(),
    }
}

fn authorisation() -> Option<String> {
    use base64::Engine;
    let variable = |name: &str| std::env::var(format!("MLFLOW_TRACKING_{name}")).ok();
    if let Some(token) = variable("TOKEN") {
        return Some(format!("Bearer {token}"));
    }
    let (user, password) = (variable("USERNAME")?, variable("PASSWORD")?);
    let both = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    Some(format!("Basic {both}"))
}
