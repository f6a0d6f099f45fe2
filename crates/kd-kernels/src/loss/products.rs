//! Products of the channels, or the positions, of maps, image by image.

use std::ops::Range;

use rayon::prelude::*;

use crate::images::{Images, OutPtr};
use crate::simd::scratch;
use crate::simd::tile::{self, Panels, RUN, packed};
use crate::simd::{Isa, Kernel, Simd};

/// What a Gram matrix compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Along {
    /// Channels, by their products over positions.
    Channels,
    /// Positions, by their products over channels.
    Positions,
}

/// Values of a matrix for each image, which `work(image, matrix)` writes, every one.
fn matrices(batch: usize, len: usize, work: impl Fn(usize, *mut f32) + Sync) -> Vec<f32> {
    let mut values = vec![0.0f32; batch * len];
    let images = values.par_chunks_mut(len.max(1)).enumerate();
    images.for_each(|(image, matrix)| work(image, matrix.as_mut_ptr()));
    values
}

/// `scale · Σ_positions a_i · b_j` of each image, `[batch, channels of a, channels of b]`.
pub(crate) fn outer(isa: Isa, a: Images, b: Images, scale: f32) -> Vec<f32> {
    let places = |x: Images| (x.size.batch, x.size.height, x.size.width);
    assert_eq!(places(a), places(b), "only maps of one size have products");
    let len = a.size.channels * b.size.channels;
    matrices(a.size.batch, len, |image, to| {
        let [a, b] = [&a, &b];
        isa.run(Outer {
            a,
            b,
            image,
            scale,
            to,
        });
    })
}

struct Outer<'a> {
    a: &'a Images<'a>,
    b: &'a Images<'a>,
    image: usize,
    scale: f32,
    to: *mut f32,
}

impl Kernel for Outer<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let area = self.a.size.area();
        let len = |x: &Images| packed(S::LANES, RUN.min(area), x.size.channels);
        let mut memory = scratch::lend(len(self.a) + len(self.b));
        let memory = memory.aligned();
        for run in runs(area) {
            // SAFETY: the pixels are there in both maps, and the sums for all pairs of channels.
            unsafe {
                let a = pixels::<S>(self.a, self.image, run.clone(), memory);
                let room = memory.add(len(self.a));
                let b = pixels::<S>(self.b, self.image, run.clone(), room);
                tile::outer::<S>(a, b, self.scale, false, run.start > 0, self.to);
            }
        }
    }
}

/// Positions that are packed and used while they are in a cache.
pub(crate) fn runs(area: usize) -> impl Iterator<Item = Range<usize>> {
    (0..area)
        .step_by(RUN)
        .map(move |first| first..(first + RUN).min(area))
}

/// Pixels of an image as the rows of panels.
///
/// # Safety
/// The pixels are there, and room for them.
#[inline(always)]
pub(crate) unsafe fn pixels<S: Simd>(
    x: &Images,
    image: usize,
    run: Range<usize>,
    to: *mut f32,
) -> Panels {
    // SAFETY: the caller's promise.
    unsafe {
        let from = x.image(image).add(run.start * x.pitch);
        Panels::of_rows::<S>(from, x.pitch, [run.len(), x.size.channels], to)
    }
}

/// Products of a map's channels, or positions, with each other, times `scale`, `[batch, size, size]`.
pub(crate) fn gram(isa: Isa, x: Images, along: Along, scale: f32) -> Vec<f32> {
    let size = along.size(&x);
    matrices(x.size.batch, size * size, |image, to| {
        let x = &x;
        isa.run(Gram {
            x,
            along,
            image,
            scale,
            to,
        });
    })
}

impl Along {
    /// How many there are.
    fn size(self, x: &Images) -> usize {
        match self {
            Self::Channels => x.size.channels,
            Self::Positions => x.size.area(),
        }
    }
}

struct Gram<'a> {
    x: &'a Images<'a>,
    along: Along,
    image: usize,
    scale: f32,
    to: *mut f32,
}

impl Kernel for Gram<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (x, size) = (self.x, self.along.size(self.x));
        let terms = match self.along {
            Along::Channels => RUN.min(x.size.area()),
            Along::Positions => x.size.channels,
        };
        let mut memory = scratch::lend(packed(S::LANES, terms, size));
        let memory = memory.aligned();
        // SAFETY: the pixels are there, and the sums for all pairs.
        unsafe {
            match self.along {
                Along::Channels => {
                    let image = self.image;
                    gram_of_channels::<S>(x, image, self.scale, memory, self.to);
                }
                Along::Positions => {
                    let from = x.image(self.image);
                    let shape = [terms, size];
                    let x = Panels::of_columns::<S>(from, x.pitch, shape, |_| 1.0, memory);
                    tile::outer::<S>(x, x, self.scale, true, false, self.to);
                }
            }
            tile::mirror(self.to, size);
        }
    }
}

