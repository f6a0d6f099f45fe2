//! Convolutions of each channel by itself: a register of channels at a time.

use rayon::prelude::*;

use super::padded::Padding;
use super::{Epilogue, Geometry};
use crate::images::{Images, OutPtr, Size};
use crate::simd::scratch;
use crate::simd::{Isa, Kernel, Simd};

/// Most parts of a batch; see `weight_grad`.
const PARTS: usize = 16;

/// The weight `[channels, 1, kernel...]` with the channels last.
fn channels_last(geometry: &Geometry, weight: &[f32]) -> Vec<f32> {
    let (taps, channels) = (geometry.taps(), geometry.outputs);
    let mut last = vec![0.0; taps * channels];
    for channel in 0..channels {
        for tap in 0..taps {
            last[tap * channels + channel] = weight[channel * taps + tap];
        }
    }
    last
}

/// Where the taps of a pixel lie in the padded image.
fn taps(geometry: &Geometry, padding: &Padding) -> Vec<usize> {
    (0..geometry.kernel[0])
        .flat_map(|i| (0..geometry.kernel[1]).map(move |j| (i, j)))
        .map(|(i, j)| (i * padding.width + j) * geometry.outputs)
        .collect()
}

/// `y = x ∗ w`, written over `y`, which is dense.
pub(crate) fn forward(
    isa: Isa,
    geometry: &Geometry,
    input: Images,
    weight: &[f32],
    epilogue: Epilogue,
    y: OutPtr,
) {
    let padding = Padding::of(geometry);
    let taps = taps(geometry, &padding);
    let output = geometry.output();
    assert!(geometry.is_depthwise(), "{geometry:?}");
    geometry.check(Some(weight), Some(input.size), None);
    let weight = channels_last(geometry, weight);
    epilogue.check(output);
    y.check(output.len());
    (0..output.batch).into_par_iter().for_each(|index| {
        scratch::with(padding.len(output.channels), |padded| {
            padding.copy(&input, index, padded);
            isa.run(Forward {
                padded,
                width: padding.width,
                stride: geometry.stride,
                taps: &taps,
                weight: &weight,
                output,
                start: index * output.area(),
                epilogue: &epilogue,
                y,
            });
        });
    });
}

struct Forward<'a> {
    padded: &'a [f32],
    width: usize,
    stride: [usize; 2],
    taps: &'a [usize],
    weight: &'a [f32],
    output: Size,
    start: usize,
    epilogue: &'a Epilogue<'a>,
    y: OutPtr,
}

impl Kernel for Forward<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: the taps of every pixel lie in the padded image, the pixels in the output.
        unsafe {
            if self.taps.len() == 9 {
                let taps: [usize; 9] = std::array::from_fn(|tap| self.taps[tap]);
                self.channels::<S>(&taps);
            } else {
                self.channels::<S>(self.taps);
            }
        }
    }
}

impl Forward<'_> {
    /// # Safety
    /// The processor has the instructions of `S`. The taps of every pixel of the output lie in the padded image, of which the
    /// weight has a row of channels for each; bias, residual and `y` have every pixel and channel of the output, and no
    /// other task writes those of the image.
    #[inline(always)]
    unsafe fn channels<S: Simd>(&self, taps: &[usize]) {
        let channels = self.output.channels;
        for channel in (0..channels).step_by(S::LANES) {
            let left = channels - channel;
            let weight = self.weight.as_ptr();
            for r in 0..self.output.height {
                for c in 0..self.output.width {
                    // SAFETY: the caller's promise; in the last register only `left` channels are touched.
                    unsafe {
                        let from =
                            (r * self.stride[0] * self.width + c * self.stride[1]) * channels;
                        let x = self.padded.as_ptr().add(from + channel);
                        let mut sum = S::zero();
                        for (tap, &offset) in taps.iter().enumerate() {
                            let w = S::load_up_to(weight.add(tap * channels + channel), left);
                            sum = S::fma(S::load_up_to(x.add(offset), left), w, sum);
                        }
                        let pixel = self.start + r * self.output.width + c;
                        let y = self.y.at(pixel * channels + channel);
                        self.epilogue.store::<S>(sum, pixel, channel, left, y);
                    }
                }
            }
        }
    }
}

