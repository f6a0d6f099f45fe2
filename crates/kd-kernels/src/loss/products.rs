//! Products of the channels of two maps, image by image.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use crate::flex::{Dense, FlexTensor, Input, Map, Operation, build, dense, fast, run, shape4};
#[cfg(feature = "flex")]
use crate::images::Size;
#[cfg(feature = "flex")]
use crate::isa;

/// Means over positions of the products of two maps' channels, `[batch, channels of a, channels of b]`,
/// from maps `[batch, channels, height, width]` of one size. Differentiable.
pub fn products(a: Tensor<4>, b: Tensor<4>) -> Tensor<3> {
    #[cfg(feature = "flex")]
    if fast(&a) {
        return run(Products, [a.into_dispatch(), b.into_dispatch()]);
    }
    let [a, b] = [a, b].map(shared_by_positions);
    a.matmul(b.transpose())
}

/// Channels as rows `[batch, channels, positions]`, each with its share of a mean over positions, so that
/// a sum of products stays in range.
pub(super) fn shared_by_positions(map: Tensor<4>) -> Tensor<3> {
    let [_, _, height, width] = map.dims();
    map.flatten(2, 3) / ((height * width) as f64).sqrt()
}

/// Matrices `[batch, rows, columns]` as maps `[batch, columns, rows, 1]`: a row becomes a pixel, for operations
/// that ask for maps.
pub fn rows_as_pixels(matrices: Tensor<3>) -> Tensor<4> {
    let [batch, rows, columns] = matrices.dims();
    #[cfg(feature = "flex")]
    if fast(&matrices) {
        // The kernels read the channels of a pixel where they lie.
        return matrices
            .reshape([batch, rows, 1, columns])
            .permute([0, 3, 1, 2]);
    }
    // Other backends are given what lies in order.
    matrices.transpose().reshape([batch, columns, rows, 1])
}

#[cfg(feature = "flex")]
#[derive(Clone, Debug)]
struct Products;

#[cfg(feature = "flex")]
impl Operation<2> for Products {
    type Saved = [FlexTensor; 2];

    fn inputs(&self) -> [Input; 2] {
        [Input::Map; 2]
    }

    fn forward(&self, maps: [FlexTensor; 2]) -> (FlexTensor, Self::Saved) {
        let [a, b] = maps.clone().map(Map::new);
        let (a, b) = (a.images(), b.images());
        let shape = [a.size.batch, a.size.channels, b.size.channels];
        let products = kernel::outer(isa(), a, b, inverse(a.size.area()));
        (dense(products, shape), maps)
    }

    fn backward(
        &self,
        [a, b]: Self::Saved,
        grad: FlexTensor,
        [wants_a, wants_b]: [bool; 2],
        _: &mut [Option<FlexTensor>; 2],
    ) -> [Option<FlexTensor>; 2] {
        let [_, a_channels, ..] = shape4(&a);
        let [_, b_channels, ..] = shape4(&b);
        [
            wants_a.then(|| apply(b, grad.transpose(1, 2), a_channels)),
            wants_b.then(|| apply(a, grad, b_channels)),
        ]
    }
}

/// A map of so many channels whose pixels are those of `x` times `matrices` `[batch, channels of x, channels]`, by
/// the number of positions: the gradient of the other factor.
#[cfg(feature = "flex")]
fn apply(x: FlexTensor, matrices: FlexTensor, channels: usize) -> FlexTensor {
    let (x, matrices) = (Map::new(x), Dense::new(matrices));
    let (x, matrices) = (x.images(), matrices.values());
    let output = Size { channels, ..x.size };
    let scale = inverse(x.size.area());
    build(output, |y| {
        kernel::apply(isa(), x, matrices, channels, scale, y);
    })
}

/// What a sum of so many products is multiplied by to be a mean.
#[cfg(feature = "flex")]
pub(super) fn inverse(count: usize) -> f32 {
    (1.0 / count as f64) as f32
}

#[cfg(feature = "flex")]
pub(crate) mod kernel {
    //! Matrix products of packed pixels.

    use std::ops::Range;

    use rayon::prelude::*;

    use crate::images::{Images, OutPtr};
    use crate::simd::scratch;
    use crate::simd::tile::{self, Panels, RUN, packed};
    use crate::simd::{Isa, Kernel, Simd};

