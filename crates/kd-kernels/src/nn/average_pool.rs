//! Average pooling.

use burn::tensor::Tensor;
use burn::tensor::module::adaptive_avg_pool2d;

#[cfg(feature = "flex")]
use crate::flex::{FlexTensor, Input, Map, Operation, build, fast, run};
#[cfg(feature = "flex")]
use crate::images::Size;
#[cfg(feature = "flex")]
use crate::isa;

/// A map `[batch, channels, height, width]` averaged down to another size (adaptive pooling).
/// Differentiable. The kernel serves sizes that divide the map's.
pub fn average_pool(x: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    let [_, _, height, width] = x.dims();
    if [height, width] == size {
        return x;
    }
    #[cfg(feature = "flex")]
    if fast(&x) && height.is_multiple_of(size[0]) && width.is_multiple_of(size[1]) {
        return run(AveragePool { size }, [x.into_dispatch()]);
    }
    adaptive_avg_pool2d(x, size)
}

#[cfg(feature = "flex")]
#[derive(Clone, Debug)]
struct AveragePool {
    size: [usize; 2],
}

#[cfg(feature = "flex")]
impl Operation<1> for AveragePool {
    /// The input's size.
    type Saved = Size;

    fn inputs(&self) -> [Input; 1] {
        [Input::Map]
    }

    fn forward(&self, [x]: [FlexTensor; 1]) -> (FlexTensor, Size) {
        let x = Map::new(x);
        let x = x.images();
        let [height, width] = self.size;
        let output = Size {
            height,
            width,
            ..x.size
        };
        let y = build(output, |y| kernel::average(isa(), x, output, y));
        (y, x.size)
    }

    fn backward(
        &self,
        input: Size,
        grad: FlexTensor,
        _: [bool; 1],
        _: &mut [Option<FlexTensor>; 1],
    ) -> [Option<FlexTensor>; 1] {
        let grad = Map::new(grad);
        [Some(build(input, |dx| {
            kernel::grad(isa(), grad.images(), input, dx);
        }))]
    }
}

#[cfg(feature = "flex")]
pub(crate) mod kernel {
    //! Averages over blocks of a map that divide it evenly.

    use rayon::prelude::*;

    use crate::images::{Images, OutPtr, Size};
    use crate::simd::{Isa, Kernel, Simd};

    /// Sides of a block of which the output has one value.
    fn block(input: Size, output: Size) -> [usize; 2] {
        let same = |size: Size| (size.batch, size.channels);
        assert_eq!(same(input), same(output), "only the sides of a map change");
        let sides = [input.height / output.height, input.width / output.width];
        assert_eq!(
            [input.height, input.width],
            [output.height * sides[0], output.width * sides[1]],
            "blocks divide a map evenly"
        );
        sides
    }

    /// The mean of each block, written over `y`, which is dense.
    pub(crate) fn average(isa: Isa, x: Images, output: Size, y: OutPtr) {
        let block = block(x.size, output);
        y.check(output.len());
        (0..output.batch * output.height)
            .into_par_iter()
            .for_each(|row| {
                isa.run(Average {
                    x: &x,
                    block,
                    width: output.width,
                    row,
                    y,
                });
            });
    }

    /// A row of the output.
    struct Average<'a> {
        x: &'a Images<'a>,
        block: [usize; 2],
        width: usize,
        row: usize,
        y: OutPtr,
    }

    impl Kernel for Average<'_> {
        #[inline(always)]
        unsafe fn run<S: Simd>(self) {
            let channels = self.x.size.channels;
            let [height, width] = self.block;
            let scale = 1.0 / (height * width) as f32;
            for column in 0..self.width {
                let to = (self.row * self.width + column) * channels;
                let first = self.row * height * self.x.size.width + column * width;
                // SAFETY: the output has a pixel for each block, and this task alone writes those of its row.
                let y = unsafe { self.y.part(to, channels) };
                let y = y.write_copy_of_slice(self.x.pixel(first));
                for row in 0..height {
                    let line = (self.row * height + row) * self.x.size.width + column * width;
                    for pixel in line..line + width {
                        if pixel != first {
                            let x = self.x.pixel(pixel).iter();
                            y.iter_mut().zip(x).for_each(|(y, x)| *y += x);
                        }
                    }
                }
                y.iter_mut().for_each(|y| *y *= scale);
            }
        }
    }

    /// Each block's gradient, shared by its pixels, written over `dx`, which is dense.
    pub(crate) fn grad(isa: Isa, grad: Images, input: Size, dx: OutPtr) {
        let block = block(input, grad.size);
        dx.check(input.len());
        (0..input.batch * input.height)
            .into_par_iter()
            .for_each(|row| {
                isa.run(Spread {
                    grad: &grad,
                    block,
                    row,
                    dx,
                });
            });
    }

    /// A row of the input.
    struct Spread<'a> {
        grad: &'a Images<'a>,
        block: [usize; 2],
        row: usize,
        dx: OutPtr,
    }

    impl Kernel for Spread<'_> {
        #[inline(always)]
        unsafe fn run<S: Simd>(self) {
            let channels = self.grad.size.channels;
            let [height, width] = self.block;
            let scale = 1.0 / (height * width) as f32;
            let columns = self.grad.size.width * width;
            for column in 0..columns {
                let from = self.row / height * self.grad.size.width + column / width;
                let to = (self.row * columns + column) * channels;
                // SAFETY: the gradient of the input has this pixel, and this task alone writes those of its row.
                let dx = unsafe { self.dx.part(to, channels) };
                for (dx, grad) in dx.iter_mut().zip(self.grad.pixel(from)) {
                    dx.write(grad * scale);
                }
            }
        }
    }
}