/// What is on and above the diagonal of an image's [`gram`], and perhaps more.
///
/// # Safety
/// The pixels are there, `room` for a run of them in panels, and `to`.
#[inline(always)]
pub(crate) unsafe fn gram_of_channels<S: Simd>(
    x: &Images,
    image: usize,
    scale: f32,
    room: *mut f32,
    to: *mut f32,
) {
    for run in runs(x.size.area()) {
        // SAFETY: the caller's promise.
        unsafe {
            let x = pixels::<S>(x, image, run.clone(), room);
            tile::outer::<S>(x, x, scale, true, run.start > 0, to);
        }
    }
}

/// `scale · x · m` of each image for matrices `m` `[batch, channels of x, columns]`, written over `y`, which is dense
/// and has `columns` channels.
pub(crate) fn apply(isa: Isa, x: Images, matrices: &[f32], columns: usize, scale: f32, y: OutPtr) {
    let (area, inner) = (x.size.area(), x.size.channels);
    assert_eq!(
        matrices.len(),
        x.size.batch * inner * columns,
        "one matrix for each image"
    );
    y.check(x.size.pixels() * columns);
    (0..x.size.batch).into_par_iter().for_each(|image| {
        isa.run(Apply {
            x: &x,
            image,
            matrix: &matrices[image * inner * columns..][..inner * columns],
            columns,
            scale,
            // SAFETY: the output has a row of columns for each pixel, and this task alone writes those of the image.
            y: unsafe { y.at(image * area * columns) },
        });
    });
}

struct Apply<'a> {
    x: &'a Images<'a>,
    image: usize,
    matrix: &'a [f32],
    columns: usize,
    scale: f32,
    y: *mut f32,
}

impl Kernel for Apply<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (x, columns) = (self.x, self.columns);
        let shape = [x.size.channels, columns];
        let mut memory = scratch::lend(packed(S::LANES, shape[0], columns));
        // SAFETY: the pixels are there, the matrix has a row for each channel, and `y` a row for each pixel.
        unsafe {
            let m = Panels::of_rows::<S>(self.matrix.as_ptr(), columns, shape, memory.aligned());
            let from = x.image(self.image);
            tile::apply::<S>(from, x.pitch, x.size.area(), m, self.scale, false, self.y);
        }
    }
}

/// The gradient of a map, given that of its [`gram`] of the same scale, written over `dx`, which is dense.
pub(crate) fn gram_grad(isa: Isa, x: Images, along: Along, grad: &[f32], scale: f32, dx: OutPtr) {
    let size = along.size(&x);
    assert_eq!(
        grad.len(),
        x.size.batch * size * size,
        "one matrix an image"
    );
    dx.check(x.size.len());
    (0..x.size.batch).into_par_iter().for_each(|image| {
        isa.run(GramGrad {
            x: &x,
            along,
            image,
            grad: &grad[image * size * size..][..size * size],
            scale,
            // SAFETY: the output has the values of `x`, and this task alone writes those of the image.
            dx: unsafe { dx.at(image * x.size.area() * x.size.channels) },
        });
    });
}

struct GramGrad<'a> {
    x: &'a Images<'a>,
    along: Along,
    image: usize,
    grad: &'a [f32],
    scale: f32,
    dx: *mut f32,
}

impl Kernel for GramGrad<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (x, size) = (self.x, self.along.size(self.x));
        let square = (size * size).next_multiple_of(S::LANES);
        let (rows, columns) = match self.along {
            Along::Channels => (size, size),
            Along::Positions => (size, x.size.channels),
        };
        let mut memory = scratch::lend(square + packed(S::LANES, rows, columns));
        let both = memory.aligned();
        // SAFETY: the pixels and matrices are there, and `dx` has a row for each pixel.
        unsafe {
            plus_transposed(self.grad.as_ptr(), size, both);
            let (room, from) = (both.add(square), x.image(self.image));
            match self.along {
                Along::Channels => {
                    let m = Panels::of_rows::<S>(both, size, [size, size], room);
                    let area = x.size.area();
                    tile::apply::<S>(from, x.pitch, area, m, self.scale, false, self.dx);
                }
                Along::Positions => {
                    let m = pixels::<S>(x, self.image, 0..size, room);
                    tile::apply::<S>(both, size, size, m, self.scale, false, self.dx);
                }
            }
        }
    }
}

/// Writes `M + Mᵀ` of a matrix `[size, size]` over `to`.
///
/// # Safety
/// Both are there.
#[inline(always)]
pub(crate) unsafe fn plus_transposed(matrix: *const f32, size: usize, to: *mut f32) {
    /// Rows and columns of a block that is turned at once.
    const BLOCK: usize = 16;
    for first in (0..size).step_by(BLOCK) {
        for second in (0..size).step_by(BLOCK) {
            for row in first..(first + BLOCK).min(size) {
                for column in second..(second + BLOCK).min(size) {
                    // SAFETY: both are below `size`.
                    unsafe {
                        let sum =
                            *matrix.add(row * size + column) + *matrix.add(column * size + row);
                        *to.add(row * size + column) = sum;
                    }
                }
            }
        }
    }
}
