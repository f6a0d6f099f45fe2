//! Convolutions of each channel by itself: a register of channels at a time.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::padded::Padding;
use super::{Epilogue, Geometry};
use crate::images::{Images, OutPtr, Size};
use crate::simd::scratch;
use crate::simd::{Isa, Kernel, Simd};

mod grad;

pub(crate) use grad::{input_grad, weight_grad};

/// What a pixel of the output reads of the padded image.
struct Reads {
    padding: Padding,
    stride: [usize; 2],
    channels: usize,
    /// Where the taps of a pixel lie, from its first.
    taps: Vec<usize>,
}

impl Reads {
    /// # Panics
    /// When channels are not convolved by themselves.
    fn of(geometry: &Geometry) -> Self {
        assert!(geometry.is_depthwise(), "{geometry:?}");
        let (padding, channels) = (Padding::of(geometry), geometry.outputs);
        let [rows, columns] = geometry.kernel;
        let taps = (0..rows).flat_map(|i| (0..columns).map(move |j| i * padding.width + j));
        Self {
            padding,
            stride: geometry.stride,
            channels,
            taps: taps.map(|tap| tap * channels).collect(),
        }
    }

    /// Values of the padded image.
    fn len(&self) -> usize {
        self.padding.len(self.channels)
    }

    /// How far it is from the first tap of a pixel to that of the pixel below, and of the next one.
    #[inline(always)]
    fn steps(&self) -> [usize; 2] {
        let [down, across] = self.stride;
        [down * self.padding.width, across].map(|pixels| pixels * self.channels)
    }

    /// The weight `[channels, 1, kernel...]` with the channels last.
    fn channels_last(&self, weight: &[f32]) -> Vec<f32> {
        let (taps, channels) = (self.taps.len(), self.channels);
        let mut last = vec![0.0; taps * channels];
        for channel in 0..channels {
            for tap in 0..taps {
                last[tap * channels + channel] = weight[channel * taps + tap];
            }
        }
        last
    }
}

/// `y = x ∗ w`, written over `y`, which is dense.
pub(crate) fn forward(
    isa: Isa,
    geometry: &Geometry,
    input: Images,
    weight: &[f32],
    epilogue: Epilogue,
    y: &mut [MaybeUninit<f32>],
) {
    let reads = Reads::of(geometry);
    let output = geometry.output();
    geometry.check(Some(weight), Some(input.size), None);
    let weight = reads.channels_last(weight);
    epilogue.check(output);
    let y = OutPtr::new(y, output.len());
    (0..output.batch).into_par_iter().for_each(|index| {
        scratch::with(reads.len(), |padded| {
            reads.padding.copy(&input, index, padded);
            isa.run(Forward {
                reads: &reads,
                padded,
                weight: &weight,
                output,
                start: index * output.area(),
                epilogue: &epilogue,
                y,
            });
        });
    });
}

/// An image, whose pixels in `y` no other task writes. The weight has a row of channels for each tap.
struct Forward<'a> {
    reads: &'a Reads,
    padded: &'a [f32],
    weight: &'a [f32],
    output: Size,
    start: usize,
    epilogue: &'a Epilogue<'a>,
    y: OutPtr,
}

impl Kernel for Forward<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match <&[usize; 9]>::try_from(&self.reads.taps[..]) {
            // The usual number, which unrolls the loop over them.
            Ok(nine) => self.channels(s, &{ *nine }),
            Err(_) => self.channels(s, &self.reads.taps),
        }
    }
}

impl Forward<'_> {
    #[inline(always)]
    fn channels<S: Simd>(&self, s: S, taps: &[usize]) {
        let channels = self.output.channels;
        let [down, across] = self.reads.steps();
        for channel in (0..channels).step_by(S::LANES) {
            let left = channels - channel;
            let weight = self.weight.as_ptr();
            for r in 0..self.output.height {
                for c in 0..self.output.width {
                    let from = r * down + c * across + channel;
                    // SAFETY: the taps of every pixel of the output lie in the padded image, and each has a row of
                    // weights; of the last register only the channels that are left are touched.
                    unsafe {
                        let x = self.padded.as_ptr().add(from);
                        let mut sum = s.zero();
                        for (tap, &offset) in taps.iter().enumerate() {
                            let w = s.load_up_to(weight.add(tap * channels + channel), left);
                            sum = s.fma(s.load_up_to(x.add(offset), left), w, sum);
                        }
                        let pixel = self.start + r * self.output.width + c;
                        let y = self.y.at(pixel * channels + channel);
                        self.epilogue.store(s, sum, pixel, channel, left, y);
                    }
                }
            }
        }
    }
}
