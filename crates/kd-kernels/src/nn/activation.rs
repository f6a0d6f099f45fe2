//! Activations, value by value.

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

#[cfg(feature = "flex")]
pub(crate) mod kernel {
    //! The functions and their slopes in registers, and the loops over pixels.

    use std::mem::MaybeUninit;

    use super::Activation;
    use crate::images::Images;
    use crate::simd::exponential::exp;
    use crate::simd::{Isa, Kernel, Simd, chunks};

    /// `$call` where `$name` is the activation as a constant, so that a loop within it chooses nothing.
    macro_rules! with_constant {
        ($activation:expr, |$name:ident| $call:expr) => {{
            use $crate::Activation::{
                HardSigmoid, HardSwish, Identity, Relu, Relu6, Sigmoid, Silu,
            };
            macro_rules! arm {
                ($variant:ident) => {{
                    let $name = $variant;
                    $call
                }};
            }
            match $activation {
                Identity => arm!(Identity),
                Relu => arm!(Relu),
                Relu6 => arm!(Relu6),
                Sigmoid => arm!(Sigmoid),
                HardSigmoid => arm!(HardSigmoid),
                Silu => arm!(Silu),
                HardSwish => arm!(HardSwish),
            }
        }};
    }
    pub(crate) use with_constant;

    #[inline(always)]
    fn sigmoid<S: Simd>(s: S, x: S::V) -> S::V {
        let one = s.splat(1.0);
        s.div(one, s.add(one, exp(s, s.sub(s.zero(), x))))
    }

    /// `x`, but not so far below zero that its product with the sigmoid, which stays above 0, would not vanish.
    #[inline(always)]
    fn factor<S: Simd>(s: S, x: S::V) -> S::V {
        s.max(s.splat(-87.0), x)
    }

    /// `min(max(x + 3, 0), 6) / 6`.
    #[inline(always)]
    fn hard_sigmoid<S: Simd>(s: S, x: S::V) -> S::V {
        let line = s.fma(x, s.splat(1.0 / 6.0), s.splat(0.5));
        s.min(s.splat(1.0), s.max(s.zero(), line))
    }

    impl Activation {
        /// The function; of NaN, NaN.
        #[inline(always)]
        pub(crate) fn value<S: Simd>(self, s: S, x: S::V) -> S::V {
            match self {
                Self::Identity => x,
                Self::Relu => s.max(s.zero(), x),
                Self::Relu6 => s.min(s.splat(6.0), s.max(s.zero(), x)),
                Self::Sigmoid => sigmoid(s, x),
                Self::HardSigmoid => hard_sigmoid(s, x),
                Self::Silu => s.mul(factor(s, x), sigmoid(s, x)),
                Self::HardSwish => s.mul(x, hard_sigmoid(s, x)),
            }
        }

        /// `grad` times the slope at `x`. At a corner it is the slope of the flat side.
        #[inline(always)]
        pub(crate) fn grad<S: Simd>(self, s: S, x: S::V, grad: S::V) -> S::V {
            let one = s.splat(1.0);
            let within = |x, low: f32, high: f32, v| {
                let v = s.where_positive(s.sub(x, s.splat(low)), v);
                s.where_positive(s.sub(s.splat(high), x), v)
            };
            match self {
                Self::Identity => grad,
                Self::Relu => s.where_positive(x, grad),
                Self::Relu6 => within(x, 0.0, 6.0, grad),
                Self::Sigmoid => {
                    let y = sigmoid(s, x);
                    s.mul(grad, s.mul(y, s.sub(one, y)))
                }
                Self::HardSigmoid => within(x, -3.0, 3.0, s.mul(grad, s.splat(1.0 / 6.0))),
                Self::Silu => {
                    let y = sigmoid(s, x);
                    let slope = s.mul(y, s.fma(factor(s, x), s.sub(one, y), one));
                    s.mul(grad, slope)
                }
                Self::HardSwish => {
                    // (2x + 3) / 6 between the corners, 0 before them and 1 behind.
                    let less = s.fma(x, s.splat(1.0 / 3.0), s.splat(-0.5));
                    let less = s.where_positive(s.sub(s.splat(3.0), x), less);
                    let slope = s.where_positive(s.add(x, s.splat(3.0)), s.add(less, one));
                    s.mul(grad, slope)
                }
            }
        }
    }

    /// The function of each value, written over `y`, which is dense.
    pub(crate) fn activate(
        isa: Isa,
        x: Images,
        activation: Activation,
        y: &mut [MaybeUninit<f32>],
    ) {
        pass(isa, x, None, activation, y);
    }

    /// The gradient before the function of `x`, written over `dx`, which is dense.
    pub(crate) fn grad(
        isa: Isa,
        x: Images,
        grad: Images,
        activation: Activation,
        dx: &mut [MaybeUninit<f32>],
    ) {
        assert_eq!(grad.size, x.size, "one gradient for each value");
        pass(isa, x, Some(grad), activation, dx);
    }

    fn pass(
        isa: Isa,
        x: Images,
        grad: Option<Images>,
        activation: Activation,
        to: &mut [MaybeUninit<f32>],
    ) {
        chunks::each(x.size, x.size.channels, to, |first, to| {
            let count = to.len() / x.size.channels;
            isa.run(Pass {
                x: x.chunk(first, count),
                grad: grad.map(|grad| grad.chunk(first, count)),
                activation,
                to,
            });
        });
    }

    /// A chunk of values, or of gradients.
    struct Pass<'a> {
        x: Images<'a>,
        grad: Option<Images<'a>>,
        activation: Activation,
        to: &'a mut [MaybeUninit<f32>],
    }

    impl Kernel for Pass<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let Self { x, grad, to, .. } = self;
            with_constant!(self.activation, |activation| match grad {
                Some(grad) => each(s, &x, to, |v, pixel, channel, left| {
                    // SAFETY: the gradient has the pixels and channels of `x`.
                    let grad = unsafe { grad.load(s, pixel, channel, left) };
                    activation.grad(s, v, grad)
                }),
                None => each(s, &x, to, |v, _, _, _| activation.value(s, v)),
            });
        }
    }

    /// Writes `f(values, pixel, channel, left)` of each register of a chunk.
    #[inline(always)]
    fn each<S: Simd>(
        s: S,
        x: &Images,
        to: &mut [MaybeUninit<f32>],
        f: impl Fn(S::V, usize, usize, usize) -> S::V,
    ) {
        let channels = x.size.channels;
        for (pixel, to) in to.chunks_exact_mut(channels).enumerate() {
            for channel in (0..channels).step_by(S::LANES) {
                let left = channels - channel;
                // SAFETY: the chunk has the pixel and the channels that are left.
                let v = unsafe { x.load(s, pixel, channel, left) };
                s.write_new(&mut to[channel..], f(v, pixel, channel, left));
            }
        }
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
