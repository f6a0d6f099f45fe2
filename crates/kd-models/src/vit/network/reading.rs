//! What the classifiers of a vision transformer read, and what they make of it.

use burn::tensor::Tensor;
use kd_core::{Output, Part, Taps};

use super::{Vit, VitPooling};
use crate::backbone::shown;
use crate::fused::classify;

impl Vit {
    /// What the classifiers read, `[batch, width]` for each.
    pub(super) fn pooled(&self, tokens: &Tensor<3>, grid: [usize; 2]) -> Vec<Tensor<2>> {
        let normed = |x: Tensor<3>| self.norm.forward(x, self.layer_norm_epsilon());
        let mean = |x: Tensor<3>| x.mean_dim(1);
        match self.config.pooling {
            // Each token is normalised by itself, so the others need not be.
            VitPooling::Token => {
                let count = self.config.leading();
                let read = normed(tokens.clone().narrow(1, 0, count));
                let each = (0..count).map(|at| read.clone().narrow(1, at, 1).squeeze_dim(1));
                each.collect()
            }
            VitPooling::Mean => {
                vec![normed(mean(self.patches(tokens, grid))).squeeze_dim(1)]
            }
            VitPooling::TokenAndMean => {
                let tokens = normed(tokens.clone());
                let mean = mean(self.patches(&tokens, grid)).squeeze_dim(1);
                let token = tokens.narrow(1, 0, 1).squeeze_dim(1);
                vec![Tensor::cat(vec![token, mean], 1)]
            }
        }
    }

    /// The output with logits, and with what of the classifiers is asked for.
    pub(super) fn finish(&self, mut output: Output, pooled: Vec<Tensor<2>>, taps: &Taps) -> Output {
        let heads = std::iter::once(&self.head).chain(&self.head_dist);
        let logits: Vec<Tensor<2>> = heads
            .zip(&pooled)
            .map(|(head, read)| classify(head, read.clone()))
            .collect();
        if self.config.distilled {
            for logits in &logits {
                output.push(Part::Heads, logits, taps);
            }
        } else {
            output.push_with(Part::Classifier, taps, || shown(&self.head));
        }
        output.logits = mean(logits);
        let embedding = mean(pooled);
        output.push(Part::Embedding, &embedding, taps);
        output.push_with(Part::Pooled, taps, || {
            let [batch, width] = embedding.dims();
            embedding.clone().reshape([batch, width, 1, 1])
        });
        output
    }
}

/// The mean of one tensor or two.
fn mean(tensors: Vec<Tensor<2>>) -> Tensor<2> {
    let count = tensors.len() as f64;
    let sum = tensors.into_iter().reduce(|sum, next| sum + next);
    let sum = sum.expect("there is a classifier");
    if count == 1.0 { sum } else { sum / count }
}
