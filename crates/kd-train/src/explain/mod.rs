//! What the students of a study learned of their teacher: a written report beside the study's table.
//!
//! Every network of the study is run on the same test images. How alike two of them see these is told in two ways that
//! need no equal shapes: the alignment of their maps level by level, and the correlation of the distances between
//! their embeddings. Beside the accuracies this says what a method moved, not only what it was worth.

mod arms;
mod classes;
mod kernel;
mod markdown;
mod page;
mod seen;
mod words;

use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kd_core::{Part, Taps, draw};
use kd_models::{Backbone, Network};
use serde::{Deserialize, Serialize};

use self::arms::Arm;
use self::kernel::correlation;
use self::seen::{Seen, see, spread_levels};
use crate::folder::{io, write_atomically};
use crate::stats::Spread;
use crate::study::Results;
use crate::summary::{NetworkSummary, Summary};
use crate::task::{ImageClassification, Task, TaskSpec};
use crate::{Error, Event, Observer, Recipe, Role, weights};

pub(crate) use self::seen::gram;

pub use self::arms::Change;
pub use self::classes::ClassDifference;

/// Test images on which networks are compared with each other.
const IMAGES: usize = 400;
/// Levels of the teacher that are compared.
const TEACHER_LEVELS: usize = 5;

/// What was found of a study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Explanation {
    /// The study.
    pub results: Results,
    /// The recipe that its variants share, as far as the report tells it.
    pub setting: Setting,
    /// The student before training, alone, and of every variant.
    pub students: Vec<StudentView>,
    /// Variants that differ in one thing.
    pub changes: Vec<Change>,
    /// Classes, where the best variant and the student alone differ most, and where it is farthest below the teacher.
    pub classes: Vec<ClassDifference>,
}

/// What all variants share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// Multiply-accumulates of teacher and student for one image, where they are known.
    pub macs: [Option<u64>; 2],
    /// Parameters of teacher and student.
    pub parameters: [u64; 2],
    /// Epochs of the student.
    pub epochs: usize,
    /// Validation images.
    pub validation: usize,
    /// Classes.
    pub classes: usize,
    /// Height of the images that the teacher sees, where it is not the student's.
    pub teacher_size: Option<usize>,
    /// Images on which maps and embeddings were compared.
    pub images: usize,
    /// The levels of the teacher's maps that were compared.
    pub teacher_levels: Vec<usize>,
    /// The levels of the student's maps.
    pub student_levels: Vec<usize>,
}

/// How a student sees the images beside its teacher.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StudentView {
    /// `untrained`, `student alone`, or the variant's name.
    pub name: String,
    /// What its objective compares.
    pub family: String,
    /// Alignment by level of the teacher, then of the student: means over the seeds.
    pub alignment: Vec<Vec<f64>>,
    /// Alignment of the last maps, a value a seed.
    pub last: Spread,
    /// Correlation of the distances between embeddings with the teacher's, a value a seed.
    pub distances: Spread,
    /// The test score, a value a seed; none for the untrained student.
    pub score: Option<Spread>,
    /// Seconds of training of a seed.
    pub seconds: Option<f64>,
    /// Parameters that are trained beside it and thrown away.
    pub adapters: u64,
}

