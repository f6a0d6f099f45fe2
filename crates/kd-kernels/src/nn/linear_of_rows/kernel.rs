//! Rows times a matrix, and the sums over rows that are the gradients of matrix and bias.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::nn::gelu::kernel::gelu;
use crate::simd::blocks::WIDE;
use crate::simd::panels::{Panels, packed};
use crate::simd::scratch;
use crate::simd::tile::{self, RUN};
use crate::simd::{Isa, Kernel, Simd};

/// Rows of a task, whole tiles of every instruction set.
const ROWS: usize = 72;
/// Parts that sums over rows are divided into at least where there are rows enough, whatever the number of threads.
const PARTS: usize = 8;
/// Values of a task that adds up parts.
const VALUES: usize = 1 << 12;

/// A matrix, or the transpose of one.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    values: &'a [f32],
    transposed: bool,
    rows: usize,
    columns: usize,
}

impl<'a> Matrix<'a> {
    /// # Panics
    /// When there are not so many values.
    pub fn new(values: &'a [f32], [rows, columns]: [usize; 2]) -> Self {
        assert_eq!(values.len(), rows * columns, "values of a matrix");
        Self {
            values,
            transposed: false,
            rows,
            columns,
        }
    }

    /// The transpose of a matrix `[rows, columns]`.
    ///
    /// # Panics
    /// When there are not so many values.
    pub fn transposed(values: &'a [f32], [rows, columns]: [usize; 2]) -> Self {
        Self {
            transposed: true,
            rows: columns,
            columns: rows,
            ..Self::new(values, [rows, columns])
        }
    }

    /// Packs it over `to`.
    fn pack(self, isa: Isa, to: &'a mut [f32]) -> Panels<'a> {
        let width = WIDE * isa.lanes();
        let to = &mut to[..packed(isa.lanes(), self.rows, self.columns)];
        to.par_chunks_mut((self.rows * width).max(1))
            .enumerate()
            .for_each(|(index, to)| {
                isa.run(Pack {
                    matrix: self,
                    first: index * width,
                    to,
                });
            });
        Panels {
            data: to,
            rows: self.rows,
            columns: self.columns,
        }
    }
}

/// A panel of a matrix.
struct Pack<'a> {
    matrix: Matrix<'a>,
    /// Its first column.
    first: usize,
    to: &'a mut [f32],
}

impl Kernel for Pack<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { matrix, first, to } = self;
        let columns = (matrix.columns - first).min(WIDE * S::LANES);
        let shape = [matrix.rows, columns];
        if matrix.transposed {
            let from = &matrix.values[first * matrix.rows..];
            Panels::of_columns(s, from, matrix.rows, shape, |_| 1.0, to);
        } else {
            let from = &matrix.values[first..];
            Panels::of_rows(s, from, matrix.columns, shape, to);
        }
    }
}

/// What follows a product.
#[derive(Clone, Copy, Default)]
pub(crate) struct After<'a> {
    /// Added to every row.
    pub bias: Option<&'a [f32]>,
    /// Added value by value.
    pub other: Option<&'a [f32]>,
    /// Whether the Gaussian error linear unit comes last.
    pub gelu: bool,
}

/// Rows of as many values as the matrix has rows, times the matrix, and what follows, written over `y`. What the unit
/// is given is written over `before`.
///
/// # Panics
/// When the sizes do not fit.
pub(crate) fn product(
    isa: Isa,
    x: &[f32],
    matrix: Matrix,
    after: After,
    before: Option<&mut [MaybeUninit<f32>]>,
    y: &mut [MaybeUninit<f32>],
) {
    let Matrix { rows, columns, .. } = matrix;
    assert!(
        rows > 0 && columns > 0,
        "a linear layer has inputs and outputs"
    );
    let count = x.len() / rows;
    let len = count * columns;
    assert_eq!([x.len(), y.len()], [count * rows, len], "whole rows");
    assert!(
        after.bias.is_none_or(|bias| bias.len() == columns),
        "one bias for each output"
    );
    assert!(
        after.other.is_none_or(|other| other.len() == len),
        "only equal rows are added"
    );
    assert!(before.as_ref().is_none_or(|before| before.len() == len));
    let mut memory = scratch::lend(packed(isa.lanes(), rows, columns));
    let m = matrix.pack(isa, memory.aligned());
    let task = |index: usize, before: Option<&mut [MaybeUninit<f32>]>, y: &mut [_]| {
        let first = index * ROWS;
        let there = y.len() / columns;
        isa.run(Product {
            x: &x[first * rows..][..there * rows],
            m,
            after: After {
                other: after.other.map(|other| &other[first * columns..]),
                ..after
            },
            before,
            y,
        });
    };
    let tasks = y.par_chunks_mut(ROWS * columns).enumerate();
    match before {
        Some(before) => tasks
            .zip(before.par_chunks_mut(ROWS * columns))
            .for_each(|((index, y), before)| task(index, Some(before), y)),
        None => tasks.for_each(|(index, y)| task(index, None, y)),
    }
}

