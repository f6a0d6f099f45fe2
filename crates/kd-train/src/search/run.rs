//! The trials of a search.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use kd_models::Network;
use kd_search::{Asha, Found, Job, Point, Sampler, Trial};
use serde_json::json;
use toml::Value;

use super::beside::{Start, Worker, moment};
use super::file::{Cost, Search};
use super::trial::{self, TrialOptions, train_trial};
use crate::folder::{io, kept_json, write_atomically};
use crate::recipe::resolved;
use crate::study::Shared;
use crate::study::folder::lock;
use crate::{Better, DataShape, Error, Observer, Recipe, Silent};

/// Watches a search and the runs of each trial, and may stop it.
pub trait SearchObserver: Observer {
    /// Called when a trial trains, for so many epochs in all.
    fn trial(&mut self, trial: &Trial, epochs: usize) {
        let _ = (trial, epochs);
    }
}

impl SearchObserver for Silent {}

/// Where a search goes, and who trains.
pub struct Options<'a> {
    /// Its folder.
    pub out: PathBuf,
    /// The device as the user named it, for the record.
    pub device_name: String,
    /// Who trains.
    pub workers: Workers<'a>,
    /// Where finished trainings are kept, also others than the search's; the search's own folder where nothing is named.
    /// Workers beside this process have the search's own.
    pub shared: Option<Shared>,
}

/// Who trains the trials.
pub enum Workers<'a> {
    /// This process, one trial after the other. Whatever happens follows from the search's seed.
    Here,
    /// So many processes beside each other. Which trial goes on depends on which of them ends first.
    Beside {
        /// How many.
        jobs: usize,
        /// Makes the command of one.
        start: &'a Start<'a>,
    },
}

/// Of trials in other processes nobody here knows more.
const STOPPED: Error = Error::Stopped {
    epoch: 0,
    step: 0,
    checkpoint: None,
};

/// Trials in their folder.
struct Runner<'a> {
    search: &'a Search,
    options: &'a Options<'a>,
    device: &'a Device,
    sampler: Sampler,
    found: Found,
    /// Places of the trials, by their settings.
    known: HashMap<Vec<String>, usize>,
}

/// Runs a search into its folder, and goes on with what an earlier start of it left there.
///
/// After every trial it writes `search.json` (what is [`Found`]), `search.html` and `best.toml`, the recipe of the best trial so
/// far.
///
/// # Errors
/// [`Error::Recipe`] when `out` holds another search, [`Error::Variant`] when a trial fails, [`Error::Stopped`] when the observer
/// asks to stop. A trial whose loss is no number is the worst, and no failure. A search that is wrong leaves no folder behind.
pub fn run(
    search: &Search,
    options: &Options<'_>,
    device: &Device,
    observer: &mut dyn SearchObserver,
) -> Result<Found, Error> {
    search.check(device)?;
    let found = begin(search, options)?;
    std::fs::create_dir_all(&options.out).map_err(io("create", &options.out))?;
    let _lock = lock(&options.out)?;
    let first = &search.space.ends()[0];
    let mut asha = search
        .scheduler(&search.recipe_of(first)?)
        .map_err(Error::Recipe)?;
    let known = found.trials.iter().enumerate().rev();
    let known = known
        .map(|(at, trial)| (trial.changes.clone(), at))
        .collect();
    let mut runner = Runner {
        search,
        options,
        device,
        sampler: search.points()?,
        found,
        known,
    };
    match &options.workers {
        Workers::Here => runner.here(&mut asha, observer)?,
        Workers::Beside { jobs, start } => runner.beside(&mut asha, *jobs, start, observer)?,
    }
    runner.write()?;
    Ok(runner.found)
}

