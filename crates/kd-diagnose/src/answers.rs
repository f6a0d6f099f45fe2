//! What a network answers on a set of samples.

use serde::{Deserialize, Serialize};

use crate::Error;

/// Logits `[samples, classes]` row by row, with the label of each sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answers {
    logits: Vec<f32>,
    labels: Vec<usize>,
    classes: usize,
}

impl Answers {
    /// Answers of a network.
    ///
    /// # Errors
    /// [`Error`] when there are fewer than two classes, the numbers do not fit each other, a label is no class, or a logit is
    /// not finite.
    pub fn new(logits: Vec<f32>, labels: Vec<usize>, classes: usize) -> Result<Self, Error> {
        let wrong = |problem: String| Err(Error(problem));
        if classes < 2 {
            return wrong(format!("{classes} classes: a diagnosis needs two at least"));
        }
        if logits.len() != labels.len() * classes {
            return wrong(format!(
                "{} logits are not {} samples of {classes} classes",
                logits.len(),
                labels.len()
            ));
        }
        if let Some(label) = labels.iter().find(|label| **label >= classes) {
            return wrong(format!("label {label} is none of {classes} classes"));
        }
        if let Some(at) = logits.iter().position(|logit| !logit.is_finite()) {
            return wrong(format!(
                "logit {} of sample {} is {}: the network computes no numbers",
                at % classes,
                at / classes,
                logits[at]
            ));
        }
        Ok(Self {
            logits,
            labels,
            classes,
        })
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The label of each sample.
    pub fn labels(&self) -> &[usize] {
        &self.labels
    }

    /// Logits of each sample.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.logits.chunks_exact(self.classes)
    }

    /// The class of the highest logit of each sample, the first of equal ones.
    pub(crate) fn choices(&self) -> Vec<usize> {
        self.rows().map(argmax).collect()
    }

    /// Whether each sample is answered right.
    pub(crate) fn right(&self) -> Vec<bool> {
        let choices = self.choices().into_iter();
        choices.zip(&self.labels).map(|(c, l)| c == *l).collect()
    }

    /// Share of samples that are answered right.
    pub(crate) fn accuracy(&self) -> f64 {
        share(self.right().into_iter())
    }
}

/// Share of what is true; 0 of nothing.
pub(crate) fn share(values: impl Iterator<Item = bool>) -> f64 {
    let (mut count, mut all) = (0usize, 0usize);
    for value in values {
        count += usize::from(value);
        all += 1;
    }
    count as f64 / all.max(1) as f64
}

fn argmax(values: &[f32]) -> usize {
    let ordered = (0..values.len()).rev();
    ordered
        .max_by(|&a, &b| values[a].total_cmp(&values[b]))
        .unwrap_or(0)
}

/// `softmax(logits / temperature)`.
pub(crate) fn softmax(logits: &[f32], temperature: f64) -> Vec<f64> {
    let most = logits.iter().fold(f32::NEG_INFINITY, |m, &v| m.max(v));
    let shares = logits.iter();
    let shares: Vec<f64> = shares
        .map(|&v| (f64::from(v - most) / temperature).exp())
        .collect();
    let sum: f64 = shares.iter().sum();
    shares.into_iter().map(|e| e / sum).collect()
}

/// `−log softmax(logits / temperature)[class]`, in nats.
pub(crate) fn surprise(logits: &[f32], class: usize, temperature: f64) -> f64 {
    let most = f64::from(logits.iter().fold(f32::NEG_INFINITY, |m, &v| m.max(v)));
    let sum: f64 = logits
        .iter()
        .map(|&v| ((f64::from(v) - most) / temperature).exp())
        .sum();
    sum.ln() - (f64::from(logits[class]) - most) / temperature
}
