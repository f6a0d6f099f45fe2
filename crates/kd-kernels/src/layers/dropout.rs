//! burn's dropout layer, run by the kernels.

use burn::nn::Dropout;
use burn::tensor::{Device, Tensor};

/// Whether a layer drops anything on this device: only in training.
pub fn drops(layer: &Dropout, device: &Device) -> bool {
    layer.prob > 0.0 && layer.training.is_enabled() && device.is_autodiff()
}

/// What a layer leaves of `x` ([`dropout`](crate::dropout())).
pub fn dropout<const D: usize>(layer: &Dropout, x: Tensor<D>) -> Tensor<D> {
    match drops(layer, &x.device()) {
        true => crate::dropout(x, layer.prob),
        false => x,
    }
}
