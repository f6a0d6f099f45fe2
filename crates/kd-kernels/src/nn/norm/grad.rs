//! The gradient of a batch normalisation with what follows it.

use std::mem::MaybeUninit;

use crate::images::{Images, OutPtr, Size};
use crate::nn::Activation;
use crate::nn::activation::kernel::with_constant;
use crate::simd::by_channel::{ByChannel, left, registers};
use crate::simd::chunks;
use crate::simd::{Isa, Kernel, Simd};

/// What an activation after the normalisation does to the gradient.
#[derive(Clone, Copy)]
pub(crate) enum Gate<'a> {
    /// There is none.
    Open,
    /// A ReLU, which lets it pass where this, its output, is positive.
    Output(Images<'a>),
    /// It multiplies with the slope at `x · scale + shift`, computed as the forward pass did: less to read than the
    /// output, when no shortcut was added.
    Line {
        scale: &'a [f32],
        shift: &'a [f32],
        activation: Activation,
    },
}

/// What the gradient of a batch normalisation needs from its forward pass.
#[derive(Clone, Copy)]
pub(crate) struct Saved<'a> {
    /// Input.
    pub x: Images<'a>,
    pub gate: Gate<'a>,
    pub mean: &'a [f32],
    /// `1 / sqrt(variance + epsilon)`.
    pub rstd: &'a [f32],
    pub gamma: &'a [f32],
}

/// Gradients of scale and shift.
#[derive(Default)]
pub(crate) struct ParameterGrads {
    pub gamma: Vec<f32>,
    pub beta: Vec<f32>,
}

/// The gradient of the input, written over `dx`, and, when asked for, that of the shortcut over
/// `residual`; both dense.
pub(crate) fn grad(
    isa: Isa,
    saved: Saved,
    grad: Images,
    dx: &mut [MaybeUninit<f32>],
    residual: Option<&mut [MaybeUninit<f32>]>,
) -> ParameterGrads {
    let (pixels, channels) = (grad.size.pixels(), grad.size.channels);
    saved.check(grad.size);
    let residual = residual.map(|residual| OutPtr::new(residual, grad.size.len()));
    let sums = chunks::sums(grad.size, 2 * channels, |first, count, partial| {
        let (plain, scaled) = partial.split_at_mut(channels);
        isa.run(Sums {
            saved: saved.chunk(first, count),
            grad: grad.chunk(first, count),
            plain,
            scaled,
        });
    });
    // dx = γ/σ · (g − Σg/M − x̂ · Σ(g·x̂)/M), written as g·a + x·b + c for each channel.
    let count = pixels as f64;
    let mut factors = vec![0.0f32; 3 * channels];
    for c in 0..channels {
        let rstd = f64::from(saved.rstd[c]);
        let a = f64::from(saved.gamma[c]) * rstd;
        let b = -a * rstd * sums[channels + c] / count;
        factors[c] = a as f32;
        factors[channels + c] = b as f32;
        factors[2 * channels + c] = (-a * sums[c] / count) as f32;
    }
    let (a, rest) = factors.split_at(channels);
    let (b, c) = rest.split_at(channels);
    chunks::each(grad.size, channels, dx, |first, dx| {
        let count = dx.len() / channels;
        isa.run(Apply {
            saved: saved.chunk(first, count),
            grad: grad.chunk(first, count),
            factors: [a, b, c],
            dx,
            residual,
            first,
        });
    });
    let single = |sums: &[f64]| sums.iter().map(|sum| *sum as f32).collect();
    ParameterGrads {
        beta: single(&sums[..channels]),
        gamma: single(&sums[channels..]),
    }
}

/// `Σ g` and `Σ g · x̂` of each channel of a chunk.
struct Sums<'a> {
    saved: Saved<'a>,
    grad: Images<'a>,
    plain: &'a mut [f32],
    scaled: &'a mut [f32],
}

/// The channels of a block of registers that a gate needs.
struct Line<V, const Z: usize> {
    scale: [V; Z],
    shift: [V; Z],
}

impl Gate<'_> {
    /// What is applied to a line.
    #[inline(always)]
    fn activation(&self) -> Activation {
        match self {
            Gate::Line { activation, .. } => *activation,
            Gate::Open | Gate::Output(_) => Activation::Identity,
        }
    }

    /// That of `Z` registers of channels from `channel` on.
    #[inline(always)]
    fn line<S: Simd, const Z: usize>(&self, s: S, channel: usize) -> Line<S::V, Z> {
        let Gate::Line { scale, shift, .. } = self else {
            let zeros = [s.zero(); Z];
            return Line {
                scale: zeros,
                shift: zeros,
            };
        };
        Line {
            scale: registers(s, scale, channel),
            shift: registers(s, shift, channel),
        }
    }
}

