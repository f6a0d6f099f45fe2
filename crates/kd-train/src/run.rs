//! A whole run: teacher, student alone, student distilled, measured and written down.

mod arms;
mod caching;

use std::path::PathBuf;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kd_core::{ObjectiveConfig, Output, Taps, TermConfig, TermEntry, draw};
use kd_data::{Augment, Dataset, Images, Loader, LoaderConfig, Splits};
use kd_models::{Backbone, Network, NetworkConfig};

use self::arms::{Measured, measure, summarise_gain};
use crate::cache::TeacherCache;
use crate::folder::Folder;
use crate::records::{Arm, Record};
use crate::summary::{CacheSummary, DataSummary, Summary};
use crate::train::{Keeper, Trained, Training, train, usable_batches};
use crate::{Error, Event, Observer, Recipe, TrainConfig, report, temperature};

/// Where a run goes and how often it is repeated.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The run folder; it must not hold a run yet.
    pub out: PathBuf,
    /// Seeds: the recipe's and the ones after it.
    pub seeds: usize,
    /// The device as the user named it, for the record.
    pub device_name: String,
}

/// Runs a recipe and writes its folder: `recipe.toml` as resolved, `metrics.jsonl`,
/// `student.safetensors` (the student only), `summary.json`, `report.html`, and the best weights
/// of every training under `checkpoints/`.
///
/// The validation split selects the epoch that is kept; the test split is read once, at the end.
///
/// # Errors
/// When the recipe, the data, weights or the run folder are wrong, the loss stops being finite, or
/// the observer asks to stop.
pub fn run(
    recipe: &Recipe,
    options: &RunOptions,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<Summary, Error> {
    let mut folder = Folder::create(&options.out)?;
    let result = fill(&mut folder, recipe, options, device, observer);
    if result.is_err() {
        folder.discard_unused();
    }
    result
}

/// Trains, measures and writes everything into the folder.
fn fill(
    folder: &mut Folder,
    recipe: &Recipe,
    options: &RunOptions,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<Summary, Error> {
    folder.text("recipe.toml", &recipe.to_toml()?)?;
    let dataset = kd_data::load(&recipe.data, &mut |p| observer.event(Event::Data(p)))?;
    let splits = kd_data::split(&dataset, &recipe.data)?;
    let job = Job {
        recipe,
        dataset: &dataset,
        splits: &splits,
        device,
    };
    let trained = job.train_all(options, folder, observer)?;
    let test = job.loader(&dataset.test, &splits.test, None, recipe.train.batch)?;
    let teacher = match &trained.teacher {
        Some(teacher) => Some(measure(teacher, &job, &test, None, observer)?),
        None => None,
    };
    let mut measured: Vec<Measured> = Vec::new();
    for student in &trained.students {
        measured.push(measure(student, &job, &test, teacher.as_ref(), observer)?);
    }
    let result = match recipe.distils() {
        true => Arm::Distilled,
        false => Arm::Alone,
    };
    if let Some(student) = trained.students.iter().find(|s| s.arm == result) {
        student.save(&options.out.join("student.safetensors"), recipe)?;
    }
    let temperature = match &teacher {
        Some(t) => {
            let of = |p| temperature::summarise(p, &dataset.test, &splits.test);
            Some(of(&t.predictions)?)
        }
        None => None,
    };
    let gain = summarise_gain(&measured);
    let summary = Summary {
        name: recipe.name.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        device: options.device_name.clone(),
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        data: DataSummary {
            name: dataset.name.clone(),
            sha256: dataset.sha256.clone(),
            train: splits.train.len(),
            validation: splits.validation.len(),
            test: splits.test.len(),
            classes: dataset.classes.clone(),
        },
        arms: teacher
            .into_iter()
            .chain(measured)
            .map(|m| m.summary)
            .collect(),
        gain,
        temperature,
        cache: trained.cache,
    };
    folder.json("summary.json", &summary)?;
    report::write(&options.out)?;
    Ok(summary)
}

/// What all trainings of a run share.
struct Job<'a> {
    recipe: &'a Recipe,
    dataset: &'a Dataset,
    splits: &'a Splits,
    device: &'a Device,
}

/// The networks of a run before they are measured.
struct AllTrained {
    teacher: Option<Contender>,
    students: Vec<Contender>,
    cache: Option<CacheSummary>,
}

/// A network that will be measured.
struct Contender {
    arm: Arm,
    seed: Option<u64>,
    network: Network,
    adapter_parameters: u64,
    training: Option<crate::summary::Training>,
}

impl Contender {
    fn save(&self, path: &std::path::Path, recipe: &Recipe) -> Result<(), Error> {
        let metadata = [
            ("model", self.network.config().model.clone()),
            ("classes", self.network.config().classes.to_string()),
            ("channels", self.network.config().channels.to_string()),
            ("recipe", recipe.name.clone()),
        ];
        let metadata: Vec<(String, String)> = metadata
            .into_iter()
            .map(|(key, value)| (key.to_string(), value))
            .collect();
        Ok(self.network.save(path, &metadata)?)
    }
}

/// One training of a run.
struct Plan<'a> {
    arm: Arm,
    seed: u64,
    model: &'a str,
    weights: Option<&'a PathBuf>,
    objective: &'a ObjectiveConfig,
    config: &'a TrainConfig,
}

