//! A whole run: teacher, stages, student alone, student distilled, measured and written down.

mod answers;
mod caching;
mod continuation;
mod evaluate;
mod export;
mod finished;
mod kept_teacher;
mod readme;
mod sharing;
mod stages;
mod started;
mod teachers;
mod trained;
mod training;

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use kd_models::Network;

pub use self::answers::{AnswerWork, Answered, teacher_answers};
use self::evaluate::{Measured, measure, measure_ensemble, summarise_gain};
use self::finished::Store;
pub(crate) use self::finished::kind as device_kind;
pub(crate) use self::sharing::{Held, Sharing, UntilLost};
use self::trained::TrainedNetwork;
use crate::check::check;
use crate::folder::{self, Folder, Found, Progress};
use crate::report::words::count;
use crate::summary::{DataSummary, StudentFile, Summary};
use crate::task::{DataShape, ImageClassification, ObjectDetection, Task, TextClassification};
use crate::track::Tracked;
use crate::{Error, Event, Observer, Recipe, report, teacher_softmax};

/// Where a run goes and how often it is repeated.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The run folder; it must not hold a run yet.
    pub out: PathBuf,
    /// Seeds: the recipe's and the ones after it.
    pub seeds: usize,
    /// The device as the user named it, for the record.
    pub device_name: String,
    /// Whether a training that an earlier run finished is taken from there. Every run leaves its own
    /// in the folder `finished` beside the run folder, under a name that follows from all that a training
    /// depends on: networks and weights, objective, budget, seed, data, device and version.
    pub reuse: bool,
    /// Whether to go on with a run of the same recipe, seeds and device that was interrupted in this folder.
    /// It ends as if it had never stopped: the same networks, records and scores, to the last bit.
    pub resume: bool,
}

impl RunOptions {
    /// The folder of finished trainings.
    pub fn finished(&self) -> PathBuf {
        let beside = self.out.parent().unwrap_or(Path::new(""));
        beside.join("finished")
    }
}

/// What a run left in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// Nothing: there is no run.
    Nothing,
    /// All of it.
    Finished,
    /// What it did before it was interrupted.
    Interrupted {
        /// Seeds that it trains.
        seeds: usize,
        /// The device as the user named it.
        device: String,
    },
}

/// Looks at what a run left in a folder.
///
/// # Errors
/// [`Error::Format`] when its `progress.json` is damaged, [`Error::Io`] when that cannot be read.
pub fn left_in(folder: &Path) -> Result<Left, Error> {
    Ok(match folder::look(folder)? {
        Found::Nothing => Left::Nothing,
        Found::Ended => Left::Finished,
        Found::Interrupted(progress) => Left::Interrupted {
            seeds: progress.seeds,
            device: progress.device,
        },
    })
}

/// Runs a recipe on images, with classes or with boxes, or on sentences, and writes its folder: `recipe.toml` as resolved, `metrics.jsonl`,
/// `student.safetensors` (the student as it is deployed, of the first seed), `summary.json`, `report.html`, a
/// `README.md` that says what is what, and the best weights of every training under `checkpoints/`.
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
    run_shared(recipe, options, &Sharing::default(), device, observer)
}

