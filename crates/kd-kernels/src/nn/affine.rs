//! A scale and a shift for each channel.

use burn::tensor::Tensor;

use super::Epilogue;
#[cfg(feature = "flex")]
use super::{Activation, activate, leaky_relu::gate, norm, sums};
#[cfg(feature = "flex")]
use crate::flex::{Dense, FlexTensor, Input, Map, Operation, build, dense, fast, run};
#[cfg(feature = "flex")]
use crate::isa;

/// `x · scale + shift` with `scale` and `shift` of shape `[channels]`, and what the epilogue asks for: a batch
/// normalisation by running statistics.
///
/// Differentiable in all of them.
pub fn affine(
    x: Tensor<4>,
    scale: Tensor<1>,
    shift: Tensor<1>,
    mut epilogue: Epilogue,
) -> Tensor<4> {
    let shift = epilogue.shifted(shift);
    #[cfg(feature = "flex")]
    if fast(&x) {
        let training = x.device().is_autodiff() || scale.device().is_autodiff();
        let last = match training {
            true => epilogue.take_opaque(),
            false => Activation::Identity,
        };
        let operation = Affine {
            activation: epilogue.activation,
        };
        let x = x.into_dispatch();
        let (scale, shift) = (scale.into_dispatch(), shift.into_dispatch());
        let y = match epilogue.residual.map(Tensor::into_dispatch) {
            Some(residual) => run(operation, [scale, shift, x, residual]),
            None => run(operation, [scale, shift, x]),
        };
        return activate(y, last);
    }
    let [channels] = scale.dims();
    let along = |values: Tensor<1>| values.reshape([1, channels, 1, 1]);
    epilogue.finish(x * along(scale) + along(shift))
}

/// The inputs are scale, shift, map, and the map to add, if there are four.
#[cfg(feature = "flex")]
#[derive(Clone, Debug)]
struct Affine {
    activation: Activation,
}

#[cfg(feature = "flex")]
#[derive(Clone, Debug)]
struct Saved {
    x: FlexTensor,
    scale: FlexTensor,
    /// The output, where a ReLU made it.
    gate: Option<FlexTensor>,
}

#[cfg(feature = "flex")]
impl<const N: usize> Operation<N> for Affine {
    type Saved = Saved;

    fn inputs(&self) -> [Input; N] {
        norm::inputs()
    }

    fn forward(&self, inputs: [FlexTensor; N]) -> (FlexTensor, Saved) {
        let (scale, shift, x, residual) = norm::named(inputs);
        let y = apply(&x, &scale, Some(shift), residual, self.activation);
        let gate = (self.activation == Activation::Relu).then(|| y.clone());
        (y, Saved { x, scale, gate })
    }

    fn backward(
        &self,
        saved: Saved,
        grad: FlexTensor,
        wants: [bool; N],
        _: &mut [Option<FlexTensor>; N],
    ) -> [Option<FlexTensor>; N] {
        let Saved { x, scale, gate } = saved;
        let grad = match gate {
            Some(output) => self::gate(grad, output, 0.0),
            None => grad,
        };
        let gradient = |input| match input {
            0 => of_scale(&grad, &x),
            1 => of_bias(&grad),
            2 => apply(&grad, &scale, None, None, Activation::Identity),
            _ => grad.clone(),
        };
        std::array::from_fn(|input| wants[input].then(|| gradient(input)))
    }
}

/// `x · scale`, and what else there is to add.
#[cfg(feature = "flex")]
fn apply(
    x: &FlexTensor,
    scale: &FlexTensor,
    shift: Option<FlexTensor>,
    residual: Option<FlexTensor>,
    activation: Activation,
) -> FlexTensor {
    let (x, scale) = (Map::new(x.clone()), Dense::new(scale.clone()));
    let (x, scale) = (x.images(), scale.values());
    let (shift, residual) = (shift.map(Dense::new), residual.map(Map::new));
    let none = vec![0.0; scale.len()];
    let shift = shift.as_ref().map_or(&none[..], Dense::values);
    let residual = residual.as_ref().map(Map::images);
    build(x.size, |y| {
        norm::affine(isa(), x, scale, shift, residual, activation, y);
    })
}

/// `Σ grad · x` over all pixels, `[channels]`.
#[cfg(feature = "flex")]
fn of_scale(grad: &FlexTensor, x: &FlexTensor) -> FlexTensor {
    let (grad, x) = (Map::new(grad.clone()), Map::new(x.clone()));
    let sums = sums::sum_of_products(isa(), grad.images(), x.images());
    let count = sums.len();
    dense(sums, [count])
}

/// The gradient of what is added to all pixels: `Σ grad` over them, `[channels]`.
#[cfg(feature = "flex")]
pub(crate) fn of_bias(grad: &FlexTensor) -> FlexTensor {
    let grad = Map::new(grad.clone());
    let sums = sums::sum(isa(), grad.images());
    let count = sums.len();
    dense(sums, [count])
}
