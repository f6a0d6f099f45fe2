//! An optimiser whose rate is a share of the training's.

use burn::optim::Optimizer;
use burn::tensor::{Device, Tensor};

/// Takes the steps of another optimiser at a share of the learning rate.
#[derive(Clone)]
pub(super) struct Scaled<O> {
    pub optimizer: O,
    pub share: f64,
}

impl<O: Optimizer> Optimizer for Scaled<O> {
    type State<const D: usize> = O::State<D>;

    fn step<const D: usize>(
        &self,
        rate: f64,
        value: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        let rate = self.share * rate;
        self.optimizer.step(rate, value, gradient, state)
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        O::to_device(state, device)
    }
}
