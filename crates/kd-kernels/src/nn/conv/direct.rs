//! Direct convolution: a tile of pixels × channels stays in registers while the values under the
//! kernel pass by. No matrix is built. The same kernel gives the forward pass of any kernel size,
//! stride and group, and the gradient of its input.

use std::borrow::Cow;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::pack::Packed;
use super::padded::Padding;
use super::{Epilogue, Geometry};
use crate::images::{Images, OutPtr, Size};
use crate::simd::Isa;
use crate::simd::scratch;
use crate::tasks;

mod phases;
mod tiles;

use self::phases::Phases;
use self::tiles::{Places, Tiles};

/// Pixels that a task of a pointwise convolution takes.
const POINTWISE: usize = 256;

/// One product of values and weights, for some of the pixels and channels of the output.
struct Pass<'a> {
    /// Where the values of a pixel lie, from its source.
    rows: Vec<u32>,
    weights: Cow<'a, Packed>,
    /// For every output pixel, where its values begin in the padded image; empty where they are taken in turn.
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

/// The weights of each group for [`forward`].
pub(super) fn weights(isa: Isa, geometry: &Geometry, weight: &[f32]) -> Vec<Packed> {
    geometry.check(Some(weight), None, None);
    let (inputs, outputs) = (geometry.group_inputs(), geometry.group_outputs());
    let rows = [geometry.taps(), inputs];
    let pack = |group| {
        Packed::new(rows, outputs, isa.lanes(), |tap, input, column| {
            weight[geometry.weight_index(group * outputs + column, input, tap)]
        })
    };
    (0..geometry.groups).map(pack).collect()
}

