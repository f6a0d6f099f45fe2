//! Batch normalisation with what usually follows it, the addition of a shortcut and an activation, in one
//! pass for the statistics and one for the values.

use std::mem::MaybeUninit;

use crate::flex::{FlexTensor, Input};
use crate::images::Images;
use crate::nn::Activation;
use crate::nn::activation::kernel::with_constant;
use crate::simd::by_channel::{ByChannel, left, registers};
use crate::simd::chunks;
use crate::simd::{Isa, Kernel, Simd};

mod grad;
#[cfg(test)]
mod tests;

pub(crate) use grad::{Gate, ParameterGrads, Saved, grad};

/// What scale, shift, map, and perhaps a map to add are to the gradient of an operation.
pub(crate) fn inputs<const N: usize>() -> [Input; N] {
    std::array::from_fn(|input| if input < 2 { Input::Plain } else { Input::Map })
}

/// These inputs one by one.
pub(crate) fn named<const N: usize>(
    inputs: [FlexTensor; N],
) -> (FlexTensor, FlexTensor, FlexTensor, Option<FlexTensor>) {
    let mut inputs = inputs.into_iter();
    let mut next = || inputs.next().expect("a scale, a shift and a map");
    (next(), next(), next(), inputs.next())
}

/// Mean and biased variance of each channel.
pub(crate) struct Statistics {
    pub mean: Vec<f32>,
    pub variance: Vec<f32>,
}

/// Statistics of each channel: of every chunk about its own mean, then combined in double
/// precision (Chan, Golub and LeVeque, 1979), so that a mean far from zero costs no digits.
pub(crate) fn statistics(isa: Isa, x: Images) -> Statistics {
    let (pixels, channels) = (x.size.pixels(), x.size.channels);
    let step = chunks::pixels(channels);
    let partial = chunks::partial(x.size, 2 * channels, |first, count, partial| {
        let (mean, squares) = partial.split_at_mut(channels);
        isa.run(Moments {
            x: x.chunk(first, count),
            mean,
            squares,
        });
    });
    let mut mean = vec![0.0f64; channels];
    let mut squares = vec![0.0f64; channels];
    let mut seen = 0.0;
    for (index, partial) in partial.chunks((2 * channels).max(1)).enumerate() {
        let count = (pixels - index * step).min(step) as f64;
        let total: f64 = seen + count;
        for c in 0..channels {
            let distance = f64::from(partial[c]) - mean[c];
            mean[c] += distance * count / total;
            squares[c] +=
                f64::from(partial[channels + c]) + distance * distance * seen * count / total;
        }
        seen = total;
    }
    let single = |values: Vec<f64>, scale: f64| values.into_iter().map(move |v| (v * scale) as f32);
    Statistics {
        mean: single(mean, 1.0).collect(),
        variance: single(squares, 1.0 / seen).collect(),
    }
}

/// Mean, and sum of squares about it, of each channel of a chunk.
struct Moments<'a> {
    /// Of at least one pixel.
    x: Images<'a>,
    /// One for each channel, as of the squares.
    mean: &'a mut [f32],
    squares: &'a mut [f32],
}

impl Kernel for Moments<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.every_block(s);
    }
}

impl ByChannel for Moments<'_> {
    fn channels(&self) -> usize {
        self.mean.len()
    }

    #[inline(always)]
    fn block<S: Simd, const Z: usize>(&mut self, s: S, channel: usize) {
        let left = left::<S, Z>(self.mean.len(), channel);
        let (x, count) = (self.x, self.x.size.pixels());
        // SAFETY: the chunk has the pixel and the channels that are left.
        let at = |pixel, z| unsafe { x.load(s, pixel, channel + z * S::LANES, left) };
        // Distances from the first pixel are summed, or the sum would round off what differs.
        let pivot: [S::V; Z] = std::array::from_fn(|z| at(0, z));
        let mut sum = [s.zero(); Z];
        for i in 0..count {
            for z in 0..Z {
                sum[z] = s.add(sum[z], s.sub(at(i, z), pivot[z]));
            }
        }
        let scale = s.splat(1.0 / count as f32);
        let mean: [S::V; Z] = std::array::from_fn(|z| s.fma(sum[z], scale, pivot[z]));
        let mut squares = [s.zero(); Z];
        for i in 0..count {
            for z in 0..Z {
                let distance = s.sub(at(i, z), mean[z]);
                squares[z] = s.fma(distance, distance, squares[z]);
            }
        }
        for z in 0..Z {
            let at = channel + z * S::LANES;
            s.write(&mut self.mean[at..], mean[z]);
            s.write(&mut self.squares[at..], squares[z]);
        }
    }
}

