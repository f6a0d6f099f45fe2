//! Predictions on a split, and what they are worth.

use burn::tensor::{Bool, Device, Tensor};
use kd_core::{Output, Taps};
use kd_kernels::PreparedWeights;
use kd_models::Backbone;
use serde::{Deserialize, Serialize};

use crate::{Score, Scores, Source};

/// Bins of confidence for the calibration error (Guo et al., ICML 2017).
const BINS: usize = 15;

/// A network's logits on a split, in the split's order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Predictions {
    logits: Vec<f32>,
    labels: Vec<u32>,
    classes: usize,
}

/// Runs a network on the plain device over everything a source gives. Rows that do not count are left
/// out, and rows whose class is none to learn from ([`kd_core::Targets::labelled`]).
pub fn predict<N: Backbone>(
    network: &N,
    source: &dyn Source<Input = N::Input>,
    device: &Device,
) -> Predictions {
    let prepared = PreparedWeights::new();
    let (mut logits, mut labels, mut classes) = (Vec::new(), Vec::new(), 0);
    for batch in source.epoch(0, device) {
        let Output {
            logits: rows,
            counted,
            ..
        } = prepared.run(|| network.forward(batch.input, &Taps::none()));
        classes = rows.dims()[1];
        let rows = rows.into_data().iter::<f32>().collect::<Vec<_>>();
        let of_rows = batch.targets.labels.into_data();
        let of_rows = of_rows.iter::<i64>().map(|label| label as u32);
        let list = |mask: Tensor<1, Bool>| mask.into_data().iter::<bool>().collect::<Vec<_>>();
        let masks = [counted, batch.targets.labelled].map(|mask| mask.map(list));
        for (row, (values, label)) in rows.chunks_exact(classes.max(1)).zip(of_rows).enumerate() {
            if masks.iter().flatten().all(|mask| mask[row]) {
                logits.extend_from_slice(values);
                labels.push(label);
            }
        }
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

    /// Accuracy, cross-entropy and calibration: `top1`, `loss`, `top5` and `ece`. With five classes or fewer
    /// there is no `top5`, which would be 100 % of any network.
    pub fn scores(&self) -> Scores {
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
        let ece = 100.0 * gaps.sum::<f64>();
        let top5 = Score::percent("top5", "top-5", percent(top5, self.len()));
        let first = [
            Score::percent("top1", "top-1", percent(top1, self.len())),
            Score::nats("loss", "cross-entropy", loss / count),
        ];
        let list = first.into_iter();
        Scores {
            list: list
                .chain((self.classes > 5).then_some(top5))
                .chain([Score::percent("ece", "ECE", ece).lower_is_better()])
                .collect(),
            per_class: per_class
                .into_iter()
                .map(|(right, all)| (all > 0).then(|| percent(right, all)))
                .collect(),
            found: Vec::new(),
            resampled: Vec::new(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accuracy_counts_by_hand() {
        // Three images of two classes: right and sure, wrong and sure, right by a hair.
        let logits = vec![4.0, 0.0, 4.0, 0.0, 0.0, 0.1];
        let scores = Predictions::new(logits, vec![0, 1, 1], 2).scores();
        let get = |key| scores.get(key).unwrap();
        assert!((get("top1") - 200.0 / 3.0).abs() < 1e-9);
        assert_eq!(scores.get("top5"), None);
        assert_eq!(scores.per_class, [Some(100.0), Some(50.0)]);
        let sure = 1.0 / (1.0 + (-4.0f64).exp());
        let hair = 1.0 / (1.0 + (-0.1f64).exp());
        let ece = ((2.0 * sure - 1.0).abs() + (hair - 1.0).abs()) / 3.0;
        assert!((get("ece") - 100.0 * ece).abs() < 1e-5);
        let loss = (-sure.ln() - (1.0 - sure).ln() - hair.ln()) / 3.0;
        assert!((get("loss") - loss).abs() < 1e-6);
    }

    #[test]
    fn ties_go_to_the_first_class_everywhere() {
        let tied = Predictions::new(vec![1.0; 8], vec![0], 8);
        assert_eq!(tied.scores().get("top1"), Some(100.0));
        let tied = Predictions::new(vec![1.0; 8], vec![6], 8).scores();
        assert_eq!((tied.get("top1"), tied.get("top5")), (Some(0.0), Some(0.0)));
    }

    #[test]
    fn five_of_five_classes_are_no_score() {
        let keys = |classes: usize| -> Vec<String> {
            let scores = Predictions::new(vec![0.5; classes], vec![0], classes).scores();
            scores.list.into_iter().map(|score| score.key).collect()
        };
        assert_eq!(keys(5), ["top1", "loss", "ece"]);
        assert_eq!(keys(6), ["top1", "loss", "top5", "ece"]);
    }

    #[test]
    fn agreement_ignores_labels() {
        let a = Predictions::new(vec![1.0, 0.0, 0.0, 1.0], vec![0, 0], 2);
        let b = Predictions::new(vec![2.0, 0.0, 3.0, 1.0], vec![1, 1], 2);
        assert_eq!(a.agreement(&b), 50.0);
    }
}
