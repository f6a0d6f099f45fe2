//! How kernels meet burn's Flex backend: its tensors as images, and operations with their gradients.

mod operation;
mod tensor;

use burn::backend::ops::FloatTensorOps;
use burn::backend::{DispatchDevice, Flex};
use burn::tensor::{DType, Tensor};

pub(crate) use burn_flex::FlexTensor;

pub(crate) use operation::{Input, Operation, run, run_with_aside};
pub(crate) use tensor::{Dense, Map, build, dense, shape4, values};

use crate::mode::{Mode, mode};

/// Whether the kernels work on this tensor.
pub(crate) fn fast<const D: usize>(x: &Tensor<D>) -> bool {
    let flex = match x.device().as_dispatch().clone() {
        DispatchDevice::Flex(_) => true,
        DispatchDevice::Autodiff(device) => matches!(device.inner(), DispatchDevice::Flex(_)),
        #[allow(unreachable_patterns, reason = "other backends are features")]
        _ => false,
    };
    flex && x.dtype() == DType::F32 && mode() != Ok(Mode::Off)
}

/// The sum of two tensors of one shape.
pub(crate) fn plus(a: FlexTensor, b: FlexTensor) -> FlexTensor {
    Flex::float_add(a, b)
}
