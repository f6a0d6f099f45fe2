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

/// Mean over height and width, `[batch, channels]`. Differentiable.
pub fn global_average(x: Tensor<4>) -> Tensor<2> {
    let [batch, channels, ..] = x.dims();
    average_pool(x, [1, 1]).reshape([batch, channels])
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

    use std::mem::MaybeUninit;

    use crate::images::{Images, Size};
    use crate::simd::by_channel::{ByChannel, left};
    use crate::simd::chunks;
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
    pub(crate) fn average(isa: Isa, x: Images, output: Size, y: &mut [MaybeUninit<f32>]) {
        let block = block(x.size, output);
        chunks::each_row(output, y, |row, y| {
            isa.run(Average {
                x: &x,
                block,
                row,
                y,
            });
        });
    }

    /// A row of the output.
    struct Average<'a> {
        x: &'a Images<'a>,
        block: [usize; 2],
        row: usize,
        y: &'a mut [MaybeUninit<f32>],
    }

    impl Kernel for Average<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            self.every_block(s);
        }
    }

    impl ByChannel for Average<'_> {
        fn channels(&self) -> usize {
            self.x.size.channels
        }

        #[inline(always)]
        fn block<S: Simd, const Z: usize>(&mut self, s: S, channel: usize) {
            let Size {
                width: line,
                channels,
                ..
            } = self.x.size;
            let left = left::<S, Z>(channels, channel);
            let [height, width] = self.block;
            // A block as wide as the map is one run of pixels.
            let [rows, run] = match width == line {
                true => [1, height * width],
                false => [height, width],
            };
            let scale = s.splat(1.0 / (height * width) as f32);
            for (column, y) in self.y.chunks_exact_mut(channels).enumerate() {
                let first = self.row * height * line + column * width;
                // SAFETY: blocks divide the map, so that it has all pixels of this one, and the channels that are left.
                let at = |pixel, z| unsafe { self.x.load(s, pixel, channel + z * S::LANES, left) };
                let mut sums: [S::V; Z] = std::array::from_fn(|z| at(first, z));
                for row in 0..rows {
                    let start = first + row * line;
                    for pixel in start + usize::from(row == 0)..start + run {
                        for z in 0..Z {
                            sums[z] = s.add(sums[z], at(pixel, z));
                        }
                    }
                }
                for z in 0..Z {
                    let y = &mut y[channel + z * S::LANES..];
                    s.write_new(y, s.mul(sums[z], scale));
                }
            }
        }
    }

    /// Each block's gradient, shared by its pixels, written over `dx`, which is dense.
    pub(crate) fn grad(isa: Isa, grad: Images, input: Size, dx: &mut [MaybeUninit<f32>]) {
        let block = block(input, grad.size);
        chunks::each_row(input, dx, |row, dx| {
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
        dx: &'a mut [MaybeUninit<f32>],
    }

    impl Kernel for Spread<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, _: S) {
            let channels = self.grad.size.channels;
            let [height, width] = self.block;
            let scale = 1.0 / (height * width) as f32;
            let first = self.row / height * self.grad.size.width;
            let blocks = self.dx.chunks_exact_mut(width * channels);
            for (dx, pixel) in blocks.zip(first..) {
                let grad = self.grad.pixel(pixel);
                for dx in dx.chunks_exact_mut(channels) {
                    for (dx, grad) in dx.iter_mut().zip(grad) {
                        dx.write(grad * scale);
                    }
                }
            }
        }
    }
}
