//! Gradients of the losses on samples.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend};

use crate::flex::samples::{Compared, SampleGrads, SampleOps};

// What goes over these gradients is no map, so that burn adds them to others.

#[derive(Debug)]
struct GramOfRows;

impl<B: SampleGrads> Backward<B, 1> for GramOfRows {
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [node] = ops.parents;
        let grad = grads.consume::<B>(&ops.node);
        if let Some(node) = node {
            grads.register::<B>(node.id, B::gram_of_rows_grad(ops.state, grad));
        }
    }
}

#[derive(Debug)]
struct Noise;

impl<B: SampleGrads> Backward<B, 1> for Noise {
    /// The slope of each mean by its embedding.
    type State = Vec<f32>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [node] = ops.parents;
        let grad = grads.consume::<B>(&ops.node);
        if let Some(node) = node {
            grads.register::<B>(node.id, B::noise_grad(ops.state, grad));
        }
    }
}

impl<B: SampleOps + SampleGrads + Backend, C: CheckpointStrategy> SampleOps for Autodiff<B, C> {
    fn kernel_gram_of_rows(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let output = B::kernel_gram_of_rows(x.clone());
        match GramOfRows.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(x, output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn kernel_noise(
        embeddings: FloatTensor<Self>,
        bank: FloatTensor<Self>,
        offset: FloatTensor<Self>,
        compared: Compared,
    ) -> FloatTensor<Self> {
        let (embeddings, node) = embeddings.into_parts();
        let (bank, offset) = (bank.into_parts().0, offset.into_parts().0);
        let (output, slopes) = B::noise(embeddings, bank, offset, compared);
        match Noise.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(slopes, output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }
}