/// `y = activation(x · scale + shift (+ residual))`; `y` is dense.
pub(crate) fn affine(
    isa: Isa,
    x: Images,
    scale: &[f32],
    shift: &[f32],
    residual: Option<Images>,
    activation: Activation,
    y: &mut [MaybeUninit<f32>],
) {
    let channels = x.size.channels;
    assert_eq!(
        [scale.len(), shift.len()],
        [channels; 2],
        "one scale and shift for each channel"
    );
    if let Some(residual) = &residual {
        assert_eq!(
            residual.size, x.size,
            "only a map of the same size can be added"
        );
    }
    chunks::each(x.size, channels, y, |first, y| {
        let count = y.len() / channels;
        isa.run(Affine {
            x: x.chunk(first, count),
            scale,
            shift,
            residual: residual.map(|residual| residual.chunk(first, count)),
            activation,
            y,
        });
    });
}

struct Affine<'a> {
    x: Images<'a>,
    scale: &'a [f32],
    shift: &'a [f32],
    residual: Option<Images<'a>>,
    activation: Activation,
    y: &'a mut [MaybeUninit<f32>],
}

impl Kernel for Affine<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.every_block(s);
    }
}

impl ByChannel for Affine<'_> {
    fn channels(&self) -> usize {
        self.x.size.channels
    }

    #[inline(always)]
    fn block<S: Simd, const Z: usize>(&mut self, s: S, channel: usize) {
        with_constant!(self.activation, |activation| {
            self.pixels::<S, Z>(s, channel, activation);
        });
    }
}

impl Affine<'_> {
    #[inline(always)]
    fn pixels<S: Simd, const Z: usize>(&mut self, s: S, channel: usize, activation: Activation) {
        let (x, residual) = (self.x, self.residual);
        let channels = x.size.channels;
        let left = left::<S, Z>(channels, channel);
        let y = self.y.as_mut_ptr().cast::<f32>();
        let scale: [S::V; Z] = registers(s, self.scale, channel);
        let shift: [S::V; Z] = registers(s, self.shift, channel);
        for pixel in 0..x.size.pixels() {
            for z in 0..Z {
                let at = channel + z * S::LANES;
                // SAFETY: the chunk, that of the residual and `y` have the pixel and the channels that are left.
                unsafe {
                    let mut value = s.fma(x.load(s, pixel, at, left), scale[z], shift[z]);
                    if let Some(residual) = residual {
                        value = s.add(value, residual.load(s, pixel, at, left));
                    }
                    let value = activation.value(s, value);
                    s.store_up_to(y.add(pixel * channels + at), value, left);
                }
            }
        }
    }
}

/// `1 / sqrt(variance + epsilon)`.
pub(crate) fn reciprocal_deviation(variance: &[f32], epsilon: f64) -> Vec<f32> {
    variance
        .iter()
        .map(|v| (1.0 / (f64::from(*v) + epsilon).sqrt()) as f32)
        .collect()
}

/// Scale and shift of a normalisation: `γ / σ` and `β − μ · γ / σ`.
pub(crate) fn fold(
    gamma: &[f32],
    beta: &[f32],
    mean: &[f32],
    variance: &[f32],
    epsilon: f64,
) -> (Vec<f32>, Vec<f32>) {
    (0..gamma.len())
        .map(|c| {
            let scale = f64::from(gamma[c]) / (f64::from(variance[c]) + epsilon).sqrt();
            let shift = f64::from(beta[c]) - f64::from(mean[c]) * scale;
            (scale as f32, shift as f32)
        })
        .unzip()
}
