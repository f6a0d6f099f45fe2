//! Direct convolution: a tile of pixels × channels stays in registers while the values under the
//! kernel pass by. No matrix is built. The same kernel gives the forward pass of any kernel size,
//! stride and group, and the gradient of its input.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::pack::Packed;
use super::padded::Padding;
use super::{Epilogue, Geometry};
use crate::images::{Images, OutPtr, Size};
use crate::simd::Isa;
use crate::simd::scratch;

mod phases;
mod tiles;

use self::phases::Phases;
use self::tiles::{Places, Tiles};

/// Pixels that a task of a pointwise convolution takes.
const POINTWISE: usize = 256;

/// One product of values and weights, for some of the pixels and channels of the output.
struct Pass {
    /// Where the values of a pixel lie, from its source.
    rows: Vec<u32>,
    weights: Packed,
    /// For every output pixel, where its values begin in the padded image.
    sources: Vec<u32>,
    /// For every output pixel, its place among the pixels of the output image.
    targets: Vec<u32>,
    /// First output channel.
    first: usize,
}

/// What all passes of a call share.
struct Job<'a> {
    isa: Isa,
    input: Images<'a>,
    padding: Padding,
    output: Size,
    epilogue: Epilogue<'a>,
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
    geometry.check(Some(weight), Some(input.size), None);
    let (inputs, outputs) = (geometry.group_inputs(), geometry.group_outputs());
    let [down, across] = geometry.stride;
    let job = Job {
        isa,
        input,
        padding: Padding::of(geometry),
        output: geometry.output(),
        epilogue,
    };
    let output = job.output;
    let pass = |group| Pass {
        rows: job.rows(pixels(geometry.kernel), group * inputs, inputs),
        weights: Packed::new(
            [geometry.taps(), inputs],
            outputs,
            isa.lanes(),
            |tap, input, column| {
                weight[geometry.weight_index(group * outputs + column, input, tap)]
            },
        ),
        sources: pixels([output.height, output.width])
            .map(|(r, c)| job.place(r * down, c * across) as u32)
            .collect(),
        targets: (0..output.area() as u32).collect(),
        first: group * outputs,
    };
    job.check();
    let passes: Vec<Pass> = (0..geometry.groups).map(pass).collect();
    job.run(geometry, &passes, y);
}

/// The gradient of the input, written over `dx`, which is dense: for every phase of the stride the
/// taps that meet it.
pub(crate) fn input_grad(
    isa: Isa,
    geometry: &Geometry,
    grad: Images,
    weight: &[f32],
    epilogue: Epilogue,
    dx: &mut [MaybeUninit<f32>],
) {
    geometry.check(Some(weight), None, Some(grad.size));
    let (inputs, outputs) = (geometry.group_inputs(), geometry.group_outputs());
    let [vertical, horizontal] = [0, 1].map(|axis| Phases::new(geometry, axis));
    let job = Job {
        isa,
        input: grad,
        padding: Padding {
            top: vertical.before,
            left: horizontal.before,
            height: vertical.before + grad.size.height + vertical.after,
            width: horizontal.before + grad.size.width + horizontal.after,
        },
        output: geometry.input,
        epilogue,
    };
    job.check();
    let output = job.output;
    let mut passes = Vec::new();
    for (top, rows) in vertical.taps.iter().enumerate() {
        for (left, columns) in horizontal.taps.iter().enumerate() {
            let places = || {
                (top..output.height)
                    .step_by(geometry.stride[0])
                    .enumerate()
                    .flat_map(move |(r, y)| {
                        (left..output.width)
                            .step_by(geometry.stride[1])
                            .enumerate()
                            .map(move |(c, x)| (r, c, y * output.width + x))
                    })
            };
            let met: Vec<(usize, usize, usize)> = rows
                .iter()
                .flat_map(|&(i, y)| {
                    columns
                        .iter()
                        .map(move |&(j, x)| (i * geometry.kernel[1] + j, y, x))
                })
                .collect();
            for group in 0..geometry.groups {
                let taps = met.iter().map(|&(_, y, x)| (y, x));
                passes.push(Pass {
                    rows: job.rows(taps, group * outputs, outputs),
                    weights: Packed::new(
                        [met.len(), outputs],
                        inputs,
                        isa.lanes(),
                        |tap, output, column| {
                            let tap = met[tap].0;
                            weight[geometry.weight_index(group * outputs + output, column, tap)]
                        },
                    ),
                    sources: places().map(|(r, c, _)| job.place(r, c) as u32).collect(),
                    targets: places().map(|(_, _, pixel)| pixel as u32).collect(),
                    first: group * inputs,
                });
            }
        }
    }
    job.run(geometry, &passes, dx);
}

