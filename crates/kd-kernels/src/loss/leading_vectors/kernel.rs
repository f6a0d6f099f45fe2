//! The eigenvector of a symmetric matrix that power iterations find.

use rayon::prelude::*;

use crate::simd::accumulate::accumulate;
use crate::simd::{Isa, Kernel, Simd};

/// What the gradient needs of one matrix.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace {
    /// The vector before each recorded step, and last the one after all of them.
    vectors: Vec<Vec<f32>>,
    /// What the product of each step was multiplied by, or NaN where it had no direction.
    factors: Vec<f32>,
}

/// How often `v ← G v / ‖G v‖`, and when a product has no direction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Iterations {
    /// Steps without a gradient, which come first.
    pub search: usize,
    /// Steps with one.
    pub steps: usize,
    /// A product none of whose entries is larger than this stays as it is.
    pub zero: f32,
}

impl Iterations {
    pub fn new(search: usize, steps: usize, zero: f64) -> Self {
        Self {
            search,
            steps,
            zero: zero as f32,
        }
    }
}

/// The vectors of matrices `[batch, size, size]`, each from its row of `start`.
pub(crate) fn find(
    isa: Isa,
    matrices: &[f32],
    start: &[f32],
    size: usize,
    iterations: Iterations,
) -> Vec<Trace> {
    let mut traces = vec![Trace::default(); start.len() / size.max(1)];
    traces.par_iter_mut().enumerate().for_each(|(i, trace)| {
        isa.run(Find {
            matrix: &matrices[i * size * size..][..size * size],
            start: &start[i * size..][..size],
            iterations,
            trace,
        });
    });
    traces
}

impl Trace {
    /// The vector that was found.
    pub fn vector(&self) -> &[f32] {
        self.vectors.last().map_or(&[], Vec::as_slice)
    }
}

struct Find<'a> {
    matrix: &'a [f32],
    start: &'a [f32],
    iterations: Iterations,
    trace: &'a mut Trace,
}

/// `to = Gᵀ v`, which is `G v`.
#[inline(always)]
fn multiply<S: Simd>(s: S, matrix: &[f32], v: &[f32], to: &mut [f32]) {
    /// Registers of sums that pass over the rows together.
    const WIDE: usize = 8;
    let size = to.len();
    assert!(v.len() == size && matrix.len() == size * size);
    let mut first = 0;
    while first < size {
        let (from, to) = (&matrix[first..], &mut to[first..]);
        first += match to.len().div_ceil(S::LANES) {
            WIDE.. => columns::<S, WIDE>(s, from, v, to),
            4.. => columns::<S, 4>(s, from, v, to),
            _ => columns::<S, 1>(s, from, v, to),
        };
    }
}

/// The first registers of columns of [`multiply`], and how many columns these are at most.
#[inline(always)]
fn columns<S: Simd, const Z: usize>(s: S, matrix: &[f32], v: &[f32], to: &mut [f32]) -> usize {
    let (size, left) = (v.len(), to.len());
    assert!((Z - 1) * S::LANES < left && matrix.len() >= (size - 1) * size + left);
    let rows = (0..size).map(|row| (row, row * size));
    let zeros = [[s.zero(); Z]; 1];
    // SAFETY: the matrix has these columns of a row for each entry of `v`, and they reach into the last register.
    let [sums] = unsafe { accumulate(s, zeros, [v.as_ptr()], matrix.as_ptr(), left, rows) };
    for (z, sum) in sums.into_iter().enumerate() {
        s.write(&mut to[z * S::LANES..], sum);
    }
    Z * S::LANES
}

impl Kernel for Find<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut v = self.start.to_vec();
        let mut product = vec![0.0f32; v.len()];
        let Iterations {
            search,
            steps,
            zero,
        } = self.iterations;
        for step in 0..search + steps {
            multiply(s, self.matrix, &v, &mut product);
            let larger = |a: f32, b: &f32| if b.abs() <= a { a } else { b.abs() };
            let largest = product.iter().fold(0.0, larger);
            let factor = match largest <= zero {
                true => f32::NAN,
                false => {
                    let scale = 1.0 / largest;
                    let squares = product.iter().map(|y| (y * scale) * (y * scale));
                    scale / squares.sum::<f32>().sqrt()
                }
            };
            if step >= search {
                self.trace.vectors.push(v.clone());
                self.trace.factors.push(factor);
            }
            let by = if factor.is_nan() { 1.0 } else { factor };
            v.iter_mut().zip(&product).for_each(|(v, y)| *v = y * by);
        }
        self.trace.vectors.push(v);
    }
}

/// The gradients of the matrices, given those of the vectors, `[batch, size]`.
pub(crate) fn grad(isa: Isa, matrices: &[f32], traces: &[Trace], grad: &[f32]) -> Vec<f32> {
    let mut gradient = vec![0.0; matrices.len()];
    let size = grad.len() / traces.len().max(1);
    gradient
        .par_chunks_mut((size * size).max(1))
        .zip(traces)
        .enumerate()
        .for_each(|(i, (gradient, trace))| {
            isa.run(Slopes {
                matrix: &matrices[i * size * size..][..size * size],
                trace,
                grad: &grad[i * size..][..size],
                gradient,
            });
        });
    gradient
}

struct Slopes<'a> {
    matrix: &'a [f32],
    trace: &'a Trace,
    grad: &'a [f32],
    gradient: &'a mut [f32],
}

impl Kernel for Slopes<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let size = self.grad.len();
        let mut grad = self.grad.to_vec();
        let mut of_product = vec![0.0f32; size];
        let steps = self.trace.factors.iter().zip(self.trace.vectors.windows(2));
        for (factor, vectors) in steps.rev() {
            let [before, after] = vectors else { continue };
            let along: f32 = grad.iter().zip(after).map(|(g, v)| g * v).sum();
            let parts = of_product.iter_mut().zip(grad.iter().zip(after));
            match factor.is_nan() {
                true => parts.for_each(|(to, (g, _))| *to = *g),
                false => parts.for_each(|(to, (g, v))| *to = (g - v * along) * factor),
            }
            for (row, g) in self.gradient.chunks_exact_mut(size).zip(&of_product) {
                for (to, v) in row.iter_mut().zip(before) {
                    *to += g * v;
                }
            }
            multiply(s, self.matrix, &of_product, &mut grad);
        }
    }
}