/// Writes `explained.json`, `report.md` and `report.html` into the folder of a study; the page's path.
///
/// # Errors
/// [`Error::Format`] when the folder holds no study of images, or lacks the weights of one of its networks, and what
/// reading data and weights returns.
pub fn explain(
    folder: &Path,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<PathBuf, Error> {
    let explanation = explanation(folder, device, observer)?;
    let path = folder.join("explained.json");
    let json = serde_json::to_string_pretty(&explanation).map_err(|e| Error::Format {
        path: path.clone(),
        problem: e.to_string(),
    })?;
    write_atomically(&path, (json + "\n").as_bytes())?;
    let text = markdown::text(&explanation);
    write_atomically(&folder.join("report.md"), text.as_bytes())?;
    let page = folder.join("report.html");
    write_atomically(&page, page::html(&explanation)?.as_bytes())?;
    Ok(page)
}

/// A variant as its folder has it.
struct Found {
    name: String,
    folder: PathBuf,
    recipe: Recipe,
    summary: Summary,
}

fn explanation(
    folder: &Path,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<Explanation, Error> {
    let results = read_study(folder)?;
    let found = results
        .variants
        .iter()
        .map(|v| read_variant(folder, &v.name));
    let found = found.collect::<Result<Vec<Found>, Error>>()?;
    let first = found.first().ok_or_else(|| nothing(folder))?;
    let recipe = &first.recipe;
    let task = ImageClassification::<Network>::load(recipe.images("kd explain")?, observer)?;
    let batches = images(&task, recipe.train.batch, device)?;
    let count = batches.iter().map(|batch| batch.dims()[0]).sum();
    let teacher = teacher(first, &task, device)?;
    let student_of = |role: &Role, at: &Found, seed: u64| -> Result<Network, Error> {
        let file = format!("{}-seed{seed}.safetensors", role.file_name());
        let path = at.folder.join("checkpoints").join(file);
        task.load(&recipe.student.model, &path, device)
    };
    let levels = |network: &Network| {
        let shown = network.forward(task.example(2, device), &Taps::all());
        shown.levels(Part::Maps)
    };
    let teacher_levels = spread_levels(levels(&teacher), TEACHER_LEVELS);
    observer.event(Event::Note(&format!(
        "comparing networks on {count} test images: the teacher"
    )));
    let of_teacher = see(&teacher, &batches, &teacher_levels)?;
    let seeds: Vec<u64> = (recipe.seed..).take(results.seeds).collect();
    draw::seed(recipe.seed);
    device.seed(recipe.seed);
    let untrained = task.build(&recipe.student.model, device)?.valid();
    let student_levels: Vec<usize> = (0..levels(&untrained)).collect();
    let view = |networks: Vec<Network>| -> Result<View, Error> {
        let seen = networks.iter().map(|n| see(n, &batches, &student_levels));
        Ok(View::of(&of_teacher, &seen.collect::<Result<Vec<_>, _>>()?))
    };
    let trained = |role: &Role, at: &Found| -> Result<View, Error> {
        let networks = seeds.iter().map(|seed| student_of(role, at, *seed));
        view(networks.collect::<Result<_, _>>()?)
    };
    let mut students = vec![view(vec![untrained])?.named("untrained", "nothing")];
    if let Some(alone) = &results.alone {
        let view = trained(&Role::Baseline, first)?.named("student alone", "labels");
        students.push(StudentView {
            score: Some(alone.score.clone()),
            seconds: seconds(&of_role(&first.summary, &Role::Baseline)),
            ..view
        });
    }
    for (variant, at) in results.variants.iter().zip(&found) {
        observer.event(Event::Note(&format!("comparing networks: `{}`", at.name)));
        let view = trained(&at.recipe.last_role(), at)?;
        let view = view.named(&at.name, &arms::family(&at.recipe.objective));
        let own = of_role(&at.summary, &at.recipe.last_role());
        students.push(StudentView {
            score: Some(variant.score.clone()),
            seconds: variant.seconds,
            adapters: own.first().map_or(0, |network| network.adapter_parameters),
            ..view
        });
    }
    let arms: Vec<Arm> = found
        .iter()
        .map(|at| Arm {
            name: &at.name,
            objective: arms::terms(&at.recipe.objective),
            students: of_role(&at.summary, &at.recipe.last_role()),
        })
        .collect();
    let changes = arms::changes(&arms, results.data.test);
    let classes = classes::differences(&results, &first.summary, &arms);
    let costs = [Role::Teacher, recipe.last_role()];
    let costs = costs.map(|role| of_role(&first.summary, &role).first().copied().cloned());
    Ok(Explanation {
        setting: Setting {
            macs: costs.clone().map(|network| network.and_then(|n| n.macs)),
            parameters: costs.map(|network| network.map_or(0, |n| n.parameters)),
            epochs: recipe.train.epochs,
            validation: first.summary.data.validation,
            classes: first.summary.data.classes.len(),
            teacher_size: recipe.teacher.as_ref().and_then(|teacher| teacher.size),
            images: count,
            teacher_levels,
            student_levels,
        },
        results,
        students,
        changes,
        classes,
    })
}

/// Means over the seeds of what networks show beside the teacher.
struct View {
    alignment: Vec<Vec<f64>>,
    last: Spread,
    distances: Spread,
}

impl View {
    fn of(teacher: &Seen, seeds: &[Seen]) -> Self {
        let mean = |row: usize, column: usize| {
            let of_seeds = seeds.iter();
            let values = of_seeds.map(|seen| teacher.maps[row].alignment(&seen.maps[column]));
            values.sum::<f64>() / seeds.len().max(1) as f64
        };
        let columns = seeds.first().map_or(0, |seen| seen.maps.len());
        let last = seeds.iter().filter_map(|seen| {
            let (teacher, own) = (teacher.maps.last()?, seen.maps.last()?);
            Some(teacher.alignment(own))
        });
        let distances = seeds
            .iter()
            .map(|seen| correlation(&teacher.distances, &seen.distances));
        Self {
            alignment: (0..teacher.maps.len())
                .map(|row| (0..columns).map(|column| mean(row, column)).collect())
                .collect(),
            last: Spread::of(&last.collect::<Vec<_>>()),
            distances: Spread::of(&distances.collect::<Vec<_>>()),
        }
    }

    fn named(self, name: &str, family: &str) -> StudentView {
        StudentView {
            name: name.into(),
            family: family.into(),
            alignment: self.alignment,
            last: self.last,
            distances: self.distances,
            score: None,
            seconds: None,
            adapters: 0,
        }
    }
}

fn of_role<'a>(summary: &'a Summary, role: &Role) -> Vec<&'a NetworkSummary> {
    summary
        .networks
        .iter()
        .filter(|n| n.role == *role)
        .collect()
}

