//! Event files of TensorBoard: a folder a training, so that teacher and student are lines of one chart.

mod file;
mod proto;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use prost::Message;
use serde_json::Value as Json;

use self::file::EventFile;
use self::proto::{
    Category, Chart, Dynamic, Event, Experiment, HParamInfo, HParams, Layout, Metadata, MetricInfo,
    MetricName, Multiline, PluginData, SessionEnd, SessionLog, SessionStart, Shape, Summary,
    Tensor, Value,
};
use crate::error::{Error, io};
use crate::follow::{make, now};
use crate::{Mark, Point, Run, Status, Tracker};

/// Writes `track/tensorboard/TRAINING/events.out.tfevents.*`. Scalars are of 32 bits, as TensorBoard keeps them.
pub struct TensorBoard {
    run: Run,
    files: BTreeMap<String, EventFile>,
}

impl TensorBoard {
    /// Of a run.
    pub fn new(run: Run) -> Self {
        Self {
            run,
            files: BTreeMap::new(),
        }
    }

    fn folder(&self) -> PathBuf {
        self.run.folder.join("track/tensorboard")
    }

    fn file(&mut self, training: &str) -> Result<&mut EventFile, Error> {
        if !self.files.contains_key(training) {
            let folder = self.folder().join(training);
            make(&folder)?;
            let (seconds, process) = (now() as u64, std::process::id());
            let name = format!("events.out.tfevents.{seconds}.kd.{process}.0");
            let mut file = EventFile::create(&folder.join(name), self.run.started)?;
            for event in first_events(&self.run) {
                file.write(&event)?;
            }
            self.files.insert(training.into(), file);
        }
        let file = self.files.get_mut(training);
        Ok(file.expect("it was opened above"))
    }

    fn write(&mut self, point: &Point) -> Result<(), Error> {
        let value = |(name, value): &(String, f64)| Value {
            tag: name.clone(),
            simple_value: Some(*value as f32),
            ..Value::default()
        };
        let values = point.values.iter().map(value).collect();
        let event = event(point.wall, point.step, values);
        self.file(&point.training)?.write(&event)
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.files.values_mut().try_for_each(EventFile::flush)
    }
}

impl Tracker for TensorBoard {
    fn begin(&mut self) -> Result<Mark, Error> {
        self.rewind()?;
        Ok(Mark::default())
    }

    fn rewind(&mut self) -> Result<(), Error> {
        self.files.clear();
        remove_events(&self.folder())
    }

    fn points(&mut self, points: &[Point], _: Mark) -> Result<(), Error> {
        for point in points {
            self.write(point)?;
        }
        self.flush()
    }

    fn finish(&mut self, status: Status, results: &[Point]) -> Result<(), Error> {
        for point in results {
            self.write(point)?;
        }
        if status != Status::Interrupted {
            let end = HParams {
                end: Some(SessionEnd {
                    status: if status == Status::Finished { 1 } else { 2 },
                    end_time_secs: now(),
                }),
                ..HParams::default()
            };
            let event = event(now(), 0, vec![hparams("_hparams_/session_end_info", &end)]);
            for file in self.files.values_mut() {
                file.write(&event)?;
            }
        }
        self.flush()
    }
}

/// What an earlier process has written of this run: it is written anew.
fn remove_events(folder: &Path) -> Result<(), Error> {
    let Ok(trainings) = folder.read_dir() else {
        return Ok(());
    };
    for training in trainings.flatten() {
        for entry in training.path().read_dir().into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if name.to_string_lossy().starts_with("events.out.tfevents.") {
                std::fs::remove_file(&path).map_err(io("remove", &path))?;
            }
        }
    }
    Ok(())
}

fn event(wall_time: f64, step: u64, value: Vec<Value>) -> Event {
    Event {
        wall_time,
        step: step as i64,
        summary: Some(Summary { value }),
        ..Event::default()
    }
}

