//! Rows brought to length 1.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use crate::flex::{Dense, FlexTensor, Input, Operation, dense, fast, run, values};
#[cfg(feature = "flex")]
use crate::isa;

/// Rows of `[rows, width]`, each divided by its Euclidean norm. Differentiable.
///
/// A row none of whose entries is larger than `zero` stays as it is, and so does its gradient: it is not
/// blown up by the division. Entries are first divided by the largest of them, so that no square
/// overflows; that factor cancels and needs no gradient.
pub fn unit_rows(x: Tensor<2>, zero: f64) -> Tensor<2> {
    #[cfg(feature = "flex")]
    if fast(&x) {
        return run(UnitRows { zero }, [x.into_dispatch()]);
    }
    let largest = x.clone().detach().abs().max_dim(1);
    let zero = largest.clone().lower_equal_elem(zero);
    let x = x / largest.mask_fill(zero.clone(), 1.0);
    let norm = x.clone().square().sum_dim(1).mask_fill(zero, 1.0).sqrt();
    x / norm
}

#[cfg(feature = "flex")]
#[derive(Clone, Debug)]
struct UnitRows {
    zero: f64,
}

#[cfg(feature = "flex")]
impl Operation<1> for UnitRows {
    /// The output, and what each row was multiplied by.
    type Saved = (FlexTensor, Vec<f32>);

    fn inputs(&self) -> [Input; 1] {
        [Input::Plain]
    }

    fn forward(&self, [x]: [FlexTensor; 1]) -> (FlexTensor, Self::Saved) {
        let shape = x.layout().shape().clone();
        let x = Dense::new(x);
        let mut factors = Vec::new();
        let y = values(x.values().len(), |y| {
            factors = kernel::unit(isa(), x.values(), shape[1], self.zero as f32, y);
        });
        let y = dense(y, shape);
        (y.clone(), (y, factors))
    }

    fn backward(
        &self,
        (y, factors): Self::Saved,
        grad: FlexTensor,
        _: [bool; 1],
        _: &mut [Option<FlexTensor>; 1],
    ) -> [Option<FlexTensor>; 1] {
        let shape = y.layout().shape().clone();
        let (y, grad) = (Dense::new(y), Dense::new(grad));
        let (y, grad) = (y.values(), grad.values());
        let dx = values(y.len(), |dx| kernel::grad(isa(), y, &factors, grad, dx));
        [Some(dense(dx, shape))]
    }
}

#[cfg(feature = "flex")]
pub(crate) mod kernel {
    //! Rows of several tasks, and sums over a row.

    use std::mem::MaybeUninit;

    use rayon::prelude::*;

    use crate::simd::{Isa, Kernel, Simd};

    /// Values that are summed side by side.
    const LANES: usize = 16;
    /// Values of a task.
    const VALUES: usize = 1 << 14;

    /// `Σ f(x, y)` over both rows.
    #[inline(always)]
    pub(crate) fn sum(x: &[f32], y: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
        let ((x, x_rest), (y, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
        let mut sums = [0.0f32; LANES];
        for (x, y) in x.iter().zip(y) {
            for lane in 0..LANES {
                sums[lane] += f(x[lane], y[lane]);
            }
        }
        let rest = x_rest.iter().zip(y_rest).map(|(x, y)| f(*x, *y));
        sums.into_iter().chain(rest).sum()
    }

    /// The largest size of an entry; NaN where there is one.
    #[inline(always)]
    pub(crate) fn largest(row: &[f32]) -> f32 {
        let (blocks, rest) = row.as_chunks::<LANES>();
        let mut found = [0.0f32; LANES];
        let larger = |a: f32, b: f32| if b.abs() <= a { a } else { b.abs() };
        for block in blocks {
            for lane in 0..LANES {
                found[lane] = larger(found[lane], block[lane]);
            }
        }
        found.iter().chain(rest).fold(0.0, |a, b| larger(a, *b))
    }

    /// Rows to a task, which does not depend on the number of threads.
    fn rows(width: usize) -> usize {
        (VALUES / width.max(1)).max(1)
    }

    /// Writes every row divided by its length over `y`, rows without an entry above `zero` as they are, and
    /// returns for each what it was multiplied by, or NaN where it was not.
    pub(crate) fn unit(
        isa: Isa,
        x: &[f32],
        width: usize,
        zero: f32,
        y: &mut [MaybeUninit<f32>],
    ) -> Vec<f32> {
        assert_eq!(y.len(), x.len(), "a place for each value");
        let step = rows(width);
        let mut factors = vec![f32::NAN; x.len() / width.max(1)];
        let values = (step * width).max(1);
        factors
            .par_chunks_mut(step)
            .zip(x.par_chunks(values).zip(y.par_chunks_mut(values)))
            .for_each(|(factors, (x, y))| {
                isa.run(Unit {
                    x,
                    width,
                    zero,
                    factors,
                    y,
                });
            });
        factors
    }

    struct Unit<'a> {
        x: &'a [f32],
        width: usize,
        zero: f32,
        factors: &'a mut [f32],
        y: &'a mut [MaybeUninit<f32>],
    }

    impl Kernel for Unit<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, _: S) {
            let width = self.width.max(1);
            let rows = self.x.chunks_exact(width).zip(self.factors);
            for ((x, factor), y) in rows.zip(self.y.chunks_exact_mut(width)) {
                let largest = largest(x);
                if largest <= self.zero {
                    y.write_copy_of_slice(x);
                    continue;
                }
                // Divided by the largest entry first, no square overflows.
                let scale = 1.0 / largest;
                let length = sum(x, x, |a, b| (a * scale) * (b * scale)).sqrt();
                *factor = scale / length;
                for (y, x) in y.iter_mut().zip(x) {
                    y.write(x * scale / length);
                }
            }
        }
    }

    /// The gradient of `x`, given [`unit`]'s output `y`, its factors and its gradient, written over `dx`.
    pub(crate) fn grad(
        isa: Isa,
        y: &[f32],
        factors: &[f32],
        grad: &[f32],
        dx: &mut [MaybeUninit<f32>],
    ) {
        assert_eq!(
            [grad.len(), dx.len()],
            [y.len(); 2],
            "a gradient for each value"
        );
        let width = y.len() / factors.len().max(1);
        let step = rows(width);
        let values = (step * width).max(1);
        let rows = y.par_chunks(values).zip(grad.par_chunks(values));
        factors
            .par_chunks(step)
            .zip(rows.zip(dx.par_chunks_mut(values)))
            .for_each(|(factors, ((y, grad), dx))| {
                isa.run(Slopes {
                    y,
                    grad,
                    width,
                    factors,
                    dx,
                });
            });
    }

    struct Slopes<'a> {
        y: &'a [f32],
        grad: &'a [f32],
        width: usize,
        factors: &'a [f32],
        dx: &'a mut [MaybeUninit<f32>],
    }

    impl Kernel for Slopes<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, _: S) {
            let width = self.width.max(1);
            let values = self.y.chunks_exact(width);
            let values = values.zip(self.grad.chunks_exact(width));
            let rows = values.zip(self.dx.chunks_exact_mut(width));
            for (((y, grad), dx), factor) in rows.zip(self.factors) {
                if factor.is_nan() {
                    dx.write_copy_of_slice(grad);
                    continue;
                }
                let along = sum(y, grad, |y, grad| y * grad);
                for (dx, (y, grad)) in dx.iter_mut().zip(y.iter().zip(grad)) {
                    dx.write((grad - y * along) * factor);
                }
            }
        }
    }
}
