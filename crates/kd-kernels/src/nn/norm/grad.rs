//! The gradient of a batch normalisation with what follows it.

use super::WIDE;
use crate::images::{Images, OutPtr, Size};
use crate::simd::chunks;
use crate::simd::{Isa, Kernel, Simd};

/// Where a ReLU after the normalisation lets the gradient pass.
#[derive(Clone, Copy)]
pub(crate) enum Gate<'a> {
    /// There is no ReLU.
    Open,
    /// Where this, its output, is positive.
    Output(Images<'a>),
    /// Where `x · scale + shift` is positive, computed as the forward pass did: less to read than the
    /// output, when no shortcut was added.
    Line { scale: &'a [f32], shift: &'a [f32] },
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
    dx: OutPtr,
    residual: Option<OutPtr>,
) -> ParameterGrads {
    let (pixels, channels) = (grad.size.pixels(), grad.size.channels);
    saved.check(grad.size);
    dx.check(grad.size.len());
    if let Some(residual) = residual {
        residual.check(grad.size.len());
    }
    let sums = chunks::sums(grad.size, 2 * channels, |first, count, partial| {
        let (plain, scaled) = partial.split_at_mut(channels);
        isa.run(Sums {
            saved: &saved,
            grad: &grad,
            first,
            count,
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
    chunks::each(grad.size, |first, count| {
        isa.run(Apply {
            saved: &saved,
            grad: &grad,
            factors: [a, b, c],
            first,
            count,
            dx,
            residual,
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
    saved: &'a Saved<'a>,
    grad: &'a Images<'a>,
    first: usize,
    count: usize,
    plain: &'a mut [f32],
    scaled: &'a mut [f32],
}

/// The channels of a block of registers that a gate needs.
struct Line<V, const Z: usize> {
    scale: [V; Z],
    shift: [V; Z],
}

impl Gate<'_> {
    /// # Safety
    /// The processor has the instructions of `S`, there are `left` channels from `channel` on, and scale and shift have
    /// them: `Z` registers, or one that is not full.
    #[inline(always)]
    unsafe fn line<S: Simd, const Z: usize>(&self, channel: usize, left: usize) -> Line<S::V, Z> {
        // SAFETY: the caller's promise.
        unsafe {
            let mut line = Line {
                scale: [S::zero(); Z],
                shift: [S::zero(); Z],
            };
            if let Gate::Line { scale, shift } = self {
                for z in 0..Z {
                    let at = channel + z * S::LANES;
                    line.scale[z] = S::load_up_to(scale.as_ptr().add(at), left);
                    line.shift[z] = S::load_up_to(shift.as_ptr().add(at), left);
                }
            }
            line
        }
    }
}

impl Saved<'_> {
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
            Gate::Line { scale, shift } => {
                let lens = [scale.len(), shift.len()];
                assert_eq!(lens, [grad.channels; 2], "one scale and shift a channel");
            }
        }
    }

    /// Input, and gradient behind the gate, of the channels of register `z` of a block, which begin at `channel`.
    ///
    /// # Safety
    /// The processor has the instructions of `S`. The gradient and what is saved have the pixel, and `left` channels of it
    /// from `channel` on.
    #[inline(always)]
    unsafe fn read<S: Simd, const Z: usize>(
        &self,
        grad: &Images,
        line: &Line<S::V, Z>,
        z: usize,
        [pixel, channel, left]: [usize; 3],
    ) -> (S::V, S::V) {
        // SAFETY: the caller's promise.
        unsafe {
            let at = |images: &Images| {
                let from = images.data.as_ptr().add(pixel * images.pitch + channel);
                S::load_up_to(from, left)
            };
            let (x, grad) = (at(&self.x), at(grad));
            let grad = match &self.gate {
                Gate::Open => grad,
                Gate::Output(output) => S::where_positive(at(output), grad),
                Gate::Line { .. } => {
                    S::where_positive(S::fma(x, line.scale[z], line.shift[z]), grad)
                }
            };
            (x, grad)
        }
    }
}

impl Kernel for Sums<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(mut self) {
        // SAFETY: the pixels are there in all images.
        unsafe { by_registers!(self.block, self.grad.size.channels) }
    }
}

impl Sums<'_> {
    /// # Safety
    /// The processor has the instructions of `S`. The gradient and what is saved have the pixels, and there are as many sums, means
    /// and the like as channels.
    /// `channel` is one of theirs, from which on there are `Z` registers of them, or one that is not full.
    #[inline(always)]
    unsafe fn block<S: Simd, const Z: usize>(&mut self, channel: usize) {
        let left = self.plain.len() - channel;
        // SAFETY: the caller's promise; in the last register only `left` channels are touched.
        unsafe {
            let mut mean = [S::zero(); Z];
            let mut rstd = [S::zero(); Z];
            for z in 0..Z {
                let at = channel + z * S::LANES;
                mean[z] = S::load_up_to(self.saved.mean.as_ptr().add(at), left);
                rstd[z] = S::load_up_to(self.saved.rstd.as_ptr().add(at), left);
            }
            let line = self.saved.gate.line::<S, Z>(channel, left);
            let mut plain = [S::zero(); Z];
            let mut scaled = [S::zero(); Z];
            for pixel in self.first..self.first + self.count {
                for z in 0..Z {
                    let at = channel + z * S::LANES;
                    let place = [pixel, at, left];
                    let (value, g) = self.saved.read::<S, Z>(self.grad, &line, z, place);
                    plain[z] = S::add(plain[z], g);
                    scaled[z] = S::fma(g, S::sub(value, mean[z]), scaled[z]);
                }
            }
            for z in 0..Z {
                let at = channel + z * S::LANES;
                let scaled = S::mul(scaled[z], rstd[z]);
                S::store_up_to(self.plain.as_mut_ptr().add(at), plain[z], left);
                S::store_up_to(self.scaled.as_mut_ptr().add(at), scaled, left);
            }
        }
    }
}

struct Apply<'a> {
    saved: &'a Saved<'a>,
    grad: &'a Images<'a>,
    factors: [&'a [f32]; 3],
    first: usize,
    count: usize,
    dx: OutPtr,
    residual: Option<OutPtr>,
}

impl Kernel for Apply<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: the pixels are there in all images.
        unsafe { by_registers!(self.block, self.grad.size.channels) }
    }
}

