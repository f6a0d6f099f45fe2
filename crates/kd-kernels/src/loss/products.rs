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

    use std::mem::MaybeUninit;
    use std::ops::Range;

    use rayon::prelude::*;

    use crate::images::Images;
    use crate::simd::panels::{Panels, packed};
    use crate::simd::scratch;
    use crate::simd::tile::{self, RUN};
    use crate::simd::{Isa, Kernel, Simd};

    /// Values of a matrix for each image, which `work(image, matrix)` writes over zeros.
    pub(crate) fn matrices(
        batch: usize,
        len: usize,
        work: impl Fn(usize, &mut [f32]) + Sync,
    ) -> Vec<f32> {
        let mut values = vec![0.0f32; batch * len];
        let images = values.par_chunks_mut(len.max(1)).enumerate();
        images.for_each(|(image, matrix)| work(image, matrix));
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
        to: &'a mut [f32],
    }

    impl Kernel for Outer<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let area = self.a.size.area();
            let len = |x: &Images| packed(S::LANES, RUN.min(area), x.size.channels);
            let mut memory = scratch::lend(len(self.a) + len(self.b));
            let (of_a, of_b) = memory.aligned().split_at_mut(len(self.a));
            for run in runs(area) {
                let a = pixels(s, self.a, self.image, run.clone(), of_a);
                let b = pixels(s, self.b, self.image, run.clone(), of_b);
                tile::outer(s, a, b, self.scale, false, run.start > 0, self.to);
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
    #[inline(always)]
    pub(crate) fn pixels<'a, S: Simd>(
        s: S,
        x: &Images,
        image: usize,
        run: Range<usize>,
        to: &'a mut [f32],
    ) -> Panels<'a> {
        let from = x.position(image, run.start);
        Panels::of_rows(s, from, x.pitch, [run.len(), x.size.channels], to)
    }

    /// `scale · x · m` of each image for matrices `m` `[batch, channels of x, columns]`, written over `y`, which is
    /// dense and has `columns` channels.
    pub(crate) fn apply(
        isa: Isa,
        x: Images,
        matrices: &[f32],
        columns: usize,
        scale: f32,
        y: &mut [MaybeUninit<f32>],
    ) {
        let (area, inner) = (x.size.area(), x.size.channels);
        let places = [x.size.batch * inner, x.size.pixels()].map(|rows| rows * columns);
        assert_eq!(
            [matrices.len(), y.len()],
            places,
            "one matrix for each image, and a place for each value"
        );
        let matrices = matrices.par_chunks((inner * columns).max(1));
        let images = matrices.zip(y.par_chunks_mut((area * columns).max(1)));
        images.enumerate().for_each(|(image, (matrix, y))| {
            isa.run(Apply {
                x: &x,
                image,
                matrix,
                columns,
                scale,
                y,
            });
        });
    }

    struct Apply<'a> {
        x: &'a Images<'a>,
        image: usize,
        matrix: &'a [f32],
        columns: usize,
        scale: f32,
        y: &'a mut [MaybeUninit<f32>],
    }

    impl Kernel for Apply<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let (x, columns) = (self.x, self.columns);
            let shape = [x.size.channels, columns];
            let mut memory = scratch::lend(packed(S::LANES, shape[0], columns));
            let m = Panels::of_rows(s, self.matrix, columns, shape, memory.aligned());
            tile::apply(s, x.image(self.image), x.pitch, m, self.scale, self.y);
        }
    }
}
