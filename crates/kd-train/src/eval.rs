//! Measuring trained weights on a test split.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use kd_data::DataConfig;
use kd_models::Network;

use crate::source::with_all_of;
use crate::task::{DataShape, ImageClassification, Task, TaskSpec};
use crate::{Error, Observer, Predictions, Recipe, Scores, fetch_weights};

/// What `kd eval` measures.
#[derive(Clone, Debug)]
pub struct EvalOptions {
    /// Name in the registry.
    pub model: String,
    /// Its weights: a file, or an address of the hub.
    pub weights: PathBuf,
    /// The data; only the test split is read.
    pub data: DataConfig,
    /// Images in a batch.
    pub batch: usize,
}

impl EvalOptions {
    /// The student of a run folder, or other `weights` of its network, on the data that the run measured it
    /// on: network, data, size and normalisation are those of its recipe.
    ///
    /// # Errors
    /// [`Error::Format`] when the folder holds no run, or one that left no student yet; what [`Recipe::load`]
    /// returns.
    pub fn of_run(folder: &Path, weights: Option<&Path>) -> Result<Self, Error> {
        let recipe = folder.join("recipe.toml");
        let student = folder.join("student.safetensors");
        let wrong = |path: &Path, problem: &str| Error::Format {
            path: path.into(),
            problem: problem.into(),
        };
        if !recipe.exists() {
            return Err(wrong(
                folder,
                "holds no recipe.toml: name the folder of a run, which `kd train` makes, or give --model and \
                 --weights",
            ));
        }
        if weights.is_none() && !student.exists() {
            return Err(wrong(
                &student,
                "there is no such file, because the run is not finished. The folder `checkpoints` beside it \
                 has the best weights so far: name a file with --weights",
            ));
        }
        let recipe = Recipe::load(&recipe, &[])?;
        recipe.images("kd eval")?;
        Ok(Self {
            model: recipe.student.model,
            weights: weights.map_or(student, Path::to_path_buf),
            data: DataConfig {
                // Of the training images none is read.
                train_limit: None,
                ..recipe.data
            },
            batch: recipe.train.batch,
        })
    }
}

/// What `kd eval` found.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct EvalResult {
    /// Scores on the test split.
    pub scores: Scores,
    /// Images in it.
    pub images: usize,
    /// SHA-256 of the data that were read.
    pub data_sha256: String,
    /// Names of the classes.
    pub classes: Vec<String>,
}

/// Measures trained weights on a test split.
///
/// # Errors
/// When the data, the model's name or its weights are wrong.
pub fn evaluate(
    options: &EvalOptions,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<EvalResult, Error> {
    // A wrong network is told before minutes are spent on reading images.
    let shape = DataShape::surveyed(&options.data)?;
    let weights = fetch_weights(&options.weights, observer)?;
    let network = shape.load(&options.model, &weights, device)?;
    let task = ImageClassification::<Network>::load_test(&options.data, observer)?;
    let test = task.test(options.batch)?;
    let found = task.evaluate(&network, test.as_ref(), device);
    let scores = with_all_of(test.as_ref(), found.scores)?;
    Ok(measured(&task, scores))
}

fn measured(task: &ImageClassification<Network>, scores: Scores) -> EvalResult {
    let data = task.summary();
    EvalResult {
        scores,
        images: data.test,
        data_sha256: data.sha256,
        classes: data.classes,
    }
}

/// Measures what another program answers: `answer` gets images as the network wants them, row-major, with their shape
/// `[batch, channels, height, width]`, and gives their logits `[batch · classes]`. The first error that it has is
/// the result.
///
/// # Errors
/// When the data are wrong, and when it gives another number of logits.
pub fn evaluate_by<E>(
    options: &EvalOptions,
    mut answer: impl FnMut(&[f32], [usize; 4]) -> Result<Vec<f32>, E>,
    observer: &mut dyn Observer,
) -> Result<Result<EvalResult, E>, Error> {
    let task = ImageClassification::<Network>::load_test(&options.data, observer)?;
    let test = task.test(options.batch)?;
    let classes = task.summary().classes.len();
    let (mut logits, mut labels) = (Vec::new(), Vec::new());
    for batch in test.epoch(0, &Device::default()) {
        let shape = batch.input.dims();
        let images: Vec<f32> = batch.input.into_data().iter().collect();
        let answered = match answer(&images, shape) {
            Ok(answered) => answered,
            Err(problem) => return Ok(Err(problem)),
        };
        if answered.len() != shape[0] * classes {
            return Err(Error::Recipe(format!(
                "{} numbers for {} images of {classes} classes: the program gives other answers than logits of these classes",
                answered.len(),
                shape[0]
            )));
        }
        logits.extend(answered);
        let of_batch = batch.targets.labels.into_data();
        labels.extend(of_batch.iter::<i64>().map(|label| label as u32));
    }
    let predictions = Predictions::new(logits, labels, classes);
    let scores = with_all_of(test.as_ref(), predictions.scores())?;
    Ok(Ok(measured(&task, scores)))
}
