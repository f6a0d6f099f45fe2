//! Stages of residual blocks.

use burn::tensor::Tensor;
use burn::tensor::activation::relu;

use crate::backbone::Recorder;
use crate::macs::MacCounter;

/// A block whose output is `relu(branch(x) + shortcut(x))`.
pub(crate) trait ResidualBlock {
    /// The sum, after the activation when `relu`, before it otherwise.
    fn forward(&self, x: Tensor<4>, relu: bool) -> Tensor<4>;

    /// Counts the block's multiply-accumulates.
    fn count(&self, macs: &mut MacCounter);
}

/// The blocks of a stage: the first takes the stage's `channels[0]` to `channels[1]` with its
/// stride, the others keep channels and size.
pub(crate) fn stage<B>(
    blocks: usize,
    channels: [usize; 2],
    stride: usize,
    block: impl Fn([usize; 2], usize) -> B,
) -> Vec<B> {
    let [_, outputs] = channels;
    (0..blocks)
        .map(|index| {
            if index == 0 {
                block(channels, stride)
            } else {
                block([outputs, outputs], 1)
            }
        })
        .collect()
}

/// Runs stages one after another and records the level that each ends in.
pub(crate) fn run<B: ResidualBlock, const N: usize>(
    stages: [&Vec<B>; N],
    mut x: Tensor<4>,
    recorder: &mut Recorder,
) -> Tensor<4> {
    for stage in stages {
        let (map, preact) = run_stage(stage, x, recorder.wants_preact());
        recorder.stage(&map, preact);
        x = map;
    }
    x
}

/// Runs blocks one after another; returns the last one's output after and, when asked for, before
/// its activation.
fn run_stage<B: ResidualBlock>(
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

/// Counts the multiply-accumulates of stages.
pub(crate) fn count<B: ResidualBlock, const N: usize>(stages: [&Vec<B>; N], macs: &mut MacCounter) {
    for block in stages.into_iter().flatten() {
        block.count(macs);
    }
}