/// [`run`], with trainings that others do too.
pub(crate) fn run_shared(
    recipe: &Recipe,
    options: &RunOptions,
    sharing: &Sharing,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<Summary, Error> {
    let fill = Fill {
        options,
        sharing,
        device,
    };
    if let Some(text) = &recipe.text {
        let task = TextClassification::load(text)?;
        return fill.of_task(&task, recipe, observer);
    }
    let recipe = &recipe.clone().complete(observer)?;
    if let Some(detection) = &recipe.detection {
        return in_folder(recipe, options, observer, |folder, observer| {
            let task = ObjectDetection::load(detection, observer)?;
            check(recipe, &task, device)?;
            fill.run(folder, &task, recipe, observer)
        });
    }
    in_folder(recipe, options, observer, |folder, observer| {
        crate::check::names(recipe)?;
        let known = DataShape::known(recipe);
        // Before data are fetched, where they are known.
        if let Some(shape) = &known {
            check(recipe, shape, device)?;
        }
        recipe.data.validate()?;
        let task = ImageClassification::<Network>::load(&recipe.data, observer)?;
        if known.is_none() {
            check(recipe, &task, device)?;
        }
        fill.run(folder, &task, recipe, observer)
    })
}

/// [`run`] on a task of your own. The recipe's `[data]` is not read.
///
/// # Errors
/// As [`run`].
pub fn run_task<T: Task>(
    task: &T,
    recipe: &Recipe,
    options: &RunOptions,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<Summary, Error> {
    let sharing = &Sharing::default();
    let fill = Fill {
        options,
        sharing,
        device,
    };
    fill.of_task(task, recipe, observer)
}

/// Makes the run folder, or opens that of an interrupted run, and does the work. A mistake in a recipe leaves
/// no folder behind.
fn in_folder(
    recipe: &Recipe,
    options: &RunOptions,
    observer: &mut dyn Observer,
    work: impl FnOnce(&mut Folder, &mut dyn Observer) -> Result<Summary, Error>,
) -> Result<Summary, Error> {
    let progress = Progress::new(&options.device_name, options.seeds);
    let mut folder = Folder::open(&options.out, recipe, progress, options.resume)?;
    if folder.goes_on() {
        observer.event(Event::Note(&format!(
            "goes on with the interrupted run in {}",
            options.out.display()
        )));
    }
    let mut tracked = Tracked::new(&options.out, &recipe.track, observer);
    let result = work(&mut folder, &mut tracked);
    tracked.finish(&result);
    if result.is_err() {
        folder.discard_unused();
    }
    result
}

/// How the folder of a run is filled.
struct Fill<'a> {
    options: &'a RunOptions,
    sharing: &'a Sharing,
    device: &'a Device,
}

impl Fill<'_> {
    fn of_task<T: Task>(
        &self,
        task: &T,
        recipe: &Recipe,
        observer: &mut dyn Observer,
    ) -> Result<Summary, Error> {
        let recipe = &recipe.clone().complete(observer)?;
        in_folder(recipe, self.options, observer, |folder, observer| {
            check(recipe, task, self.device)?;
            self.run(folder, task, recipe, observer)
        })
    }

    fn run<T: Task>(
        &self,
        folder: &mut Folder,
        task: &T,
        recipe: &Recipe,
        observer: &mut dyn Observer,
    ) -> Result<Summary, Error> {
        let context = RunContext {
            recipe,
            task,
            device: self.device,
            store: Store::new(self.options, self.sharing),
            seed: self.sharing.seed,
        };
        fill(folder, context, self.options, observer)
    }
}

