//! The trainings of a study or a search, done by several workers.
//!
//! The work is cut into units, a variant or trial with one seed each. A worker claims a unit and does its run in a folder of its
//! own. Within it every training is claimed too, because units share some: the teacher, or the student alone. A
//! worker that finds a training busy goes on with another unit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use burn::tensor::Device;
use kd_store::{AnyStore, Archive, Leases, Store, attempt, check_conditions};
use sha2::{Digest, Sha256};

use super::file::Study;
use super::run::StudyObserver;
use super::shared::{Shard, Shared};
use crate::cache::identity::hex;
use crate::folder::io;
use crate::run::{Held, Sharing, UntilLost, device_kind, run_shared};
use crate::{Error, Event, Observer, Recipe, RunOptions};

/// What a worker did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Worked {
    /// Units that it finished.
    pub finished: usize,
    /// Units that others had finished.
    pub by_others: usize,
}

/// A variant or trial with one seed.
pub(crate) struct Unit {
    /// How it is called to people.
    title: String,
    recipe: Recipe,
    /// Of how many seeds the run is, and which of them is trained.
    seeds: usize,
    seed: u64,
    /// Follows from all that tells it from other units.
    name: String,
}

impl Unit {
    /// A unit by what it is a part of, such as the name of a variant.
    pub fn new(
        part: &str,
        title: String,
        mut recipe: Recipe,
        (seeds, seed): (usize, u64),
        device: &str,
    ) -> Result<Self, Error> {
        // Trackers are told of runs of one's own.
        recipe.track = crate::track::TrackConfig::default();
        let version = env!("CARGO_PKG_VERSION");
        let device = device_kind(device);
        let all = format!("{version} {device} {seed}\n{}", recipe.to_toml()?);
        let hash = hex(&Sha256::digest(all)[..8]);
        Ok(Self {
            title,
            name: format!("{part}-seed{seed}-{hash}"),
            recipe,
            seeds,
            seed,
        })
    }
}

/// What units have in common.
pub(crate) struct Work<'a> {
    pub shared: &'a Shared,
    pub shard: Shard,
    pub lease: Duration,
    pub device: (&'a Device, &'a str),
    /// Whether their runs are measured at the end.
    pub measured: bool,
}

/// Why a unit was not finished now.
enum Later {
    /// Another worker does it, or a training that it needs.
    Busy,
    /// The store could not be reached.
    Unreachable(Error),
}

/// Does trainings of a study until all of a part of its work are done, beside other workers that share the same. Work of a worker that was not heard of for as long as `lease` is taken over. [`run`](fn@super::run) then finds
/// all trainings finished.
///
/// # Errors
/// As [`run`](fn@super::run); [`Error::StoppedWaiting`] when the observer asks a waiting worker to stop, and
/// [`Error::Store`] when what they share could not be reached at first, or
/// later for as long as `lease`.
pub fn work(
    study: &Study,
    shared: &Shared,
    shard: Shard,
    lease: Duration,
    device: (&Device, &str),
    observer: &mut dyn StudyObserver,
) -> Result<Worked, Error> {
    study.clone().complete(observer)?.check(device.0)?;
    let work = Work {
        shared,
        shard,
        lease,
        device,
        measured: true,
    };
    do_units(units(study, device.1)?, &work, &mut *observer)
}

/// Does units until all of a part of them are done.
pub(crate) fn do_units(
    mut left: Vec<Unit>,
    work: &Work<'_>,
    observer: &mut dyn Observer,
) -> Result<Worked, Error> {
    let Work {
        shared,
        shard,
        lease,
        ..
    } = *work;
    let store = shared.leases()?;
    check_conditions(&store)?;
    let worker = Worker {
        work,
        archive: shared.archive()?,
        leases: Arc::new(Leases::new(store.clone(), lease)),
        store,
    };
    let mut number = 0..;
    left.retain(|_| number.next().is_some_and(|number| shard.has(number)));
    // Workers that begin elsewhere do not wait for each other.
    if let Some(start) = worker.random().checked_rem(left.len() as u64) {
        left.rotate_left(start as usize);
    }
    let mut worked = Worked::default();
    let mut reached = Instant::now();
    while !left.is_empty() {
        let before = left.len();
        let mut waiting = Vec::new();
        for unit in left {
            match worker.unit(&unit, observer)? {
                Ok(done) => {
                    reached = Instant::now();
                    match done {
                        true => worked.finished += 1,
                        false => worked.by_others += 1,
                    }
                }
                Err(Later::Busy) => {
                    reached = Instant::now();
                    waiting.push(unit);
                }
                Err(Later::Unreachable(problem)) if reached.elapsed() > lease => {
                    return Err(problem);
                }
                Err(Later::Unreachable(_)) => waiting.push(unit),
            }
        }
        left = waiting;
        if left.len() == before {
            if observer.stop() {
                return Err(Error::StoppedWaiting);
            }
            std::thread::sleep(worker.leases.interval().min(Duration::from_secs(1)));
        }
    }
    Ok(worked)
}

