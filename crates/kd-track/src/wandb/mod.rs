//! Offline runs of Weights & Biases: a run a training, in one group. `wandb sync` uploads them.

mod log;
mod proto;

use std::collections::BTreeMap;
use std::path::PathBuf;

use self::log::Log;
use self::proto::{
    Exit, Header, History, HistoryStep, Item, Record, RunRecord, Timestamp, Updates, VersionInfo,
};
use crate::error::{Error, io};
use crate::follow::{make, now};
use crate::{Mark, Point, Run, Status, Tracker};

/// Writes `track/wandb/offline-run-*/run-*.wandb`.
pub struct Wandb {
    run: Run,
    trainings: BTreeMap<String, Training>,
}

struct Training {
    log: Log,
    /// The row of the last step, which more may be said about.
    row: Option<Point>,
    /// The last value of each name.
    last: BTreeMap<String, f64>,
}

impl Wandb {
    /// Of a run.
    pub fn new(run: Run) -> Self {
        Self {
            run,
            trainings: BTreeMap::new(),
        }
    }

    fn folder(&self) -> PathBuf {
        self.run.folder.join("track/wandb")
    }

    fn training(&mut self, name: &str) -> Result<&mut Training, Error> {
        if !self.trainings.contains_key(name) {
            let id = id(&self.run.id, name);
            let folder = format!("offline-run-{}-{id}", date(self.run.started as i64));
            let folder = self.folder().join(folder);
            make(&folder.join("files"))?;
            let mut log = Log::create(&folder.join(format!("run-{id}.wandb")))?;
            for record in first_records(&self.run, name, &id) {
                log.write(record)?;
            }
            let (row, last) = (None, BTreeMap::new());
            self.trainings
                .insert(name.into(), Training { log, row, last });
        }
        let training = self.trainings.get_mut(name);
        Ok(training.expect("it was opened above"))
    }

    fn add(&mut self, point: &Point) -> Result<(), Error> {
        let started = self.run.started;
        let training = self.training(&point.training)?;
        for (name, value) in &point.values {
            training.last.insert(name.clone(), *value);
        }
        match &mut training.row {
            Some(row) if row.step == point.step => row.values.extend(point.values.clone()),
            _ => {
                training.write_row(started)?;
                training.row = Some(point.clone());
            }
        }
        Ok(())
    }
}

impl Training {
    fn write_row(&mut self, started: f64) -> Result<(), Error> {
        let Some(row) = self.row.take() else {
            return Ok(());
        };
        let item = |name: &str, value: String| Item {
            nested_key: vec![name.into()],
            value_json: value,
            ..Item::default()
        };
        let values = row.values.iter();
        let mut items: Vec<_> = values
            .map(|(name, value)| item(name, json(*value)))
            .collect();
        items.push(item("_step", row.step.to_string()));
        items.push(item("_timestamp", json(row.wall)));
        items.push(item("_runtime", json((row.wall - started).max(0.0))));
        self.log.write(Record {
            history: Some(History {
                item: items,
                step: Some(HistoryStep {
                    num: row.step as i64,
                }),
            }),
            ..Record::default()
        })
    }

    fn end(&mut self, started: f64, status: Status) -> Result<(), Error> {
        self.write_row(started)?;
        let update = |(key, value): (&String, &f64)| Item {
            key: key.clone(),
            value_json: json(*value),
            ..Item::default()
        };
        self.log.write(Record {
            summary: Some(Updates {
                update: self.last.iter().map(update).collect(),
            }),
            ..Record::default()
        })?;
        // Without an end it counts as crashed, until the run has gone on.
        if status != Status::Interrupted {
            self.log.write(Record {
                exit: Some(Exit {
                    exit_code: i32::from(status == Status::Failed),
                    runtime: (now() - started) as i32,
                }),
                ..Record::default()
            })?;
        }
        self.log.flush()
    }
}

impl Tracker for Wandb {
    fn begin(&mut self) -> Result<Mark, Error> {
        self.rewind()?;
        Ok(Mark::default())
    }

    /// Files of the same names take the place of the old ones.
    fn rewind(&mut self) -> Result<(), Error> {
        self.trainings.clear();
        for folder in self.folder().read_dir().into_iter().flatten().flatten() {
            let name = folder.file_name();
            if name.to_string_lossy().starts_with("offline-run-") {
                let path = folder.path();
                std::fs::remove_dir_all(&path).map_err(io("remove", &path))?;
            }
        }
        Ok(())
    }

    fn points(&mut self, points: &[Point], _: Mark) -> Result<(), Error> {
        for point in points {
            self.add(point)?;
        }
        self.trainings.values_mut().try_for_each(|t| t.log.flush())
    }

    fn finish(&mut self, status: Status, results: &[Point]) -> Result<(), Error> {
        for point in results {
            self.add(point)?;
        }
        let started = self.run.started;
        let mut trainings = self.trainings.values_mut();
        trainings.try_for_each(|training| training.end(started, status))
    }
}

/// Eight letters, the same whenever the run goes on.
fn id(run: &str, training: &str) -> String {
    format!(
        "{:08x}",
        crc32fast::hash(format!("{run}/{training}").as_bytes())
    )
}

/// JSON as Python reads it, which knows NaN.
fn json(value: f64) -> String {
    match value {
        v if v.is_nan() => "NaN".into(),
        v if v.is_infinite() => if v > 0.0 { "Infinity" } else { "-Infinity" }.into(),
        v => serde_json::Value::from(v).to_string(),
    }
}

fn first_records(run: &Run, training: &str, id: &str) -> [Record; 2] {
    let item = |(key, value): (&String, &serde_json::Value)| Item {
        key: key.clone(),
        value_json: value.to_string(),
        ..Item::default()
    };
    let header = Header {
        version_info: Some(VersionInfo {
            producer: concat!("kd ", env!("CARGO_PKG_VERSION")).into(),
            min_consumer: "0.70.0".into(),
        }),
    };
    let run = RunRecord {
        run_id: id.into(),
        project: "kd".into(),
        config: Some(Updates {
            update: run.parameters.iter().map(item).collect(),
        }),
        run_group: run.name.clone(),
        job_type: training.split("-seed").next().unwrap_or(training).into(),
        display_name: format!("{} {training}", run.name),
        start_time: Some(Timestamp {
            seconds: run.started as i64,
        }),
    };
    [
        Record {
            header: Some(header),
            ..Record::default()
        },
        Record {
            run: Some(run),
            ..Record::default()
        },
    ]
}

/// `YYYYMMDD_HHMMSS` of seconds since 1970, UTC.
fn date(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Years that begin in March, in cycles of 400, since 0000-03-01 (Howard Hinnant, days_from_civil, 2013).
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{date:02}_{hour:02}{minute:02}{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_the_calendars() {
        assert_eq!(date(0), "19700101_000000");
        assert_eq!(date(951_782_400), "20000229_000000");
        assert_eq!(date(1_700_000_000), "20231114_221320");
        assert_eq!(date(4_107_542_399), "21000228_235959");
        assert_eq!(date(4_107_542_400), "21000301_000000");
    }

    #[test]
    fn numbers_come_back_as_they_were() {
        for value in [0.1, 1e-300, 123_456_789.123, -0.0] {
            assert_eq!(json(value).parse::<f64>().unwrap(), value);
        }
        assert_eq!(
            [json(f64::NAN), json(f64::NEG_INFINITY)],
            ["NaN", "-Infinity"]
        );
    }
}
