//! Stages of residual blocks.

use burn::tensor::Tensor;
use burn::tensor::activation::relu;

use crate::macs::MacCounter;

/// A block whose output is `relu(branch(x) + shortcut(x))`.
pub(crate) trait ResidualBlock {
    /// The sum, after the activation when `relu`, before it otherwise.
    fn forward(&self, x: Tensor<4>, relu: bool) -> Tensor<4>;

    /// Counts the block's multiply-accumulates.
    fn count(&self, macs: &mut MacCounter);
}

/// Runs blocks one after another; returns the last one's output after and, when asked for, before
/// its activation.
pub(crate) fn run<B: ResidualBlock>(
    blocks: &[B],
    mut x: Tensor<4>,
    preact: bool,
) -> (Tensor<4>, Option<Tensor<4>>) {
    for (index, block) in blocks.iter().enumerate() {
        if preact && index + 1 == blocks.len() {
            let sum = block.forward(x, false);
            return (relu(sum.clone()), Some(sum));
        }
        x = block.forward(x, true);
    }
    (x, None)
}

/// Counts a stage.
pub(crate) fn count<B: ResidualBlock>(blocks: &[B], macs: &mut MacCounter) {
    for block in blocks {
        block.count(macs);
    }
}
