//! A linear layer on many rows, with what follows it.

#[cfg(feature = "flex")]
pub(crate) mod kernel;

use burn::tensor::Tensor;
use burn::tensor::activation::gelu;

#[cfg(feature = "flex")]
use super::gelu::kernel as of_gelu;
#[cfg(feature = "flex")]
use crate::flex::{Dense, FlexTensor, Input, Operation, dense, fast, plus, run, values};
#[cfg(feature = "flex")]
use crate::isa;

/// What follows [`linear_of_rows`], in the same pass.
#[derive(Clone, Debug, Default)]
#[allow(
    clippy::large_enum_variant,
    reason = "it is made for one call and taken apart by it"
)]
pub enum RowEpilogue<const D: usize> {
    /// Nothing.
    #[default]
    Nothing,
    /// The exact Gaussian error linear unit.
    Gelu,
    /// A tensor of the output's shape is added.
    Add(Tensor<D>),
}

/// `x · weight + bias` over the last axis of `x`, `[.., inputs]` to `[.., outputs]`, for a `weight`
/// `[inputs, outputs]` and a `bias` `[outputs]`; then the epilogue. Differentiable in all of them.
///
/// A row's result does not depend on the other rows, bit for bit.
///
/// # Panics
/// When the shapes do not fit.
pub fn linear_of_rows<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Tensor<1>,
    epilogue: RowEpilogue<D>,
) -> Tensor<D> {
    #[cfg(feature = "flex")]
    if fast(&x) {
        let training = x.device().is_autodiff() || weight.device().is_autodiff();
        let [x, weight] = [x.into_dispatch(), weight.into_dispatch()];
        let bias = bias.into_dispatch();
        let gelu = matches!(epilogue, RowEpilogue::Gelu);
        let operation = LinearOfRows { gelu, training };
        return match epilogue {
            RowEpilogue::Add(other) => run(operation, [x, weight, bias, other.into_dispatch()]),
            _ => run(operation, [x, weight, bias]),
        };
    }
    let mut shape = x.dims();
    let ([inputs, outputs], last) = (weight.dims(), D - 1);
    let rows = shape[..last].iter().product::<usize>();
    shape[last] = outputs;
    let y = x.reshape([rows, inputs]).matmul(weight) + bias.unsqueeze();
    let y: Tensor<D> = y.reshape(shape);
    match epilogue {
        RowEpilogue::Nothing => y,
        RowEpilogue::Gelu => gelu(y),
        RowEpilogue::Add(other) => y + other,
    }
}

/// The inputs are rows, weight, bias, and what is added, if there is anything.
#[cfg(feature = "flex")]
#[derive(Clone, Debug)]
struct LinearOfRows {
    gelu: bool,
    /// Whether there may be a gradient.
    training: bool,
}

#[cfg(feature = "flex")]
#[derive(Clone, Debug)]
struct Saved {
    x: FlexTensor,
    weight: FlexTensor,
    /// What the unit was given.
    before: Option<FlexTensor>,
}

#[cfg(feature = "flex")]
impl<const N: usize> Operation<N> for LinearOfRows {
    type Saved = Saved;

    fn inputs(&self) -> [Input; N] {
        std::array::from_fn(|input| match input {
            // What is added is often normalised before: its gradient then takes this one on the way.
            3 => Input::Map,
            _ => Input::Plain,
        })
    }

    fn forward(&self, inputs: [FlexTensor; N]) -> (FlexTensor, Saved) {
        let [x, weight, bias] = [0, 1, 2].map(|input| inputs[input].clone());
        let [inner, outputs] = [0, 1].map(|axis| weight.layout().shape()[axis]);
        let mut shape = x.layout().shape().clone();
        let last = shape.num_dims() - 1;
        assert_eq!(shape[last], inner, "a row of the weight for each input");
        shape[last] = outputs;
        let [rows, matrix, bias] = [x.clone(), weight.clone(), bias].map(Dense::new);
        let other = inputs.get(3).cloned().map(|other| {
            assert_eq!(*other.layout().shape(), shape, "only equal rows are added");
            Dense::new(other)
        });
        let len = shape.num_elements();
        let mut before = None;
        let y = values(len, |y| {
            let mut product = |before: Option<&mut [_]>| {
                let after = kernel::After {
                    bias: Some(bias.values()),
                    other: other.as_ref().map(Dense::values),
                    gelu: self.gelu,
                };
                let matrix = kernel::Matrix::new(matrix.values(), [inner, outputs]);
                kernel::product(isa(), rows.values(), matrix, after, before, y);
            };
            match self.gelu && self.training {
                true => before = Some(values(len, |before| product(Some(before)))),
                false => product(None),
            }
        });
        let before = before.map(|before| dense(before, shape.clone()));
        (dense(y, shape), Saved { x, weight, before })
    }

    fn backward(
        &self,
        saved: Saved,
        grad: FlexTensor,
        wants: [bool; N],
        earlier: &mut [Option<FlexTensor>; N],
    ) -> [Option<FlexTensor>; N] {
        let Saved { x, weight, before } = saved;
        let shape = x.layout().shape().clone();
        let sides = [0, 1].map(|axis| weight.layout().shape()[axis]);
        let own = Dense::new(match before {
            Some(before) => {
                let shape = grad.layout().shape().clone();
                let [before, dy] = [before, grad.clone()].map(Dense::new);
                let dx = values(shape.num_elements(), |dx| {
                    of_gelu::grad(isa(), before.values(), dy.values(), dx);
                });
                dense(dx, shape)
            }
            None => grad.clone(),
        });
        let mut gradients = [const { None }; N];
        if wants[0] {
            let matrix = Dense::new(weight);
            let matrix = kernel::Matrix::transposed(matrix.values(), sides);
            let dx = values(shape.num_elements(), |dx| {
                let after = kernel::After::default();
                kernel::product(isa(), own.values(), matrix, after, None, dx);
            });
            gradients[0] = Some(dense(dx, shape));
        }
        if wants[1] || wants[2] {
            let x = Dense::new(x);
            let (of_weight, of_bias) =
                kernel::parameter_grads(isa(), x.values(), own.values(), sides);
            gradients[1] = Some(dense(of_weight, sides));
            gradients[2] = Some(dense(of_bias, [sides[1]]));
        }
        if wants.get(3) == Some(&true) {
            gradients[3] = Some(match earlier[3].take() {
                Some(earlier) => plus(grad, earlier),
                None => grad,
            });
        }
        gradients
    }
}
