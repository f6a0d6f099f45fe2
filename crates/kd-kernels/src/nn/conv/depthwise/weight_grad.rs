//! The gradient of the weight of a convolution of each channel by itself.

use std::ops::Range;

use rayon::prelude::*;

use super::meetings::Meetings;
use crate::images::Images;
use crate::nn::conv::Geometry;
use crate::simd::{Isa, Kernel, Simd};

/// Most parts that the rows of all images are divided into. It does not depend on the number of threads, so neither
/// do the sums.
const PARTS: usize = 32;

/// Gradient `[channels, 1, kernel...]` of the weight.
pub(crate) fn weight_grad(isa: Isa, geometry: &Geometry, input: Images, grad: Images) -> Vec<f32> {
    assert!(geometry.is_depthwise(), "{geometry:?}");
    geometry.check(None, Some(input.size), Some(grad.size));
    let (taps, channels) = (geometry.taps(), geometry.outputs);
    let work = Work {
        input,
        grad,
        kernel_width: geometry.kernel[1],
        stride: geometry.stride[1],
        padding: geometry.padding[1],
        rows: Meetings::of_outputs(geometry, 0),
        columns: Meetings::of_outputs(geometry, 1),
    };
    let rows = grad.size.batch * grad.size.height;
    let parts = PARTS.min(rows.max(1));
    let mut partial = vec![0.0f32; parts * taps * channels];
    partial
        .par_chunks_mut(taps * channels)
        .enumerate()
        .for_each(|(part, sums)| {
            isa.run(WeightGrad {
                work: &work,
                rows: (part * rows / parts)..((part + 1) * rows / parts),
                sums,
            });
        });
    let mut total = vec![0.0; taps * channels];
    for (channel, total) in total.chunks_mut(taps).enumerate() {
        for (tap, total) in total.iter_mut().enumerate() {
            let index = tap * channels + channel;
            let parts = partial.chunks_exact(taps * channels);
            *total = parts.map(|part| part[index]).sum();
        }
    }
    total
}

/// What all parts share.
struct Work<'a> {
    input: Images<'a>,
    grad: Images<'a>,
    kernel_width: usize,
    /// Of columns, as the padding.
    stride: usize,
    padding: usize,
    /// For each row of the gradient, rows of taps and of the input that they meet.
    rows: Meetings,
    /// The same for each column.
    columns: Meetings,
}

/// Some rows of the gradient. The sums are a row of channels for each tap.
struct WeightGrad<'a> {
    work: &'a Work<'a>,
    rows: Range<usize>,
    sums: &'a mut [f32],
}

impl Kernel for WeightGrad<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // The usual widths, whose sums stay in registers.
        match self.work.kernel_width {
            3 => self.by_width::<S, 3>(s),
            5 => self.by_width::<S, 5>(s),
            7 => self.by_width::<S, 7>(s),
            _ => self.by_width::<S, 1>(s),
        }
    }
}

impl WeightGrad<'_> {
    #[inline(always)]
    fn by_width<S: Simd, const W: usize>(self, s: S) {
        let Self { work, rows, sums } = self;
        let (input, grad) = (work.input, work.grad);
        let (height, width, channels) = (grad.size.height, grad.size.width, grad.size.channels);
        // Columns between the edges, which meet all taps.
        let inner = match W == work.kernel_width {
            true => work.columns.inner(W),
            false => 0..0,
        };
        let edges = (0..inner.start).chain(inner.end..width);
        for row in rows {
            let from = row / height * input.size.height;
            for channel in (0..channels).step_by(S::LANES) {
                let left = channels - channel;
                // SAFETY: the gradient has every pixel of the row, and the input what they meet; both have the
                // channels that are left.
                let load = |images: &Images, pixel| unsafe { images.load(s, pixel, channel, left) };
                for met in work.rows.at(row % height) {
                    let line = (from + met.met) * input.size.width;
                    let tap = |j: usize| (met.tap * work.kernel_width + j) * channels + channel;
                    let mut found: [S::V; W] = std::array::from_fn(|_| s.zero());
                    for column in inner.clone() {
                        let dy = load(&grad, row * width + column);
                        let start = line + column * work.stride - work.padding;
                        for j in 0..W {
                            found[j] = s.fma(dy, load(&input, start + j), found[j]);
                        }
                    }
                    if !inner.is_empty() {
                        for j in 0..W {
                            add(s, &mut sums[tap(j)..][..left], found[j]);
                        }
                    }
                    for column in edges.clone() {
                        let dy = load(&grad, row * width + column);
                        for place in work.columns.at(column) {
                            let product = s.mul(dy, load(&input, line + place.met));
                            add(s, &mut sums[tap(place.tap)..][..left], product);
                        }
                    }
                }
            }
        }
    }
}

/// Adds to the first values of a slice, up to a register.
#[inline(always)]
fn add<S: Simd>(s: S, to: &mut [f32], v: S::V) {
    s.write(to, s.add(s.read(to), v));
}
