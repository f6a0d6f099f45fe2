//! Two maps mixed position by position: the fusion of knowledge review.

use burn::tensor::Tensor;
use burn::tensor::module::interpolate;
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};

#[cfg(feature = "flex")]
use self::kernel::Blend;
#[cfg(feature = "flex")]
use crate::flex::{FlexTensor, Input, Map, Operation, build, fast, run};
#[cfg(feature = "flex")]
use crate::isa;

/// `a · shares[:, 0] + b · shares[:, 1]`, from a map `a` `[batch, channels, height, width]`, a map `b` of
/// that size or one that divides it, whose values are repeated to it, and `shares`
/// `[batch, 2, height, width]`. Differentiable.
pub fn blend(a: Tensor<4>, b: Tensor<4>, shares: Tensor<4>) -> Tensor<4> {
    #[cfg(feature = "flex")]
    if fast(&a) {
        return run(Mix, [a, b, shares].map(Tensor::into_dispatch));
    }
    let [_, _, height, width] = a.dims();
    let b = repeat(b, [height, width]);
    a * shares.clone().narrow(1, 0, 1) + b * shares.narrow(1, 1, 1)
}

/// A map with values repeated to a size that its own divides.
fn repeat(map: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    let [_, _, height, width] = map.dims();
    if [height, width] == size {
        return map;
    }
    // The nearest neighbour is the one mode whose gradient every backend has.
    let options = InterpolateOptions::new(InterpolateMode::Nearest).with_output_size(size);
    interpolate(map, options)
}

#[cfg(feature = "flex")]
#[derive(Clone, Debug)]
struct Mix;

#[cfg(feature = "flex")]
impl Operation<3> for Mix {
    type Saved = [FlexTensor; 3];

    fn inputs(&self) -> [Input; 3] {
        [Input::Map; 3]
    }

    fn forward(&self, maps: [FlexTensor; 3]) -> (FlexTensor, Self::Saved) {
        let [a, b, shares] = maps.clone().map(Map::new);
        let blend = Blend {
            a: a.images(),
            b: b.images(),
            shares: shares.images(),
        };
        (
            build(blend.a.size, |y| kernel::blend(isa(), blend, y)),
            maps,
        )
    }

    fn backward(
        &self,
        maps: Self::Saved,
        grad: FlexTensor,
        _: [bool; 3],
        _: &mut [Option<FlexTensor>; 3],
    ) -> [Option<FlexTensor>; 3] {
        let ([a, b, shares], grad) = (maps.map(Map::new), Map::new(grad));
        let blend = Blend {
            a: a.images(),
            b: b.images(),
            shares: shares.images(),
        };
        let (mut of_b, mut of_shares) = (None, None);
        let of_a = build(blend.a.size, |a| {
            of_b = Some(build(blend.b.size, |b| {
                of_shares = Some(build(blend.shares.size, |shares| {
                    let to = kernel::Grads { a, b, shares };
                    kernel::grad(isa(), blend, grad.images(), to);
                }));
            }));
        });
        [Some(of_a), of_b, of_shares]
    }
}

#[cfg(feature = "flex")]
pub(crate) mod kernel {
    //! Mixing and unmixing, a row of pixels a task.

    use std::mem::MaybeUninit;

    use rayon::prelude::*;

    use crate::images::{Images, Size, filled};
    use crate::simd::chunks;
    use crate::simd::{Isa, Kernel, Simd};

