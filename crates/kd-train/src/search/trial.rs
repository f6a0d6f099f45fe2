//! A trial: a run a seed that pauses at a rung, and never reads the test split.

use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::Device;

use crate::folder::{io, write_atomically};
use crate::run::{Sharing, run_shared};
use crate::study::Shared;
use crate::{Error, Event, Observer, Recipe, Record, Role, RunOptions, Score};

/// Where a trial goes, and how far.
#[derive(Clone, Debug)]
pub struct TrialOptions {
    /// Its run folders: this path with `-seedN` behind it, N from the recipe's seed on.
    pub out: PathBuf,
    /// How often it is trained.
    pub seeds: usize,
    /// Epochs after which it pauses; none to train to the end.
    pub epochs: Option<usize>,
    /// The device as the user named it, for the record.
    pub device_name: String,
    /// Where finished trainings are kept; the folder beside the run folders where nothing is named.
    pub shared: Option<Shared>,
}

/// Trains a recipe's students, and goes on with what an earlier call left. Nothing is measured: the test split is not read.
/// A teacher without weights is trained with every seed anew, as a run of that seed would.
///
/// # Errors
/// As [`run`](fn@crate::run).
pub fn train_trial(
    recipe: &Recipe,
    options: &TrialOptions,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<(), Error> {
    for seed in recipe.seed..recipe.seed + options.seeds as u64 {
        let out = folder(&options.out, seed);
        let role = recipe.last_role();
        let left = read(&out, &role)?;
        let epochs = options
            .epochs
            .filter(|epochs| *epochs < recipe.train.epochs);
        if left.ended || epochs.is_some_and(|epochs| left.curve.len() >= epochs) {
            continue;
        }
        let recipe = Recipe {
            seed,
            ..recipe.clone()
        };
        let run = RunOptions {
            out: out.clone(),
            seeds: 1,
            device_name: options.device_name.clone(),
            reuse: true,
            resume: true,
        };
        let sharing = Sharing::of_finished(options.shared.as_ref())?;
        train_until(&recipe, &run, &sharing, epochs, device, observer)?;
    }
    Ok(())
}

/// Trains what a recipe says into a run folder, to its end or to a number of epochs of its student, and measures nothing.
pub(crate) fn train_until(
    recipe: &Recipe,
    run: &RunOptions,
    sharing: &Sharing,
    epochs: Option<usize>,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<(), Error> {
    let begun = Instant::now();
    let mut until = Until {
        observer,
        role: recipe.last_role(),
        epochs,
        reached: false,
    };
    match run_shared(recipe, run, sharing, device, &mut until) {
        Err(Error::NotMeasured) => {
            let seconds = begun.elapsed().as_secs_f64().to_string();
            write_atomically(&run.out.join(ENDED), seconds.as_bytes())
        }
        Err(Error::Stopped { .. }) if until.reached => Ok(()),
        // These settings are bad: that is what a search wants to know.
        Err(problem @ Error::NotFinite { .. }) => {
            let problem = problem.to_string();
            write_atomically(&run.out.join(PROBLEM), problem.as_bytes())
        }
        Ok(_) => Ok(()),
        Err(problem) => Err(problem),
    }
}

/// Says that the trainings of a run folder came to their end, and after how many seconds since they were last begun.
const ENDED: &str = "trained";
/// Says why a training came to no end.
const PROBLEM: &str = "problem";

pub(crate) fn folder(out: &Path, seed: u64) -> PathBuf {
    let mut path = out.as_os_str().to_owned();
    path.push(format!("-seed{seed}"));
    path.into()
}

/// What a run folder says of its student.
#[derive(Default)]
pub(crate) struct Left {
    /// The first validation score of every epoch.
    pub curve: Vec<f64>,
    /// The last of these scores, with its name.
    pub score: Option<Score>,
    /// Seconds of its training, by its records.
    pub seconds: f64,
    /// Seconds of all trainings of the folder since they were last begun; none before they ended.
    pub wall: Option<f64>,
    /// Whether its training came to its end.
    pub ended: bool,
    /// Why it came to none: its loss was no number.
    pub problem: Option<String>,
}

/// Reads the epochs of a network from a run folder; a folder that is not there has none.
pub(crate) fn read(out: &Path, role: &Role) -> Result<Left, Error> {
    let path = out.join("metrics.jsonl");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Left::default()),
        Err(e) => return Err(io("read", &path)(e)),
    };
    let problem = std::fs::read_to_string(out.join(PROBLEM)).ok();
    let ended = std::fs::read_to_string(out.join(ENDED)).ok();
    let mut left = Left {
        ended: problem.is_some() || ended.is_some(),
        problem,
        wall: ended.and_then(|seconds| seconds.parse().ok()),
        ..Left::default()
    };
    // The last line may be cut where a run was killed.
    for record in text.lines().filter_map(|line| Record::read(line).ok()) {
        let Record::Epoch(epoch) = record else {
            continue;
        };
        if epoch.role != *role {
            continue;
        }
        let Some(score) = epoch.validation.first() else {
            return Err(Error::Recipe(
                "a search chooses on the validation split, and this data has none: give it one, such as \
                 data.validation = 0.1"
                    .into(),
            ));
        };
        // An epoch that was done again stands there twice.
        left.curve.truncate(epoch.epoch - 1);
        left.curve.push(score.value);
        left.score = Some(score.clone());
        left.seconds += epoch.seconds;
    }
    Ok(left)
}

/// Ends a run at a rung, and before it is measured.
struct Until<'a> {
    observer: &'a mut dyn Observer,
    role: Role,
    epochs: Option<usize>,
    reached: bool,
}

impl Observer for Until<'_> {
    fn event(&mut self, event: Event<'_>) {
        if let Event::Epoch(record) = &event
            && record.role == self.role
        {
            self.reached |= self.epochs.is_some_and(|epochs| record.epoch >= epochs);
        }
        self.observer.event(event);
    }

    fn stop(&self) -> bool {
        self.reached || self.observer.stop()
    }

    fn measures(&self) -> bool {
        false
    }
}
