//! Stages of residual blocks.

use burn::tensor::Tensor;
use burn::tensor::activation::relu;

use crate::macs::MacCounter;

/// A block whose output is `relu(branch(x) + shortcut(x))`.
pub(crate) trait ResidualBlock {
    /// The sum before the activation.
    fn preact(&self, x: Tensor<4>) -> Tensor<4>;

    /// Counts the block's multiply-accumulates.
    fn count(&self, macs: &mut MacCounter);
}

/// Runs blocks one after another; returns the last one's output after and before its activation.
pub(crate) fn run<B: ResidualBlock>(blocks: &[B], mut x: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
    let Some((last, rest)) = blocks.split_last() else {
        return (x.clone(), x);
    };
    for block in rest {
        x = relu(block.preact(x));
    }
    let preact = last.preact(x);
    (relu(preact.clone()), preact)
}

/// Counts a stage.
pub(crate) fn count<B: ResidualBlock>(blocks: &[B], macs: &mut MacCounter) {
    for block in blocks {
        block.count(macs);
    }
}
