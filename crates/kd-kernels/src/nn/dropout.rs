//! Dropout whose mask is computed again for the gradient instead of kept.
//!
//! Source: N. Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", JMLR 2014.

use burn::tensor::{Distribution, Tensor};

#[cfg(feature = "flex")]
use self::kernel::Mask;
#[cfg(feature = "flex")]
use crate::flex::{Dense, FlexTensor, Input, Operation, dense, fast, run, values};
#[cfg(feature = "flex")]
use crate::isa;

/// `x`, each value of which is 0 with a probability `prob` and otherwise divided by `1 − prob`. Differentiable.
///
/// What is dropped is drawn from the device's generator ([`Device::seed`](burn::tensor::Device::seed)).
///
/// # Panics
/// When `prob` is not in `[0, 1)`.
pub fn dropout<const D: usize>(x: Tensor<D>, prob: f64) -> Tensor<D> {
    check(prob);
    #[cfg(feature = "flex")]
    if fast(&x) {
        return run(Dropout::draw(&x, prob), [x.into_dispatch()]);
    }
    composed(x, prob)
}

/// `x + dropout(branch)`, in one pass. Differentiable in both.
///
/// # Panics
/// As [`dropout`], and when the shapes differ.
pub fn add_dropped<const D: usize>(x: Tensor<D>, branch: Tensor<D>, prob: f64) -> Tensor<D> {
    check(prob);
    assert_eq!(x.dims(), branch.dims(), "a value for each of the branch");
    #[cfg(feature = "flex")]
    if fast(&x) && fast(&branch) {
        let operation = Dropout::draw(&branch, prob);
        return run(operation, [branch.into_dispatch(), x.into_dispatch()]);
    }
    x + composed(branch, prob)
}

pub(crate) fn check(prob: f64) {
    assert!(
        (0.0..1.0).contains(&prob),
        "a probability of {prob} is not in [0, 1)"
    );
}

/// The same by burn's operations.
pub(crate) fn composed<const D: usize>(x: Tensor<D>, prob: f64) -> Tensor<D> {
    let kept = x.random_like(Distribution::Bernoulli(1.0 - prob));
    x * kept * (1.0 / (1.0 - prob))
}

#[cfg(feature = "flex")]
impl Mask {
    /// The next mask of a tensor's device.
    pub fn draw<const D: usize>(x: &Tensor<D>, prob: f64) -> Self {
        let device = x.device().inner();
        let drawn = Tensor::<1>::random([4], Distribution::Uniform(0.0, 1.0), &device);
        let drawn: Vec<f32> = drawn.into_data().iter().collect();
        Self::new(&drawn, prob)
    }
}

#[cfg(feature = "flex")]
#[derive(Clone, Debug)]
struct Dropout {
    mask: Mask,
}

#[cfg(feature = "flex")]
impl Dropout {
    fn draw<const D: usize>(x: &Tensor<D>, prob: f64) -> Self {
        let mask = Mask::draw(x, prob);
        Self { mask }
    }

    fn drop(&self, x: FlexTensor, added: Option<FlexTensor>) -> FlexTensor {
        let shape = x.layout().shape().clone();
        let width = shape.iter().next_back().copied().unwrap_or(1);
        let (x, added) = (Dense::new(x), added.map(Dense::new));
        let added = added.as_ref().map(Dense::values);
        let y = values(shape.num_elements(), |y| {
            kernel::drop(isa(), self.mask, x.values(), added, width, y);
        });
        dense(y, shape)
    }
}

/// The inputs are what is dropped, and what the rest is added to, if there is anything.
#[cfg(feature = "flex")]
impl<const N: usize> Operation<N> for Dropout {
    type Saved = ();

    fn inputs(&self) -> [Input; N] {
        [Input::Plain; N]
    }

    fn forward(&self, inputs: [FlexTensor; N]) -> (FlexTensor, ()) {
        let mut inputs = inputs.into_iter();
        let x = inputs.next().expect("something to drop from");
        (self.drop(x, inputs.next()), ())
    }

    fn backward(
        &self,
        (): (),
        grad: FlexTensor,
        wants: [bool; N],
        _: &mut [Option<FlexTensor>; N],
    ) -> [Option<FlexTensor>; N] {
        std::array::from_fn(|input| match input {
            0 => wants[0].then(|| self.drop(grad.clone(), None)),
            _ => Some(grad.clone()),
        })
    }
}

#[cfg(feature = "flex")]
pub(crate) mod kernel {
    //! A mask that is a function of a seed and of a value's place.

    use std::mem::MaybeUninit;

    use rayon::prelude::*;

    use crate::simd::{Isa, Kernel, Simd};

    /// Values of a task.
    const VALUES: usize = 1 << 14;
    /// 2⁶⁴ divided by the golden ratio, the step of SplitMix64 (G. L. Steele et al., OOPSLA 2014).
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

    /// Mixes the bits of a number: the finaliser of SplitMix64.
    fn mixed(x: u64) -> u64 {
        let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// Which values of a tensor are dropped: a row of its last axis has a key, and a value the hash of its place in the
    /// row under that key.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Mask {
        seed: u64,
        /// Hashes below this are dropped.
        dropped: u32,
        /// The factor of what is kept.
        kept: f32,
    }

    /// The mask of a row.
    #[derive(Clone, Copy)]
    pub(crate) struct RowMask {
        key: [u32; 2],
        dropped: u32,
        kept: f32,
    }

    impl Mask {
        /// Of numbers that a generator drew.
        pub fn new(drawn: &[f32], prob: f64) -> Self {
            let seed = drawn.iter().fold(0, |seed: u64, drawn| {
                mixed(seed.wrapping_add(STEP) ^ u64::from(drawn.to_bits()))
            });
            Self {
                seed,
                dropped: (prob * 2f64.powi(32)) as u32,
                kept: (1.0 / (1.0 - prob)) as f32,
            }
        }

