//! How strong a map is at each position.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use crate::flex::{Dense, FlexTensor, Input, Map, Operation, build, dense, fast, run, values};
#[cfg(feature = "flex")]
use crate::isa;

/// Mean over channels of the squares of a map `[batch, channels, height, width]`,
/// `[batch, height · width]`. Differentiable.
pub fn energy(x: Tensor<4>) -> Tensor<2> {
    #[cfg(feature = "flex")]
    if fast(&x) {
        return run(Energy, [x.into_dispatch()]);
    }
    x.square().mean_dim(1).flatten(1, 3)
}

#[cfg(feature = "flex")]
#[derive(Clone, Debug)]
struct Energy;

#[cfg(feature = "flex")]
impl Operation<1> for Energy {
    /// The map.
    type Saved = FlexTensor;

    fn inputs(&self) -> [Input; 1] {
        [Input::Map]
    }

    fn forward(&self, [x]: [FlexTensor; 1]) -> (FlexTensor, FlexTensor) {
        let map = Map::new(x.clone());
        let images = map.images();
        let energy = values(images.size.pixels(), |y| kernel::energy(isa(), images, y));
        (dense(energy, [images.size.batch, images.size.area()]), x)
    }

    fn backward(
        &self,
        x: FlexTensor,
        grad: FlexTensor,
        _: [bool; 1],
        _: &mut [Option<FlexTensor>; 1],
    ) -> [Option<FlexTensor>; 1] {
        let (x, grad) = (Map::new(x), Dense::new(grad));
        let x = x.images();
        [Some(build(x.size, |dx| {
            kernel::grad(isa(), x, grad.values(), dx);
        }))]
    }
}

#[cfg(feature = "flex")]
pub(crate) mod kernel {
    //! Squares of a pixel, and their gradient.

    use crate::images::{Images, OutPtr};
    use crate::simd::chunks;
    use crate::simd::{Isa, Kernel, Simd};

    /// Values that are summed side by side.
    const LANES: usize = 16;

    /// Mean over channels of the squares, a value a pixel, written over `y`.
    pub(crate) fn energy(isa: Isa, x: Images, y: OutPtr) {
        y.check(x.size.pixels());
        chunks::each(x.size, |first, count| {
            isa.run(Energy {
                x: &x,
                first,
                count,
                y,
            });
        });
    }

    struct Energy<'a> {
        x: &'a Images<'a>,
        first: usize,
        count: usize,
        y: OutPtr,
    }

    impl Kernel for Energy<'_> {
        #[inline(always)]
        unsafe fn run<S: Simd>(self) {
            let scale = 1.0 / self.x.size.channels as f32;
            // SAFETY: the output has a value for each of the map, and this task alone writes its pixels.
            let y = unsafe { self.y.part(self.first, self.count) };
            for (y, pixel) in y.iter_mut().zip(self.first..) {
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
    pub(crate) fn grad(isa: Isa, x: Images, grad: &[f32], dx: OutPtr) {
        assert_eq!(grad.len(), x.size.pixels(), "one gradient for each pixel");
        dx.check(x.size.len());
        chunks::each(x.size, |first, count| {
            isa.run(Grad {
                x: &x,
                grad: &grad[first..first + count],
                first,
                dx,
            });
        });
    }

    struct Grad<'a> {
        x: &'a Images<'a>,
        grad: &'a [f32],
        first: usize,
        dx: OutPtr,
    }

    impl Kernel for Grad<'_> {
        #[inline(always)]
        unsafe fn run<S: Simd>(self) {
            let channels = self.x.size.channels;
            let scale = 2.0 / channels as f32;
            for (grad, pixel) in self.grad.iter().zip(self.first..) {
                // SAFETY: the output has a value for each of the map, and this task alone writes its pixels.
                let dx = unsafe { self.dx.part(pixel * channels, channels) };
                for (dx, x) in dx.iter_mut().zip(self.x.pixel(pixel)) {
                    dx.write(x * (grad * scale));
                }
            }
        }
    }
}
