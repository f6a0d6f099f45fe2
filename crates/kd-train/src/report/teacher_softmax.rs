//! What a temperature does to the teacher's softmax.

use serde::Serialize;

use crate::summary::{Summary, TemperatureSample};

use super::classes::class_name;
use super::words::significant;

const SHOWN_CLASSES: usize = 5;

/// One test image and the teacher's opinion of it.
#[derive(Serialize)]
pub(super) struct Sample {
    /// The image; none where it is not embedded, because a report loads nothing.
    image: Option<String>,
    /// The sample, where it is a text.
    text: Option<String>,
    label: String,
    /// The teacher's first choice is the label.
    right: bool,
    temperatures: Vec<String>,
    rows: Vec<Row>,
    /// Entropy in bits at each temperature.
    entropies: Vec<String>,
}

#[derive(Serialize)]
struct Row {
    class: String,
    is_label: bool,
    shares: Vec<Share>,
}

#[derive(Serialize)]
struct Share {
    width: f64,
    text: String,
}

pub(super) fn samples(summary: &Summary) -> Vec<Sample> {
    let Some(temperature) = &summary.temperature else {
        return Vec::new();
    };
    temperature
        .samples
        .iter()
        .filter_map(|s| sample(summary, &temperature.temperatures, s))
        .collect()
}

fn sample(summary: &Summary, temperatures: &[f64], sample: &TemperatureSample) -> Option<Sample> {
    let first = sample.probabilities.first()?;
    let mut order: Vec<usize> = (0..first.len()).collect();
    // A temperature keeps the order of the classes, so the first one's is everyone's.
    order.sort_by(|&a, &b| first[b].total_cmp(&first[a]));
    let (top, others) = order.split_at(order.len().min(SHOWN_CLASSES));
    let mut rows: Vec<_> = top
        .iter()
        .map(|&class| Row {
            class: class_name(summary, class),
            is_label: class == sample.label,
            shares: shares(&sample.probabilities, &[class]),
        })
        .collect();
    if !others.is_empty() {
        rows.push(Row {
            class: format!("{} others", others.len()),
            is_label: false,
            shares: shares(&sample.probabilities, others),
        });
    }
    Some(Sample {
        image: sample
            .image
            .starts_with("data:image/")
            .then(|| sample.image.clone()),
        text: (!sample.text.is_empty()).then(|| sample.text.clone()),
        label: class_name(summary, sample.label),
        right: top.first() == Some(&sample.label),
        temperatures: temperatures.iter().map(|t| significant(*t, 3)).collect(),
        rows,
        entropies: sample.probabilities.iter().map(|p| entropy(p)).collect(),
    })
}

fn shares(probabilities: &[Vec<f64>], classes: &[usize]) -> Vec<Share> {
    let sums = probabilities
        .iter()
        .map(|p| classes.iter().filter_map(|&c| p.get(c)).sum::<f64>());
    sums.map(|sum| Share {
        width: 100.0 * sum.clamp(0.0, 1.0),
        text: match 100.0 * sum {
            percent if percent < 0.05 => "<0.1".into(),
            percent => format!("{percent:.1}"),
        },
    })
    .collect()
}

fn entropy(probabilities: &[f64]) -> String {
    let bits = probabilities
        .iter()
        .filter(|p| **p > 0.0)
        .map(|p| -p * p.log2());
    format!("{:.2}", bits.sum::<f64>().max(0.0))
}