/// Who a student learns from.
struct Lessons<'a> {
    teacher: Option<&'a Network>,
    cache: Option<&'a mut TeacherCache>,
}

impl Lessons<'_> {
    /// Labels alone.
    fn none() -> Self {
        Self {
            teacher: None,
            cache: None,
        }
    }
}

impl Job<'_> {
    fn network(&self, model: &str) -> NetworkConfig {
        NetworkConfig::new(
            model,
            self.dataset.classes.len(),
            self.dataset.train.channels,
        )
    }

    fn loader(
        &self,
        images: &Arc<Images>,
        indices: &[usize],
        training: Option<u64>,
        batch: usize,
    ) -> Result<Loader, Error> {
        let config = LoaderConfig {
            batch,
            augment: match training {
                Some(_) => self.recipe.data.augment,
                None => Augment::none(),
            },
            mean: self.dataset.mean.clone(),
            std: self.dataset.std.clone(),
            seed: training.unwrap_or(0),
            shuffle: training.is_some(),
            drop_last: false,
        };
        Ok(Loader::new(images.clone(), indices.to_vec(), config)?)
    }

    /// The teacher's weights, then for every seed the student alone and the student distilled.
    fn train_all(
        &self,
        options: &RunOptions,
        folder: &mut Folder,
        observer: &mut dyn Observer,
    ) -> Result<AllTrained, Error> {
        let recipe = self.recipe;
        let seeds = options.seeds;
        let labels_only = labels_only(&recipe.objective);
        // Weights and names are checked before hours are spent on the teacher.
        if let Some(weights) = &recipe.student.weights {
            Network::from_file(&self.network(&recipe.student.model), weights, self.device)?;
        } else {
            kd_models::find(&recipe.student.model)?;
        }
        self.check_cache(seeds, observer)?;
        let teacher = match &recipe.teacher {
            None => None,
            Some(spec) => Some(match &spec.weights {
                Some(path) => Contender {
                    arm: Arm::Teacher,
                    seed: None,
                    network: Network::from_file(&self.network(&spec.model), path, self.device)?
                        .valid(),
                    adapter_parameters: 0,
                    training: None,
                },
                None => {
                    observer.event(Event::Note(
                        "no teacher.weights in the recipe: the teacher is trained first",
                    ));
                    let plan = Plan {
                        arm: Arm::Teacher,
                        seed: recipe.seed,
                        model: &spec.model,
                        weights: None,
                        objective: &labels_only,
                        config: spec.train.as_ref().unwrap_or(&recipe.train),
                    };
                    self.train_one(&plan, Lessons::none(), folder, observer)?
                }
            }),
        };
        let mut cache = match &teacher {
            Some(teacher) => self.open_cache(&teacher.network, &options.out, observer)?,
            None => None,
        };
        let mut students = Vec::new();
        for seed in recipe.seed..recipe.seed + seeds as u64 {
            let plan = Plan {
                arm: Arm::Alone,
                seed,
                model: &recipe.student.model,
                weights: recipe.student.weights.as_ref(),
                objective: &labels_only,
                config: &recipe.train,
            };
            if !recipe.distils() {
                let plan = Plan {
                    objective: &recipe.objective,
                    ..plan
                };
                students.push(self.train_one(&plan, Lessons::none(), folder, observer)?);
                continue;
            }
            if recipe.compare {
                students.push(self.train_one(&plan, Lessons::none(), folder, observer)?);
            }
            let plan = Plan {
                arm: Arm::Distilled,
                objective: &recipe.objective,
                ..plan
            };
            let lessons = Lessons {
                teacher: teacher.as_ref().map(|t| &t.network),
                cache: cache.as_mut(),
            };
            students.push(self.train_one(&plan, lessons, folder, observer)?);
        }
        Ok(AllTrained {
            teacher,
            students,
            cache: cache.as_ref().map(caching::summarise),
        })
    }

    fn train_one(
        &self,
        plan: &Plan,
        lessons: Lessons,
        folder: &mut Folder,
        observer: &mut dyn Observer,
    ) -> Result<Contender, Error> {
        let autodiff = self.device.clone().autodiff();
        // Both arms of a seed start from the same student and see the same pictures.
        draw::seed(plan.seed);
        let config = self.network(plan.model);
        let student = match plan.weights {
            Some(path) => Network::from_file(&config, path, &autodiff)?,
            None => Network::new(&config, &autodiff)?,
        };
        let seen = self.dry_run(&student.valid());
        let shown = lessons.teacher.map(|teacher| self.dry_run(teacher));
        let samples = self.splits.train.len();
        let objective = plan.objective.clone().with_samples(samples);
        let objective = objective.init(&seen, shown.as_ref(), &autodiff)?;
        let data = &self.dataset.train;
        let mut batches =
            self.loader(data, &self.splits.train, Some(plan.seed), plan.config.batch)?;
        // The student alone sees the same pictures as the distilled one.
        if let (Arm::Alone | Arm::Distilled, Some(count)) = (plan.arm, self.bounded_views()) {
            batches = batches.with_views(count, self.recipe.seed);
        }
        let validation = match self.splits.validation.as_slice() {
            [] => None,
            indices => Some(self.loader(data, indices, None, plan.config.batch)?),
        };
        observer.event(Event::Started {
            arm: plan.arm,
            seed: plan.seed,
            model: &student.config().model,
            epochs: plan.config.epochs,
            steps_per_epoch: usable_batches(&batches, plan.config).div_ceil(plan.config.accumulate),
        });
        let mut keeper = Checkpoints {
            path: folder.checkpoint(&format!("{}-seed{}", plan.arm, plan.seed)),
            folder,
        };
        let training = Training {
            arm: plan.arm,
            seed: plan.seed,
            student,
            teacher: lessons.teacher,
            cache: lessons.cache,
            objective,
            config: plan.config,
            train: &batches,
            validation: validation.as_ref(),
            device: self.device,
        };
        let trained = train(training, &mut keeper, observer)?;
        Ok(contender(plan, trained))
    }

    /// What a network shows of two black pictures; shapes are read from it.
    fn dry_run(&self, network: &Network) -> Output {
        let images = &self.dataset.train;
        let shape = [2, images.channels, images.height, images.width];
        network.forward(Tensor::zeros(shape, self.device), &Taps::all())
    }
}

