//! Weighted sums of some rows of a matrix: the product of a sparse matrix and a dense one.

use std::sync::{Arc, OnceLock};

use burn::tensor::{IndexingUpdateOp, Int, Tensor, TensorData};

#[cfg(feature = "flex")]
use crate::flex::{Dense, FlexTensor, Input, Operation, dense, fast, run, values};
#[cfg(feature = "flex")]
use crate::isa;

/// Numbers that the composed form gathers at once, at most: 64 MiB in single precision.
const GATHERED: usize = 1 << 24;

/// Which rows of a matrix many sums read: the places of a sparse matrix `[sums, rows]`. A row may be in a sum more than
/// once.
#[derive(Clone, Debug)]
pub struct RowSums(Arc<Places>);

#[derive(Debug)]
struct Places {
    /// Sums and rows.
    shape: [usize; 2],
    by_sum: Lists,
    by_row: OnceLock<Lists>,
}

/// Of each line of a sparse matrix, its entries.
#[derive(Debug)]
pub(crate) struct Lists {
    /// Where the entries of a line begin; one more at the end.
    pub starts: Vec<u32>,
    /// The column of each.
    pub columns: Vec<u32>,
    /// Which weight is that of each.
    pub weights: Vec<u32>,
}

impl Lists {
    /// Entries as lines of so many, in the order of their line and then of `entries`, which are line, column and weight.
    fn new(entries: impl Iterator<Item = [u32; 3]> + Clone, lines: usize) -> Self {
        let mut starts = vec![0u32; lines + 1];
        for [line, ..] in entries.clone() {
            starts[line as usize + 1] += 1;
        }
        for line in 0..lines {
            starts[line + 1] += starts[line];
        }
        let count = starts[lines] as usize;
        let (mut columns, mut weights) = (vec![0; count], vec![0; count]);
        let mut next = starts.clone();
        for [line, column, weight] in entries {
            let place = next[line as usize] as usize;
            next[line as usize] += 1;
            columns[place] = column;
            weights[place] = weight;
        }
        Self {
            starts,
            columns,
            weights,
        }
    }

    pub fn lines(&self) -> usize {
        self.starts.len() - 1
    }

    /// The entries of a line.
    pub fn of(&self, line: usize) -> std::ops::Range<usize> {
        self.starts[line] as usize..self.starts[line + 1] as usize
    }

    /// Line, column and weight of every entry.
    fn entries(&self) -> impl Iterator<Item = [u32; 3]> + Clone {
        let lines =
            (0..self.lines()).flat_map(|line| self.of(line).map(move |entry| (line, entry)));
        lines.map(|(line, entry)| [line as u32, self.columns[entry], self.weights[entry]])
    }
}

impl RowSums {
    /// Entries are a sum and a row each; their weights have the same order. `shape` is the number of sums and of rows.
    ///
    /// # Panics
    /// When an entry is not of that shape, or there are more than 2³² of anything.
    pub fn new(
        entries: impl ExactSizeIterator<Item = [usize; 2]> + Clone,
        shape: [usize; 2],
    ) -> Self {
        let most = u32::MAX as usize;
        assert!(
            entries.len() < most && shape.iter().all(|len| *len < most),
            "{} entries of {shape:?} are too many",
            entries.len()
        );
        let numbered = entries.zip(0..).map(|([sum, row], weight)| {
            assert!(
                sum < shape[0] && row < shape[1],
                "row {row} of sum {sum} is not in {shape:?}"
            );
            [sum as u32, row as u32, weight]
        });
        Self(Arc::new(Places {
            shape,
            by_sum: Lists::new(numbered, shape[0]),
            by_row: OnceLock::new(),
        }))
    }

    /// How many weights there are.
    pub fn entries(&self) -> usize {
        self.0.by_sum.columns.len()
    }

    /// Of each sum, its rows.
    #[cfg(feature = "flex")]
    pub(crate) fn by_sum(&self) -> &Lists {
        &self.0.by_sum
    }

    /// Of each row, its sums, as the gradient needs them.
    #[cfg(feature = "flex")]
    fn by_row(&self) -> &Lists {
        let Places {
            shape,
            by_sum,
            by_row,
        } = &*self.0;
        by_row.get_or_init(|| {
            let turned = by_sum
                .entries()
                .map(|[sum, row, weight]| [row, sum, weight]);
            Lists::new(turned, shape[1])
        })
    }

