//! Convolutions of each channel by itself: a row of pixels at a time, some registers of channels at a time.
//!
//! Nothing is copied: what lies outside of the image is left out of the sums. Between the edges of a row, a kernel of three
//! columns keeps its weights in registers. The gradient of the input is the same sum, of the gradient that the taps meet.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::{Epilogue, Geometry};
use crate::images::{Images, Size};
use crate::simd::by_channel::{ByChannel, left};
use crate::simd::{Isa, Kernel, Simd};
use crate::tasks;

mod meetings;
mod weight_grad;

use self::meetings::{Meeting, Meetings};
pub(crate) use self::weight_grad::weight_grad;

/// Tasks for each thread, which does not have the processor to itself.
const TURNS: usize = 4;

/// Taps in a row whose weights stay in registers, and rows of them.
const KEPT: usize = 3;

/// A multiply-add of one channel by itself takes as long as so many of a product of matrices.
const SLOWER: usize = 4;

/// The weight `[channels, 1, kernel...]` with the channels last: a row of them for each tap.
pub(super) fn weights(geometry: &Geometry, weight: &[f32]) -> Vec<f32> {
    geometry.check(Some(weight), None, None);
    let (taps, channels) = (geometry.taps(), geometry.outputs);
    let mut last = vec![0.0; taps * channels];
    for (channel, weight) in weight.chunks_exact(taps).enumerate() {
        for (tap, weight) in weight.iter().enumerate() {
            last[tap * channels + channel] = *weight;
        }
    }
    last
}

/// `y = x ∗ w`, written over `y`, which is dense, with the [`weights`].
pub(super) fn forward(
    isa: Isa,
    geometry: &Geometry,
    input: Images,
    weights: &[f32],
    epilogue: Epilogue,
    y: &mut [MaybeUninit<f32>],
) {
    geometry.check(Some(weights), Some(input.size), None);
    let meetings = [0, 1].map(|axis| Meetings::of_outputs(geometry, axis));
    let sums = Sums::new(geometry, input, weights, meetings, geometry.output());
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
    let meetings = [0, 1].map(|axis| Meetings::of_inputs(geometry, axis));
    let weights = weights(geometry, weight);
    let sums = Sums::new(geometry, grad, &weights, meetings, geometry.input);
    sums.run(isa, epilogue, dx);
}

/// For each pixel of the output a sum over the taps that meet something.
struct Sums<'a> {
    from: Images<'a>,
    weights: &'a [f32],
    output: Size,
    /// For each row of the output, where the taps of a column and what they meet begin: in values of the weight, and
    /// of an image.
    rows: Meetings,
    /// The same for each column, along a row.
    columns: Meetings,
    /// Columns that meet [`KEPT`] taps, the same ones each, and values from what one meets to what the next one does.
    inner: Range<usize>,
    step: usize,
}

impl<'a> Sums<'a> {
    /// # Panics
    /// When channels are not convolved by themselves.
    fn new(
        geometry: &Geometry,
        from: Images<'a>,
        weights: &'a [f32],
        [rows, columns]: [Meetings; 2],
        output: Size,
    ) -> Self {
        assert!(geometry.is_depthwise(), "{geometry:?}");
        let channels = geometry.outputs;
        let inner = match geometry.kernel[1] {
            KEPT => columns.inner(KEPT),
            _ => 0..0,
        };
        let columns = columns.scaled(channels, from.pitch);
        let met = |column: usize| columns.at(column)[0].met;
        let step = match inner.len() {
            0 | 1 => 0,
            _ => met(inner.start + 1) - met(inner.start),
        };
        Self {
            from,
            weights,
            output,
            rows: rows.scaled(geometry.kernel[1] * channels, from.size.width * from.pitch),
            columns,
            inner,
            step,
        }
    }

    fn run(&self, isa: Isa, epilogue: Epilogue, y: &mut [MaybeUninit<f32>]) {
        let output = self.output;
        epilogue.check(output);
        assert_eq!(y.len(), output.len(), "a place for each value");
        let taps = self.weights.len() / output.channels.max(1);
        let len = (output.width * output.channels).max(1);
        let tasks = match tasks::worth(SLOWER * output.len() * taps) {
            1 => 1,
            threads => TURNS * threads,
        };
        let rows = (y.len() / len).div_ceil(tasks).max(1);
        tasks::each_chunk(y, rows * len, |task, y| {
            isa.run(Rows {
                sums: self,
                first: task * rows,
                epilogue: &epilogue,
                y,
            });
        });
    }
}

