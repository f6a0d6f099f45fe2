//! A linear classifier on a frozen network: how weights without a classifier become a teacher.
//!
//! The teacher of a recipe is run once over the training split, each image in the view that the first epoch shows. Its
//! embeddings, standardised number by number, train a linear layer by cross-entropy with AdamW and a cosine; of a few
//! weight decays the one with the highest validation accuracy is kept. The standardisation is then folded into the
//! layer, so the network that is saved is one of the registry with a classifier.
//!
//! Source of the protocol: M. Oquab et al., "DINOv2: Learning Robust Visual Features without Supervision", TMLR 2024,
//! section "Linear probing".

use std::path::Path;

use burn::module::{Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Device, Int, Tensor};
use kd_core::terms::cross_entropy::cross_entropy;
use kd_core::{Classifier, Output, Part, Taps, draw};
use kd_models::{Backbone, Network};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cache::identity;
use crate::folder::{io, write_atomically};
use crate::recipe::TEACHER;
use crate::task::{ImageClassification, Task, TrainSource};
use crate::{Error, Event, LrConfig, LrShape, Observer, Predictions, Recipe, Source, weights};

/// How a linear classifier is trained.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProbeOptions {
    /// Passes over the embeddings.
    pub epochs: usize,
    /// Embeddings in a batch.
    pub batch: usize,
    /// Highest learning rate.
    pub rate: f64,
    /// Weight decays that are tried.
    pub decays: Vec<f64>,
}

impl Default for ProbeOptions {
    fn default() -> Self {
        Self {
            epochs: 30,
            batch: 256,
            rate: 1e-3,
            decays: vec![0.1, 0.5, 2.0],
        }
    }
}

/// What a linear classifier has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Probed {
    /// Name of the network.
    pub model: String,
    /// The weight decay that was kept.
    pub decay: f64,
    /// Accuracy on the images that it was trained with, in percent.
    pub train: f64,
    /// Accuracy on the validation split, in percent.
    pub validation: f64,
    /// Training and validation images.
    pub images: [usize; 2],
}

/// What stands beside the weights: all that they depend on, and what they have.
#[derive(Serialize, Deserialize)]
struct Kept {
    inputs: Value,
    probed: Probed,
}

/// Embeddings of a split with their classes.
struct Embedded {
    rows: Tensor<2>,
    labels: Vec<i64>,
}

/// Trains a classifier for the recipe's teacher, and writes the whole network to `out`, with what it has in a `.json`
/// beside it. Where that says that the same was done before, nothing is done.
///
/// # Errors
/// [`Error::Recipe`] for a recipe without a teacher, weights or validation split, and what loading data or weights
/// returns.
pub fn probe(
    recipe: &Recipe,
    options: &ProbeOptions,
    out: &Path,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<Probed, Error> {
    let spec = recipe.teacher.as_ref();
    let Some((spec, path)) = spec.and_then(|spec| Some((spec, spec.weights.as_ref()?))) else {
        return Err(Error::Recipe(
            "a linear classifier is trained on the recipe's teacher: give teacher.model and teacher.weights".into(),
        ));
    };
    let path = weights::local(path)?;
    let task = ImageClassification::<Network>::load(recipe.images("kd probe")?, observer)?;
    draw::seed(recipe.seed);
    let network = task.without_classifier(spec, &path, device)?;
    let inputs = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "data": task.dependencies(),
        "model": spec.model,
        "weights": identity::hash(&network),
        "normalize": spec.normalize,
        "size": spec.size,
        "options": options,
        "batch": recipe.train.batch,
        "seed": recipe.seed,
    });
    let beside = out.with_extension("json");
    if let Some(probed) = done_before(out, &beside, &inputs) {
        observer.event(Event::Note(&format!(
            "{}: trained before on the same, and left as it is",
            out.display()
        )));
        return Ok(probed);
    }
    let source = task.train(&TrainSource {
        seed: recipe.seed,
        batch: recipe.train.batch,
        views: None,
    })?;
    let Some(validation) = task.validation(recipe.train.batch)? else {
        return Err(Error::Recipe(
            "data.validation = 0: the weight decay of the classifier is chosen on a validation split".into(),
        ));
    };
    let train = embed(&network, source.as_ref(), 1, device, observer)?;
    let held_out = embed(&network, validation.as_ref(), 0, device, observer)?;
    let (mean, deviation) = moments(&train.rows);
    let standardised = |rows: &Tensor<2>| (rows.clone() - mean.clone()) / deviation.clone();
    let [features, held] = [&train.rows, &held_out.rows].map(standardised);
    let classes = task.shape().classes;
    let mut best: Option<(Probed, Linear)> = None;
    for &decay in &options.decays {
        draw::seed(recipe.seed);
        let layer = fit(&features, &train.labels, classes, decay, options, device)?;
        let found = Probed {
            model: spec.model.clone(),
            decay,
            train: accuracy(&layer, &features, &train.labels),
            validation: accuracy(&layer, &held, &held_out.labels),
            images: [train.labels.len(), held_out.labels.len()],
        };
        observer.event(Event::Note(&format!(
            "linear classifier, weight decay {decay}: {:.2} % of the training and {:.2} % of the validation images",
            found.train, found.validation
        )));
        if best
            .as_ref()
            .is_none_or(|(known, _)| found.validation > known.validation)
        {
            best = Some((found, layer));
        }
    }
    let Some((found, layer)) = best else {
        return Err(Error::Recipe("there is no weight decay to try".into()));
    };
    // W (x − m) / s + b = (W / s) x + (b − W m / s).
    let weight = layer.weight.val() / deviation.transpose();
    let bias = layer.bias.map(|bias| bias.val());
    let bias = bias.unwrap_or_else(|| Tensor::zeros([classes], device));
    let shift: Tensor<1> = mean.matmul(weight.clone()).squeeze_dim(0);
    let bias = bias - shift;
    let network = network.with_classifier(&Classifier { weight, bias })?;
    let metadata = [
        ("recipe", recipe.name.clone()),
        (
            "classifier",
            format!("linear, weight decay {}", found.decay),
        ),
    ];
    if let Some(folder) = out.parent() {
        std::fs::create_dir_all(folder).map_err(io("create", folder))?;
    }
    task.save_teacher(&network, spec, out, &metadata)?;
    let kept = Kept {
        inputs,
        probed: found.clone(),
    };
    let text = serde_json::to_string_pretty(&kept).map_err(|e| Error::Format {
        path: beside.clone(),
        problem: e.to_string(),
    })?;
    write_atomically(&beside, text.as_bytes())?;
    Ok(found)
}

