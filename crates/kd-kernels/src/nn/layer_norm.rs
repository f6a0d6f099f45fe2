//! Layer normalisation.

use burn::tensor::{Tensor, module};

#[cfg(feature = "flex")]
use crate::flex::{Dense, FlexTensor, Input, Operation, dense, fast, run, values};
#[cfg(feature = "flex")]
use crate::isa;

/// Layer normalisation over the last axis: `(x − mean) / sqrt(variance + epsilon) · weight + bias`, with a weight and a
/// bias as long as that axis; the variance is the biased one. Differentiable in all of them.
///
/// Source: J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer Normalization", arXiv 2016.
///
/// # Panics
/// When weight or bias have another length.
pub fn layer_norm<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    epsilon: f64,
) -> Tensor<D> {
    #[cfg(feature = "flex")]
    if fast(&x) {
        let inputs = [
            x.into_dispatch(),
            weight.into_dispatch(),
            bias.into_dispatch(),
        ];
        return run(LayerNorm { epsilon }, inputs);
    }
    module::layer_norm(x, weight, Some(bias), epsilon)
}

#[cfg(feature = "flex")]
#[derive(Clone, Debug)]
struct LayerNorm {
    epsilon: f64,
}

#[cfg(feature = "flex")]
#[derive(Clone, Debug)]
struct Saved {
    x: FlexTensor,
    weight: FlexTensor,
    /// Mean and reciprocal deviation of each row.
    statistics: Vec<[f32; 2]>,
}

#[cfg(feature = "flex")]
impl Operation<3> for LayerNorm {
    type Saved = Saved;

    fn inputs(&self) -> [Input; 3] {
        [Input::Map, Input::Plain, Input::Plain]
    }

    fn forward(&self, [x, weight, bias]: [FlexTensor; 3]) -> (FlexTensor, Saved) {
        let shape = x.layout().shape().clone();
        let [rows, scale, shift] = [x.clone(), weight.clone(), bias].map(Dense::new);
        let mut statistics = vec![];
        let y = values(rows.values().len(), |y| {
            let affine = [scale.values(), shift.values()];
            statistics = kernel::normalise(isa(), rows.values(), affine, self.epsilon as f32, y);
        });
        let saved = Saved {
            x,
            weight,
            statistics,
        };
        (dense(y, shape), saved)
    }

    fn backward(
        &self,
        saved: Saved,
        grad: FlexTensor,
        _: [bool; 3],
        earlier: &mut [Option<FlexTensor>; 3],
    ) -> [Option<FlexTensor>; 3] {
        let shape = saved.x.layout().shape().clone();
        let [x, weight, grad] = [saved.x, saved.weight, grad].map(Dense::new);
        let earlier = earlier[0].take().map(Dense::new);
        let width = weight.values().len();
        let mut sums = [vec![], vec![]];
        let dx = values(x.values().len(), |dx| {
            let rows = kernel::Normalised {
                x: x.values(),
                weight: weight.values(),
                statistics: &saved.statistics,
            };
            let earlier = earlier.as_ref().map(Dense::values);
            sums = kernel::grad(isa(), rows, grad.values(), earlier, dx);
        });
        let [of_weight, of_bias] = sums.map(|sums| Some(dense(sums, [width])));
        [Some(dense(dx, shape)), of_weight, of_bias]
    }
}

#[cfg(feature = "flex")]
pub(crate) mod kernel {
    //! Rows of several tasks.

    use std::mem::MaybeUninit;

    use rayon::prelude::*;

    use crate::loss::unit_rows::kernel::sum;
    use crate::simd::{Isa, Kernel, Simd};

    /// Values of a task.
    const VALUES: usize = 1 << 14;

    /// Rows to a task, which does not depend on the number of threads.
    fn rows(width: usize) -> usize {
        (VALUES / width).max(1)
    }

    /// Writes every row normalised over `y`, and returns mean and reciprocal deviation of each.
    ///
    /// # Panics
    /// When the sizes do not fit.
    pub(crate) fn normalise(
        isa: Isa,
        x: &[f32],
        affine: [&[f32]; 2],
        epsilon: f32,
        y: &mut [MaybeUninit<f32>],
    ) -> Vec<[f32; 2]> {
        let width = affine[0].len();
        assert!(
            width > 0 && affine[1].len() == width && x.len().is_multiple_of(width),
            "one weight and bias for each value of a row"
        );
        assert_eq!(x.len(), y.len(), "a place for each value");
        let step = rows(width);
        let mut statistics = vec![[0.0; 2]; x.len() / width];
        let tasks = x
            .par_chunks(step * width)
            .zip(y.par_chunks_mut(step * width));
        let tasks = tasks.zip(statistics.par_chunks_mut(step));
        tasks.for_each(|((x, y), statistics)| {
            isa.run(Normalise {
                x,
                affine,
                epsilon,
                y,
                statistics,
            });
        });
        statistics
    }

