//! Batch normalisation with what usually follows it, the addition of a shortcut and a ReLU, in one
//! pass for the statistics and one for the values.

use crate::flex::{FlexTensor, Input};
use crate::images::{Images, OutPtr};
use crate::simd::chunks;
use crate::simd::{Isa, Kernel, Simd};

/// Registers of channels that are summed together.
const WIDE: usize = 4;

/// Calls `$self.$function::<S, REGISTERS>(channel)` for all channels, in blocks of registers.
macro_rules! by_registers {
    ($self:ident.$function:ident, $channels:expr) => {{
        let mut channel = 0;
        while channel + WIDE * S::LANES <= $channels {
            $self.$function::<S, WIDE>(channel);
            channel += WIDE * S::LANES;
        }
        while channel < $channels {
            $self.$function::<S, 1>(channel);
            channel += S::LANES;
        }
    }};
}

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
            x: x.data[first * x.pitch..].as_ptr(),
            pitch: x.pitch,
            count,
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
    x: *const f32,
    pitch: usize,
    count: usize,
    mean: &'a mut [f32],
    squares: &'a mut [f32],
}

impl Kernel for Moments<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(mut self) {
        // SAFETY: `count` pixels of all channels are there.
        unsafe { by_registers!(self.block, self.mean.len()) }
    }
}

impl Moments<'_> {
    /// # Safety
    /// The processor has the instructions of `S`. From `x` on, `count` pixels, at least one, of as many channels as there are means
    /// can be read, `pitch` apart, and there are as many squares.
    /// `channel` is one of theirs, from which on there are `Z` registers of them, or one that is not full.
    #[inline(always)]
    unsafe fn block<S: Simd, const Z: usize>(&mut self, channel: usize) {
        let left = self.mean.len() - channel;
        // SAFETY: the caller's promise; in the last register only `left` channels are touched.
        unsafe {
            let x = self.x.add(channel);
            // Distances from the first pixel are summed, or the sum would round off what differs.
            let mut pivot = [S::zero(); Z];
            for z in 0..Z {
                pivot[z] = S::load_up_to(x.add(z * S::LANES), left);
            }
            let mut sum = [S::zero(); Z];
            for i in 0..self.count {
                for z in 0..Z {
                    let value = S::load_up_to(x.add(i * self.pitch + z * S::LANES), left);
                    sum[z] = S::add(sum[z], S::sub(value, pivot[z]));
                }
            }
            let scale = S::splat(1.0 / self.count as f32);
            let mut mean = [S::zero(); Z];
            for z in 0..Z {
                mean[z] = S::fma(sum[z], scale, pivot[z]);
            }
            let mut squares = [S::zero(); Z];
            for i in 0..self.count {
                for z in 0..Z {
                    let value = S::load_up_to(x.add(i * self.pitch + z * S::LANES), left);
                    let distance = S::sub(value, mean[z]);
                    squares[z] = S::fma(distance, distance, squares[z]);
                }
            }
            for z in 0..Z {
                let at = channel + z * S::LANES;
                S::store_up_to(self.mean.as_mut_ptr().add(at), mean[z], left);
                S::store_up_to(self.squares.as_mut_ptr().add(at), squares[z], left);
            }
        }
    }
}

/// `y = x · scale + shift (+ residual)`, and a ReLU on request; `y` is dense.
pub(crate) fn affine(
    isa: Isa,
    x: Images,
    scale: &[f32],
    shift: &[f32],
    residual: Option<Images>,
    relu: bool,
    y: OutPtr,
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
    y.check(x.size.len());
    chunks::each(x.size, |first, count| {
        isa.run(Affine {
            x: &x,
            scale,
            shift,
            residual: residual.as_ref(),
            relu,
            first,
            count,
            y,
        });
    });
}

struct Affine<'a> {
    x: &'a Images<'a>,
    scale: &'a [f32],
    shift: &'a [f32],
    residual: Option<&'a Images<'a>>,
    relu: bool,
    first: usize,
    count: usize,
    y: OutPtr,
}

impl Kernel for Affine<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: the pixels are there in all images.
        unsafe { by_registers!(self.block, self.x.size.channels) }
    }
}

impl Affine<'_> {
    /// # Safety
    /// The processor has the instructions of `S`. The input, the residual and `y` have the pixels, and there is a scale and a shift
    /// for each channel; no other task writes these pixels.
    /// `channel` is one of theirs, from which on there are `Z` registers of them, or one that is not full.
    #[inline(always)]
    unsafe fn block<S: Simd, const Z: usize>(&self, channel: usize) {
        let channels = self.x.size.channels;
        let left = channels - channel;
        // SAFETY: the caller's promise; in the last register only `left` channels are touched.
        unsafe {
            let mut scale = [S::zero(); Z];
            let mut shift = [S::zero(); Z];
            for z in 0..Z {
                let at = channel + z * S::LANES;
                scale[z] = S::load_up_to(self.scale.as_ptr().add(at), left);
                shift[z] = S::load_up_to(self.shift.as_ptr().add(at), left);
            }
            for pixel in self.first..self.first + self.count {
                for z in 0..Z {
                    let at = channel + z * S::LANES;
                    let x = self.x.data.as_ptr().add(pixel * self.x.pitch + at);
                    let mut value = S::fma(S::load_up_to(x, left), scale[z], shift[z]);
                    if let Some(residual) = self.residual {
                        let r = residual.data.as_ptr().add(pixel * residual.pitch + at);
                        value = S::add(value, S::load_up_to(r, left));
                    }
                    if self.relu {
                        value = S::max(S::zero(), value);
                    }
                    S::store_up_to(self.y.at(pixel * channels + at), value, left);
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
