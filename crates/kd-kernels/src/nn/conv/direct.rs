//! Direct convolution: a tile of pixels × channels stays in registers while the values under the
//! kernel pass by. No matrix is built. The same kernel gives the forward pass of any kernel size,
//! stride and group, and the gradient of its input.

use rayon::prelude::*;

use super::pack::Packed;
use super::padded::Padding;
use super::{Epilogue, Geometry};
use crate::images::{Images, OutPtr, Size};
use crate::simd::Isa;
use crate::simd::scratch;

mod tiles;

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
    y: OutPtr,
) {
    let output = geometry.output();
    geometry.check(Some(weight), Some(input.size), None);
    epilogue.check(output);
    y.check(output.len());
    let (inputs, outputs) = (geometry.group_inputs(), geometry.group_outputs());
    let padding = Padding::of(geometry);
    let job = Job {
        isa,
        input,
        padding,
        output,
        epilogue,
    };
    let pitch = job.source_pitch();
    padding.check_offsets(pitch);
    assert!(
        u32::try_from(output.area()).is_ok(),
        "{output:?} is too large"
    );
    let at = |row: usize, column: usize| ((row * padding.width + column) * pitch) as u32;
    let passes: Vec<Pass> = (0..geometry.groups)
        .map(|group| Pass {
            rows: taps(geometry.kernel)
                .flat_map(|(i, j)| {
                    let start = at(i, j) as usize + group * inputs;
                    (start..start + inputs).map(|row| row as u32)
                })
                .collect(),
            weights: Packed::new(
                geometry.taps() * inputs,
                outputs,
                isa.lanes(),
                |row, column| {
                    let (tap, input) = (row / inputs, row % inputs);
                    weight[geometry.weight_index(group * outputs + column, input, tap)]
                },
            ),
            sources: pixels(output.height, output.width)
                .map(|(r, c)| at(r * geometry.stride[0], c * geometry.stride[1]))
                .collect(),
            targets: (0..output.area() as u32).collect(),
            first: group * outputs,
        })
        .collect();
    if geometry.is_pointwise() {
        job.run_pointwise(&passes, y);
    } else {
        job.run(&passes, y);
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
    dx: OutPtr,
) {
    let output = geometry.input;
    geometry.check(Some(weight), None, Some(grad.size));
    epilogue.check(output);
    dx.check(output.len());
    let (inputs, outputs) = (geometry.group_inputs(), geometry.group_outputs());
    let [vertical, horizontal] = [0, 1].map(|axis| Phases::new(geometry, axis));
    let padding = Padding {
        top: vertical.before,
        left: horizontal.before,
        height: vertical.before + grad.size.height + vertical.after,
        width: horizontal.before + grad.size.width + horizontal.after,
    };
    let job = Job {
        isa,
        input: grad,
        padding,
        output,
        epilogue,
    };
    let pitch = job.source_pitch();
    padding.check_offsets(pitch);
    assert!(
        u32::try_from(output.area()).is_ok(),
        "{output:?} is too large"
    );
    let at = |row: usize, column: usize| ((row * padding.width + column) * pitch) as u32;
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
                passes.push(Pass {
                    rows: met
                        .iter()
                        .flat_map(|&(_, y, x)| {
                            let start = at(y, x) as usize + group * outputs;
                            (start..start + outputs).map(|row| row as u32)
                        })
                        .collect(),
                    weights: Packed::new(
                        met.len() * outputs,
                        inputs,
                        isa.lanes(),
                        |row, column| {
                            let (tap, output) = (met[row / outputs].0, row % outputs);
                            weight[geometry.weight_index(group * outputs + output, column, tap)]
                        },
                    ),
                    sources: places().map(|(r, c, _)| at(r, c)).collect(),
                    targets: places().map(|(_, _, pixel)| pixel as u32).collect(),
                    first: group * inputs,
                });
            }
        }
    }
    if geometry.is_pointwise() {
        job.run_pointwise(&passes, dx);
    } else {
        job.run(&passes, dx);
    }
}

fn pixels(height: usize, width: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..height).flat_map(move |row| (0..width).map(move |column| (row, column)))
}

