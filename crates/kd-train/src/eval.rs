//! Measuring trained weights on a test split.

use std::path::PathBuf;

use burn::tensor::Device;
use kd_data::DataConfig;
use kd_models::Network;

use crate::task::{DataShape, ImageClassification, Task, TaskSpec};
use crate::{Error, Observer, Scores};

/// What `kd eval` measures.
#[derive(Clone, Debug)]
pub struct EvalOptions {
    /// Name in the registry.
    pub model: String,
    /// Its weights.
    pub weights: PathBuf,
    /// The data; only the test split is read.
    pub data: DataConfig,
    /// Images in a batch.
    pub batch: usize,
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
    let network = shape.load(&options.model, &options.weights, device)?;
    let task = ImageClassification::<Network>::load_test(&options.data, observer)?;
    let test = task.test(options.batch)?;
    let scores = task.evaluate(&network, test.as_ref(), device).scores;
    let data = task.summary();
    Ok(EvalResult {
        scores,
        images: data.test,
        data_sha256: data.sha256,
        classes: data.classes,
    })
}
