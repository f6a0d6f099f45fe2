//! The trials of a search, done by several workers.

use std::collections::HashSet;
use std::time::Duration;

use burn::tensor::Device;
use kd_search::Method;

use super::file::Search;
use super::run::SearchObserver;
use crate::study::work::{Unit, Work, do_units};
use crate::study::{Shard, Shared, Worked};
use crate::{Error, Recipe};

/// Trains trials of a search until all of a part of them are done, beside other workers that share the folder.
/// [`run`](fn@super::run) then finds their trainings finished. Only of searches whose trials are known beforehand: a grid, or
/// random points, without ASHA.
///
/// # Errors
/// [`Error::Recipe`] of another search; else as [`crate::study::work`](fn@crate::study::work).
pub fn work(
    search: &Search,
    shared: &Shared,
    shard: Shard,
    lease: Duration,
    device: (&Device, &str),
    observer: &mut dyn SearchObserver,
) -> Result<Worked, Error> {
    if let Some(why) = follows(search) {
        return Err(Error::Recipe(format!(
            "workers share searches whose trials are known beforehand, and {why}: take `sampler = \"random\"` or \"grid\" \
             without `asha`, or train trials beside each other on one machine with --jobs"
        )));
    }
    search.check(device.0)?;
    let work = Work {
        shared,
        shard,
        lease,
        device,
        measured: false,
    };
    do_units(units(search, device.1)?, &work, &mut *observer)
}

/// Why trials follow from what others show.
fn follows(search: &Search) -> Option<&'static str> {
    if search.asha.is_some() {
        Some("ASHA goes on with a trial when it is among the best")
    } else if search.sampler == Method::Tpe {
        Some("TPE looks where finished trials were good")
    } else {
        None
    }
}

/// Every trial with every seed; settings that come again are trained once.
fn units(search: &Search, device: &str) -> Result<Vec<Unit>, Error> {
    let sampler = search.points()?;
    let mut known = HashSet::new();
    let mut units = Vec::new();
    for number in 0..search.trials {
        let Some(point) = sampler.point(number, &[]) else {
            break;
        };
        if !known.insert(search.space.assignments(&point)) {
            continue;
        }
        let recipe = search.recipe_of(&point)?;
        for seed in recipe.seed..recipe.seed + search.seeds as u64 {
            let part = format!("trial-{}", number + 1);
            let title = format!("trial {}, seed {seed}", number + 1);
            let recipe = Recipe {
                seed,
                ..recipe.clone()
            };
            units.push(Unit::new(&part, title, recipe, (1, seed), device)?);
        }
    }
    Ok(units)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::search::{Options, Workers, run};
    use crate::{Event, Observer};

    /// Counts trainings.
    #[derive(Default)]
    struct Trainings(usize);

    impl Observer for Trainings {
        fn event(&mut self, event: Event<'_>) {
            self.0 += usize::from(matches!(event, Event::Started { .. }));
        }
    }

    impl SearchObserver for Trainings {}

    #[test]
    fn trials_that_another_machine_trained_are_taken_from_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let recipe = r#"
name = "tiny"
data = { name = "fashion_mnist_small", train_limit = 64, test_limit = 32, validation = 0.5, augment = "none" }
teacher.model = "resnet8"
student.model = "resnet8"
objective.cross_entropy.weight = 0.1
objective.kd.weight = 0.9
train = { epochs = 1, batch = 32, lr.peak = 0.05 }
"#;
        let space = "recipe = \"tiny.toml\"\nsampler = \"grid\"\n[parameters]\nobjective.kd.temperature = [1.0, 8.0]\n";
        let path = folder.path().join("space.toml");
        fs::write(folder.path().join("tiny.toml"), recipe).unwrap();
        fs::write(&path, space).unwrap();
        let search = Search::load(&path, &[]).unwrap();
        let [store, worker, here] = ["store", "worker", "here"].map(|n| folder.path().join(n));
        let shared = |own: &Path| Shared::archived(&store, own);
        let device = Device::flex();

        let mut trainings = Trainings::default();
        let lease = Duration::from_secs(60);
        let devices = (&device, "flex");
        let shard = Shard::ALL;
        let worked = work(
            &search,
            &shared(&worker),
            shard,
            lease,
            devices,
            &mut trainings,
        );
        assert_eq!(worked.unwrap().finished, 2);
        // The teacher and two students.
        assert_eq!(trainings.0, 3);

        let options = Options {
            shared: Some(shared(&here)),
            out: here,
            device_name: "flex".into(),
            workers: Workers::Here,
        };
        let mut trainings = Trainings::default();
        let found = run(&search, &options, &device, &mut trainings).unwrap();
        assert_eq!((found.trials.len(), trainings.0), (2, 0));
    }
}
