//! Convolutions of each channel by itself: a register of channels at a time.

use std::mem::MaybeUninit;

use super::padded::Padding;
use super::{Epilogue, Geometry};
use crate::images::{Images, OutPtr, Size};
use crate::simd::scratch;
use crate::simd::{Isa, Kernel, Simd};
use crate::tasks;

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
        Self::of_channels(geometry, geometry.outputs)
    }

    /// Of a padded image that has some of the channels.
    fn of_channels(geometry: &Geometry, channels: usize) -> Self {
        let padding = Padding::of(geometry);
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

/// A multiply-add of one channel by itself takes as long as so many of a product of matrices.
const SLOWER: usize = 4;

/// The weight `[channels, 1, kernel...]` for [`forward`].
pub(super) fn weights(geometry: &Geometry, weight: &[f32]) -> Vec<f32> {
    geometry.check(Some(weight), None, None);
    Reads::of(geometry).channels_last(weight)
}

/// `y = x ∗ w`, written over `y`, which is dense. The weight has a row of channels for each tap.
pub(super) fn forward(
    isa: Isa,
    geometry: &Geometry,
    input: Images,
    weight: &[f32],
    epilogue: Epilogue,
    y: &mut [MaybeUninit<f32>],
) {
    assert!(geometry.is_depthwise(), "{geometry:?}");
    let output = geometry.output();
    geometry.check(Some(weight), Some(input.size), None);
    epilogue.check(output);
    let y = OutPtr::new(y, output.len());
    let wanted = tasks::worth(SLOWER * output.len() * geometry.taps());
    // Some channels of an image are a task.
    let registers = output.channels.div_ceil(isa.lanes());
    let each = registers.div_ceil(wanted.div_ceil(output.batch.max(1)));
    let each = each.max(1) * isa.lanes();
    let parts = output.channels.div_ceil(each);
    tasks::each(output.batch * parts, |task| {
        let (index, first) = (task / parts, task % parts * each);
        let channels = each.min(output.channels - first);
        let reads = Reads::of_channels(geometry, channels);
        let size = Size {
            channels,
            ..input.size
        };
        let some = Images::with_pitch(&input.data[first..], size, input.pitch);
        scratch::with(reads.len(), |padded| {
            reads.padding.copy(&some, index, padded);
            isa.run(Forward {
                reads: &reads,
                padded,
                weight,
                first,
                output,
                start: index * output.area(),
                epilogue: &epilogue,
                y,
            });
        });
    });
}

/// Some channels of an image, which no other task writes in `y`. The weight has a row of all channels for each tap.
struct Forward<'a> {
    reads: &'a Reads,
    padded: &'a [f32],
    weight: &'a [f32],
    /// The first channel; those of the padded image are the ones from there on.
    first: usize,
    output: Size,
    start: usize,
    epilogue: &'a Epilogue<'a>,
    y: OutPtr,
}

impl Kernel for Forward<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for channel in (0..self.reads.channels).step_by(S::LANES) {
            match <&[usize; NINE]>::try_from(&self.reads.taps[..]) {
                // The usual number: their weights stay in registers.
                Ok(taps) => {
                    let weights: [S::V; NINE] =
                        std::array::from_fn(|tap| self.weight(s, tap, channel));
                    self.register(s, taps, channel, |tap| weights[tap]);
                }
                Err(_) => {
                    let weight = |tap| self.weight(s, tap, channel);
                    self.register(s, &self.reads.taps, channel, weight);
                }
            }
        }
    }
}

/// Taps of the usual kernel.
const NINE: usize = 9;

impl Forward<'_> {
    /// The weights of a tap, from a channel of the padded image on.
    #[inline(always)]
    fn weight<S: Simd>(&self, s: S, tap: usize, channel: usize) -> S::V {
        let row = &self.weight[tap * self.output.channels..][..self.output.channels];
        s.read(&row[self.first + channel..])
    }

    /// A register of channels, from a channel of the padded image on.
    #[inline(always)]
    fn register<S: Simd>(
        &self,
        s: S,
        taps: &[usize],
        channel: usize,
        weight: impl Fn(usize) -> S::V,
    ) {
        match self.reads.channels - channel {
            left if left >= S::LANES => {
                // SAFETY: whoever asks has a register of channels there.
                self.pixels(s, taps, channel, weight, |from| unsafe { s.load(from) });
            }
            // SAFETY: whoever asks has so many channels there.
            left => self.pixels(s, taps, channel, weight, |from| unsafe {
                s.load_up_to(from, left)
            }),
        }
    }

    /// The register at every pixel. What `load` reads are the channels of the padded image from `channel` on, of the
    /// pixel where it is told to.
    #[inline(always)]
    fn pixels<S: Simd>(
        &self,
        s: S,
        taps: &[usize],
        channel: usize,
        weight: impl Fn(usize) -> S::V,
        load: impl Fn(*const f32) -> S::V,
    ) {
        let [down, across] = self.reads.steps();
        let left = self.reads.channels - channel;
        let at = self.first + channel;
        for r in 0..self.output.height {
            for c in 0..self.output.width {
                let from = r * down + c * across + channel;
                // SAFETY: the taps of every pixel of the output lie in the padded image; of the last register only the
                // channels that are left are touched.
                unsafe {
                    let x = self.padded.as_ptr().add(from);
                    let mut sum = s.zero();
                    for (tap, &offset) in taps.iter().enumerate() {
                        sum = s.fma(load(x.add(offset)), weight(tap), sum);
                    }
                    let pixel = self.start + r * self.output.width + c;
                    let y = self.y.at(pixel * self.output.channels + at);
                    self.epilogue.store(s, sum, pixel, at, left, y);
                }
            }
        }
    }
}
