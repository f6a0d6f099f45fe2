//! Convolutions of each channel by itself: a row of pixels at a time, some registers of channels at a time.
//!
//! Nothing is copied: what lies outside of the image is left out of the sums. The gradient of the input is the same
//! sum, of the gradient that the taps meet.

use std::mem::MaybeUninit;

use super::{Epilogue, Geometry};
use crate::images::{Images, Size};
use crate::simd::by_channel::{ByChannel, left};
use crate::simd::chunks;
use crate::simd::{Isa, Kernel, Simd};

mod meetings;
mod weight_grad;

use self::meetings::{Meeting, Meetings};
pub(crate) use self::weight_grad::weight_grad;

/// `y = x ∗ w`, written over `y`, which is dense.
pub(crate) fn forward(
    isa: Isa,
    geometry: &Geometry,
    input: Images,
    weight: &[f32],
    epilogue: Epilogue,
    y: &mut [MaybeUninit<f32>],
) {
    geometry.check(Some(weight), Some(input.size), None);
    let meetings = [0, 1].map(|axis| Meetings::of_outputs(geometry, axis));
    let sums = Sums::new(geometry, input, weight, meetings, geometry.output());
    sums.run(isa, epilogue, y);
}

/// The gradient of the input, written over `dx`, which is dense.
pub(crate) fn input_grad(
    isa: Isa,
    geometry: &Geometry,
    grad: Images,
    weight: &[f32],
    epilogue: Epilogue,
    dx: &mut [MaybeUninit<f32>],
) {
    geometry.check(Some(weight), None, Some(grad.size));
    let meetings = [0, 1].map(|axis| Meetings::of_outputs(geometry, axis).turned());
    let sums = Sums::new(geometry, grad, weight, meetings, geometry.input);
    sums.run(isa, epilogue, dx);
}

/// For each pixel of the output a sum over the taps that meet something.
struct Sums<'a> {
    from: Images<'a>,
    /// The weight with the channels last: a row of them for each tap.
    weight: Vec<f32>,
    output: Size,
    /// For each row of the output, where the taps of a column and what they meet begin: in values of the weight, and
    /// of an image.
    rows: Vec<Vec<Meeting>>,
    /// The same for each column, along a row.
    columns: Vec<Vec<Meeting>>,
}

impl<'a> Sums<'a> {
    /// # Panics
    /// When channels are not convolved by themselves.
    fn new(
        geometry: &Geometry,
        from: Images<'a>,
        weight: &[f32],
        [rows, columns]: [Meetings; 2],
        output: Size,
    ) -> Self {
        assert!(geometry.is_depthwise(), "{geometry:?}");
        let (taps, channels) = (geometry.taps(), geometry.outputs);
        let mut last = vec![0.0; taps * channels];
        for (channel, weight) in weight.chunks_exact(taps).enumerate() {
            for (tap, weight) in weight.iter().enumerate() {
                last[tap * channels + channel] = *weight;
            }
        }
        Self {
            from,
            weight: last,
            output,
            rows: rows.scaled(geometry.kernel[1] * channels, from.size.width * from.pitch),
            columns: columns.scaled(channels, from.pitch),
        }
    }

    fn run(&self, isa: Isa, epilogue: Epilogue, y: &mut [MaybeUninit<f32>]) {
        let output = self.output;
        epilogue.check(output);
        chunks::each_row(output, y, |row, y| {
            isa.run(Row {
                sums: self,
                from: self.from.image(row / output.height),
                rows: &self.rows[row % output.height],
                first: row * output.width,
                epilogue: &epilogue,
                y,
            });
        });
    }
}

/// A row of the output.
struct Row<'a> {
    sums: &'a Sums<'a>,
    /// The image that is read.
    from: &'a [f32],
    /// What the rows of taps meet.
    rows: &'a [Meeting],
    /// Place of the first pixel among all pixels of the output.
    first: usize,
    epilogue: &'a Epilogue<'a>,
    y: &'a mut [MaybeUninit<f32>],
}

impl Kernel for Row<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.every_block(s);
    }
}

impl ByChannel for Row<'_> {
    fn channels(&self) -> usize {
        self.sums.output.channels
    }

    #[inline(always)]
    fn block<S: Simd, const Z: usize>(&mut self, s: S, channel: usize) {
        let channels = self.sums.output.channels;
        let left = left::<S, Z>(channels, channel);
        let (from, weight) = (self.from.as_ptr(), self.sums.weight.as_ptr());
        let y = self.y.as_mut_ptr().cast::<f32>();
        for (column, met) in self.sums.columns.iter().enumerate() {
            let mut sums = [s.zero(); Z];
            for row in self.rows {
                for place in met {
                    // SAFETY: what the taps meet are pixels of the image, each tap has a row of weights, and both have
                    // the channels that are left.
                    unsafe {
                        let x = from.add(row.met + place.met + channel);
                        let w = weight.add(row.tap + place.tap + channel);
                        for z in 0..Z {
                            let at = z * S::LANES;
                            let w = s.load_up_to(w.add(at), left);
                            sums[z] = s.fma(s.load_up_to(x.add(at), left), w, sums[z]);
                        }
                    }
                }
            }
            for z in 0..Z {
                let at = channel + z * S::LANES;
                // SAFETY: the output has the pixel and the channels that are left, and `y` this row of it.
                unsafe {
                    let y = y.add(column * channels + at);
                    self.epilogue
                        .store(s, sums[z], self.first + column, at, left, y);
                    if self.epilogue.is_curved() {
                        self.epilogue.bend(s, left, y);
                    }
                }
            }
        }
    }
}