fn contender(plan: &Plan, trained: Trained<Network>) -> Contender {
    Contender {
        arm: plan.arm,
        seed: Some(plan.seed),
        network: trained.student,
        adapter_parameters: trained.adapter_parameters,
        training: Some(crate::summary::Training {
            epochs: trained.epochs,
            best_epoch: trained.best_epoch,
            best_validation_top1: trained.best_validation.map(|v| v.top1),
            seconds: trained.seconds,
            images_per_second: trained.images_per_second,
        }),
    }
}

/// The objective of a student that learns from labels alone: the recipe's cross-entropy at full
/// weight, with its label smoothing.
fn labels_only(objective: &ObjectiveConfig) -> ObjectiveConfig {
    let smoothing = objective
        .terms
        .iter()
        .find_map(|(_, entry)| match &entry.term {
            TermConfig::CrossEntropy(config) => Some(config.clone()),
            _ => None,
        });
    ObjectiveConfig::default().with(
        "cross_entropy",
        TermEntry::new(smoothing.unwrap_or_default()),
    )
}

/// Writes a training's records and best weights into the run folder.
struct Checkpoints<'a> {
    path: PathBuf,
    folder: &'a mut Folder,
}

impl Keeper<Network> for Checkpoints<'_> {
    fn record(&mut self, record: &Record) -> Result<(), Error> {
        self.folder.record(record)
    }

    fn keep(&mut self, student: &Network) -> Result<PathBuf, Error> {
        student.save(&self.path, &[])?;
        Ok(self.path.clone())
    }
}