    /// `a` at full size, `b` of which each value stands for a block, and a share of each for every pixel of
    /// `a`, `[batch, height, width, 2]`.
    #[derive(Clone, Copy)]
    pub(crate) struct Blend<'a> {
        pub a: Images<'a>,
        pub b: Images<'a>,
        pub shares: Images<'a>,
    }

    impl Blend<'_> {
        /// Sides of a block.
        fn block(&self) -> [usize; 2] {
            let (full, small) = (self.a.size, self.b.size);
            let sides = [full.height / small.height, full.width / small.width];
            let repeated = Size {
                height: small.height * sides[0],
                width: small.width * sides[1],
                ..small
            };
            assert_eq!(full, repeated, "one map is the other's size or divides it");
            let shares = Size {
                channels: 2,
                ..full
            };
            assert_eq!(shares, self.shares.size, "two shares for each pixel");
            sides
        }
    }

    /// `a · share₀ + b · share₁`, written over `y`, which is dense.
    pub(crate) fn blend(isa: Isa, blend: Blend, y: &mut [MaybeUninit<f32>]) {
        let block = blend.block();
        chunks::each_row(blend.a.size, y, |row, y| {
            isa.run(Mix {
                blend,
                block,
                row,
                y,
            });
        });
    }

    /// A row of the output.
    struct Mix<'a> {
        blend: Blend<'a>,
        block: [usize; 2],
        row: usize,
        y: &'a mut [MaybeUninit<f32>],
    }

    impl Kernel for Mix<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, _: S) {
            let Blend { a, b, shares } = self.blend;
            let channels = a.size.channels;
            let small = self.row / self.block[0] * b.size.width;
            let mut pixel = self.row * a.size.width;
            // The pixels that have one of `b`.
            let columns = self.y.chunks_exact_mut(self.block[1] * channels);
            for (y, other) in columns.zip(small..) {
                let other = b.pixel(other);
                for y in y.chunks_exact_mut(channels) {
                    let share = shares.pixel(pixel);
                    for (y, (a, b)) in y.iter_mut().zip(a.pixel(pixel).iter().zip(other)) {
                        y.write(a * share[0] + b * share[1]);
                    }
                    pixel += 1;
                }
            }
        }
    }

    /// Where the gradients of a blend go; all dense.
    pub(crate) struct Grads<'a> {
        pub a: &'a mut [MaybeUninit<f32>],
        pub b: &'a mut [MaybeUninit<f32>],
        pub shares: &'a mut [MaybeUninit<f32>],
    }

    /// The gradients of `a`, `b` and the shares.
    pub(crate) fn grad(isa: Isa, blend: Blend, grad: Images, to: Grads) {
        let block = blend.block();
        assert_eq!(grad.size, blend.a.size, "one gradient for each value");
        let [full, small] = [blend.a.size, blend.b.size];
        let lens = [to.a.len(), to.b.len(), to.shares.len()];
        let places = [full.len(), small.len(), blend.shares.size.len()];
        assert_eq!(lens, places, "a place for each value");
        // A row of `b`, and the rows of the others that it stands for.
        let pixels = block[0] * full.width;
        let of_a = to.a.par_chunks_mut((pixels * full.channels).max(1));
        let of_b = to.b.par_chunks_mut((small.width * small.channels).max(1));
        let of_shares = to.shares.par_chunks_mut((pixels * 2).max(1));
        let rows = of_a.zip(of_b).zip(of_shares).enumerate();
        rows.for_each(|(row, ((a, b), shares))| {
            isa.run(Unmix {
                blend,
                block,
                grad: &grad,
                row,
                to: Grads { a, b, shares },
            });
        });
    }

    /// A row of `b`, and the rows of `a` that it stands for.
    struct Unmix<'a> {
        blend: Blend<'a>,
        block: [usize; 2],
        grad: &'a Images<'a>,
        row: usize,
        to: Grads<'a>,
    }

    /// Values that are summed side by side.
    const LANES: usize = 16;

    #[inline(always)]
    fn dot(a: &[f32], b: &[f32]) -> f32 {
        let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
        let mut sums = [0.0f32; LANES];
        for (a, b) in a.iter().zip(b) {
            for lane in 0..LANES {
                sums[lane] += a[lane] * b[lane];
            }
        }
        let rest = a_rest.iter().zip(b_rest).map(|(a, b)| a * b);
        sums.into_iter().chain(rest).sum()
    }

    impl Kernel for Unmix<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, _: S) {
            let Blend { a, b, shares } = self.blend;
            let channels = a.size.channels;
            let small = self.row * b.size.width;
            let [height, width] = self.block;
            let row = filled(self.to.b, 0.0);
            let of_pixels = self.to.a.chunks_exact_mut(channels);
            let of_pixels = of_pixels.zip(self.to.shares.chunks_exact_mut(2));
            let first = self.row * height * a.size.width;
            for ((of_a, of_shares), pixel) in of_pixels.zip(first..) {
                let (grad, share) = (self.grad.pixel(pixel), shares.pixel(pixel));
                let column = pixel % a.size.width / width;
                let other = b.pixel(small + column);
                of_shares[0].write(dot(grad, a.pixel(pixel)));
                of_shares[1].write(dot(grad, other));
                for (of_a, grad) in of_a.iter_mut().zip(grad) {
                    of_a.write(grad * share[0]);
                }
                let of_b = &mut row[column * channels..][..channels];
                for (of_b, grad) in of_b.iter_mut().zip(grad) {
                    *of_b += grad * share[1];
                }
            }
        }
    }
}
