//! How strong a map is at each position.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use super::of_maps::of_maps;
#[cfg(feature = "flex")]
use crate::flex::fast;

/// Mean over channels of the squares of a map `[batch, channels, height, width]`,
/// `[batch, height · width]`. Differentiable.
pub fn energy(x: Tensor<4>) -> Tensor<2> {
    #[cfg(feature = "flex")]
    if fast(&x) {
        return of_maps(kernel::Energy, [x]);
    }
    x.square().mean_dim(1).flatten(1, 3)
}

#[cfg(feature = "flex")]
pub(crate) mod kernel {
    //! Squares of a pixel, and their gradient.

    use std::mem::MaybeUninit;

    use burn::tensor::Shape;

    use crate::flex::values;
    use crate::images::Images;
    use crate::loss::of_maps::OfMaps;
    use crate::simd::chunks;
    use crate::simd::{Isa, Kernel, Simd};

    /// Values that are summed side by side.
    const LANES: usize = 16;

    /// A number for each position of each image, `[batch, positions]`.
    #[derive(Clone, Debug)]
    pub(crate) struct Energy;

    impl OfMaps<1> for Energy {
        type Saved = ();

        fn value(&self, isa: Isa, [x]: [Images; 1]) -> (Vec<f32>, Shape, ()) {
            let energy = values(x.size.pixels(), |y| energy(isa, x, y));
            (energy, Shape::from([x.size.batch, x.size.area()]), ())
        }

        fn grad(
            &self,
            isa: Isa,
            [x]: [Images; 1],
            (): &(),
            grad: &[f32],
            dx: &mut [MaybeUninit<f32>],
        ) {
            self::grad(isa, x, grad, dx);
        }
    }

    /// Mean over channels of the squares, a value a pixel, written over `y`.
    pub(crate) fn energy(isa: Isa, x: Images, y: &mut [MaybeUninit<f32>]) {
        chunks::each(x.size, 1, y, |first, y| {
            isa.run(Squares { x: &x, first, y })
        });
    }

    struct Squares<'a> {
        x: &'a Images<'a>,
        first: usize,
        y: &'a mut [MaybeUninit<f32>],
    }

    impl Kernel for Squares<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, _: S) {
            let scale = 1.0 / self.x.size.channels as f32;
            for (y, pixel) in self.y.iter_mut().zip(self.first..) {
                let (blocks, rest) = self.x.pixel(pixel).as_chunks::<LANES>();
                let mut sums = [0.0f32; LANES];
                for block in blocks {
                    for lane in 0..LANES {
                        sums[lane] += block[lane] * block[lane];
                    }
                }
                for (sum, x) in sums.iter_mut().zip(rest) {
                    *sum += x * x;
                }
                y.write(sums.iter().sum::<f32>() * scale);
            }
        }
    }

    /// The gradient of `x`, given that of each pixel's energy, written over `dx`, which is dense.
    pub(crate) fn grad(isa: Isa, x: Images, grad: &[f32], dx: &mut [MaybeUninit<f32>]) {
        assert_eq!(grad.len(), x.size.pixels(), "one gradient for each pixel");
        chunks::each(x.size, x.size.channels, dx, |first, dx| {
            isa.run(Slopes {
                x: &x,
                grad,
                first,
                dx,
            });
        });
    }

    struct Slopes<'a> {
        x: &'a Images<'a>,
        grad: &'a [f32],
        first: usize,
        dx: &'a mut [MaybeUninit<f32>],
    }

    impl Kernel for Slopes<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, _: S) {
            let channels = self.x.size.channels;
            let scale = 2.0 / channels as f32;
            let pixels = self.dx.chunks_exact_mut(channels).zip(self.first..);
            for ((dx, pixel), grad) in pixels.zip(&self.grad[self.first..]) {
                for (dx, x) in dx.iter_mut().zip(self.x.pixel(pixel)) {
                    dx.write(x * (grad * scale));
                }
            }
        }
    }
}