/// What stands before the metrics: a start, by which a viewer forgets what it read in removed files, the recipe,
/// its keys as hyperparameters, and the groups of charts.
fn first_events(run: &Run) -> Vec<Event> {
    let start = Event {
        wall_time: run.started,
        session_log: Some(SessionLog { status: 1 }),
        ..Event::default()
    };
    let indented: String = run.recipe.lines().map(|l| format!("    {l}\n")).collect();
    let layout = layout().encode_to_vec();
    let values = vec![
        strings("recipe", "text", indented.into_bytes()),
        strings("custom_scalars__config__", "custom_scalars", layout),
        hparams("_hparams_/experiment", &experiment(run)),
        hparams("_hparams_/session_start_info", &session(run)),
    ];
    vec![start, event(run.started, 0, values)]
}

fn strings(tag: &str, plugin: &str, text: Vec<u8>) -> Value {
    Value {
        tag: tag.into(),
        tensor: Some(Tensor {
            dtype: 7,
            shape: Some(Shape {}),
            string_val: vec![text],
        }),
        metadata: Some(metadata(plugin, Vec::new())),
        ..Value::default()
    }
}

fn metadata(plugin: &str, content: Vec<u8>) -> Metadata {
    let plugin_name = plugin.into();
    Metadata {
        plugin_data: Some(PluginData {
            plugin_name,
            content,
        }),
    }
}

fn hparams(tag: &str, content: &HParams) -> Value {
    Value {
        tag: tag.into(),
        simple_value: Some(0.0),
        metadata: Some(metadata("hparams", content.encode_to_vec())),
        ..Value::default()
    }
}

fn dynamic(value: &Json) -> Dynamic {
    match value {
        Json::Bool(boolean) => Dynamic {
            boolean: Some(*boolean),
            ..Dynamic::default()
        },
        Json::Number(number) => Dynamic {
            number: number.as_f64(),
            ..Dynamic::default()
        },
        Json::String(text) => Dynamic {
            string: Some(text.clone()),
            ..Dynamic::default()
        },
        other => Dynamic {
            string: Some(other.to_string()),
            ..Dynamic::default()
        },
    }
}

fn experiment(run: &Run) -> HParams {
    let info = |(name, value): (&String, &Json)| HParamInfo {
        name: name.clone(),
        kind: match value {
            Json::Bool(_) => 2,
            Json::Number(_) => 3,
            _ => 1,
        },
    };
    let metric = |tag: &str| MetricInfo {
        name: Some(MetricName { tag: tag.into() }),
    };
    HParams {
        experiment: Some(Experiment {
            hparam_infos: run.parameters.iter().map(info).collect(),
            metric_infos: ["eval/top1", "test/top1", "epoch/loss/total"]
                .map(metric)
                .into(),
        }),
        ..HParams::default()
    }
}

fn session(run: &Run) -> HParams {
    let parameters = run.parameters.iter();
    HParams {
        start: Some(SessionStart {
            hparams: parameters.map(|(k, v)| (k.clone(), dynamic(v))).collect(),
            group_name: run.name.clone(),
            start_time_secs: run.started,
        }),
        ..HParams::default()
    }
}

fn layout() -> Layout {
    let chart = |title: &str, tags: &str| Chart {
        title: title.into(),
        multiline: Some(Multiline {
            tag: vec![tags.into()],
        }),
    };
    let category = |title: &str, chart| Category {
        title: title.into(),
        chart,
    };
    Layout {
        category: vec![
            category(
                "Loss",
                vec![
                    chart("steps: total and components", "train/loss/.*"),
                    chart("epochs: total and components", "epoch/loss/.*"),
                    chart("weights", "train/weight/.*"),
                ],
            ),
            category(
                "Evaluation",
                vec![
                    chart("validation", "eval/.*"),
                    chart("test, once at the end", "test/.*"),
                ],
            ),
            category(
                "Optimiser",
                vec![
                    chart("gradient norms", "train/gradient/.*"),
                    chart("learning rate", "train/lr"),
                ],
            ),
        ],
    }
}