/// Trains, measures and writes everything into the folder.
fn fill<T: Task>(
    folder: &mut Folder,
    context: RunContext<'_, T>,
    options: &RunOptions,
    observer: &mut dyn Observer,
) -> Result<Summary, Error> {
    let RunContext {
        recipe,
        task,
        device,
        ..
    } = context;
    observer.event(Event::Note(&begins(&task.summary(), options)));
    for warning in recipe.warnings() {
        observer.event(Event::Note(&warning));
    }
    let mut trained = context.train_all(options, folder, observer)?;
    if !observer.measures() {
        return Err(Error::NotMeasured);
    }
    let test = task.test(recipe.train.batch)?;
    let test = test.as_ref();
    let teacher = match (&trained.teacher, trained.teacher_kept.take()) {
        (Some(teacher), Some(mut kept)) => {
            // The run that kept it may not have looked.
            (kept.summary.onnx, kept.summary.activations) = context.as_onnx(teacher);
            observer.event(Event::Measured(&kept.summary));
            Some(kept)
        }
        (Some(teacher), None) => {
            let known = trained.teacher_test.as_ref();
            let measured = measure(teacher, known, &context, test, None, &[], observer)?;
            context.keep_teacher(teacher, &measured, observer);
            Some(measured)
        }
        (None, _) => None,
    };
    let mut measured: Vec<Measured> = Vec::new();
    for student in &trained.students {
        let teacher = teacher.as_ref();
        let found = measure(student, None, &context, test, teacher, &measured, observer)?;
        measured.push(found);
    }
    for members in trained.ensembles(recipe) {
        let ensemble = measure_ensemble(&members, &context, test, teacher.as_ref(), observer)?;
        measured.push(ensemble);
    }
    let student = keep_student(&trained.students, &context, &options.out)?;
    let predictions = teacher.as_ref().and_then(|t| t.predictions.as_ref());
    let temperature = match predictions {
        Some(predictions) => Some(teacher_softmax::summarise(predictions, task)?),
        None => None,
    };
    let first = trained.students.first().and_then(|student| student.seed);
    let of_first = trained.students.iter().filter(|s| s.seed == first);
    let shown: Vec<_> = trained
        .teacher
        .iter()
        .chain(of_first)
        .map(|trained| (trained.role.title(), &trained.network))
        .collect();
    let pictures = task.pictures(&shown, device)?;
    let gain = summarise_gain(&measured);
    let summary = Summary {
        name: recipe.name.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        device: options.device_name.clone(),
        threads: threads(),
        data: task.summary(),
        networks: teacher
            .into_iter()
            .chain(measured)
            .map(|m| m.summary)
            .collect(),
        gain,
        temperature,
        pictures,
        student,
        exported: trained.exported,
        cache: trained.cache,
    };
    folder.text("README.md", &readme::text(&summary))?;
    folder.json("summary.json", &summary)?;
    report::write(&options.out)?;
    folder.complete()?;
    Ok(summary)
}

/// What a run works on, and with.
fn begins(data: &DataSummary, options: &RunOptions) -> String {
    let many = |number: usize, one: &str, more: &str| {
        let word = if number == 1 { one } else { more };
        format!("{} {word}", count(number as u64))
    };
    format!(
        "{}: {}; {} training, {} validation and {} test samples; device {}, {}",
        data.name,
        many(data.classes.len(), "class", "classes"),
        count(data.train as u64),
        count(data.validation as u64),
        count(data.test as u64),
        options.device_name,
        many(threads(), "CPU thread", "CPU threads"),
    )
}

/// Threads that compute on the CPU: those that `RAYON_NUM_THREADS` asks for, else the machine's.
fn threads() -> usize {
    let asked = std::env::var("RAYON_NUM_THREADS").ok();
    let asked = asked.and_then(|text| text.parse().ok());
    let asked = asked.filter(|threads| *threads > 0);
    asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// Writes the last network of the first seed as the student of the run.
fn keep_student<T: Task>(
    students: &[TrainedNetwork<T::Network>],
    context: &RunContext<T>,
    out: &Path,
) -> Result<Option<StudentFile>, Error> {
    let last = context.recipe.last_role();
    let lasts = || students.iter().filter(|s| s.role == last);
    let Some((student, seed)) = lasts().find_map(|s| Some((s, s.seed?))) else {
        return Ok(None);
    };
    let file = "student.safetensors";
    let metadata = [
        ("recipe", context.recipe.name.clone()),
        ("seed", seed.to_string()),
    ];
    context
        .task
        .save(&student.network, &out.join(file), &metadata)?;
    Ok(Some(StudentFile {
        file: file.into(),
        role: last.clone(),
        seed,
        seeds: lasts().count(),
    }))
}

/// What all trainings of a run share.
struct RunContext<'a, T> {
    recipe: &'a Recipe,
    task: &'a T,
    device: &'a Device,
    store: Store,
    /// The only seed that is trained; none for all.
    seed: Option<u64>,
}