        pub fn row(self, row: usize) -> RowMask {
            let key = mixed(
                self.seed
                    .wrapping_add((row as u64).wrapping_add(1).wrapping_mul(STEP)),
            );
            RowMask {
                key: [key as u32, (key >> 32) as u32],
                dropped: self.dropped,
                kept: self.kept,
            }
        }
    }

    impl RowMask {
        /// The factor of a value. Three rounds of multiplying and folding with constants of C. Wellons' `triple32`,
        /// whose bias is next to none; the second half of the key enters after the first.
        #[inline(always)]
        pub fn factor(self, column: u32) -> f32 {
            let x = column.wrapping_add(self.key[0]);
            let x = (x ^ (x >> 17)).wrapping_mul(0xed5a_d4bb);
            let x = (x ^ (x >> 11) ^ self.key[1]).wrapping_mul(0xac4c_1b51);
            let x = (x ^ (x >> 15)).wrapping_mul(0x3184_8bab);
            let x = x ^ (x >> 14);
            if x < self.dropped { 0.0 } else { self.kept }
        }
    }

    /// `x` of rows of so many values under the mask, plus `added`, written over `y`.
    ///
    /// # Panics
    /// When there is not a place, and something to add, for each value.
    pub(crate) fn drop(
        isa: Isa,
        mask: Mask,
        x: &[f32],
        added: Option<&[f32]>,
        width: usize,
        y: &mut [MaybeUninit<f32>],
    ) {
        assert_eq!(y.len(), x.len(), "a place for each value");
        assert!(added.is_none_or(|added| added.len() == x.len()));
        if x.is_empty() {
            return;
        }
        let rows = (VALUES / width).max(1);
        let tasks = y.par_chunks_mut(rows * width).enumerate();
        tasks.for_each(|(task, y)| {
            let from = task * rows * width;
            let part = from..from + y.len();
            isa.run(Drop {
                mask,
                first: task * rows,
                x: &x[part.clone()],
                added: added.map(|added| &added[part]),
                width,
                y,
            });
        });
    }

    struct Drop<'a> {
        mask: Mask,
        first: usize,
        x: &'a [f32],
        added: Option<&'a [f32]>,
        width: usize,
        y: &'a mut [MaybeUninit<f32>],
    }

    impl Kernel for Drop<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, _: S) {
            let rows = self.y.chunks_exact_mut(self.width);
            let rows = rows.zip(self.x.chunks_exact(self.width)).enumerate();
            for (row, (y, x)) in rows {
                let mask = self.mask.row(self.first + row);
                match self.added {
                    None => {
                        for ((y, x), column) in y.iter_mut().zip(x).zip(0..) {
                            y.write(x * mask.factor(column));
                        }
                    }
                    Some(added) => {
                        let added = &added[row * self.width..];
                        for (((y, x), added), column) in y.iter_mut().zip(x).zip(added).zip(0..) {
                            y.write(added + x * mask.factor(column));
                        }
                    }
                }
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        /// 1 for kept and −1 for dropped, at a probability of one half.
        fn signs(seed: f32, row: usize, count: u32) -> Vec<f64> {
            let row = Mask::new(&[seed], 0.5).row(row);
            let signs = (0..count).map(|column| if row.factor(column) > 0.0 { 1.0 } else { -1.0 });
            signs.collect()
        }

        fn along(a: &[f64], b: &[f64]) -> f64 {
            a.iter().zip(b).map(|(a, b)| a * b).sum()
        }

        /// Independent signs have sums of about the root of their number: none of these thousands may be more than six
        /// deviations away.
        #[test]
        fn masks_of_seeds_rows_and_places_are_independent() {
            const COUNT: u32 = 4096;
            let most = 6.0 * f64::from(COUNT).sqrt();
            let first = signs(0.5, 0, COUNT + 64);
            for lag in 1..=64 {
                let sum = along(&first[..COUNT as usize], &first[lag..]);
                assert!(sum.abs() < most, "lag {lag}: {sum}");
            }
            for other in 1..2000 {
                for signs in [
                    signs(0.5, other, COUNT),
                    signs(0.5 + other as f32 / 4000.0, 0, COUNT),
                ] {
                    let (sum, with) = (signs.iter().sum::<f64>(), along(&first, &signs));
                    assert!(sum.abs() < most, "{other}: {sum}");
                    assert!(with.abs() < most, "{other}: {with}");
                }
            }
        }

        #[test]
        fn the_share_that_is_dropped_is_the_probability() {
            const ROWS: usize = 1000;
            for prob in [0.0, 1e-3, 0.1, 0.5, 0.9] {
                let mask = Mask::new(&[0.25, 0.75], prob);
                let (mut dropped, mut by_row) = (0, 0.0);
                for row in 0..ROWS {
                    let row = mask.row(row);
                    let zeros = (0..1000).filter(|column| row.factor(*column) == 0.0);
                    let zeros = zeros.count();
                    dropped += zeros;
                    by_row += (zeros as f64 - 1000.0 * prob).powi(2) / ROWS as f64;
                    assert_eq!(mask.kept, (1.0 / (1.0 - prob)) as f32);
                }
                let (count, variance) = (1e6, 1e6 * prob * (1.0 - prob));
                let off = dropped as f64 - count * prob;
                assert!(off.abs() <= 5.0 * variance.sqrt(), "{prob}: {off}");
                // Rows differ as much as those of independent draws.
                let ratio = by_row / (variance / 1e3).max(1e-9);
                assert!(
                    prob == 0.0 || (0.8..1.25).contains(&ratio),
                    "{prob}: {ratio}"
                );
            }
        }
    }
}
