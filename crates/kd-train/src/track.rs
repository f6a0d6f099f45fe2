//! Telling a run to trackers: TensorBoard, Weights & Biases, MLflow.
//!
//! `metrics.jsonl` is the truth. While a run goes on, a thread for each tracker reads it as it grows, so that a
//! tracker never holds the run up; [`replay`] tells a run later. See [`kd_track`] for what is written where.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use kd_track::{End, Follower, Metrics, Status};
pub use kd_track::{Point, Target};

use crate::folder::{io, write_atomically};
use crate::records::{ComponentValue, EpochRecord, StepRecord};
use crate::{Error, Event, Observer, Record, Role, Summary};

/// `[track]` of a recipe.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrackConfig {
    /// `tensorboard`, `wandb`, `mlflow=URI`.
    #[serde(default)]
    pub to: Vec<Target>,
}

impl TrackConfig {
    pub(crate) fn is_default(&self) -> bool {
        self.to.is_empty()
    }

    /// Adds trackers; one that is there stays once.
    pub fn add(&mut self, more: &[Target]) {
        for target in more {
            if !self.to.contains(target) {
                self.to.push(target.clone());
            }
        }
    }
}

/// What names a run to trackers, also when it goes on; `track/run.json`.
#[derive(Serialize, Deserialize)]
struct Identity {
    id: String,
    started: f64,
}

/// Tells a whole run folder, finished or not, to a tracker. MLflow is told what it was not told before, files are
/// written anew.
///
/// # Errors
/// [`Error::Io`] and [`Error::Format`] when the folder is none of a run, [`Error::Track`] when the tracker does
/// not take it.
pub fn replay(folder: &Path, target: &Target) -> Result<(), Error> {
    let metrics = metrics(folder);
    if !metrics.path.exists() {
        let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
        return Err(io("read the metrics of the run", &metrics.path)(missing));
    }
    let results = results(folder)?;
    let status = match results.is_empty() {
        true => Status::Interrupted,
        false => Status::Finished,
    };
    let mut tracker = target.open(describe(folder)?);
    let end = End { status, results };
    kd_track::replay(&metrics, &mut *tracker, end).map_err(|source| Error::Track {
        target: target.to_string(),
        source: Box::new(source),
    })
}

/// All points of a run's `metrics.jsonl`, in order.
///
/// # Errors
/// [`Error::Io`] when it cannot be read, [`Error::Format`] when a line is no record.
pub fn points(folder: &Path) -> Result<Vec<Point>, Error> {
    let path = metrics(folder).path;
    let file = std::fs::File::open(&path).map_err(io("read the metrics of the run", &path))?;
    let mut points = Vec::new();
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(io("read", &path))?;
        points.push(point(&line).map_err(|problem| Error::Format {
            path: path.clone(),
            problem: format!("line {}: {problem}", number + 1),
        })?);
    }
    Ok(points)
}

fn metrics(folder: &Path) -> Metrics {
    Metrics {
        path: folder.join("metrics.jsonl"),
        read: point,
    }
}

/// The values of a line of `metrics.jsonl`, by the names that they have in every tracker.
fn point(line: &str) -> Result<Point, String> {
    match Record::read(line).map_err(|e| e.to_string())? {
        Record::Step(step) => Ok(of_step(&step)),
        Record::Epoch(epoch) => Ok(of_epoch(&epoch)),
    }
}

fn of_step(record: &StepRecord) -> Point {
    let mut values = vec![("train/loss/total".into(), record.loss)];
    for (name, component) in &record.components {
        let ComponentValue {
            value,
            weight,
            gradient_norm,
        } = *component;
        values.push((format!("train/loss/{name}"), value));
        values.push((format!("train/weight/{name}"), weight));
        values.extend(gradient_norm.map(|norm| (format!("train/gradient/{name}"), norm)));
    }
    values.push(("train/gradient/total".into(), record.gradient_norm));
    values.push(("train/lr".into(), record.lr));
    values.push(("train/images_per_second".into(), record.images_per_second));
    at(&record.role, record.seed, record.step, values)
}

fn of_epoch(record: &EpochRecord) -> Point {
    let mut values = vec![("epoch/loss/total".into(), record.loss)];
    let components = record.components.iter();
    values.extend(components.map(|(name, value)| (format!("epoch/loss/{name}"), *value)));
    values.push(("epoch/number".into(), record.epoch as f64));
    values.push(("epoch/lr".into(), record.lr));
    values.push(("epoch/seconds".into(), record.seconds));
    values.push(("epoch/images_per_second".into(), record.images_per_second));
    let scores = record.validation.iter();
    values.extend(scores.map(|score| (format!("eval/{}", score.key), score.value)));
    if let Some(cache) = record.cache {
        values.push(("cache/hits".into(), cache.hits as f64));
        values.push(("cache/misses".into(), cache.misses as f64));
    }
    at(&record.role, record.seed, record.step, values)
}