    struct Normalise<'a> {
        x: &'a [f32],
        affine: [&'a [f32]; 2],
        epsilon: f32,
        y: &'a mut [MaybeUninit<f32>],
        statistics: &'a mut [[f32; 2]],
    }

    impl Kernel for Normalise<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, _: S) {
            let [weight, bias] = self.affine;
            let width = weight.len();
            let share = 1.0 / width as f32;
            let rows = self
                .x
                .chunks_exact(width)
                .zip(self.y.chunks_exact_mut(width));
            for ((x, y), statistics) in rows.zip(self.statistics) {
                let mean = sum(x, x, |x, _| x) * share;
                let variance = sum(x, x, |x, _| (x - mean) * (x - mean)) * share;
                let rstd = 1.0 / (variance + self.epsilon).sqrt();
                *statistics = [mean, rstd];
                let affine = weight.iter().zip(bias);
                for ((y, x), (weight, bias)) in y.iter_mut().zip(x).zip(affine) {
                    y.write((x - mean) * rstd * weight + bias);
                }
            }
        }
    }

    /// What [`normalise`] was given and found.
    #[derive(Clone, Copy)]
    pub(crate) struct Normalised<'a> {
        pub x: &'a [f32],
        pub weight: &'a [f32],
        pub statistics: &'a [[f32; 2]],
    }

    /// The gradient of the rows plus `earlier`, written over `dx`, given that of their output; returns those of weight
    /// and bias.
    ///
    /// # Panics
    /// When the sizes do not fit.
    pub(crate) fn grad(
        isa: Isa,
        normalised: Normalised,
        dy: &[f32],
        earlier: Option<&[f32]>,
        dx: &mut [MaybeUninit<f32>],
    ) -> [Vec<f32>; 2] {
        let Normalised {
            x,
            weight,
            statistics,
        } = normalised;
        let (len, width) = (x.len(), weight.len());
        assert_eq!([statistics.len() * width, dy.len(), dx.len()], [len; 3]);
        assert!(earlier.is_none_or(|earlier| earlier.len() == len));
        let step = rows(width);
        let mut partial = vec![0.0f32; statistics.len().div_ceil(step) * 2 * width];
        let tasks = statistics.par_chunks(step).zip(dy.par_chunks(step * width));
        let tasks = tasks.zip(dx.par_chunks_mut(step * width));
        let tasks = tasks.zip(partial.par_chunks_mut(2 * width)).enumerate();
        tasks.for_each(|(index, (((statistics, dy), dx), sums))| {
            let first = index * step * width;
            isa.run(Slopes {
                rows: Normalised {
                    x: &x[first..][..dy.len()],
                    weight,
                    statistics,
                },
                dy,
                earlier: earlier.map(|earlier| &earlier[first..]),
                dx,
                sums,
            });
        });
        let mut sums = vec![0.0f64; 2 * width];
        for partial in partial.chunks_exact(2 * width) {
            for (sum, value) in sums.iter_mut().zip(partial) {
                *sum += f64::from(*value);
            }
        }
        let sums: Vec<f32> = sums.into_iter().map(|sum| sum as f32).collect();
        [sums[..width].to_vec(), sums[width..].to_vec()]
    }

    struct Slopes<'a> {
        rows: Normalised<'a>,
        dy: &'a [f32],
        earlier: Option<&'a [f32]>,
        dx: &'a mut [MaybeUninit<f32>],
        /// Of weight and bias.
        sums: &'a mut [f32],
    }

    impl Kernel for Slopes<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, _: S) {
            let weight = self.rows.weight;
            let width = weight.len();
            let share = 1.0 / width as f32;
            let (of_weight, of_bias) = self.sums.split_at_mut(width);
            let rows = self
                .rows
                .x
                .chunks_exact(width)
                .zip(self.dy.chunks_exact(width));
            let rows = rows.zip(self.dx.chunks_exact_mut(width));
            for (row, (((x, dy), dx), [mean, rstd])) in rows.zip(self.rows.statistics).enumerate() {
                let sums = of_weight.iter_mut().zip(&mut *of_bias);
                for ((x, dy), (of_weight, of_bias)) in x.iter().zip(dy).zip(sums) {
                    *of_weight += dy * ((x - mean) * rstd);
                    *of_bias += dy;
                }
                let inner = sum(dy, weight, |dy, weight| dy * weight) * share;
                for (dx, (dy, weight)) in dx.iter_mut().zip(dy.iter().zip(weight)) {
                    dx.write(dy * weight - inner);
                }
                // SAFETY: every value was written.
                let dx = unsafe { dx.assume_init_mut() };
                // The mean of the slopes has no part in it, since that of the normalised row is 0.
                let along = sum(dx, x, |dx, x| dx * ((x - mean) * rstd)) * share;
                for (dx, x) in dx.iter_mut().zip(x) {
                    *dx = (*dx - (x - mean) * rstd * along) * rstd;
                }
                if let Some(earlier) = self.earlier {
                    for (dx, earlier) in dx.iter_mut().zip(&earlier[row * width..]) {
                        *dx += earlier;
                    }
                }
            }
        }
    }
}