/// Mean seconds of training.
fn seconds(networks: &[&NetworkSummary]) -> Option<f64> {
    let seconds = networks.iter().map(|n| Some(n.training.as_ref()?.seconds));
    let seconds: Vec<f64> = seconds.collect::<Option<_>>()?;
    (!seconds.is_empty()).then(|| Spread::of(&seconds).mean)
}

fn nothing(folder: &Path) -> Error {
    Error::Format {
        path: folder.into(),
        problem: "holds no finished variant of a study: name the folder that `kd study` wrote"
            .into(),
    }
}

fn read_study(folder: &Path) -> Result<Results, Error> {
    let path = folder.join("study.json");
    if !path.exists() {
        return Err(nothing(folder));
    }
    let text = std::fs::read_to_string(&path).map_err(io("read", &path))?;
    serde_json::from_str(&text).map_err(|e| Error::Format {
        path,
        problem: format!("is no study of this version: {e}"),
    })
}

fn read_variant(study: &Path, name: &str) -> Result<Found, Error> {
    let folder = study.join(name);
    let path = folder.join("summary.json");
    let text = std::fs::read_to_string(&path).map_err(io("read", &path))?;
    let summary = Summary::read(&text).map_err(|e| Error::Format {
        path,
        problem: e.to_string(),
    })?;
    Ok(Found {
        name: name.into(),
        recipe: Recipe::load(&folder.join("recipe.toml"), &[])?,
        folder,
        summary,
    })
}

/// The teacher of a variant.
fn teacher(
    at: &Found,
    task: &ImageClassification<Network>,
    device: &Device,
) -> Result<Network, Error> {
    teacher_of(&at.recipe, &at.folder, task, device)
}

/// The teacher of a run: from its weights, or as it was trained.
pub(crate) fn teacher_of(
    recipe: &Recipe,
    folder: &Path,
    task: &ImageClassification<Network>,
    device: &Device,
) -> Result<Network, Error> {
    let Some(spec) = &recipe.teacher else {
        return Err(Error::Format {
            path: folder.into(),
            problem:
                "has no [teacher]: there is nothing that its students could have learned of one"
                    .into(),
        });
    };
    let network = match &spec.weights {
        Some(path) => task.load_teacher(spec, &weights::local(path)?, device)?,
        None => {
            let file = format!("teacher-seed{}.safetensors", recipe.seed);
            let path = folder.join("checkpoints").join(file);
            task.load(&spec.model, &path, device)?
        }
    };
    Ok(network.valid())
}

/// The first test images, in batches.
fn images(
    task: &ImageClassification<Network>,
    batch: usize,
    device: &Device,
) -> Result<Vec<Tensor<4>>, Error> {
    let test = task.test(batch)?;
    let mut batches = Vec::new();
    let mut count = 0;
    for next in test.epoch(0, device) {
        let wanted = next.len().min(IMAGES - count);
        batches.push(next.input.narrow(0, 0, wanted));
        count += wanted;
        if count == IMAGES {
            break;
        }
    }
    crate::source::with_all_of(test.as_ref(), batches)
}
