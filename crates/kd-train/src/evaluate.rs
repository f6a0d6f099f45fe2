//! Predictions on a split, and what they are worth.

use std::path::PathBuf;

use burn::tensor::{Device, Tensor};
use kd_core::Taps;
use kd_data::{Augment, DataConfig, Loader, LoaderConfig};
use kd_models::{Backbone, Network, NetworkConfig};

use crate::summary::Accuracy;
use crate::{Error, Event, Observer};

/// Bins of confidence for the calibration error (Guo et al., ICML 2017).
const BINS: usize = 15;

/// A network's logits on a split, in the split's order.
#[derive(Clone, Debug, PartialEq)]
pub struct Predictions {
    logits: Vec<f32>,
    labels: Vec<u32>,
    classes: usize,
}

/// Runs a network on the plain device over everything a loader gives.
pub fn predict<N: Backbone<Input = Tensor<4>>>(
    network: &N,
    loader: &Loader,
    device: &Device,
) -> Predictions {
    let (mut logits, mut labels, mut classes) = (Vec::new(), Vec::new(), 0);
    for batch in loader.epoch(0) {
        let output = network.forward(batch.images(device), &Taps::none()).logits;
        classes = output.dims()[1];
        logits.extend(output.into_data().iter::<f32>());
        labels.extend_from_slice(&batch.labels);
    }
    Predictions {
        logits,
        labels,
        classes,
    }
}

impl Predictions {
    /// Logits `[images · classes]`, row-major, with their labels.
    pub fn new(logits: Vec<f32>, labels: Vec<u32>, classes: usize) -> Self {
        Self {
            logits,
            labels,
            classes,
        }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Logits of each image with its label.
    pub fn rows(&self) -> impl Iterator<Item = (&[f32], usize)> {
        self.logits
            .chunks_exact(self.classes.max(1))
            .zip(self.labels.iter().map(|&label| label as usize))
    }

    /// Percent of images where both networks predict the same class.
    pub fn agreement(&self, other: &Self) -> f64 {
        let same = self.rows().zip(other.rows());
        percent(
            same.filter(|((a, _), (b, _))| argmax(a) == argmax(b))
                .count(),
            self.len(),
        )
    }

    /// Accuracy, cross-entropy and calibration.
    pub fn accuracy(&self) -> Accuracy {
        let (mut top1, mut top5, mut loss) = (0, 0, 0.0);
        let mut per_class = vec![(0, 0); self.classes];
        let mut bins = [(0usize, 0.0, 0usize); BINS];
        for (logits, label) in self.rows() {
            let probabilities = softmax(logits, 1.0);
            let predicted = argmax(logits);
            let right = predicted == label;
            // A class is above the label's when it scores higher, or as high and comes first.
            let above = logits
                .iter()
                .enumerate()
                .filter(|&(c, &l)| l > logits[label] || (l == logits[label] && c < label))
                .count();
            top1 += usize::from(right);
            top5 += usize::from(above < 5);
            loss += log_sum_exp(logits) - f64::from(logits[label]);
            per_class[label].0 += usize::from(right);
            per_class[label].1 += 1;
            let confidence = probabilities[predicted];
            let bin = ((confidence * BINS as f64) as usize).min(BINS - 1);
            bins[bin].0 += 1;
            bins[bin].1 += confidence;
            bins[bin].2 += usize::from(right);
        }
        let count = self.len().max(1) as f64;
        let gaps = bins
            .iter()
            .map(|&(_, confidence, right)| (confidence - right as f64).abs() / count);
        Accuracy {
            top1: percent(top1, self.len()),
            top5: percent(top5, self.len()),
            loss: loss / count,
            ece: 100.0 * gaps.sum::<f64>(),
            per_class: per_class
                .into_iter()
                .map(|(right, all)| (all > 0).then(|| percent(right, all)))
                .collect(),
        }
    }
}

fn percent(part: usize, whole: usize) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}

