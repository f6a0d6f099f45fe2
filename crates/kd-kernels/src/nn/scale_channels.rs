//! A factor for each channel of each image.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use crate::flex::{FlexTensor, Input, Map, Operation, build, dense, fast, run, shape4};
#[cfg(feature = "flex")]
use crate::isa;

/// `x · scale` of a map `[batch, channels, height, width]` and `scale` `[batch, channels, 1, 1]`, as squeeze and excitation
/// has it (Hu et al., CVPR 2018). Differentiable in both.
pub fn scale_channels(x: Tensor<4>, scale: Tensor<4>) -> Tensor<4> {
    #[cfg(feature = "flex")]
    if fast(&x) {
        return run(ScaleChannels, [x.into_dispatch(), scale.into_dispatch()]);
    }
    x * scale
}

#[cfg(feature = "flex")]
#[derive(Clone, Debug)]
struct ScaleChannels;

#[cfg(feature = "flex")]
impl Operation<2> for ScaleChannels {
    /// Both.
    type Saved = [FlexTensor; 2];

    fn inputs(&self) -> [Input; 2] {
        [Input::Map; 2]
    }

    fn forward(&self, [x, scale]: [FlexTensor; 2]) -> (FlexTensor, [FlexTensor; 2]) {
        let maps = [x.clone(), scale.clone()].map(Map::new);
        let [from, factors] = maps.each_ref().map(Map::images);
        let y = build(from.size, |y| kernel::scale(isa(), from, factors, y));
        (y, [x, scale])
    }

    fn backward(
        &self,
        [x, scale]: [FlexTensor; 2],
        grad: FlexTensor,
        _: [bool; 2],
        _: &mut [Option<FlexTensor>; 2],
    ) -> [Option<FlexTensor>; 2] {
        let shape = shape4(&scale);
        let maps = [x, scale, grad].map(Map::new);
        let [x, scale, grad] = maps.each_ref().map(Map::images);
        let mut factors = vec![];
        let dx = build(x.size, |dx| {
            factors = kernel::grad(isa(), x, scale, grad, dx);
        });
        [Some(dx), Some(dense(factors, shape))]
    }
}

#[cfg(feature = "flex")]
pub(crate) mod kernel {
    //! The loops over pixels.

    use std::mem::MaybeUninit;

    use rayon::prelude::*;

    use crate::images::{Images, Size};
    use crate::simd::chunks;
    use crate::simd::{Isa, Kernel, Simd};

    fn check(x: Size, scale: Size) {
        let one = Size {
            height: 1,
            width: 1,
            ..x
        };
        assert_eq!(scale, one, "one factor for each channel of an image");
    }

    /// `x · scale`, written over `y`, which is dense.
    pub(crate) fn scale(isa: Isa, x: Images, scale: Images, y: &mut [MaybeUninit<f32>]) {
        check(x.size, scale.size);
        chunks::each_row(x.size, y, |row, y| {
            isa.run(Scaled {
                x: x.chunk(row * x.size.width, x.size.width),
                scale: scale.pixel(row / x.size.height),
                y,
            });
        });
    }

    /// A row of an image.
    struct Scaled<'a> {
        x: Images<'a>,
        scale: &'a [f32],
        y: &'a mut [MaybeUninit<f32>],
    }

    impl Kernel for Scaled<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, _: S) {
            let channels = self.scale.len();
            for (pixel, y) in self.y.chunks_exact_mut(channels).enumerate() {
                let from = self.x.pixel(pixel).iter().zip(self.scale);
                for (y, (x, scale)) in y.iter_mut().zip(from) {
                    y.write(x * scale);
                }
            }
        }
    }

    /// `grad · scale`, written over `dx`, which is dense, and `Σ grad · x` over the pixels of each image,
    /// `[batch, channels]`.
    pub(crate) fn grad(
        isa: Isa,
        x: Images,
        scale: Images,
        grad: Images,
        dx: &mut [MaybeUninit<f32>],
    ) -> Vec<f32> {
        check(x.size, scale.size);
        assert_eq!(grad.size, x.size, "one gradient for each value");
        assert_eq!(dx.len(), x.size.len(), "a place for each value");
        let (area, channels) = (x.size.area(), x.size.channels);
        let mut sums = vec![0.0f32; x.size.batch * channels];
        dx.par_chunks_mut((area * channels).max(1))
            .zip(sums.par_chunks_mut(channels.max(1)))
            .enumerate()
            .for_each(|(image, (dx, sums))| {
                isa.run(Grad {
                    x: x.chunk(image * area, area),
                    scale: scale.pixel(image),
                    grad: grad.chunk(image * area, area),
                    width: x.size.width,
                    sums,
                    dx,
                });
            });
        sums
    }

    /// An image.
    struct Grad<'a> {
        x: Images<'a>,
        scale: &'a [f32],
        grad: Images<'a>,
        width: usize,
        sums: &'a mut [f32],
        dx: &'a mut [MaybeUninit<f32>],
    }

    impl Kernel for Grad<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, _: S) {
            let channels = self.scale.len();
            let mut totals = vec![0.0f64; channels];
            for (row, dx) in self.dx.chunks_exact_mut(self.width * channels).enumerate() {
                // A row's sums round less than an image's.
                self.sums.fill(0.0);
                for (dx, pixel) in dx.chunks_exact_mut(channels).zip(row * self.width..) {
                    let from = self.x.pixel(pixel).iter().zip(self.grad.pixel(pixel));
                    let to = dx.iter_mut().zip(self.sums.iter_mut());
                    for (((dx, sum), scale), (x, grad)) in to.zip(self.scale).zip(from) {
                        *sum += grad * x;
                        dx.write(grad * scale);
                    }
                }
                for (total, sum) in totals.iter_mut().zip(self.sums.iter()) {
                    *total += f64::from(*sum);
                }
            }
            for (sum, total) in self.sums.iter_mut().zip(totals) {
                *sum = total as f32;
            }
        }
    }
}