/// What an earlier start found, or nothing yet.
fn begin(search: &Search, options: &Options<'_>) -> Result<Found, Error> {
    let recipe = search.recipe_of(&search.space.ends()[0])?;
    let mut table = resolved(&recipe)?;
    // They vary.
    for parameter in &search.space.parameters {
        let mut here = Some(&mut table);
        let mut parts: Vec<&str> = parameter.name.split('.').collect();
        let last = parts.pop().unwrap_or_default();
        for part in parts {
            here = here
                .and_then(|t| t.get_mut(part))
                .and_then(Value::as_table_mut);
        }
        here.and_then(|table| table.remove(last));
    }
    let costs: Vec<String> = search.costs.iter().map(|c| c.name().into()).collect();
    let inputs = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "device": options.device_name,
        "recipe": table,
        "space": search.space,
        "sampler": search.sampler,
        "seed": search.seed,
        "seeds": search.seeds,
        "asha": search.asha,
        "objectives": costs,
    });
    let path = options.out.join("search.json");
    let cure = "remove it, or choose another folder with --out";
    let kept: Option<Found> = kept_json(path, "is not what a search found", cure)?;
    let rungs = match search.asha {
        None => Vec::new(),
        Some(_) => search
            .scheduler(&recipe)
            .map_err(Error::Recipe)?
            .rungs()
            .to_vec(),
    };
    let best = options.out.join("best.toml");
    let mut found = Found {
        name: search.name.clone(),
        facts: facts(search, options, &recipe, &rungs),
        inputs,
        space: search.space.clone(),
        score: String::new(),
        lower: false,
        rungs,
        costs,
        trials: Vec::new(),
        command: format!(
            "kd train {} --seeds {} --out {}",
            best.display(),
            search.seeds.max(3),
            options.out.join("best").display()
        ),
    };
    if let Some(kept) = kept {
        let other: Vec<&str> = match (found.inputs.as_object(), kept.inputs.as_object()) {
            (Some(now), Some(then)) => {
                let changed = now
                    .iter()
                    .filter(|(key, value)| then.get(*key) != Some(value));
                changed.map(|(key, _)| key.as_str()).collect()
            }
            _ => vec!["inputs"],
        };
        if !other.is_empty() {
            return Err(Error::Recipe(format!(
                "{} holds a search with another {}; choose another folder with --out, or remove this one",
                options.out.display(),
                other.join(", ")
            )));
        }
        found.trials = kept.trials;
        (found.score, found.lower) = (kept.score, kept.lower);
    }
    Ok(found)
}

fn facts(
    search: &Search,
    options: &Options<'_>,
    recipe: &Recipe,
    rungs: &[usize],
) -> Vec<(String, String)> {
    let file = search.recipe.file_name().unwrap_or_default();
    let sampler = json!(search.sampler);
    let mut facts = vec![
        ("Recipe", file.to_string_lossy().into_owned()),
        (
            "Sampler",
            format!(
                "{}, seed {}",
                sampler.as_str().unwrap_or_default(),
                search.seed
            ),
        ),
        ("Epochs", recipe.train.epochs.to_string()),
        ("Seeds a trial", search.seeds.to_string()),
        ("Device", options.device_name.clone()),
        ("Version", format!("kd {}", env!("CARGO_PKG_VERSION"))),
    ];
    if !rungs.is_empty() {
        let rungs: Vec<String> = rungs.iter().map(ToString::to_string).collect();
        facts.insert(2, ("ASHA, epochs of its rungs", rungs.join(", ")));
    }
    facts
        .into_iter()
        .map(|(name, value)| (name.into(), value))
        .collect()
}