    /// `y_s = Σ_e w_e · x_{row(e)}` over the entries `e` of sum `s`, for rows `x` `[rows, width]` and weights `[entries]`;
    /// `[sums, width]`. Differentiable in both.
    ///
    /// # Panics
    /// When there are not as many rows or weights.
    pub fn weighted(&self, x: Tensor<2>, weights: Tensor<1>) -> Tensor<2> {
        let ([rows, width], [sums, known]) = (x.dims(), self.0.shape);
        assert_eq!(rows, known, "the rows that sums were made for");
        assert_eq!(weights.dims(), [self.entries()], "a weight for each entry");
        if sums == 0 || width == 0 || self.entries() == 0 {
            return Tensor::zeros([sums, width], (&x.device(), x.dtype()));
        }
        #[cfg(feature = "flex")]
        if fast(&x) && fast(&weights) {
            let inputs = [x.into_dispatch(), weights.into_dispatch()];
            return run(Weighted(self.clone()), inputs);
        }
        self.composed(x, weights)
    }

    fn composed(&self, x: Tensor<2>, weights: Tensor<1>) -> Tensor<2> {
        let ([_, width], device) = (x.dims(), x.device());
        let numbers = |numbers: Vec<i64>| -> Tensor<1, Int> {
            let count = numbers.len();
            Tensor::from_data(TensorData::new(numbers, [count]), &device)
        };
        let mut y = Tensor::zeros([self.0.shape[0], width], (&device, x.dtype()));
        let entries: Vec<[u32; 3]> = self.0.by_sum.entries().collect();
        for part in entries.chunks((GATHERED / width).max(1)) {
            let column = |at: usize| numbers(part.iter().map(|entry| entry[at].into()).collect());
            let weights = weights.clone().select(0, column(2)).unsqueeze_dim(1);
            let rows = x.clone().select(0, column(1)) * weights;
            y = y.select_assign(0, column(0), rows, IndexingUpdateOp::Add);
        }
        y
    }
}

#[cfg(feature = "flex")]
#[derive(Clone, Debug)]
struct Weighted(RowSums);

/// The inputs are rows and weights.
#[cfg(feature = "flex")]
impl Operation<2> for Weighted {
    /// Both.
    type Saved = [FlexTensor; 2];

    fn inputs(&self) -> [Input; 2] {
        [Input::Plain; 2]
    }

    fn forward(&self, inputs: [FlexTensor; 2]) -> (FlexTensor, [FlexTensor; 2]) {
        let width = inputs[0].layout().shape()[1];
        let [x, weights] = inputs.clone().map(Dense::new);
        let lists = self.0.by_sum();
        let sums = kernel::sums(isa(), lists, x.values(), weights.values(), width);
        (dense(sums, [lists.lines(), width]), inputs)
    }

    fn backward(
        &self,
        inputs: [FlexTensor; 2],
        grad: FlexTensor,
        wants: [bool; 2],
        _: &mut [Option<FlexTensor>; 2],
    ) -> [Option<FlexTensor>; 2] {
        let [rows, width] = [0, 1].map(|axis| inputs[0].layout().shape()[axis]);
        let [x, weights] = inputs.map(Dense::new);
        let grad = Dense::new(grad);
        let [x, weights, grad] = [&x, &weights, &grad].map(Dense::values);
        let of_rows = wants[0].then(|| {
            let sums = kernel::sums(isa(), self.0.by_row(), grad, weights, width);
            dense(sums, [rows, width])
        });
        let of_weights = wants[1].then(|| {
            let lists = self.0.by_sum();
            let products = kernel::products(isa(), lists, x, grad, width);
            let mut slopes = vec![0.0; weights.len()];
            for (product, weight) in products.iter().zip(&lists.weights) {
                slopes[*weight as usize] += product;
            }
            dense(slopes, [weights.len()])
        });
        [of_rows, of_weights]
    }
}

#[cfg(feature = "flex")]
pub(crate) mod kernel {
    //! Some lines a task.

    use std::mem::MaybeUninit;

    use rayon::prelude::*;