/// The gradient of the input, written over `dx`, which is dense.
pub(crate) fn input_grad(
    isa: Isa,
    geometry: &Geometry,
    grad: Images,
    weight: &[f32],
    epilogue: Epilogue,
    dx: OutPtr,
) {
    let padding = Padding::of(geometry);
    let taps = taps(geometry, &padding);
    let input = geometry.input;
    assert!(geometry.is_depthwise(), "{geometry:?}");
    geometry.check(Some(weight), None, Some(grad.size));
    let weight = channels_last(geometry, weight);
    epilogue.check(input);
    dx.check(input.len());
    (0..input.batch).into_par_iter().for_each(|index| {
        scratch::with(padding.len(input.channels), |padded| {
            padded.fill(0.0);
            isa.run(InputGrad {
                padded: OutPtr::new(padded),
                padding: &padding,
                stride: geometry.stride,
                taps: &taps,
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

struct InputGrad<'a> {
    /// Where the gradient of the padded image is summed.
    padded: OutPtr,
    padding: &'a Padding,
    stride: [usize; 2],
    taps: &'a [usize],
    weight: &'a [f32],
    grad: Images<'a>,
    index: usize,
    input: Size,
    epilogue: &'a Epilogue<'a>,
    dx: OutPtr,
}

impl Kernel for InputGrad<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let size = self.grad.size;
        let channels = size.channels;
        for channel in (0..channels).step_by(S::LANES) {
            let left = channels - channel;
            for r in 0..size.height {
                for c in 0..size.width {
                    // SAFETY: the taps of every pixel lie in the padded image.
                    unsafe {
                        let pixel = self.index * size.area() + r * size.width + c;
                        let from = self
                            .grad
                            .data
                            .as_ptr()
                            .add(pixel * self.grad.pitch + channel);
                        let dy = S::load_up_to(from, left);
                        let to = r * self.stride[0] * self.padding.width + c * self.stride[1];
                        let to = to * channels;
                        for (tap, &offset) in self.taps.iter().enumerate() {
                            let weight = self.weight.as_ptr().add(tap * channels + channel);
                            let to = self.padded.at(to + channel + offset);
                            let sum = S::load_up_to(to, left);
                            let sum = S::fma(dy, S::load_up_to(weight, left), sum);
                            S::store_up_to(to, sum, left);
                        }
                    }
                }
            }
            for r in 0..self.input.height {
                for c in 0..self.input.width {
                    // SAFETY: the image lies within the padded one, and belongs to this task.
                    unsafe {
                        let row = (self.padding.top + r) * self.padding.width;
                        let from = (row + self.padding.left + c) * channels + channel;
                        let sum = S::load_up_to(self.padded.at(from), left);
                        let pixel = self.index * self.input.area() + r * self.input.width + c;
                        let to = self.dx.at(pixel * channels + channel);
                        self.epilogue.store::<S>(sum, pixel, channel, left, to);
                    }
                }
            }
        }
    }
}

/// Gradient `[channels, 1, kernel...]` of the weight.
pub(crate) fn weight_grad(isa: Isa, geometry: &Geometry, input: Images, grad: Images) -> Vec<f32> {
    assert!(geometry.is_depthwise(), "{geometry:?}");
    geometry.check(None, Some(input.size), Some(grad.size));
    let padding = Padding::of(geometry);
    let offsets = taps(geometry, &padding);
    let (taps, channels) = (offsets.len(), geometry.outputs);
    let batch = input.size.batch;
    let parts = PARTS.min(batch.max(1));
    let mut partial = vec![0.0f32; parts * taps * channels];
    partial
        .par_chunks_mut(taps * channels)
        .enumerate()
        .for_each(|(part, sums)| {
            for index in (part * batch / parts)..((part + 1) * batch / parts) {
                scratch::with(padding.len(channels), |padded| {
                    padding.copy(&input, index, padded);
                    isa.run(WeightGrad {
                        padded,
                        width: padding.width,
                        stride: geometry.stride,
                        taps: &offsets,
                        grad,
                        index,
                        sums: OutPtr::new(sums),
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

struct WeightGrad<'a> {
    padded: &'a [f32],
    width: usize,
    stride: [usize; 2],
    taps: &'a [usize],
    grad: Images<'a>,
    index: usize,
    sums: OutPtr,
}

impl Kernel for WeightGrad<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let size = self.grad.size;
        let channels = size.channels;
        for channel in (0..channels).step_by(S::LANES) {
            // Nine sums at a time stay in registers.
            for (block, taps) in self.taps.chunks(9).enumerate() {
                // SAFETY: the taps of every pixel lie in the padded image.
                unsafe {
                    match <&[usize; 9]>::try_from(taps) {
                        Ok(nine) => self.sum::<S, 9>(nine, block * 9, channel),
                        Err(_) => {
                            for (tap, offset) in taps.iter().enumerate() {
                                self.sum::<S, 1>(&[*offset], block * 9 + tap, channel);
                            }
                        }
                    }
                }
            }
        }
    }
}

impl WeightGrad<'_> {
    /// # Safety
    /// The processor has the instructions of `S`. The taps of every pixel of the gradient lie in the padded image, the gradient has
    /// the image, and the sums have the taps from `first` on and all channels.
    #[inline(always)]
    unsafe fn sum<S: Simd, const T: usize>(&self, taps: &[usize; T], first: usize, channel: usize) {
        let size = self.grad.size;
        let channels = size.channels;
        let left = channels - channel;
        // SAFETY: the caller's promise; in the last register only `left` channels are touched.
        unsafe {
            let mut sums = [S::zero(); T];
            for r in 0..size.height {
                for c in 0..size.width {
                    let pixel = self.index * size.area() + r * size.width + c;
                    let from = self
                        .grad
                        .data
                        .as_ptr()
                        .add(pixel * self.grad.pitch + channel);
                    let dy = S::load_up_to(from, left);
                    let from = (r * self.stride[0] * self.width + c * self.stride[1]) * channels;
                    let x = self.padded.as_ptr().add(from + channel);
                    for tap in 0..T {
                        let value = S::load_up_to(x.add(taps[tap]), left);
                        sums[tap] = S::fma(dy, value, sums[tap]);
                    }
                }
            }
            for (tap, sum) in sums.into_iter().enumerate() {
                let to = self.sums.at((first + tap) * channels + channel);
                let sum = S::add(S::load_up_to(to, left), sum);
                S::store_up_to(to, sum, left);
            }
        }
    }
}
