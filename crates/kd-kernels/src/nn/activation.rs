//! Activations, value by value.

#[cfg(feature = "flex")]
pub(crate) mod kernel;

use burn::tensor::Tensor;
use burn::tensor::activation::{hard_sigmoid, hard_swish, relu, relu6, sigmoid, silu};

#[cfg(feature = "flex")]
use crate::flex::{FlexTensor, Input, Map, Operation, build, fast, run};
#[cfg(feature = "flex")]
use crate::isa;

/// A function of each value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Activation {
    /// `x`.
    #[default]
    Identity,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)` (Sandler et al., CVPR 2018).
    Relu6,
    /// `1 / (1 + e^−x)`.
    Sigmoid,
    /// `min(max(x + 3, 0), 6) / 6` (Howard et al., ICCV 2019).
    HardSigmoid,
    /// `x · sigmoid(x)` (Ramachandran et al., 2017).
    Silu,
    /// `x · min(max(x + 3, 0), 6) / 6` (Howard et al., ICCV 2019).
    HardSwish,
}

impl Activation {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Identity,
        Self::Relu,
        Self::Relu6,
        Self::Sigmoid,
        Self::HardSigmoid,
        Self::Silu,
        Self::HardSwish,
    ];

    /// The function of a tensor of any rank, by burn's own operations. [`activate`] has the kernel for maps.
    pub fn apply<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Identity => x,
            Self::Relu => relu(x),
            Self::Relu6 => relu6(x),
            Self::Sigmoid => sigmoid(x),
            Self::HardSigmoid => hard_sigmoid(x, 1.0 / 6.0, 0.5),
            Self::Silu => silu(x),
            Self::HardSwish => hard_swish(x),
        }
    }
}

/// An activation of a map `[batch, channels, height, width]`. Differentiable.
pub fn activate(x: Tensor<4>, activation: Activation) -> Tensor<4> {
    if activation == Activation::Identity {
        return x;
    }
    #[cfg(feature = "flex")]
    if fast(&x) {
        return run(Activate { activation }, [x.into_dispatch()]);
    }
    activation.apply(x)
}

#[cfg(feature = "flex")]
#[derive(Clone, Debug)]
struct Activate {
    activation: Activation,
}

#[cfg(feature = "flex")]
impl Operation<1> for Activate {
    /// The input.
    type Saved = FlexTensor;

    fn inputs(&self) -> [Input; 1] {
        [Input::Map]
    }

    fn forward(&self, [x]: [FlexTensor; 1]) -> (FlexTensor, FlexTensor) {
        let map = Map::new(x.clone());
        let images = map.images();
        let y = build(images.size, |y| {
            kernel::activate(isa(), images, self.activation, y);
        });
        (y, x)
    }

    fn backward(
        &self,
        x: FlexTensor,
        grad: FlexTensor,
        _: [bool; 1],
        _: &mut [Option<FlexTensor>; 1],
    ) -> [Option<FlexTensor>; 1] {
        let (x, grad) = (Map::new(x), Map::new(grad));
        let (x, grad) = (x.images(), grad.images());
        [Some(build(x.size, |dx| {
            kernel::grad(isa(), x, grad, self.activation, dx);
        }))]
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::images::{Images, Size};
    use crate::simd::Isa;
    use crate::test_memory::written;

    #[test]
    fn the_sigmoid_is_as_exact_as_its_exponential() {
        let x: Vec<f32> = (-870_000..=870_000).map(|i| 1e-4 * i as f32).collect();
        let size = Size::of([1, 1, 1, x.len()]);
        for isa in Isa::available() {
            let y = written(x.len(), |y| {
                kernel::activate(isa, Images::new(&x, size), Activation::Sigmoid, y);
            });
            for (x, y) in x.iter().zip(y) {
                let want = 1.0 / (1.0 + (-f64::from(*x)).exp());
                let off = (f64::from(y) - want).abs() / want;
                assert!(off < 4e-7, "{x} with {isa}: {off:e}");
            }
        }
    }

    #[test]
    fn values_are_those_of_the_definitions() {
        let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
        let hard = |x: f32| ((x + 3.0) / 6.0).clamp(0.0, 1.0);
        for x in [-3e38_f32, -100.0, -4.0, -1.0, 0.0, 2.0, 7.0, 100.0] {
            for activation in Activation::ALL {
                let want = match activation {
                    Activation::Identity => x,
                    Activation::Relu => x.max(0.0),
                    Activation::Relu6 => x.clamp(0.0, 6.0),
                    Activation::Sigmoid => sigmoid(x),
                    Activation::HardSigmoid => hard(x),
                    Activation::Silu => x * sigmoid(x),
                    Activation::HardSwish => x * hard(x),
                };
                let map = Tensor::<4>::full([1, 3, 1, 1], x, &Device::flex());
                for y in [activation.apply(map.clone()), activate(map, activation)] {
                    for y in y.into_data().iter::<f32>() {
                        let near = (y - want).abs() <= 1e-6 * want.abs().max(1e-3);
                        assert!(near, "{activation:?} of {x}: {y} is not {want}");
                    }
                }
            }
        }
    }
}