    use super::{Lists, values};
    use crate::simd::{Isa, Kernel, Simd};

    /// Values of a task's rows that are read, about.
    const VALUES: usize = 1 << 16;
    /// Values of a row that are summed side by side.
    const LANES: usize = 64;

    /// Lines of a task, when each has about as many entries.
    fn lines(lists: &Lists, width: usize) -> usize {
        let read = lists.columns.len() * width / lists.lines().max(1);
        (VALUES / (read + width).max(1)).max(1)
    }

    /// The weighted sums of rows of `width` values.
    ///
    /// # Panics
    /// When a row or a weight is not there.
    pub(crate) fn sums(
        isa: Isa,
        lists: &Lists,
        x: &[f32],
        weights: &[f32],
        width: usize,
    ) -> Vec<f32> {
        let lines = lines(lists, width);
        values(lists.lines() * width, |y| {
            let tasks = y.par_chunks_mut(lines * width).enumerate();
            tasks.for_each(|(task, y)| {
                isa.run(Sums {
                    lists,
                    first: task * lines,
                    x,
                    weights,
                    width,
                    y,
                });
            });
        })
    }

    struct Sums<'a> {
        lists: &'a Lists,
        first: usize,
        x: &'a [f32],
        weights: &'a [f32],
        width: usize,
        y: &'a mut [MaybeUninit<f32>],
    }

    impl Kernel for Sums<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, _: S) {
            let Self { lists, width, .. } = self;
            for (line, y) in (self.first..).zip(self.y.chunks_exact_mut(width)) {
                let entries = lists.of(line);
                let columns = &lists.columns[entries.clone()];
                let weights = &lists.weights[entries];
                let entries = || {
                    let entries = columns.iter().zip(weights);
                    entries.map(|(column, weight)| {
                        (*column as usize * width, self.weights[*weight as usize])
                    })
                };
                let (blocks, rest) = y.as_chunks_mut::<LANES>();
                for (block, y) in blocks.iter_mut().enumerate() {
                    let mut sums = [0.0f32; LANES];
                    for (row, weight) in entries() {
                        let x = &self.x[row + block * LANES..][..LANES];
                        for (sum, x) in sums.iter_mut().zip(x) {
                            *sum += weight * x;
                        }
                    }
                    y.write_copy_of_slice(&sums);
                }
                if rest.is_empty() {
                    continue;
                }
                let (mut sums, from) = ([0.0f32; LANES], width - rest.len());
                let sums = &mut sums[..rest.len()];
                for (row, weight) in entries() {
                    let x = &self.x[row + from..][..sums.len()];
                    for (sum, x) in sums.iter_mut().zip(x) {
                        *sum += weight * x;
                    }
                }
                rest.write_copy_of_slice(sums);
            }
        }
    }

    /// Of every entry, in the lists' order, the product of its row of `x` and its sum's of `dy`.
    ///
    /// # Panics
    /// When a row is not there.
    pub(crate) fn products(
        isa: Isa,
        lists: &Lists,
        x: &[f32],
        dy: &[f32],
        width: usize,
    ) -> Vec<f32> {
        let step = lines(lists, width);
        let tasks = (0..lists.lines()).into_par_iter().step_by(step);
        let parts: Vec<Vec<f32>> = tasks
            .map(|first| {
                let last = (first + step).min(lists.lines());
                let mut found = vec![];
                isa.run(Products {
                    lists,
                    lines: first..last,
                    x,
                    dy,
                    width,
                    found: &mut found,
                });
                found
            })
            .collect();
        parts.concat()
    }

    struct Products<'a> {
        lists: &'a Lists,
        lines: std::ops::Range<usize>,
        x: &'a [f32],
        dy: &'a [f32],
        width: usize,
        found: &'a mut Vec<f32>,
    }

    impl Kernel for Products<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, _: S) {
            let width = self.width;
            for line in self.lines {
                let dy = &self.dy[line * width..][..width];
                for column in &self.lists.columns[self.lists.of(line)] {
                    let x = &self.x[*column as usize * width..][..width];
                    let product = crate::loss::unit_rows::kernel::sum(x, dy, |x, dy| x * dy);
                    self.found.push(product);
                }
            }
        }
    }
}