/// Rows and columns, row by row.
fn pixels([height, width]: [usize; 2]) -> impl Iterator<Item = (usize, usize)> {
    (0..height).flat_map(move |row| (0..width).map(move |column| (row, column)))
}

impl Job<'_> {
    /// # Panics
    /// When the epilogue does not fit, or the maps are too large for the places of a pass.
    fn check(&self) {
        self.epilogue.check(self.output);
        self.padding.check_offsets(self.source_pitch());
        assert!(
            u32::try_from(self.output.area()).is_ok(),
            "{:?} is too large",
            self.output
        );
    }

    /// Values from a pixel to the next in what the passes read.
    fn source_pitch(&self) -> usize {
        if self.padding.is_none(&self.input) {
            self.input.pitch
        } else {
            self.input.size.channels
        }
    }

    /// Where a pixel of the padded image begins.
    fn place(&self, row: usize, column: usize) -> usize {
        (row * self.padding.width + column) * self.source_pitch()
    }

    /// Where `count` channels from `first` on lie at each of some pixels.
    fn rows(
        &self,
        pixels: impl Iterator<Item = (usize, usize)>,
        first: usize,
        count: usize,
    ) -> Vec<u32> {
        let starts = pixels.map(|(row, column)| self.place(row, column) + first);
        let rows = starts.flat_map(|start| start..start + count);
        rows.map(|row| row as u32).collect()
    }

    fn run(&self, geometry: &Geometry, passes: &[Pass], y: &mut [MaybeUninit<f32>]) {
        let y = OutPtr::new(y, self.output.len());
        if geometry.is_pointwise() {
            self.run_pointwise(passes, y);
        } else {
            self.run_images(passes, y);
        }
    }

    /// One task an image.
    fn run_images(&self, passes: &[Pass], y: OutPtr) {
        let area = self.output.area();
        (0..self.output.batch).into_par_iter().for_each(|index| {
            let run = |from: &[f32]| {
                for pass in passes {
                    self.run_pass(pass, from, index * area, Places::Listed, y);
                }
            };
            if self.padding.is_none(&self.input) {
                run(self.input.image(index));
                return;
            }
            let len = self.padding.len(self.input.size.channels);
            scratch::with(len, |padded| {
                self.padding.copy(&self.input, index, padded);
                run(padded);
            });
        });
    }

    /// One task a run of pixels, whichever image they belong to: source and target of a pixel
    /// are the same place.
    fn run_pointwise(&self, passes: &[Pass], y: OutPtr) {
        let (pixels, pitch) = (self.output.pixels(), self.input.pitch);
        (0..pixels.div_ceil(POINTWISE))
            .into_par_iter()
            .for_each(|index| {
                let start = index * POINTWISE;
                let count = (pixels - start).min(POINTWISE);
                let from = &self.input.data[start * pitch..];
                for pass in passes {
                    self.run_pass(pass, from, start, Places::InTurn { count, pitch }, y);
                }
            });
    }

    fn run_pass(&self, pass: &Pass, from: &[f32], start: usize, places: Places, y: OutPtr) {
        self.isa.run(Tiles {
            pass,
            from: from.as_ptr(),
            places,
            start,
            channels: self.output.channels,
            epilogue: &self.epilogue,
            y,
        });
    }
}