/// `y = x ∗ w`, written over `y`, which is dense.
pub(super) fn forward(
    isa: Isa,
    geometry: &Geometry,
    input: Images,
    weights: &[Packed],
    epilogue: Epilogue,
    y: &mut [MaybeUninit<f32>],
) {
    geometry.check(None, Some(input.size), None);
    assert_eq!(weights.len(), geometry.groups, "weights for each group");
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
    // A pointwise convolution takes its pixels in turn.
    let listed = match geometry.is_pointwise() {
        true => [0, 0],
        false => [output.height, output.width],
    };
    let pass = |group| Pass {
        rows: job.rows(pixels(geometry.kernel), group * inputs, inputs),
        weights: Cow::Borrowed(&weights[group]),
        sources: pixels(listed)
            .map(|(r, c)| job.place(r * down, c * across) as u32)
            .collect(),
        targets: (0..listed[0] as u32 * listed[1] as u32).collect(),
        first: group * outputs,
    };
    job.check();
    for weights in weights {
        weights.check(geometry.taps() * inputs, outputs, isa.lanes());
    }
    let passes: Vec<Pass> = (0..geometry.groups).map(pass).collect();
    let wanted = tasks::worth(output.pixels() * geometry.weight_len());
    let y = OutPtr::new(y, output.len());
    if geometry.is_pointwise() {
        job.run_pointwise(&passes, wanted, y);
    } else {
        let parts = wanted.div_ceil(output.batch.max(1));
        if geometry.weight_len() > geometry.input.area() * geometry.input.channels {
            job.run_images(&passes, parts, y);
        } else {
            let rows = output.height.div_ceil(parts).max(1);
            job.run_bands(geometry, &passes, rows, y);
        }
    }
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
                    weights: Cow::Owned(Packed::new(
                        [met.len(), outputs],
                        inputs,
                        isa.lanes(),
                        |tap, output, column| {
                            let tap = met[tap].0;
                            weight[geometry.weight_index(group * outputs + output, column, tap)]
                        },
                    )),
                    sources: places().map(|(r, c, _)| job.place(r, c) as u32).collect(),
                    targets: places().map(|(_, _, pixel)| pixel as u32).collect(),
                    first: group * inputs,
                });
            }
        }
    }
    let y = OutPtr::new(dx, output.len());
    if geometry.is_pointwise() {
        job.run_pointwise(&passes, 1, y);
    } else {
        job.run_images(&passes, 1, y);
    }
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
        let mut rows = Vec::new();
        for (row, column) in pixels {
            let start = (self.place(row, column) + first) as u32;
            rows.extend(start..start + count as u32);
        }
        rows
    }

    /// One task one of `parts` of the output channels of an image.
    fn run_images(&self, passes: &[Pass], parts: usize, y: OutPtr) {
        let area = self.output.area();
        tasks::each(self.output.batch * parts, |task| {
            let (index, part) = (task / parts, task % parts);
            let run = |from: &[f32]| {
                for pass in passes {
                    let each = pass.weights.blocks().len().div_ceil(parts);
                    let places = Places::Listed {
                        count: pass.sources.len(),
                    };
                    let blocks = part * each..(part + 1) * each;
                    self.run_blocks(pass, blocks, from, index * area, places, y);
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

    /// One task so many rows of an image's output. Each band's pixels read what those of the first one read, further
    /// below.
    fn run_bands(&self, geometry: &Geometry, passes: &[Pass], rows: usize, y: OutPtr) {
        let Size {
            batch,
            height,
            width,
            ..
        } = self.output;
        let bands = height.div_ceil(rows);
        let down = geometry.stride[0];
        tasks::each(batch * bands, |task| {
            let (index, top) = (task / bands, task % bands * rows);
            let bottom = (top + rows).min(height);
            let count = (bottom - top) * width;
            let start = index * self.output.area() + top * width;
            let run = |from: &[f32]| {
                for pass in passes {
                    self.run_pass(pass, from, start, Places::Listed { count }, y);
                }
            };
            if self.padding.is_none(&self.input) {
                let line = self.input.size.width * self.input.pitch;
                run(&self.input.image(index)[top * down * line..]);
                return;
            }
            let read = top * down..(bottom - 1) * down + geometry.kernel[0];
            let len = read.len() * self.padding.width * self.input.size.channels;
            scratch::with(len, |padded| {
                self.padding.copy_rows(&self.input, index, read, padded);
                run(padded);
            });
        });
    }

    /// One task a run of pixels, whichever image they belong to: source and target of a pixel are the same place.
    /// Where these are fewer tasks than wanted, each is divided by output channels.
    fn run_pointwise(&self, passes: &[Pass], wanted: usize, y: OutPtr) {
        let (pixels, pitch) = (self.output.pixels(), self.input.pitch);
        let blocks = passes.first().map_or(0, |pass| pass.weights.blocks().len());
        let runs = pixels.div_ceil(POINTWISE).max(1);
        let blocks_each = blocks.div_ceil(wanted.div_ceil(runs)).max(1);
        let parts = blocks.div_ceil(blocks_each);
        tasks::each(pixels.div_ceil(POINTWISE) * parts, |task| {
            let (run, part) = (task / parts, task % parts);
            let start = run * POINTWISE;
            let count = (pixels - start).min(POINTWISE);
            let from = &self.input.data[start * pitch..];
            let first = part * blocks_each;
            let blocks = first..first + blocks_each;
            for pass in passes {
                let places = Places::InTurn { count, pitch };
                self.run_blocks(pass, blocks.clone(), from, start, places, y);
            }
        });
    }

    fn run_pass(&self, pass: &Pass, from: &[f32], start: usize, places: Places, y: OutPtr) {
        let blocks = 0..pass.weights.blocks().len();
        self.run_blocks(pass, blocks, from, start, places, y);
    }

    fn run_blocks(
        &self,
        pass: &Pass,
        blocks: Range<usize>,
        from: &[f32],
        start: usize,
        places: Places,
        y: OutPtr,
    ) {
        self.isa.run(Tiles {
            pass,
            blocks,
            from: from.as_ptr(),
            places,
            start,
            channels: self.output.channels,
            epilogue: &self.epilogue,
            y,
        });
    }
}