    /// Values of a matrix for each image, which `work(image, matrix)` writes, every one.
    pub(crate) fn matrices(
        batch: usize,
        len: usize,
        work: impl Fn(usize, *mut f32) + Sync,
    ) -> Vec<f32> {
        let mut values = vec![0.0f32; batch * len];
        let images = values.par_chunks_mut(len.max(1)).enumerate();
        images.for_each(|(image, matrix)| work(image, matrix.as_mut_ptr()));
        values
    }

    /// `scale · Σ_positions a_i · b_j` of each image, `[batch, channels of a, channels of b]`.
    pub(crate) fn outer(isa: Isa, a: Images, b: Images, scale: f32) -> Vec<f32> {
        let places = |x: Images| (x.size.batch, x.size.height, x.size.width);
        assert_eq!(places(a), places(b), "only maps of one size have products");
        let len = a.size.channels * b.size.channels;
        matrices(a.size.batch, len, |image, to| {
            let [a, b] = [&a, &b];
            isa.run(Outer {
                a,
                b,
                image,
                scale,
                to,
            });
        })
    }

    struct Outer<'a> {
        a: &'a Images<'a>,
        b: &'a Images<'a>,
        image: usize,
        scale: f32,
        to: *mut f32,
    }

    impl Kernel for Outer<'_> {
        #[inline(always)]
        unsafe fn run<S: Simd>(self) {
            let area = self.a.size.area();
            let len = |x: &Images| packed(S::LANES, RUN.min(area), x.size.channels);
            let mut memory = scratch::lend(len(self.a) + len(self.b));
            let memory = memory.aligned();
            for run in runs(area) {
                // SAFETY: the pixels are there in both maps, and the sums for all pairs of channels.
                unsafe {
                    let a = pixels::<S>(self.a, self.image, run.clone(), memory);
                    let room = memory.add(len(self.a));
                    let b = pixels::<S>(self.b, self.image, run.clone(), room);
                    tile::outer::<S>(a, b, self.scale, false, run.start > 0, self.to);
                }
            }
        }
    }

    /// Positions that are packed and used while they are in a cache.
    pub(crate) fn runs(area: usize) -> impl Iterator<Item = Range<usize>> {
        (0..area)
            .step_by(RUN)
            .map(move |first| first..(first + RUN).min(area))
    }

    /// Pixels of an image as the rows of panels.
    ///
    /// # Safety
    /// The pixels are there, and room for them.
    #[inline(always)]
    pub(crate) unsafe fn pixels<S: Simd>(
        x: &Images,
        image: usize,
        run: Range<usize>,
        to: *mut f32,
    ) -> Panels {
        // SAFETY: the caller's promise.
        unsafe {
            let from = x.image(image).add(run.start * x.pitch);
            Panels::of_rows::<S>(from, x.pitch, [run.len(), x.size.channels], to)
        }
    }

    /// `scale · x · m` of each image for matrices `m` `[batch, channels of x, columns]`, written over `y`, which is dense
    /// and has `columns` channels.
    pub(crate) fn apply(
        isa: Isa,
        x: Images,
        matrices: &[f32],
        columns: usize,
        scale: f32,
        y: OutPtr,
    ) {
        let (area, inner) = (x.size.area(), x.size.channels);
        assert_eq!(
            matrices.len(),
            x.size.batch * inner * columns,
            "one matrix for each image"
        );
        y.check(x.size.pixels() * columns);
        (0..x.size.batch).into_par_iter().for_each(|image| {
            isa.run(Apply {
                x: &x,
                image,
                matrix: &matrices[image * inner * columns..][..inner * columns],
                columns,
                scale,
                // SAFETY: the output has a row of columns for each pixel, and this task alone writes those of the image.
                y: unsafe { y.at(image * area * columns) },
            });
        });
    }

    struct Apply<'a> {
        x: &'a Images<'a>,
        image: usize,
        matrix: &'a [f32],
        columns: usize,
        scale: f32,
        y: *mut f32,
    }

    impl Kernel for Apply<'_> {
        #[inline(always)]
        unsafe fn run<S: Simd>(self) {
            let (x, columns) = (self.x, self.columns);
            let shape = [x.size.channels, columns];
            let mut memory = scratch::lend(packed(S::LANES, shape[0], columns));
            // SAFETY: the pixels are there, the matrix has a row for each channel, and `y` a row for each pixel.
            unsafe {
                let m =
                    Panels::of_rows::<S>(self.matrix.as_ptr(), columns, shape, memory.aligned());
                let from = x.image(self.image);
                tile::apply::<S>(from, x.pitch, x.size.area(), m, self.scale, false, self.y);
            }
        }
    }
}
