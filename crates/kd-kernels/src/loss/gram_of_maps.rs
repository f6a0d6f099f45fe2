//! Products of a map's channels, or of its positions, with each other, image by image.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use self::kernel::Along;
#[cfg(feature = "flex")]
use super::products::inverse;
use super::products::shared_by_positions;
#[cfg(feature = "flex")]
use crate::flex::{Dense, FlexTensor, Input, Map, Operation, build, dense, fast, run};
#[cfg(feature = "flex")]
use crate::images::Images;
#[cfg(feature = "flex")]
use crate::isa;

/// [`products`](fn@crate::products) of a map's channels with each other, `[batch, channels, channels]`. Differentiable.
pub fn gram_of_channels(x: Tensor<4>) -> Tensor<3> {
    #[cfg(feature = "flex")]
    if fast(&x) {
        return run(Gram(Along::Channels), [x.into_dispatch()]);
    }
    let x = shared_by_positions(x);
    x.clone().matmul(x.transpose())
}

/// Means over channels of the products of a map's positions with each other,
/// `[batch, height · width, height · width]`, from `[batch, channels, height, width]`. Differentiable.
pub fn gram_of_positions(x: Tensor<4>) -> Tensor<3> {
    #[cfg(feature = "flex")]
    if fast(&x) {
        return run(Gram(Along::Positions), [x.into_dispatch()]);
    }
    let [_, channels, ..] = x.dims();
    let x: Tensor<3> = x.flatten(2, 3) / (channels as f64).sqrt();
    x.clone().transpose().matmul(x)
}

#[cfg(feature = "flex")]
#[derive(Clone, Debug)]
struct Gram(Along);

#[cfg(feature = "flex")]
impl Gram {
    /// What a sum of products is multiplied by to be a mean.
    fn scale(&self, x: Images) -> f32 {
        inverse(match self.0 {
            Along::Channels => x.size.area(),
            Along::Positions => x.size.channels,
        })
    }
}

#[cfg(feature = "flex")]
impl Operation<1> for Gram {
    type Saved = FlexTensor;

    fn inputs(&self) -> [Input; 1] {
        [Input::Map]
    }

    fn forward(&self, [x]: [FlexTensor; 1]) -> (FlexTensor, FlexTensor) {
        let map = Map::new(x.clone());
        let images = map.images();
        let products = kernel::gram(isa(), images, self.0, self.scale(images));
        let size = self.0.size(&images);
        (dense(products, [images.size.batch, size, size]), x)
    }

    fn backward(
        &self,
        x: FlexTensor,
        grad: FlexTensor,
        _: [bool; 1],
        _: &mut [Option<FlexTensor>; 1],
    ) -> [Option<FlexTensor>; 1] {
        let (x, grad) = (Map::new(x), Dense::new(grad));
        let (x, grad) = (x.images(), grad.values());
        let scale = self.scale(x);
        [Some(build(x.size, |dx| {
            kernel::gram_grad(isa(), x, self.0, grad, scale, dx);
        }))]
    }
}

#[cfg(feature = "flex")]
pub(crate) mod kernel {
    //! Symmetric matrix products of packed pixels.

    use rayon::prelude::*;

    use crate::images::{Images, OutPtr};
    use crate::loss::products::kernel::{matrices, pixels, runs};
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

    /// The gradient of a map, given that of its [`gram`] of the same scale, written over `dx`, which is dense.
    pub(crate) fn gram_grad(
        isa: Isa,
        x: Images,
        along: Along,
        grad: &[f32],
        scale: f32,
        dx: OutPtr,
    ) {
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
}
