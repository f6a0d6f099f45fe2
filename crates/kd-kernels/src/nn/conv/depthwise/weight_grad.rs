//! The gradients of a convolution of each channel by itself.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::Reads;
use crate::images::{Images, OutPtr, Size};
use crate::nn::conv::{Epilogue, Geometry};
use crate::simd::scratch;
use crate::simd::{Isa, Kernel, Simd};

/// Most parts of a batch; see `weight_grad`.
const PARTS: usize = 16;
/// Taps whose sums stay in registers at a time.
const TAPS: usize = 9;

/// The gradient of the input, written over `dx`, which is dense.
pub(crate) fn input_grad(
    isa: Isa,
    geometry: &Geometry,
    grad: Images,
    weight: &[f32],
    epilogue: Epilogue,
    dx: &mut [MaybeUninit<f32>],
) {
    let reads = Reads::of(geometry);
    let input = geometry.input;
    geometry.check(Some(weight), None, Some(grad.size));
    let weight = reads.channels_last(weight);
    epilogue.check(input);
    let dx = OutPtr::new(dx, input.len());
    (0..input.batch).into_par_iter().for_each(|index| {
        scratch::with(reads.len(), |padded| {
            padded.fill(0.0);
            isa.run(InputGrad {
                reads: &reads,
                padded,
                weight: &weight,
                grad,
                index,
                input,
                epilogue: &epilogue,
                dx,
            });
        });
    });
}

/// An image, whose pixels in `dx` no other task writes. The weight has a row of channels for each tap.
struct InputGrad<'a> {
    reads: &'a Reads,
    /// Where the gradient of the padded image is summed.
    padded: &'a mut [f32],
    weight: &'a [f32],
    grad: Images<'a>,
    index: usize,
    input: Size,
    epilogue: &'a Epilogue<'a>,
    dx: OutPtr,
}

impl Kernel for InputGrad<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (size, padding) = (self.grad.size, &self.reads.padding);
        let channels = size.channels;
        let padded = self.padded.as_mut_ptr();
        let [down, across] = self.reads.steps();
        for channel in (0..channels).step_by(S::LANES) {
            let left = channels - channel;
            for r in 0..size.height {
                for c in 0..size.width {
                    let pixel = self.index * size.area() + r * size.width + c;
                    let first = r * down + c * across + channel;
                    // SAFETY: the gradient has the pixel, whose taps lie in the padded image, and each tap has a row
                    // of weights; of the last register only the channels that are left are touched.
                    unsafe {
                        let dy = self.grad.load(s, pixel, channel, left);
                        for (tap, &offset) in self.reads.taps.iter().enumerate() {
                            let weight = self.weight.as_ptr().add(tap * channels + channel);
                            let to = padded.add(first + offset);
                            let sum = s.load_up_to(to, left);
                            let sum = s.fma(dy, s.load_up_to(weight, left), sum);
                            s.store_up_to(to, sum, left);
                        }
                    }
                }
            }
            for r in 0..self.input.height {
                for c in 0..self.input.width {
                    let row = (padding.top + r) * padding.width;
                    let from = (row + padding.left + c) * channels + channel;
                    let pixel = self.index * self.input.area() + r * self.input.width + c;
                    // SAFETY: the image lies within the padded one, and this task alone writes its pixels.
                    unsafe {
                        let sum = s.load_up_to(padded.add(from), left);
                        let to = self.dx.at(pixel * channels + channel);
                        self.epilogue.store(s, sum, pixel, channel, left, to);
                    }
                }
            }
        }
    }
}

/// Gradient `[channels, 1, kernel...]` of the weight.
pub(crate) fn weight_grad(isa: Isa, geometry: &Geometry, input: Images, grad: Images) -> Vec<f32> {
    let reads = Reads::of(geometry);
    geometry.check(None, Some(input.size), Some(grad.size));
    let (taps, channels) = (reads.taps.len(), reads.channels);
    let batch = input.size.batch;
    let parts = PARTS.min(batch.max(1));
    let mut partial = vec![0.0f32; parts * taps * channels];
    partial
        .par_chunks_mut(taps * channels)
        .enumerate()
        .for_each(|(part, sums)| {
            for index in (part * batch / parts)..((part + 1) * batch / parts) {
                scratch::with(reads.len(), |padded| {
                    reads.padding.copy(&input, index, padded);
                    isa.run(WeightGrad {
                        reads: &reads,
                        padded,
                        grad,
                        index,
                        sums: &mut *sums,
                    });
                });
            }
        });
    let mut total = vec![0.0; taps * channels];
    for (channel, total) in total.chunks_mut(taps).enumerate() {
        for (tap, total) in total.iter_mut().enumerate() {
            let index = tap * channels + channel;
            *total = (0..parts)
                .map(|part| partial[part * taps * channels + index])
                .sum();
        }
    }
    total
}

/// An image. The sums are a row of channels for each tap.
struct WeightGrad<'a> {
    reads: &'a Reads,
    padded: &'a [f32],
    grad: Images<'a>,
    index: usize,
    sums: &'a mut [f32],
}

impl Kernel for WeightGrad<'_> {
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let reads = self.reads;
        for channel in (0..reads.channels).step_by(S::LANES) {
            for (block, taps) in reads.taps.chunks(TAPS).enumerate() {
                let first = block * TAPS;
                match <&[usize; TAPS]>::try_from(taps) {
                    Ok(all) => self.sum(s, all, first, channel),
                    Err(_) => {
                        for (tap, offset) in taps.iter().enumerate() {
                            self.sum(s, &[*offset], first + tap, channel);
                        }
                    }
                }
            }
        }
    }
}

impl WeightGrad<'_> {
    /// Adds to the sums of some taps, of which `first` is the first.
    #[inline(always)]
    fn sum<S: Simd, const T: usize>(
        &mut self,
        s: S,
        taps: &[usize; T],
        first: usize,
        channel: usize,
    ) {
        let size = self.grad.size;
        let channels = size.channels;
        let left = channels - channel;
        let [down, across] = self.reads.steps();
        let mut sums = [s.zero(); T];
        for r in 0..size.height {
            for c in 0..size.width {
                let pixel = self.index * size.area() + r * size.width + c;
                let from = r * down + c * across + channel;
                // SAFETY: the gradient has the pixel, whose taps lie in the padded image; of the last register only
                // the channels that are left are read.
                unsafe {
                    let dy = self.grad.load(s, pixel, channel, left);
                    let x = self.padded.as_ptr().add(from);
                    for tap in 0..T {
                        let value = s.load_up_to(x.add(taps[tap]), left);
                        sums[tap] = s.fma(dy, value, sums[tap]);
                    }
                }
            }
        }
        for (tap, sum) in sums.into_iter().enumerate() {
            let to = &mut self.sums[(first + tap) * channels..][..channels][channel..];
            let sum = s.add(s.read(to), sum);
            s.write(to, sum);
        }
    }
}
