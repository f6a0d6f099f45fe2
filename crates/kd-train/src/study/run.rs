//! The variants of a study, one after the other.

use std::fmt;
use std::path::Path;

use burn::tensor::Device;

use super::file::{NO_VARIANTS, Study, Variant};
use super::folder::{self, State};
use super::results::{self, Results};
use super::shared::Shared;
use crate::folder::{io, write_atomically};
use crate::run::{Sharing, run_shared};
use crate::{Error, Observer, RunOptions, Silent, Summary};

/// Watches a study and the run of each variant, and may stop it.
pub trait StudyObserver: Observer {
    /// Called when a variant's turn comes, before the events of its run. A finished variant has no run.
    fn variant(&mut self, turn: &Turn<'_>) {
        let _ = turn;
    }
}

impl StudyObserver for Silent {}

/// A variant whose turn has come. As text: ``variant 2 of 5, `dkd` ``.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn<'a> {
    /// Its place in the study, from 1.
    pub number: usize,
    /// Variants of the study.
    pub variants: usize,
    /// Its name.
    pub name: &'a str,
    /// What an earlier start of the study left of it.
    pub earlier: Earlier,
}

impl fmt::Display for Turn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "variant {} of {}, `{}`",
            self.number, self.variants, self.name
        )
    }
}

/// What an earlier start of a study left of a variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Earlier {
    /// No run: the variant runs now.
    Nothing,
    /// A run that was not finished: it goes on.
    Unfinished,
    /// A finished run: its results are read from its folder.
    Finished,
}

/// Runs every variant of a study into its own folder in `out`, and compares them. Variants that an earlier
/// start of the same study finished are not run again.
///
/// After every variant it writes `study.json` (the [`Results`]), `table.md` and `study.html`.
/// `device_name` is the device as the user named it, for the record.
///
/// # Errors
/// [`Error::Recipe`] when `out` holds finished runs of something else or another study uses it,
/// [`Error::Variant`] when a variant is wrong or its run fails, [`Error::Io`] when a file cannot be
/// written. A study that is wrong leaves no folder behind.
pub fn run(
    study: &Study,
    out: &Path,
    device: &Device,
    device_name: &str,
    observer: &mut dyn StudyObserver,
) -> Result<Results, Error> {
    from(study, out, None, device, device_name, observer)
}

/// [`run`], with trainings that workers finished in another folder or an object store.
///
/// # Errors
/// As [`run`]; [`Error::Store`] when the store cannot be reached.
pub fn from(
    study: &Study,
    out: &Path,
    shared: Option<&Shared>,
    device: &Device,
    device_name: &str,
    observer: &mut dyn StudyObserver,
) -> Result<Results, Error> {
    let sharing = Sharing::of_finished(shared)?;
    let study = &study.clone().complete(observer)?;
    let states = || -> Result<Vec<State>, Error> {
        let variants = study.variants.iter();
        variants
            .map(|v| folder::state(&out.join(&v.name), &v.recipe, study.seeds, device_name))
            .collect()
    };
    // A mistake leaves no folder behind.
    states()?;
    study.check(device)?;
    std::fs::create_dir_all(out).map_err(io("create", out))?;
    let _lock = folder::lock(out)?;
    // Another start of the study may have ended since the first look.
    let states = states()?;
    let runner = Runner {
        sharing,
        study,
        out,
        device,
        device_name,
    };
    let mut finished = Vec::new();
    let mut results = None;
    for (at, (variant, state)) in study.variants.iter().zip(states).enumerate() {
        let turn = Turn {
            number: at + 1,
            variants: study.variants.len(),
            name: &variant.name,
            earlier: state.earlier(),
        };
        observer.variant(&turn);
        let summary = runner
            .summary(variant, state, observer)
            .map_err(|source| failed(&turn, out, source))?;
        finished.push((variant, summary));
        results = results::compare(study, &finished);
        // After every variant, so that there is something to look at meanwhile.
        if let Some(results) = &results {
            write(results, out)?;
        }
    }
    results.ok_or_else(|| Error::Recipe(NO_VARIANTS.into()))
}

fn failed(turn: &Turn<'_>, out: &Path, source: Error) -> Error {
    let variant = if turn.number == 1 {
        turn.to_string()
    } else {
        format!(
            "{turn} (results so far are in {}; the same command goes on from here)",
            out.display()
        )
    };
    Error::Variant {
        variant,
        source: Box::new(source),
    }
}

/// What all variants share.
struct Runner<'a> {
    sharing: Sharing,
    study: &'a Study,
    out: &'a Path,
    device: &'a Device,
    device_name: &'a str,
}

impl Runner<'_> {
    /// A variant's results, from its folder when it is finished.
    fn summary(
        &self,
        variant: &Variant,
        state: State,
        observer: &mut dyn StudyObserver,
    ) -> Result<Summary, Error> {
        let folder = self.out.join(&variant.name);
        let unfinished = matches!(state, State::Unfinished);
        if let State::Finished(summary) = state {
            return Ok(*summary);
        }
        let options = RunOptions {
            out: folder,
            seeds: self.study.seeds,
            device_name: self.device_name.into(),
            reuse: true,
            resume: true,
        };
        let run = |observer: &mut dyn StudyObserver| {
            let recipe = &variant.recipe;
            run_shared(recipe, &options, &self.sharing, self.device, observer)
        };
        match run(observer) {
            // What the study said before, or an older version, left there is no result.
            Err(Error::Taken { busy: false, .. }) if unfinished => {
                folder::clear(&options.out)?;
                run(observer)
            }
            result => result,
        }
    }
}

