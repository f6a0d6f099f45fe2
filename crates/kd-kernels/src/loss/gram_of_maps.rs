//! Products of a map's channels, or of its positions, with each other, image by image.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use self::kernel::Along;
#[cfg(feature = "flex")]
use super::of_maps::of_maps;
use super::products::shared_by_positions;
#[cfg(feature = "flex")]
use crate::flex::fast;

/// [`products`](fn@crate::products) of a map's channels with each other, `[batch, channels, channels]`.
/// Differentiable.
pub fn gram_of_channels(x: Tensor<4>) -> Tensor<3> {
    #[cfg(feature = "flex")]
    if fast(&x) {
        return of_maps(Along::Channels, [x]);
    }
    let x = shared_by_positions(x);
    x.clone().matmul(x.transpose())
}

/// Means over channels of the products of a map's positions with each other,
/// `[batch, height · width, height · width]`, from `[batch, channels, height, width]`. Differentiable.
pub fn gram_of_positions(x: Tensor<4>) -> Tensor<3> {
    #[cfg(feature = "flex")]
    if fast(&x) {
        return of_maps(Along::Positions, [x]);
    }
    let [_, channels, ..] = x.dims();
    let x: Tensor<3> = x.flatten(2, 3) / (channels as f64).sqrt();
    x.clone().transpose().matmul(x)
}

#[cfg(feature = "flex")]
pub(crate) mod kernel {
    //! Symmetric matrix products of packed pixels.

    use std::mem::MaybeUninit;

    use burn::tensor::Shape;
    use rayon::prelude::*;

    use crate::images::Images;
    use crate::loss::of_maps::OfMaps;
    use crate::loss::products::inverse;
    use crate::loss::products::kernel::{matrices, pixels, runs};
    use crate::simd::panels::{Panels, packed};
    use crate::simd::scratch;
    use crate::simd::tile::{self, RUN};
    use crate::simd::transpose::{mirror, plus_transposed};
    use crate::simd::{Isa, Kernel, Simd};

    /// What a Gram matrix compares.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Along {
        /// Channels, by their products over positions.
        Channels,
        /// Positions, by their products over channels.
        Positions,
    }

    impl OfMaps<1> for Along {
        type Saved = ();

        fn value(&self, isa: Isa, [x]: [Images; 1]) -> (Vec<f32>, Shape, ()) {
            let size = self.size(&x);
            let products = gram(isa, x, *self, inverse(self.terms(&x)));
            (products, Shape::from([x.size.batch, size, size]), ())
        }

        fn grad(
            &self,
            isa: Isa,
            [x]: [Images; 1],
            (): &(),
            grad: &[f32],
            dx: &mut [MaybeUninit<f32>],
        ) {
            gram_grad(isa, x, *self, grad, inverse(self.terms(&x)), dx);
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
        pub fn size(self, x: &Images) -> usize {
            match self {
                Self::Channels => x.size.channels,
                Self::Positions => x.size.area(),
            }
        }

        /// Over how many products each is summed.
        fn terms(self, x: &Images) -> usize {
            match self {
                Self::Channels => x.size.area(),
                Self::Positions => x.size.channels,
            }
        }
    }

    struct Gram<'a> {
        x: &'a Images<'a>,
        along: Along,
        image: usize,
        scale: f32,
        to: &'a mut [f32],
    }

    impl Kernel for Gram<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let (x, size, scale) = (self.x, self.along.size(self.x), self.scale);
            let terms = self.along.terms(x);
            let packed_terms = match self.along {
                Along::Channels => RUN.min(terms),
                Along::Positions => terms,
            };
            let mut memory = scratch::lend(packed(S::LANES, packed_terms, size));
            let room = memory.aligned();
            match self.along {
                Along::Channels => gram_of_channels(s, x, self.image, scale, room, self.to),
                Along::Positions => {
                    let from = x.image(self.image);
                    let x = Panels::of_columns(s, from, x.pitch, [terms, size], |_| 1.0, room);
                    tile::outer(s, x, x, scale, true, false, self.to);
                }
            }
            mirror(self.to, size);
        }
    }

    /// What is on and above the diagonal of an image's [`gram`], and perhaps more. There is `room` for a run of its
    /// pixels in panels.
    #[inline(always)]
    pub(crate) fn gram_of_channels<S: Simd>(
        s: S,
        x: &Images,
        image: usize,
        scale: f32,
        room: &mut [f32],
        to: &mut [f32],
    ) {
        for run in runs(x.size.area()) {
            let x = pixels(s, x, image, run.clone(), room);
            tile::outer(s, x, x, scale, true, run.start > 0, to);
        }
    }

    /// The gradient of a map, given that of its [`gram`] of the same scale, written over `dx`, which is dense.
    pub(crate) fn gram_grad(
        isa: Isa,
        x: Images,
        along: Along,
        grad: &[f32],
        scale: f32,
        dx: &mut [MaybeUninit<f32>],
    ) {
        let size = along.size(&x);
        assert_eq!(
            [grad.len(), dx.len()],
            [x.size.batch * size * size, x.size.len()],
            "one matrix an image, and a place for each value"
        );
        let matrices = grad.par_chunks((size * size).max(1));
        let image = (x.size.area() * x.size.channels).max(1);
        let images = matrices.zip(dx.par_chunks_mut(image));
        images.enumerate().for_each(|(image, (grad, dx))| {
            isa.run(GramGrad {
                x: &x,
                along,
                image,
                grad,
                scale,
                dx,
            });
        });
    }

    struct GramGrad<'a> {
        x: &'a Images<'a>,
        along: Along,
        image: usize,
        grad: &'a [f32],
        scale: f32,
        dx: &'a mut [MaybeUninit<f32>],
    }

    impl Kernel for GramGrad<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let (x, size, scale) = (self.x, self.along.size(self.x), self.scale);
            let square = (size * size).next_multiple_of(S::LANES);
            let columns = x.size.channels;
            let mut memory = scratch::lend(square + packed(S::LANES, size, columns));
            let (both, room) = memory.aligned().split_at_mut(square);
            plus_transposed(self.grad, size, both);
            match self.along {
                Along::Channels => {
                    let m = Panels::of_rows(s, both, size, [size, size], room);
                    tile::apply(s, x.image(self.image), x.pitch, m, scale, self.dx);
                }
                Along::Positions => {
                    let m = pixels(s, x, self.image, 0..size, room);
                    tile::apply(s, both, size, m, scale, self.dx);
                }
            }
        }
    }
}