fn at(role: &Role, seed: u64, step: usize, values: Vec<(String, f64)>) -> Point {
    Point {
        training: format!("{}-seed{seed}", role.file_name()),
        step: step as u64,
        wall: 0.0,
        values,
    }
}

/// Scores of the test split, at the last step of each training; none while the run is not finished.
fn results(folder: &Path) -> Result<Vec<Point>, Error> {
    let path = folder.join("summary.json");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(io("read", &path)(e)),
    };
    let summary = Summary::read(&text).map_err(|e| Error::Format {
        path: path.clone(),
        problem: e.to_string(),
    })?;
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    for point in points(folder)? {
        last.insert(point.training, point.step);
    }
    // The same whenever they are told, so that a server can tell that it has them.
    let written = path.metadata().and_then(|file| file.modified()).ok();
    let written = written.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    let wall = written.unwrap_or_default().as_secs_f64();
    let of = |network: &crate::NetworkSummary| {
        let role = network.role.file_name();
        // A teacher that all seeds share has no seed of its own; it may have been trained in this run.
        let training = match network.seed {
            Some(seed) => format!("{role}-seed{seed}"),
            None => {
                let trained = last
                    .keys()
                    .find(|name| name.starts_with(&format!("{role}-seed")));
                trained.cloned().unwrap_or(role)
            }
        };
        let scores = network.test.list.iter();
        Point {
            step: last.get(&training).copied().unwrap_or(0),
            training,
            wall,
            values: scores
                .map(|score| (format!("test/{}", score.key), score.value))
                .collect(),
        }
    };
    Ok(summary.networks.iter().map(of).collect())
}

/// What trackers are told of the run in a folder.
fn describe(folder: &Path) -> Result<kd_track::Run, Error> {
    let path = folder.join("recipe.toml");
    let recipe = std::fs::read_to_string(&path).map_err(io("read the recipe of the run", &path))?;
    let table: toml::Table = recipe.parse().map_err(|e: toml::de::Error| Error::Format {
        path: path.clone(),
        problem: e.message().into(),
    })?;
    let mut parameters = BTreeMap::new();
    leaves("", &toml::Value::Table(table), &mut parameters);
    let named = parameters.get("name").and_then(Value::as_str);
    let name = folder.canonicalize().unwrap_or_else(|_| folder.into());
    let name = name
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let name = name.or(named.map(Into::into)).unwrap_or_default();
    let Identity { id, started } = identity(folder)?;
    let artifacts = [
        "recipe.toml",
        "summary.json",
        "metrics.jsonl",
        "report.html",
        "README.md",
        "student.safetensors",
    ];
    Ok(kd_track::Run {
        folder: folder.into(),
        name,
        id,
        started,
        parameters,
        recipe,
        artifacts: artifacts.map(Into::into).into(),
    })
}

fn identity(folder: &Path) -> Result<Identity, Error> {
    let path = folder.join("track/run.json");
    let format = |e: serde_json::Error| Error::Format {
        path: path.clone(),
        problem: format!("{e}; without this file the run counts as a new one"),
    };
    match std::fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).map_err(format),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
            let identity = Identity {
                id: format!("{:x}-{:x}", since.as_nanos(), std::process::id()),
                started: since.as_secs_f64(),
            };
            let below = folder.join("track");
            std::fs::create_dir_all(&below).map_err(io("create", &below))?;
            let text = serde_json::to_string(&identity).map_err(format)?;
            write_atomically(&path, text.as_bytes())?;
            Ok(identity)
        }
        Err(e) => Err(io("read", &path)(e)),
    }
}

/// Every value of a table by its dotted key; an array of plain values is its text.
fn leaves(above: &str, value: &toml::Value, found: &mut BTreeMap<String, Value>) {
    let leaf = match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                let dot = if above.is_empty() { "" } else { "." };
                leaves(&format!("{above}{dot}{key}"), value, found);
            }
            return;
        }
        toml::Value::String(text) => text.clone().into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => (*number).into(),
        toml::Value::Boolean(boolean) => (*boolean).into(),
        other => other.to_string().into(),
    };
    found.insert(above.into(), leaf);
}

/// An observer that starts trackers when the first training begins, and says what they have to say.
pub(crate) struct Tracked<'a> {
    folder: &'a Path,
    config: &'a TrackConfig,
    observer: &'a mut dyn Observer,
    followers: Vec<Follower>,
    started: bool,
}

