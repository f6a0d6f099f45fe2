//! Scores of a group on a scale that other groups share.

use serde::{Deserialize, Serialize};

/// How scores of a group are divided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalise {
    /// Not at all.
    None,
    /// By their mean.
    #[default]
    Mean,
    /// By their sum.
    Sum,
    /// By the largest.
    Max,
    /// From 0 for the smallest to 1 for the largest.
    Range,
    /// Less their mean, by their standard deviation (of `n − 1`).
    Gaussian,
    /// Each by the sum of itself and all larger ones (J. Lee, S. Park, S. Mo, S. Ahn, J. Shin, "Layer-adaptive Sparsity for
    /// the Magnitude-based Pruning", ICLR 2021).
    Lamp,
}

/// What is added where a spread may be 0.
const LEAST: f64 = 1e-8;

impl Normalise {
    /// The scores on the new scale. Scores that are all 0 stay.
    pub fn apply(self, scores: &[f64]) -> Vec<f64> {
        let sum: f64 = scores.iter().sum();
        let mean = sum / scores.len() as f64;
        let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let by = |divisor: f64| -> Vec<f64> {
            match divisor {
                0.0 => scores.to_vec(),
                divisor => scores.iter().map(|score| score / divisor).collect(),
            }
        };
        match self {
            Self::None => scores.to_vec(),
            Self::Mean => by(mean),
            Self::Sum => by(sum),
            Self::Max => by(largest),
            Self::Range => {
                let smallest = scores.iter().copied().fold(f64::INFINITY, f64::min);
                let spread = largest - smallest + LEAST;
                scores
                    .iter()
                    .map(|score| (score - smallest) / spread)
                    .collect()
            }
            Self::Gaussian => {
                let squares = scores.iter().map(|score| (score - mean).powi(2));
                let count = (scores.len() as f64 - 1.0).max(1.0);
                let deviation = (squares.sum::<f64>() / count).sqrt() + LEAST;
                scores
                    .iter()
                    .map(|score| (score - mean) / deviation)
                    .collect()
            }
            Self::Lamp => lamp(scores),
        }
    }
}

fn lamp(scores: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|one, other| scores[*other].total_cmp(&scores[*one]));
    let mut sum = 0.0;
    let mut shares = vec![0.0; scores.len()];
    for place in order {
        sum += scores[place];
        shares[place] = if sum == 0.0 { 0.0 } else { scores[place] / sum };
    }
    shares
}