/// Index of the first largest value.
pub(crate) fn argmax(values: &[f32]) -> usize {
    (0..values.len())
        .rev()
        .max_by(|&a, &b| values[a].total_cmp(&values[b]))
        .unwrap_or(0)
}

fn log_sum_exp(logits: &[f32]) -> f64 {
    let max = logits.iter().fold(f32::MIN, |m, &v| m.max(v));
    let sum: f64 = logits.iter().map(|&v| f64::from(v - max).exp()).sum();
    f64::from(max) + sum.ln()
}

/// `softmax(logits / temperature)`.
pub(crate) fn softmax(logits: &[f32], temperature: f64) -> Vec<f64> {
    let max = logits.iter().fold(f32::MIN, |m, &v| m.max(v));
    let exps: Vec<f64> = logits
        .iter()
        .map(|&v| (f64::from(v - max) / temperature).exp())
        .collect();
    let sum: f64 = exps.iter().sum();
    exps.into_iter().map(|e| e / sum).collect()
}

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
pub struct Evaluated {
    /// Accuracy on the test split.
    pub accuracy: Accuracy,
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
) -> Result<Evaluated, Error> {
    let dataset = kd_data::load_test(&options.data, &mut |p| observer.event(Event::Data(p)))?;
    let indices = kd_data::split(&dataset, &options.data)?.test;
    let network = NetworkConfig::new(&options.model, dataset.classes.len(), dataset.test.channels);
    let network = Network::from_file(&network, &options.weights, device)?;
    let loader = Loader::new(
        dataset.test.clone(),
        indices,
        LoaderConfig {
            batch: options.batch,
            augment: Augment::none(),
            mean: dataset.mean.clone(),
            std: dataset.std.clone(),
            seed: 0,
            shuffle: false,
            drop_last: false,
        },
    )?;
    let predictions = predict(&network, &loader, device);
    Ok(Evaluated {
        accuracy: predictions.accuracy(),
        images: predictions.len(),
        data_sha256: dataset.sha256.clone(),
        classes: dataset.classes.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accuracy_counts_by_hand() {
        // Three images of two classes: right and sure, wrong and sure, right by a hair.
        let logits = vec![4.0, 0.0, 4.0, 0.0, 0.0, 0.1];
        let accuracy = Predictions::new(logits, vec![0, 1, 1], 2).accuracy();
        assert!((accuracy.top1 - 200.0 / 3.0).abs() < 1e-9);
        assert_eq!(accuracy.top5, 100.0);
        assert_eq!(accuracy.per_class, [Some(100.0), Some(50.0)]);
        let sure = 1.0 / (1.0 + (-4.0f64).exp());
        let hair = 1.0 / (1.0 + (-0.1f64).exp());
        let ece = ((2.0 * sure - 1.0).abs() + (hair - 1.0).abs()) / 3.0;
        assert!((accuracy.ece - 100.0 * ece).abs() < 1e-5);
        let loss = (-sure.ln() - (1.0 - sure).ln() - hair.ln()) / 3.0;
        assert!((accuracy.loss - loss).abs() < 1e-6);
    }

    #[test]
    fn ties_go_to_the_first_class_everywhere() {
        let tied = Predictions::new(vec![1.0; 8], vec![0], 8);
        assert_eq!(tied.accuracy().top1, 100.0);
        let tied = Predictions::new(vec![1.0; 8], vec![6], 8);
        assert_eq!((tied.accuracy().top1, tied.accuracy().top5), (0.0, 0.0));
    }

    #[test]
    fn agreement_ignores_labels() {
        let a = Predictions::new(vec![1.0, 0.0, 0.0, 1.0], vec![0, 0], 2);
        let b = Predictions::new(vec![2.0, 0.0, 3.0, 1.0], vec![1, 1], 2);
        assert_eq!(a.agreement(&b), 50.0);
    }
}
