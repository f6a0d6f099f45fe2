//! The functions and their slopes in registers, and the loops over pixels.

use std::mem::MaybeUninit;

use super::Activation;
use crate::images::Images;
use crate::simd::exponential::exp;
use crate::simd::{Isa, Kernel, Simd, chunks};

/// `$call` where `$name` is the activation as a constant, so that a loop within it chooses nothing.
macro_rules! with_constant {
    ($activation:expr, |$name:ident| $call:expr) => {{
        use $crate::Activation::{HardSigmoid, HardSwish, Identity, Relu, Relu6, Sigmoid, Silu};
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
pub(crate) fn activate(isa: Isa, x: Images, activation: Activation, y: &mut [MaybeUninit<f32>]) {
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