/// Writes what is known so far.
fn write(results: &Results, out: &Path) -> Result<(), Error> {
    let path = out.join("study.json");
    let json = serde_json::to_string_pretty(results).map_err(|e| Error::Format {
        path: path.clone(),
        problem: e.to_string(),
    })?;
    write_atomically(&path, (json + "\n").as_bytes())?;
    write_atomically(&out.join("table.md"), results.to_markdown().as_bytes())?;
    write_atomically(&out.join("study.html"), results.to_html()?.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::Event;

    const RECIPE: &str = r#"
name = "tiny"
data = { name = "fashion_mnist_small", train_limit = 32, test_limit = 32, augment = "none" }
teacher.model = "resnet8"
student.model = "resnet8"
objective.cross_entropy.weight = 0.1
objective.kd.weight = 0.9
train = { epochs = 1, batch = 32, lr.peak = 0.05 }
"#;

    const STUDY: &str = "recipe = \"tiny.toml\"\nseeds = 1\n\
                         [variants.kd]\n[variants.hot]\nobjective.kd.temperature = 8.0\n\
                         objective.cross_entropy.weight = 0.1\n";

    /// Notes what it is told, and stops the run of one variant.
    #[derive(Default)]
    struct Notes {
        turns: Vec<(String, Earlier)>,
        trainings: usize,
        stop: Option<&'static str>,
    }

    impl Observer for Notes {
        fn event(&mut self, event: Event<'_>) {
            self.trainings += usize::from(matches!(event, Event::Started { .. }));
        }

        fn stop(&self) -> bool {
            let at = self.turns.last().map(|(name, _)| name.as_str());
            self.stop.is_some() && at == self.stop
        }
    }

    impl StudyObserver for Notes {
        fn variant(&mut self, turn: &Turn<'_>) {
            self.turns.push((turn.name.into(), turn.earlier));
        }
    }

    #[test]
    fn what_is_finished_elsewhere_is_taken_from_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("study.toml");
        fs::write(folder.path().join("tiny.toml"), RECIPE).unwrap();
        fs::write(&path, STUDY).unwrap();
        let study = Study::load(&path, &[], None).unwrap();
        let [store, a, b, c] = ["store", "a", "b", "c"].map(|name| folder.path().join(name));
        let device = Device::flex();
        let lease = std::time::Duration::from_secs(60);
        let worker = |own: &Path, notes: &mut Notes| {
            let shared = Shared::archived(&store, own);
            let device = (&device, "flex");
            super::super::work(
                &study,
                &shared,
                crate::study::Shard::ALL,
                lease,
                device,
                notes,
            )
            .unwrap()
        };
        let table = |own: &Path, notes: &mut Notes| {
            let shared = Shared::archived(&store, own);
            from(&study, own, Some(&shared), &device, "flex", notes).unwrap()
        };
        let [mut first, mut second, mut third] = [(); 3].map(|()| Notes::default());
        assert_eq!(worker(&a, &mut first).finished, 2);
        // The student alone, of which the teacher is another name, and two variants.
        assert_eq!(first.trainings, 3);
        // A machine that shares no folder with it trains nothing, and makes the table.
        let results = table(&b, &mut second);
        assert_eq!((second.trainings, results.variants.len()), (0, 2));
        // A damaged one is told of and done again, and is whole then.
        let contents = fs::read_dir(store.join("contents")).unwrap();
        for content in contents {
            fs::write(content.unwrap().path().join("2"), "damaged").unwrap();
        }
        table(&c, &mut third);
        assert_eq!(third.trainings, 3);
        let mut last = Notes::default();
        table(&folder.path().join("d"), &mut last);
        assert_eq!(last.trainings, 0);
    }

    #[test]
    fn a_study_that_was_stopped_goes_on_where_it_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("study.toml");
        fs::write(folder.path().join("tiny.toml"), RECIPE).unwrap();
        fs::write(&path, STUDY).unwrap();
        let study = Study::load(&path, &[], None).unwrap();
        let out = folder.path().join("out");
        let start = |notes: &mut Notes| run(&study, &out, &Device::flex(), "flex", notes);

        let mut notes = Notes {
            stop: Some("hot"),
            ..Notes::default()
        };
        let error = start(&mut notes).unwrap_err();
        assert!(
            matches!(&error, Error::Variant { source, .. } if matches!(**source, Error::Stopped { .. })),
            "{error}"
        );
        let message = error.to_string();
        assert!(
            message.starts_with("variant 2 of 2, `hot` (results so far are in "),
            "{message}"
        );
        let read = || -> Results {
            serde_json::from_str(&fs::read_to_string(out.join("study.json")).unwrap()).unwrap()
        };
        assert_eq!((read().planned, read().variants.len()), (2, 1));

        let mut notes = Notes::default();
        let results = start(&mut notes).unwrap();
        let kd = ("kd".to_owned(), Earlier::Finished);
        assert_eq!(notes.turns, [kd, ("hot".into(), Earlier::Unfinished)]);
        // The teacher is the first variant's.
        assert_eq!(notes.trainings, 1);
        assert_eq!(results, read());
        assert_eq!(results.variants.len(), 2);
        let table = fs::read_to_string(out.join("table.md")).unwrap();
        assert_eq!(table, results.to_markdown());
    }
}