impl<'a> Tracked<'a> {
    pub(crate) fn new(
        folder: &'a Path,
        config: &'a TrackConfig,
        observer: &'a mut dyn Observer,
    ) -> Self {
        Self {
            folder,
            config,
            observer,
            followers: Vec::new(),
            started: false,
        }
    }

    fn start(&mut self) {
        self.started = true;
        for target in &self.config.to {
            let run = match describe(self.folder) {
                Ok(run) => run,
                Err(error) => return self.say(&format!("{target}: not told, because: {error}")),
            };
            let tracker = target.open(run);
            match Follower::start(target.to_string(), metrics(self.folder), tracker) {
                Ok(follower) => self.followers.push(follower),
                Err(error) => self.say(&format!("{target}: not told, because: {error}")),
            }
        }
    }

    fn say(&mut self, note: &str) {
        self.observer.event(Event::Note(note));
    }

    /// Tells the trackers how the run ended. One that failed fails nothing else.
    pub(crate) fn finish(mut self, ended: &Result<Summary, Error>) {
        let status = match ended {
            Ok(_) => Status::Finished,
            Err(Error::Stopped { .. } | Error::NotMeasured) => Status::Interrupted,
            Err(_) => Status::Failed,
        };
        if !self.started {
            // Every training was taken from an earlier run, or none began.
            match status {
                Status::Finished => self.start(),
                _ => return,
            }
        }
        let results = match status {
            Status::Finished => results(self.folder),
            _ => Ok(Vec::new()),
        };
        let results = results.unwrap_or_else(|error| {
            self.say(&format!("trackers have no test scores, because: {error}"));
            Vec::new()
        });
        for follower in std::mem::take(&mut self.followers) {
            let results = results.clone();
            for note in follower.finish(End { status, results }) {
                self.say(&note);
            }
        }
    }
}

impl Observer for Tracked<'_> {
    fn event(&mut self, event: Event<'_>) {
        if !self.started && matches!(event, Event::Started { .. }) {
            self.start();
        }
        let notes: Vec<String> = self.followers.iter().flat_map(Follower::notes).collect();
        for note in notes {
            self.say(&note);
        }
        self.observer.event(event);
    }

    fn stop(&self) -> bool {
        self.observer.stop()
    }

    fn measures(&self) -> bool {
        self.observer.measures()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_told_whole() {
        let line = r#"{"kind":"step","role":"distilled","seed":3,"epoch":1,"step":7,"loss":1.5,
            "components":{"kd":{"value":2.0,"weight":0.5,"gradient_norm":0.25}},"lr":0.1,"gradient_norm":4.0,
            "images_per_second":64.0}"#;
        let told = point(line).unwrap();
        assert_eq!((told.training.as_str(), told.step), ("distilled-seed3", 7));
        let expected = [
            ("train/loss/total", 1.5),
            ("train/loss/kd", 2.0),
            ("train/weight/kd", 0.5),
            ("train/gradient/kd", 0.25),
            ("train/gradient/total", 4.0),
            ("train/lr", 0.1),
            ("train/images_per_second", 64.0),
        ];
        assert_eq!(
            told.values,
            expected.map(|(name, value)| (name.into(), value))
        );
        assert!(point("{}").is_err());
    }

    #[test]
    fn a_run_keeps_its_identity() {
        let folder = tempfile::tempdir().unwrap();
        let first = identity(folder.path()).unwrap();
        let again = identity(folder.path()).unwrap();
        assert_eq!((first.id, first.started), (again.id, again.started));
    }

    /// Without serde_json's `float_roundtrip` the second of these becomes 1795880159.7827063.
    #[test]
    fn a_time_is_read_as_it_was_written() {
        for time in [0.1, 1795880159.7827065, f64::MIN_POSITIVE] {
            let text = serde_json::to_string(&time).unwrap();
            assert_eq!(serde_json::from_str::<f64>(&text).unwrap(), time, "{text}");
        }
    }

    #[test]
    fn a_key_of_the_recipe_is_a_parameter() {
        let table: toml::Table =
            "name = \"a\"\n[train]\nepochs = 2\nlr = { peak = 0.5 }\nx = [1, 2]"
                .parse()
                .unwrap();
        let mut found = BTreeMap::new();
        leaves("", &toml::Value::Table(table), &mut found);
        let expected: [(&str, Value); 4] = [
            ("name", "a".into()),
            ("train.epochs", 2.into()),
            ("train.lr.peak", 0.5.into()),
            ("train.x", "[1, 2]".into()),
        ];
        assert_eq!(found, expected.map(|(k, v)| (k.to_owned(), v)).into());
    }
}