/// The work of a study: of each seed all variants, so that few units begin with the same training.
fn units(study: &Study, device: &str) -> Result<Vec<Unit>, Error> {
    let mut units = Vec::new();
    for number in 0..study.seeds as u64 {
        for variant in &study.variants {
            let name = &variant.name;
            let recipe = variant.recipe.clone();
            let seed = recipe.seed + number;
            let title = format!("variant `{name}`, seed {seed}");
            units.push(Unit::new(name, title, recipe, (study.seeds, seed), device)?);
        }
    }
    Ok(units)
}

struct Worker<'a> {
    work: &'a Work<'a>,
    archive: Option<Archive>,
    leases: Arc<Leases<AnyStore>>,
    store: AnyStore,
}

impl Worker<'_> {
    /// A number of this process.
    fn random(&self) -> u64 {
        let name = Sha256::digest(self.leases.holder());
        name.iter()
            .take(8)
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    }

    /// Does a unit, and says whether this process did it; false where another had done it.
    fn unit(&self, unit: &Unit, observer: &mut dyn Observer) -> Result<Result<bool, Later>, Error> {
        let result = self.try_unit(unit, observer);
        Ok(match result {
            Ok(done) => Ok(done),
            Err(Error::Store(kd_store::Error::Busy { .. })) => Err(Later::Busy),
            Err(Error::Store(problem)) => Err(Later::Unreachable(Error::Store(problem))),
            Err(problem) => {
                return Err(Error::Variant {
                    variant: unit.title.clone(),
                    source: Box::new(problem),
                });
            }
        })
    }

    fn try_unit(&self, unit: &Unit, observer: &mut dyn Observer) -> Result<bool, Error> {
        let done = format!("done-{}", unit.name);
        if self.store.get(&done)?.is_some() {
            return Ok(false);
        }
        let held = Held::claim(&self.leases, &unit.name)?;
        if self.store.get(&done)?.is_some() {
            return Ok(false);
        }
        observer.event(Event::Note(&unit.title));
        let Work {
            shared,
            device,
            measured,
            ..
        } = *self.work;
        let runs = shared.runs().join(&unit.name);
        let options = RunOptions {
            out: attempt(&runs, held.token())?.join("run"),
            seeds: unit.seeds,
            device_name: device_kind(device.1).into(),
            reuse: true,
            resume: true,
        };
        let sharing = Sharing {
            finished: Some(shared.finished()),
            archive: self.archive.clone(),
            leases: Some(self.leases.clone()),
            seed: Some(unit.seed),
        };
        let mut until_lost = UntilLost {
            observer: &mut Measured(observer, measured),
            held: Some(&held),
        };
        let mut run = || {
            let observer = &mut until_lost;
            run_shared(&unit.recipe, &options, &sharing, device.0, observer).map(|_| ())
        };
        let mut result = run();
        // The worker before ended it, or left what cannot be gone on with; finished trainings are elsewhere.
        if let Err(Error::Taken { busy: false, .. }) = result {
            std::fs::remove_dir_all(&options.out).map_err(io("remove", &options.out))?;
            result = run();
        }
        match result {
            Err(Error::Stopped { .. }) if held.lost() => Err(Error::taken_over()),
            // A trial is done when it is trained, or its loss is no number.
            Err(problem) if measured || !is_done(&problem) => Err(problem),
            _ => {
                held.finish(|| self.store.create(&done, unit.name.as_bytes()))?;
                Ok(true)
            }
        }
    }
}

fn is_done(problem: &Error) -> bool {
    matches!(problem, Error::NotMeasured | Error::NotFinite { .. })
}

/// An observer of runs that are measured or not.
struct Measured<'a>(&'a mut dyn Observer, bool);

impl Observer for Measured<'_> {
    fn event(&mut self, event: Event<'_>) {
        self.0.event(event);
    }

    fn stop(&self) -> bool {
        self.0.stop()
    }

    fn measures(&self) -> bool {
        self.1
    }
}
