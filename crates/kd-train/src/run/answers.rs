//! The answers of a recipe's teacher before a training needs them: `kd teacher`.
//!
//! A cache in a file is filled in parts, by several processes or machines, and the parts are put together. What is asked
//! is what the trainings of the recipe would ask, view by view, so a run that finds the whole file asks nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use kd_kernels::PreparedWeights;
use kd_models::Network;

use super::finished::Store;
use super::{RunContext, RunOptions, Sharing};
use crate::cache::{Place, TeacherCache};
use crate::check::check;
use crate::recipe::TrainingPlan;
use crate::study::Shard;
use crate::task::{ImageClassification, Task, TextClassification, TrainSource};
use crate::train::usable_batches;
use crate::{Error, Event, Observer, Recipe, TrainConfig};

/// What is done to a file of answers.
#[derive(Clone, Debug)]
pub enum AnswerWork {
    /// The teacher is asked for the samples of a part; a part of several has a file of its own.
    Ask(Shard),
    /// The answers of these files are taken into the file that a run reads.
    Merge(Vec<PathBuf>),
}

/// A file of answers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answered {
    /// The file.
    pub file: PathBuf,
    /// Answers in it.
    pub answers: usize,
    /// Those that were not in it before.
    pub new: usize,
    /// Its bytes.
    pub bytes: u64,
}

/// Fills the file of a recipe's `[teacher.cache]` with what the trainings of a run with these options would ask; an
/// interrupted call is gone on with by the same one.
///
/// # Errors
/// [`Error::Recipe`] for a recipe whose teacher has no weights or whose cache is not in a file,
/// [`Error::StoppedAsking`] when the observer asks to stop, and what loading data and weights and opening a file return.
pub fn teacher_answers(
    recipe: &Recipe,
    options: &RunOptions,
    work: &AnswerWork,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<Answered, Error> {
    let recipe = &recipe.clone().complete(observer)?;
    usable(recipe)?;
    if let AnswerWork::Merge(pieces) = work
        && let Some(missing) = pieces.iter().find(|piece| !piece.is_file())
    {
        return Err(Error::Format {
            path: missing.clone(),
            problem: "is no file of a teacher's answers".into(),
        });
    }
    if let Some(text) = &recipe.text {
        let task = TextClassification::load(text)?;
        return of_task(&task, recipe, options, work, device, observer);
    }
    let task = ImageClassification::<Network>::load(recipe.images("kd teacher")?, observer)?;
    of_task(&task, recipe, options, work, device, observer)
}

/// Refuses a recipe for which no file can be filled.
fn usable(recipe: &Recipe) -> Result<(), Error> {
    let wrong = |problem: &str| Err(Error::Recipe(format!("`{}`: {problem}", recipe.name)));
    let Some(spec) = &recipe.teacher else {
        return wrong("there is no [teacher] to be asked");
    };
    if spec.weights.is_none() {
        return wrong(
            "the teacher is trained by the run itself: set teacher.weights to those of a trained one, such as \
             checkpoints/teacher-seed1.safetensors in the folder of an earlier run",
        );
    }
    match spec.cache.as_ref().map(|cache| cache.place) {
        Some(Place::File) => Ok(()),
        _ => wrong("no file keeps the answers: set teacher.cache.place = \"file\""),
    }
}

fn of_task<T: Task>(
    task: &T,
    recipe: &Recipe,
    options: &RunOptions,
    work: &AnswerWork,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<Answered, Error> {
    check(recipe, task, device)?;
    let context = RunContext {
        recipe,
        task,
        device,
        store: Store::new(options, &Sharing::default()),
        seed: None,
    };
    let (Some(config), Some(teacher)) = (context.cache_config(), context.loaded_teacher()?) else {
        return Err(Error::Recipe("there is no teacher with a cache".into()));
    };
    let identity = context.cache_identity(config, &teacher)?;
    let whole = context.cache_file(config, &identity, &options.out);
    let path = match work {
        AnswerWork::Ask(shard) => shard.file(&whole),
        AnswerWork::Merge(_) => whole,
    };
    let mut cache = TeacherCache::open(identity.clone(), Some(&path))?;
    let before = cache.len();
    match work {
        AnswerWork::Ask(shard) => {
            context.ask(
                &teacher.network,
                *shard,
                options.seeds,
                &mut cache,
                observer,
            )?;
        }
        AnswerWork::Merge(pieces) => {
            for piece in pieces {
                cache.take_from(&TeacherCache::open(identity.clone(), Some(piece))?)?;
                cache.commit()?;
            }
        }
    }
    Ok(Answered {
        file: path,
        answers: cache.len(),
        new: cache.len() - before,
        bytes: cache.bytes(),
    })
}

impl<T: Task> RunContext<'_, T> {
    /// Goes through the samples as the trainings will.
    fn ask(
        &self,
        teacher: &T::Network,
        shard: Shard,
        seeds: usize,
        cache: &mut TeacherCache,
        observer: &mut dyn Observer,
    ) -> Result<(), Error> {
        // Of trainings with the same batches the longest asks for all that the others do.
        let plans = self.recipe.plans();
        let mut longest: BTreeMap<(usize, Option<usize>), &TrainConfig> = BTreeMap::new();
        for TrainingPlan { train, .. } in plans.iter().filter(|plan| plan.cached) {
            let of_kind = longest.entry((train.batch, train.batches_per_epoch));
            let of_kind = of_kind.or_insert(train);
            if train.epochs > of_kind.epochs {
                *of_kind = train;
            }
        }
        let views = self.bounded_views();
        let prepared = PreparedWeights::new();
        for train in longest.into_values() {
            // A bounded number of views is shown in as many epochs, of whichever seed.
            let (epochs, seeds) = match (views, train.batches_per_epoch) {
                (Some(count), None) => (train.epochs.min(count.get() as usize), 1),
                _ => (train.epochs, seeds),
            };
            for seed in (self.recipe.seed..).take(seeds) {
                let source = self.task.train(&TrainSource {
                    seed,
                    batch: train.batch,
                    views: views.map(|count| (count, self.recipe.seed)),
                })?;
                let batches = usable_batches(source.as_ref(), train);
                for epoch in 1..=epochs {
                    let shown = source.epoch(epoch as u64, self.device).take(batches);
                    for (done, batch) in shown.enumerate() {
                        let samples: Vec<(usize, u64)> =
                            batch.indices.into_iter().zip(batch.views).collect();
                        let of_part = |index| shard.has(index);
                        prepared.run(|| cache.fill(teacher, batch.input, &samples, of_part))?;
                        observer.event(Event::Asked {
                            seed,
                            batches: (epoch - 1) * batches + done + 1,
                            of: epochs * batches,
                            answers: cache.len(),
                        });
                        if observer.stop() {
                            cache.commit()?;
                            return Err(Error::StoppedAsking {
                                file: cache.path().map(Path::to_path_buf).unwrap_or_default(),
                                answers: cache.len(),
                            });
                        }
                    }
                    if let Some(problem) = source.problem() {
                        return Err(problem);
                    }
                    cache.commit()?;
                }
            }
        }
        Ok(())
    }
}