fn taps(kernel: [usize; 2]) -> impl Iterator<Item = (usize, usize)> {
    pixels(kernel[0], kernel[1])
}

/// Which taps along an axis meet the inputs of each phase of the stride, and at which gradient.
///
/// Input `i = stride · q + phase` is read by output `o` at tap `t` when
/// `o · stride + t = i + padding`, so `o = q + (phase + padding − t) / stride`.
struct Phases {
    /// For every phase, taps and the row of the padded gradient they read when `q = 0`.
    taps: Vec<Vec<(usize, usize)>>,
    /// Zeros needed before the gradient.
    before: usize,
    /// Zeros needed after it.
    after: usize,
}

impl Phases {
    fn new(geometry: &Geometry, axis: usize) -> Self {
        let (stride, padding) = (geometry.stride[axis], geometry.padding[axis]);
        let input = [geometry.input.height, geometry.input.width][axis];
        let output = geometry.output();
        let output = [output.height, output.width][axis] as isize;
        let met: Vec<Vec<(usize, isize)>> = (0..stride.min(input))
            .map(|phase| {
                (0..geometry.kernel[axis])
                    .filter(|tap| (phase + padding).abs_diff(*tap).is_multiple_of(stride))
                    .map(|tap| {
                        let distance = (phase + padding) as isize - tap as isize;
                        (tap, distance / stride as isize)
                    })
                    .collect()
            })
            .collect();
        let (mut before, mut after) = (0, 0);
        for (phase, taps) in met.iter().enumerate() {
            let last = ((input - 1 - phase) / stride) as isize;
            for (_, shift) in taps {
                before = before.max(-shift);
                after = after.max(last + shift - (output - 1));
            }
        }
        Self {
            taps: met
                .into_iter()
                .map(|taps| {
                    taps.into_iter()
                        .map(|(tap, shift)| (tap, (shift + before) as usize))
                        .collect()
                })
                .collect(),
            before: before as usize,
            after: after as usize,
        }
    }
}

impl Job<'_> {
    /// Values from a pixel to the next in what the passes read.
    fn source_pitch(&self) -> usize {
        if self.padding.is_none(&self.input) {
            self.input.pitch
        } else {
            self.input.size.channels
        }
    }

    /// One task an image.
    fn run(&self, passes: &[Pass], y: OutPtr) {
        let area = self.output.area();
        let channels = self.input.size.channels;
        (0..self.output.batch).into_par_iter().for_each(|index| {
            let start = index * area;
            if self.padding.is_none(&self.input) {
                let from = &self.input.data[index * self.input.image_pitch()..];
                for pass in passes {
                    self.isa
                        .run(self.tiles(pass, from, start, Places::Listed, y));
                }
            } else {
                scratch::with(self.padding.len(channels), |padded| {
                    self.padding.copy(&self.input, index, padded);
                    for pass in passes {
                        self.isa
                            .run(self.tiles(pass, padded, start, Places::Listed, y));
                    }
                });
            }
        });
    }

    /// One task a run of pixels, whichever image they belong to: source and target of a pixel
    /// are the same place.
    fn run_pointwise(&self, passes: &[Pass], y: OutPtr) {
        let pixels = self.output.pixels();
        (0..pixels.div_ceil(POINTWISE))
            .into_par_iter()
            .for_each(|index| {
                let start = index * POINTWISE;
                let count = (pixels - start).min(POINTWISE);
                let from = &self.input.data[start * self.input.pitch..];
                let places = Places::InTurn {
                    count,
                    pitch: self.input.pitch,
                };
                for pass in passes {
                    self.isa.run(self.tiles(pass, from, start, places, y));
                }
            });
    }

    fn tiles<'a>(
        &'a self,
        pass: &'a Pass,
        from: &'a [f32],
        start: usize,
        places: Places,
        y: OutPtr,
    ) -> Tiles<'a> {
        Tiles {
            pass,
            from: from.as_ptr(),
            places,
            start,
            channels: self.output.channels,
            epilogue: &self.epilogue,
            y,
        }
    }
}