struct Product<'a> {
    x: &'a [f32],
    m: Panels<'a>,
    after: After<'a>,
    before: Option<&'a mut [MaybeUninit<f32>]>,
    y: &'a mut [MaybeUninit<f32>],
}

impl Kernel for Product<'_> {
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let columns = self.m.columns;
        let y = tile::apply(s, self.x, self.m.rows, self.m, 1.0, self.y);
        for (row, y) in y.chunks_exact_mut(columns).enumerate() {
            let first = row * columns;
            if let Some(bias) = self.after.bias {
                for (y, bias) in y.iter_mut().zip(bias) {
                    *y += bias;
                }
            }
            if let Some(other) = self.after.other {
                for (y, other) in y.iter_mut().zip(&other[first..]) {
                    *y += other;
                }
            }
            if let Some(before) = &mut self.before {
                before[first..][..columns].write_copy_of_slice(y);
            }
            if self.after.gelu {
                for y in y {
                    *y = gelu(*y);
                }
            }
        }
    }
}

/// The gradients of a matrix `[inputs, outputs]`, `xᵀ · dy`, and of a bias, the sum of all rows of `dy`.
///
/// # Panics
/// When the sizes do not fit.
pub(crate) fn parameter_grads(
    isa: Isa,
    x: &[f32],
    dy: &[f32],
    [inputs, outputs]: [usize; 2],
) -> (Vec<f32>, Vec<f32>) {
    let rows = dy.len() / outputs;
    assert_eq!(
        [x.len(), dy.len()],
        [inputs, outputs].map(|n| n * rows),
        "whole rows"
    );
    let step = (rows / PARTS / RUN * RUN).max(RUN);
    let len = inputs * outputs + outputs;
    let mut parts = vec![0.0f32; rows.div_ceil(step).max(1) * len];
    let tasks = x
        .par_chunks(step * inputs)
        .zip(dy.par_chunks(step * outputs));
    let tasks = tasks.zip(parts.par_chunks_mut(len));
    tasks.for_each(|((x, dy), part)| {
        let (weight, bias) = part.split_at_mut(inputs * outputs);
        isa.run(Sums {
            x,
            dy,
            weight,
            bias,
        });
    });
    let (first, others) = parts.split_at_mut(len);
    let tasks = first.par_chunks_mut(VALUES).enumerate();
    tasks.for_each(|(index, sums)| {
        for part in others.chunks_exact(len) {
            for (sum, value) in sums.iter_mut().zip(&part[index * VALUES..]) {
                *sum += value;
            }
        }
    });
    let bias = parts[inputs * outputs..len].to_vec();
    parts.truncate(inputs * outputs);
    (parts, bias)
}

/// The sums over some rows.
struct Sums<'a> {
    x: &'a [f32],
    dy: &'a [f32],
    weight: &'a mut [f32],
    bias: &'a mut [f32],
}

impl Kernel for Sums<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let outputs = self.bias.len();
        let inputs = self.weight.len() / outputs;
        let rows = self.dy.len() / outputs;
        let lens = [inputs, outputs].map(|columns| packed(S::LANES, RUN.min(rows), columns));
        let mut memory = scratch::lend(lens[0] + lens[1]);
        let (of_x, of_dy) = memory.aligned().split_at_mut(lens[0]);
        for first in (0..rows).step_by(RUN) {
            let count = (rows - first).min(RUN);
            let x = &self.x[first * inputs..];
            let dy = &self.dy[first * outputs..][..count * outputs];
            let a = Panels::of_rows(s, x, inputs, [count, inputs], of_x);
            let b = Panels::of_rows(s, dy, outputs, [count, outputs], of_dy);
            tile::outer(s, a, b, 1.0, false, first > 0, self.weight);
            for dy in dy.chunks_exact(outputs) {
                for (bias, dy) in self.bias.iter_mut().zip(dy) {
                    *bias += dy;
                }
            }
        }
    }
}
