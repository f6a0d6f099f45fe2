//! The trainings of a study, done by several workers.
//!
//! The work is cut into units, a variant with one seed each. A worker claims a unit and does its run in a folder of its
//! own. Within it every training is claimed too, because units share some: the teacher, or the student alone. A
//! worker that finds a training busy goes on with another unit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use burn::tensor::Device;
use kd_store::{Folder, Leases, Store, attempt};
use sha2::{Digest, Sha256};

use super::file::Study;
use super::run::StudyObserver;
use super::shared::{Shard, Shared};
use crate::cache::identity::hex;
use crate::folder::io;
use crate::run::{Held, Sharing, UntilLost, device_kind, run_shared};
use crate::{Error, Event, Recipe, RunOptions};

/// What a worker did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Worked {
    /// Units that it finished.
    pub finished: usize,
    /// Units that others had finished.
    pub by_others: usize,
}

/// A variant with one seed.
struct Unit<'a> {
    variant: &'a str,
    recipe: Recipe,
    seed: u64,
    /// Follows from all that tells it from other units.
    name: String,
}

/// Why a unit was not finished now.
enum Later {
    /// Another worker does it, or a training that it needs.
    Busy,
    /// The store could not be reached.
    Unreachable(Error),
}

/// Does trainings of a study until all of a part of its work are done, beside other workers that use the same shared
/// folder. Work of a worker that was not heard of for as long as `lease` is taken over. [`run`](fn@super::run) then finds
/// all trainings finished.
///
/// # Errors
/// As [`run`](fn@super::run); [`Error::StoppedWaiting`] when the observer asks a waiting worker to stop, and
/// [`Error::Store`] when the shared folder could not be reached for as long as `lease`.
pub fn work(
    study: &Study,
    shared: &Shared,
    shard: Shard,
    lease: Duration,
    device: (&Device, &str),
    observer: &mut dyn StudyObserver,
) -> Result<Worked, Error> {
    study.clone().complete(observer)?.check(device.0)?;
    let store = Folder::new(&shared.leases())?;
    let worker = Worker {
        shared,
        leases: Arc::new(Leases::new(store.clone(), lease)),
        store,
        device: device.0,
        device_kind: device_kind(device.1),
        seeds: study.seeds,
    };
    let mut left = units(study, worker.device_kind)?;
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
fn units<'a>(study: &'a Study, device: &str) -> Result<Vec<Unit<'a>>, Error> {
    let mut units = Vec::new();
    for number in 0..study.seeds as u64 {
        for variant in &study.variants {
            let mut recipe = variant.recipe.clone();
            // Trackers are told of the study's own runs.
            recipe.track = crate::track::TrackConfig::default();
            let seed = recipe.seed + number;
            let version = env!("CARGO_PKG_VERSION");
            let all = format!("{version} {device} {seed}\n{}", recipe.to_toml()?);
            let hash = hex(&Sha256::digest(all)[..8]);
            units.push(Unit {
                variant: &variant.name,
                name: format!("{}-seed{seed}-{hash}", variant.name),
                recipe,
                seed,
            });
        }
    }
    Ok(units)
}

struct Worker<'a> {
    shared: &'a Shared,
    leases: Arc<Leases<Folder>>,
    store: Folder,
    device: &'a Device,
    device_kind: &'a str,
    seeds: usize,
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
    fn unit(
        &self,
        unit: &Unit<'_>,
        observer: &mut dyn StudyObserver,
    ) -> Result<Result<bool, Later>, Error> {
        let result = self.try_unit(unit, observer);
        Ok(match result {
            Ok(done) => Ok(done),
            Err(Error::Store(kd_store::Error::Busy { .. })) => Err(Later::Busy),
            Err(Error::Store(problem)) => Err(Later::Unreachable(Error::Store(problem))),
            Err(problem) => {
                return Err(Error::Variant {
                    variant: format!("variant `{}`, seed {}", unit.variant, unit.seed),
                    source: Box::new(problem),
                });
            }
        })
    }

    fn try_unit(&self, unit: &Unit<'_>, observer: &mut dyn StudyObserver) -> Result<bool, Error> {
        let done = format!("done-{}", unit.name);
        if self.store.get(&done)?.is_some() {
            return Ok(false);
        }
        let held = Held::claim(&self.leases, &unit.name)?;
        if self.store.get(&done)?.is_some() {
            return Ok(false);
        }
        observer.event(Event::Note(&format!(
            "variant `{}`, seed {}",
            unit.variant, unit.seed
        )));
        let runs = self.shared.runs().join(&unit.name);
        let options = RunOptions {
            out: attempt(&runs, held.token())?.join("run"),
            seeds: self.seeds,
            device_name: self.device_kind.into(),
            reuse: true,
            resume: true,
        };
        let sharing = Sharing {
            finished: Some(self.shared.finished()),
            leases: Some(self.leases.clone()),
            seed: Some(unit.seed),
        };
        let mut until_lost = UntilLost {
            observer: &mut *observer,
            held: Some(&held),
        };
        let mut run = || {
            let observer = &mut until_lost;
            run_shared(&unit.recipe, &options, &sharing, self.device, observer)
        };
        let mut result = run();
        // The worker before ended it, or left what cannot be gone on with; finished trainings are elsewhere.
        if let Err(Error::Taken { busy: false, .. }) = result {
            std::fs::remove_dir_all(&options.out).map_err(io("remove", &options.out))?;
            result = run();
        }
        match result {
            Err(Error::Stopped { .. }) if held.lost() => Err(Error::taken_over()),
            result => {
                result?;
                held.finish(|| self.store.create(&done, unit.name.as_bytes()))?;
                Ok(true)
            }
        }
    }
}
