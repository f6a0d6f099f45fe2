//! The mean of every channel.

use burn::tensor::Tensor;
use burn::tensor::module::adaptive_avg_pool2d;

#[cfg(feature = "flex")]
use crate::flex::{Dense, FlexTensor, Input, Map, Operation, build, dense, fast, run};
#[cfg(feature = "flex")]
use crate::images::Size;
#[cfg(feature = "flex")]
use crate::isa;

/// Mean over height and width, `[batch, channels]`. Differentiable.
pub fn global_average(x: Tensor<4>) -> Tensor<2> {
    #[cfg(feature = "flex")]
    if fast(&x) {
        return run(GlobalAverage, [x.into_dispatch()]);
    }
    let [batch, channels, _, _] = x.dims();
    adaptive_avg_pool2d(x, [1, 1]).reshape([batch, channels])
}

#[cfg(feature = "flex")]
#[derive(Clone, Debug)]
struct GlobalAverage;

#[cfg(feature = "flex")]
impl Operation<1> for GlobalAverage {
    type Saved = Size;

    fn inputs(&self) -> [Input; 1] {
        [Input::Map]
    }

    fn forward(&self, [x]: [FlexTensor; 1]) -> (FlexTensor, Size) {
        let x = Map::new(x);
        let x = x.images();
        let mean = kernel::average(isa(), x);
        (dense(mean, [x.size.batch, x.size.channels]), x.size)
    }

    fn backward(
        &self,
        size: Size,
        grad: FlexTensor,
        _: [bool; 1],
        _: &mut [Option<FlexTensor>; 1],
    ) -> [Option<FlexTensor>; 1] {
        let grad = Dense::new(grad);
        [Some(build(size, |dx| {
            kernel::spread(grad.values(), size, dx);
        }))]
    }
}

#[cfg(feature = "flex")]
pub(crate) mod kernel {
    //! Means of images, and their gradient.

    use rayon::prelude::*;

    use crate::images::{Images, OutPtr, Size};
    use crate::simd::chunks::each_pixel;
    use crate::simd::{Isa, Kernel, Simd};

    /// Mean over the pixels of each image, `[batch, channels]`.
    pub(crate) fn average(isa: Isa, x: Images) -> Vec<f32> {
        let channels = x.size.channels;
        let mut mean = vec![0.0; x.size.batch * channels];
        mean.par_chunks_mut(channels.max(1))
            .enumerate()
            .for_each(|(image, mean)| {
                isa.run(Average {
                    x: &x,
                    first: image * x.size.area(),
                    mean,
                });
            });
        mean
    }

    struct Average<'a> {
        x: &'a Images<'a>,
        first: usize,
        mean: &'a mut [f32],
    }

    impl Kernel for Average<'_> {
        #[inline(always)]
        unsafe fn run<S: Simd>(self) {
            let channels = self.mean.len();
            let area = self.x.size.area();
            for channel in (0..channels).step_by(S::LANES) {
                let left = channels - channel;
                // SAFETY: the pixels of the image are there.
                unsafe {
                    let mut sum = S::zero();
                    for pixel in self.first..self.first + area {
                        let from = self.x.data.as_ptr().add(pixel * self.x.pitch + channel);
                        sum = S::add(sum, S::load_up_to(from, left));
                    }
                    let mean = S::mul(sum, S::splat(1.0 / area as f32));
                    S::store_up_to(self.mean.as_mut_ptr().add(channel), mean, left);
                }
            }
        }
    }

    /// The same values, divided by the area, at every pixel of an image.
    pub(crate) fn spread(values: &[f32], output: Size, y: OutPtr) {
        let scale = 1.0 / output.area() as f32;
        each_pixel(output, y, |pixel, to| {
            let from = &values[pixel / output.area() * output.channels..];
            for (to, from) in to.iter_mut().zip(from) {
                to.write(from * scale);
            }
        });
    }
}