/// What the classifier in a file has, where it was trained on the same.
fn done_before(out: &Path, beside: &Path, inputs: &Value) -> Option<Probed> {
    // What cannot be read is trained again.
    let text = std::fs::read_to_string(beside).ok()?;
    let kept: Kept = serde_json::from_str(&text).ok()?;
    (out.exists() && kept.inputs == *inputs).then_some(kept.probed)
}

/// The embeddings of an epoch of a source.
fn embed(
    network: &Network,
    source: &dyn Source<Input = Tensor<4>>,
    epoch: u64,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<Embedded, Error> {
    let taps = Taps::part(Part::Embedding);
    let (mut rows, mut labels) = (Vec::new(), Vec::new());
    let total = source.indices().len();
    for (number, batch) in source.epoch(epoch, device).enumerate() {
        labels.extend(batch.targets.labels.into_data().iter::<i64>());
        let output: Output = network.forward(batch.input, &taps);
        rows.push(output.embedding()?);
        if observer.stop() {
            return Err(Error::Recipe(
                "interrupted before the classifier was trained".into(),
            ));
        }
        if (number + 1).is_multiple_of(10) {
            observer.event(Event::Note(&format!(
                "the {TEACHER} has read {} of {total} images",
                labels.len()
            )));
        }
    }
    crate::source::with_all_of(source, ())?;
    let rows = Tensor::cat(rows, 0);
    Ok(Embedded { rows, labels })
}

/// Mean and standard deviation of each number, `[1, width]`; one that never changes has the deviation 1.
fn moments(rows: &Tensor<2>) -> (Tensor<2>, Tensor<2>) {
    let mean = rows.clone().mean_dim(0);
    let variance = (rows.clone() - mean.clone()).square().mean_dim(0);
    let still = variance.clone().lower_equal_elem(1e-12);
    (mean, variance.sqrt().mask_fill(still, 1.0))
}

/// A linear layer trained on rows `[rows, width]`.
fn fit(
    rows: &Tensor<2>,
    labels: &[i64],
    classes: usize,
    decay: f64,
    options: &ProbeOptions,
    device: &Device,
) -> Result<Linear, Error> {
    let autodiff = device.clone().autodiff();
    let [count, width] = rows.dims();
    let mut layer = LinearConfig::new(width, classes).init(&autodiff);
    layer.weight = Param::from_tensor(Tensor::zeros([width, classes], &autodiff).require_grad());
    layer.bias = Some(Param::from_tensor(
        Tensor::zeros([classes], &autodiff).require_grad(),
    ));
    let mut optimizer = AdamWConfig::new().with_weight_decay(decay as f32).init();
    let schedule = LrConfig {
        shape: LrShape::Cosine {
            final_fraction: 0.0,
        },
        ..LrConfig::new(options.rate)
    };
    let steps = count.div_ceil(options.batch);
    for epoch in 0..options.epochs {
        for (step, places) in shuffled(count, device).chunks(options.batch).enumerate() {
            let picked: Vec<i64> = places.iter().map(|&place| place as i64).collect();
            let index = Tensor::<1, Int>::from_ints(picked.as_slice(), device);
            let classes: Vec<i64> = places.iter().map(|&place| labels[place]).collect();
            let classes = Tensor::<1, Int>::from_ints(classes.as_slice(), &autodiff);
            let batch = Tensor::from_inner(rows.clone().select(0, index));
            let loss = cross_entropy(layer.forward(batch), classes, 0.0)?;
            let gradients = GradientsParams::from_grads(loss.backward(), &layer);
            let rate = schedule.at(epoch * steps + step, steps, options.epochs);
            layer = optimizer.step(rate, layer, gradients);
        }
    }
    Ok(layer.valid())
}

/// Places in a drawn order.
fn shuffled(count: usize, device: &Device) -> Vec<usize> {
    let keys = draw::uniform::<1>([count], 1.0, device).val().into_data();
    let keys: Vec<f32> = keys.iter::<f32>().collect();
    let mut places: Vec<usize> = (0..count).collect();
    places.sort_by(|&a, &b| keys[a].total_cmp(&keys[b]));
    places
}

/// Percent of rows of which the layer gives the label.
fn accuracy(layer: &Linear, rows: &Tensor<2>, labels: &[i64]) -> f64 {
    let logits = layer.forward(rows.clone());
    let [_, classes] = logits.dims();
    let logits: Vec<f32> = logits.into_data().iter::<f32>().collect();
    let labels = labels.iter().map(|&label| label as u32).collect();
    let scores = Predictions::new(logits, labels, classes).scores();
    scores.first().map_or(0.0, |score| score.value)
}
