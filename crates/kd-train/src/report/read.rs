//! What a run folder holds, read with errors that say what would be right.

use std::collections::BTreeMap;
use std::path::Path;

use crate::Role;
use crate::error::Error;
use crate::records::{EpochRecord, Record, StepRecord};
use crate::summary::Summary;

/// The records of one training by step or epoch. A resumed run writes some steps a second time;
/// the later line counts.
#[derive(Default)]
pub(crate) struct History {
    pub steps: BTreeMap<usize, StepRecord>,
    pub epochs: BTreeMap<usize, EpochRecord>,
}

/// The three files of a run folder.
pub(crate) struct RunFolder {
    /// None for a run that is not finished.
    pub summary: Option<Summary>,
    pub trainings: BTreeMap<(Role, u64), History>,
    /// Which training the last line is of.
    pub last: Option<(Role, u64)>,
    /// The last epoch with scores.
    pub evaluated: Option<EpochRecord>,
    pub recipe: String,
}

pub(crate) fn run_folder(folder: &Path) -> Result<RunFolder, Error> {
    let path = folder.join("summary.json");
    // Written at the end of a run; the other two are there from its beginning.
    let begun = !path.exists() && folder.join("metrics.jsonl").exists();
    let summary = match begun {
        true => None,
        false => Some(Summary::of_run(folder)?),
    };
    let mut run = RunFolder {
        summary,
        trainings: BTreeMap::new(),
        last: None,
        evaluated: None,
        recipe: text(&folder.join("recipe.toml"))?,
    };
    metrics(&folder.join("metrics.jsonl"), &mut run)?;
    Ok(run)
}

pub(crate) fn text(path: &Path) -> Result<String, Error> {
    opened(path, std::fs::read_to_string(path))
}

/// What was read, or the error that helps.
fn opened<T>(path: &Path, read: std::io::Result<T>) -> Result<T, Error> {
    read.map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => Error::Format {
            path: path.into(),
            problem: "there is no such file; name the folder of a run, which holds \
                      metrics.jsonl, recipe.toml and, when it is finished, summary.json (`kd train` makes one)"
                .into(),
        },
        _ => Error::Io {
            what: "read",
            path: path.into(),
            source,
        },
    })
}

fn metrics(path: &Path, run: &mut RunFolder) -> Result<(), Error> {
    let mut bytes = opened(path, std::fs::read(path))?;
    // Half a line can end within a character.
    if let Err(problem) = str::from_utf8(&bytes)
        && problem.error_len().is_none()
    {
        bytes.truncate(problem.valid_up_to());
    }
    let text = String::from_utf8(bytes).map_err(|problem| Error::Format {
        path: path.into(),
        problem: format!("not text ({problem}); run the recipe again"),
    })?;
    let trainings = &mut run.trainings;
    for (at, line) in text.split_inclusive('\n').enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        match Record::read(line) {
            Ok(Record::Step(step)) => {
                let history = trainings.entry((step.role.clone(), step.seed)).or_default();
                run.last = Some((step.role.clone(), step.seed));
                history.steps.insert(step.step, step);
            }
            Ok(Record::Epoch(epoch)) => {
                let history = trainings
                    .entry((epoch.role.clone(), epoch.seed))
                    .or_default();
                run.last = Some((epoch.role.clone(), epoch.seed));
                if !epoch.validation.is_empty() {
                    run.evaluated = Some(epoch.clone());
                }
                history.epochs.insert(epoch.epoch, epoch);
            }
            // A run that was killed can leave half a line, and only the last one.
            Err(problem) if problem.is_eof() && !line.ends_with('\n') => {}
            Err(problem) => {
                return Err(Error::Format {
                    path: path.into(),
                    problem: format!(
                        "line {} is not a record of a step or an epoch ({problem}); delete that \
                         line, or run the recipe again",
                        at + 1
                    ),
                });
            }
        }
    }
    Ok(())
}