impl Saved<'_> {
    /// That of some pixels.
    fn chunk(&self, first: usize, count: usize) -> Self {
        Self {
            x: self.x.chunk(first, count),
            gate: match self.gate {
                Gate::Output(output) => Gate::Output(output.chunk(first, count)),
                other => other,
            },
            ..*self
        }
    }

    /// # Panics
    /// When it is not of a gradient of this size.
    fn check(&self, grad: Size) {
        assert_eq!(self.x.size, grad, "the gradient has the output's size");
        let lens = [self.mean, self.rstd, self.gamma].map(<[f32]>::len);
        assert_eq!(
            lens, [grad.channels; 3],
            "one mean, rstd and gamma a channel"
        );
        match &self.gate {
            Gate::Open => {}
            Gate::Output(output) => assert_eq!(output.size, grad, "the output's size"),
            Gate::Line { scale, shift, .. } => {
                let lens = [scale.len(), shift.len()];
                assert_eq!(lens, [grad.channels; 2], "one scale and shift a channel");
            }
        }
    }

    /// Input, and gradient behind the gate, whose activation it is, of the channels of register `z` of a block, which
    /// begin at `channel`.
    ///
    /// # Safety
    /// The gradient and what is saved have the pixel, and `left` channels of it from `channel` on.
    #[inline(always)]
    unsafe fn read<S: Simd, const Z: usize>(
        &self,
        s: S,
        grad: &Images,
        line: &Line<S::V, Z>,
        activation: Activation,
        z: usize,
        [pixel, channel, left]: [usize; 3],
    ) -> (S::V, S::V) {
        // SAFETY: the map, its gradient and the output have the pixel and these channels.
        let at = |images: &Images| unsafe { images.load(s, pixel, channel, left) };
        let (x, grad) = (at(&self.x), at(grad));
        let grad = match &self.gate {
            Gate::Open => grad,
            Gate::Output(output) => s.where_positive(at(output), grad),
            Gate::Line { .. } => activation.grad(s, s.fma(x, line.scale[z], line.shift[z]), grad),
        };
        (x, grad)
    }
}

impl Kernel for Sums<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.every_block(s);
    }
}

impl ByChannel for Sums<'_> {
    fn channels(&self) -> usize {
        self.grad.size.channels
    }

    #[inline(always)]
    fn block<S: Simd, const Z: usize>(&mut self, s: S, channel: usize) {
        with_constant!(self.saved.gate.activation(), |activation| {
            self.pixels::<S, Z>(s, channel, activation);
        });
    }
}

impl Sums<'_> {
    #[inline(always)]
    fn pixels<S: Simd, const Z: usize>(&mut self, s: S, channel: usize, activation: Activation) {
        let left = left::<S, Z>(self.plain.len(), channel);
        let mean: [S::V; Z] = registers(s, self.saved.mean, channel);
        let rstd: [S::V; Z] = registers(s, self.saved.rstd, channel);
        let line = self.saved.gate.line::<S, Z>(s, channel);
        let mut plain = [s.zero(); Z];
        let mut scaled = [s.zero(); Z];
        for pixel in 0..self.grad.size.pixels() {
            for z in 0..Z {
                let place = [pixel, channel + z * S::LANES, left];
                // SAFETY: the gradient and what is saved have the pixel and the channels that are left.
                let (value, g) =
                    unsafe { self.saved.read(s, &self.grad, &line, activation, z, place) };
                plain[z] = s.add(plain[z], g);
                scaled[z] = s.fma(g, s.sub(value, mean[z]), scaled[z]);
            }
        }
        for z in 0..Z {
            let at = channel + z * S::LANES;
            s.write(&mut self.plain[at..], plain[z]);
            s.write(&mut self.scaled[at..], s.mul(scaled[z], rstd[z]));
        }
    }
}

struct Apply<'a> {
    saved: Saved<'a>,
    grad: Images<'a>,
    factors: [&'a [f32]; 3],
    dx: &'a mut [MaybeUninit<f32>],
    residual: Option<OutPtr>,
    /// Where the chunk begins, for the shortcut.
    first: usize,
}

impl Kernel for Apply<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.every_block(s);
    }
}

impl ByChannel for Apply<'_> {
    fn channels(&self) -> usize {
        self.grad.size.channels
    }

    #[inline(always)]
    fn block<S: Simd, const Z: usize>(&mut self, s: S, channel: usize) {
        with_constant!(self.saved.gate.activation(), |activation| {
            self.pixels::<S, Z>(s, channel, activation);
        });
    }
}

impl Apply<'_> {
    #[inline(always)]
    fn pixels<S: Simd, const Z: usize>(&mut self, s: S, channel: usize, activation: Activation) {
        let channels = self.grad.size.channels;
        let left = left::<S, Z>(channels, channel);
        let dx = self.dx.as_mut_ptr().cast::<f32>();
        let factors: [[S::V; Z]; 3] = self.factors.map(|values| registers(s, values, channel));
        let mean: [S::V; Z] = registers(s, self.saved.mean, channel);
        let line = self.saved.gate.line::<S, Z>(s, channel);
        for pixel in 0..self.grad.size.pixels() {
            for z in 0..Z {
                let at = channel + z * S::LANES;
                // SAFETY: the gradient, what is saved, `dx` and the shortcut have the pixel and the channels that are
                // left. No other task has this pixel of the shortcut.
                unsafe {
                    let place = [pixel, at, left];
                    let (value, g) = self.saved.read(s, &self.grad, &line, activation, z, place);
                    let tail = s.fma(s.sub(value, mean[z]), factors[1][z], factors[2][z]);
                    let to = dx.add(pixel * channels + at);
                    s.store_up_to(to, s.fma(g, factors[0][z], tail), left);
                    if let Some(residual) = self.residual {
                        let to = residual.at((self.first + pixel) * channels + at);
                        s.store_up_to(to, g, left);
                    }
                }
            }
        }
    }
}