/// Some rows of the output, one after the other, whichever image they belong to.
struct Rows<'a> {
    sums: &'a Sums<'a>,
    first: usize,
    epilogue: &'a Epilogue<'a>,
    y: &'a mut [MaybeUninit<f32>],
}

impl Kernel for Rows<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Size {
            height,
            width,
            channels,
            ..
        } = self.sums.output;
        let rows = self.y.chunks_mut((width * channels).max(1));
        for (row, y) in (self.first..).zip(rows) {
            let row = Row {
                sums: self.sums,
                from: self.sums.from.image(row / height),
                rows: self.sums.rows.at(row % height),
                first: row * width,
                epilogue: self.epilogue,
                y,
            };
            row.every_block(s);
        }
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

impl ByChannel for Row<'_> {
    fn channels(&self) -> usize {
        self.sums.output.channels
    }

    #[inline(always)]
    fn block<S: Simd, const Z: usize>(&mut self, s: S, channel: usize) {
        let left = left::<S, Z>(self.sums.output.channels, channel);
        let inner = match self.rows.len() {
            1..=KEPT => self.sums.inner.clone(),
            _ => 0..0,
        };
        for z in 0..Z {
            let channel = channel + z * S::LANES;
            match self.rows.len() {
                _ if inner.is_empty() => {}
                1 => self.kept::<S, 1>(s, channel, left),
                2 => self.kept::<S, 2>(s, channel, left),
                _ => self.kept::<S, KEPT>(s, channel, left),
            }
        }
        for column in (0..inner.start).chain(inner.end..self.sums.columns.places()) {
            self.column::<S, Z>(s, column, channel, left);
        }
    }
}

impl Row<'_> {
    /// A register of channels of the inner columns, in `R` rows.
    #[inline(always)]
    fn kept<S: Simd, const R: usize>(&mut self, s: S, channel: usize, left: usize) {
        // Of a number that is known here, loads and stores of whole registers are one instruction.
        match left >= S::LANES {
            true => self.kept_up_to::<S, R>(s, channel, S::LANES),
            false => self.kept_up_to::<S, R>(s, channel, left),
        }
    }

    #[inline(always)]
    fn kept_up_to<S: Simd, const R: usize>(&mut self, s: S, channel: usize, left: usize) {
        let sums = self.sums;
        let places = &sums.columns.at(sums.inner.start)[..KEPT];
        let rows = &self.rows[..R];
        let mut weights = [[s.zero(); KEPT]; R];
        let mut x = [[self.from.as_ptr(); KEPT]; R];
        for r in 0..R {
            for j in 0..KEPT {
                let tap = rows[r].tap + places[j].tap + channel;
                // SAFETY: each tap has a row of weights with the channels that are left, and what it meets are pixels
                // of the image with as many.
                unsafe {
                    weights[r][j] = s.load_up_to(sums.weights.as_ptr().add(tap), left);
                    x[r][j] = x[r][j].add(rows[r].met + places[j].met + channel);
                }
            }
        }
        for (place, column) in sums.inner.clone().enumerate() {
            let mut sum = s.zero();
            for r in 0..R {
                for j in 0..KEPT {
                    // SAFETY: one column further, a tap of the inner columns meets what is so much further.
                    let x = unsafe { s.load_up_to(x[r][j].add(place * sums.step), left) };
                    sum = s.fma(x, weights[r][j], sum);
                }
            }
            self.store(s, sum, column, channel, left);
        }
    }

    /// `Z` registers of channels of any column.
    #[inline(always)]
    fn column<S: Simd, const Z: usize>(
        &mut self,
        s: S,
        column: usize,
        channel: usize,
        left: usize,
    ) {
        let (from, weight) = (self.from.as_ptr(), self.sums.weights.as_ptr());
        let mut sums = [s.zero(); Z];
        for row in self.rows {
            for place in self.sums.columns.at(column) {
                // SAFETY: what the taps meet are pixels of the image, each tap has a row of weights, and both have the
                // channels that are left.
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
            self.store(s, sums[z], column, channel + z * S::LANES, left);
        }
    }

    /// Finishes and stores up to a register of the channels of a pixel.
    #[inline(always)]
    fn store<S: Simd>(&mut self, s: S, sum: S::V, column: usize, channel: usize, left: usize) {
        let y = self.y.as_mut_ptr().cast::<f32>();
        // SAFETY: the output has the pixel and the channels that are left, and `y` this row of it.
        unsafe {
            let y = y.add(column * self.sums.output.channels + channel);
            self.epilogue
                .store(s, sum, self.first + column, channel, left, y);
            if self.epilogue.is_curved() {
                self.epilogue.bend(s, left, y);
            }
        }
    }
}