impl Apply<'_> {
    /// # Safety
    /// The processor has the instructions of `S`. The gradient, what is saved and the outputs have the pixels, and there are as many
    /// factors, means and the like as channels; no other task writes these pixels.
    /// `channel` is one of theirs, from which on there are `Z` registers of them, or one that is not full.
    #[inline(always)]
    unsafe fn block<S: Simd, const Z: usize>(&self, channel: usize) {
        let channels = self.grad.size.channels;
        let left = channels - channel;
        // SAFETY: the caller's promise; in the last register only `left` channels are touched.
        unsafe {
            let mut factors = [[S::zero(); Z]; 3];
            let mut mean = [S::zero(); Z];
            for z in 0..Z {
                let at = channel + z * S::LANES;
                for f in 0..3 {
                    factors[f][z] = S::load_up_to(self.factors[f].as_ptr().add(at), left);
                }
                mean[z] = S::load_up_to(self.saved.mean.as_ptr().add(at), left);
            }
            let line = self.saved.gate.line::<S, Z>(channel, left);
            for pixel in self.first..self.first + self.count {
                for z in 0..Z {
                    let at = channel + z * S::LANES;
                    let place = [pixel, at, left];
                    let (value, g) = self.saved.read::<S, Z>(self.grad, &line, z, place);
                    let tail = S::fma(S::sub(value, mean[z]), factors[1][z], factors[2][z]);
                    let to = pixel * channels + at;
                    S::store_up_to(self.dx.at(to), S::fma(g, factors[0][z], tail), left);
                    if let Some(residual) = self.residual {
                        S::store_up_to(residual.at(to), g, left);
                    }
                }
            }
        }
    }
}