impl Runner<'_> {
    fn here(&mut self, asha: &mut Asha, observer: &mut dyn SearchObserver) -> Result<(), Error> {
        while let Some(job) = asha.next_job() {
            let at = self.trial(job)?;
            let (recipe, options) = self.task(at, job)?;
            if !self.has(at, job) {
                let epochs = options.epochs.unwrap_or(recipe.train.epochs);
                observer.trial(&self.found.trials[at], epochs);
                train_trial(&recipe, &options, self.device, observer)
                    .map_err(|source| self.failed(at, source))?;
                self.gather(at, &recipe)?;
                self.write()?;
            }
            asha.ended(job, self.gain(at, job));
        }
        Ok(())
    }

    fn beside(
        &mut self,
        asha: &mut Asha,
        jobs: usize,
        start: &Start<'_>,
        observer: &mut dyn SearchObserver,
    ) -> Result<(), Error> {
        let mut at_work: Vec<(Job, usize, Recipe, Worker)> = Vec::new();
        let mut waiting: Vec<(Job, usize)> = Vec::new();
        loop {
            while at_work.len() < jobs.max(1)
                && let Some(job) = asha.next_job()
            {
                let at = self.trial(job)?;
                if self.has(at, job) {
                    asha.ended(job, self.gain(at, job));
                    continue;
                }
                // The same settings are under way.
                if at_work.iter().any(|(_, other, ..)| *other == at) {
                    waiting.push((job, at));
                    continue;
                }
                let (recipe, options) = self.task(at, job)?;
                let epochs = options.epochs.unwrap_or(recipe.train.epochs);
                observer.trial(&self.found.trials[at], epochs);
                let worker = Worker::start(start, &recipe.to_toml()?, &options)?;
                at_work.push((job, at, recipe, worker));
            }
            if at_work.is_empty() {
                return Ok(());
            }
            if observer.stop() {
                return Err(STOPPED);
            }
            let mut place = 0;
            while place < at_work.len() {
                let at = at_work[place].1;
                let ended = match at_work[place].3.ended() {
                    Ok(ended) => ended,
                    Err(source) => {
                        // A signal may have reached the process first.
                        moment();
                        return Err(match observer.stop() {
                            true => STOPPED,
                            false => self.failed(at, source),
                        });
                    }
                };
                if !ended {
                    place += 1;
                    continue;
                }
                let (job, at, recipe, _) = at_work.remove(place);
                self.gather(at, &recipe)?;
                asha.ended(job, self.gain(at, job));
                let (same, others) = waiting.into_iter().partition(|(_, other)| *other == at);
                waiting = others;
                for (job, _) in same {
                    asha.ended(job, self.gain(at, job));
                }
                self.write()?;
            }
            moment();
        }
    }

    /// The place of the trial whose trainings are those of a job's, which is made where it is new.
    fn trial(&mut self, job: Job) -> Result<usize, Error> {
        if job.trial >= self.found.trials.len() {
            let finished: Vec<(Point, f64)> = self
                .found
                .trials
                .iter()
                .filter_map(|trial| {
                    let sign = if self.found.lower { -1.0 } else { 1.0 };
                    Some((trial.point.clone(), sign * self.found.score_of(trial)?))
                })
                .collect();
            let point = self.sampler.point(job.trial, &finished);
            let point = point.ok_or_else(|| Error::Recipe("the grid is through".into()))?;
            let changes = self.search.space.assignments(&point);
            let same = self.known.get(&changes).copied();
            self.known.entry(changes.clone()).or_insert(job.trial);
            self.found.trials.push(Trial {
                number: job.trial + 1,
                point,
                changes,
                same_as: same.map(|at| at + 1),
                curves: Vec::new(),
                costs: Vec::new(),
                seconds: 0.0,
                ended: false,
                problem: None,
            });
        }
        let trial = &self.found.trials[job.trial];
        Ok(trial.same_as.map_or(job.trial, |number| number - 1))
    }

    /// Whether a trial was trained as far as a job asks.
    fn has(&self, at: usize, job: Job) -> bool {
        let trial = &self.found.trials[at];
        let halves = self.search.asha.is_some();
        trial.ended || (halves && !trial.curves.is_empty() && trial.epochs() >= job.epochs)
    }

    fn gain(&self, at: usize, job: Job) -> f64 {
        let epochs = match self.search.asha {
            Some(_) => job.epochs,
            None => usize::MAX,
        };
        let lower = self.found.lower;
        let score = self.found.trials[at].score(epochs, lower);
        score.map_or(f64::NAN, |s| if lower { -s } else { s })
    }

    /// The recipe of a trial, and how far it is trained.
    fn task(&self, at: usize, job: Job) -> Result<(Recipe, TrialOptions), Error> {
        let trial = &self.found.trials[at];
        let recipe = self.search.recipe_of(&trial.point)?;
        let options = TrialOptions {
            out: self.out(trial),
            seeds: self.search.seeds,
            epochs: self.search.asha.map(|_| job.epochs),
            device_name: self.options.device_name.clone(),
            shared: self.options.shared.clone(),
        };
        Ok((recipe, options))
    }

    fn out(&self, trial: &Trial) -> PathBuf {
        self.options.out.join(format!("trial-{}", trial.number))
    }

    /// Reads what the run folders of a trial hold now.
    fn gather(&mut self, at: usize, recipe: &Recipe) -> Result<(), Error> {
        let out = self.out(&self.found.trials[at]);
        let costs = self.costs(recipe)?;
        let (mut curves, mut seconds, mut ended) = (Vec::new(), 0.0, true);
        let (mut score, mut problem) = (None, None);
        for seed in recipe.seed..recipe.seed + self.search.seeds as u64 {
            let left = trial::read(&trial::folder(&out, seed), &recipe.last_role())?;
            seconds += left.seconds;
            ended &= left.ended;
            score = left.score.or(score);
            problem = problem.or(left.problem);
            curves.push(left.curve);
        }
        if let Some(score) = score {
            self.found.lower = score.better == Better::Lower;
            let named = format!("{} {}", score.title, score.unit.symbol());
            self.found.score = named.trim_end().into();
        }
        let trial = &mut self.found.trials[at];
        (trial.curves, trial.seconds, trial.ended, trial.costs) = (curves, seconds, ended, costs);
        trial.problem = problem;
        Ok(())
    }

    /// What a trial's student costs.
    fn costs(&self, recipe: &Recipe) -> Result<Vec<f64>, Error> {
        if self.search.costs.is_empty() {
            return Ok(Vec::new());
        }
        let Some(shape) = DataShape::known(recipe) else {
            return Err(Error::Recipe(
                "objectives `parameters` and `macs` are for recipes of images with classes: leave them out".into(),
            ));
        };
        let network = Network::new(&shape.network(&recipe.student.model), self.device)?;
        let cost = network.cost(shape.height)?;
        let of = |cost_of: &Cost| match cost_of {
            Cost::Parameters => cost.parameters as f64,
            Cost::Macs => cost.macs as f64,
        };
        Ok(self.search.costs.iter().map(of).collect())
    }

    fn failed(&self, at: usize, source: Error) -> Error {
        let trial = &self.found.trials[at];
        Error::Variant {
            variant: format!(
                "trial {} with {} (what is found so far is in {}; the same command goes on from here)",
                trial.number,
                trial.changes.join(", "),
                self.options.out.display()
            ),
            source: Box::new(source),
        }
    }

    /// Writes what is known so far.
    fn write(&self) -> Result<(), Error> {
        let out: &Path = &self.options.out;
        let path = out.join("search.json");
        let json = serde_json::to_string_pretty(&self.found).map_err(|e| Error::Format {
            path: path.clone(),
            problem: e.to_string(),
        })?;
        write_atomically(&path, (json + "\n").as_bytes())?;
        let page = self.found.to_html(crate::study::STYLE);
        let page = page.map_err(|e| Error::Report(e.to_string()))?;
        write_atomically(&out.join("search.html"), page.as_bytes())?;
        if let Some(best) = self.found.best() {
            let recipe = Recipe {
                name: format!("{}-best", self.search.name),
                // The student alone shows what the distillation gives.
                compare: true,
                ..self.search.recipe_of(&best.point)?
            };
            write_atomically(&out.join("best.toml"), recipe.to_toml()?.as_bytes())?;
        }
        Ok(())
    }
}
