//! Maximum pooling.

#[cfg(feature = "flex")]
use std::sync::Arc;

use burn::tensor::Tensor;
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;

#[cfg(feature = "flex")]
use crate::flex::{FlexTensor, Input, Map, Operation, build, fast, run};
#[cfg(feature = "flex")]
use crate::images::Size;
#[cfg(feature = "flex")]
use crate::isa;

/// The largest value of each window of a map `[batch, channels, height, width]`; NaN where the window has one.
///
/// Differentiable: the gradient goes to the first of the largest values, or to the last NaN. The kernel serves windows
/// of at most 256 pixels without dilation, padded alike on opposite sides by less than they are wide, and not rounded up.
pub fn max_pool(x: Tensor<4>, options: MaxPoolOptions<2>) -> Tensor<4> {
    #[cfg(feature = "flex")]
    if let Some(window) = kernel::Window::of(&options)
        && fast(&x)
        && window.fits(&x.dims())
    {
        let tracked = x.device().is_autodiff();
        return run(MaxPool { window, tracked }, [x.into_dispatch()]);
    }
    max_pool2d(x, options)
}

#[cfg(feature = "flex")]
#[derive(Clone, Debug)]
struct MaxPool {
    window: kernel::Window,
    /// Whether there may be a gradient.
    tracked: bool,
}

#[cfg(feature = "flex")]
#[derive(Clone, Debug)]
struct Saved {
    input: Size,
    /// Which value of its window each output is.
    taps: Arc<Vec<u8>>,
}

#[cfg(feature = "flex")]
impl Operation<1> for MaxPool {
    type Saved = Saved;

    fn inputs(&self) -> [Input; 1] {
        [Input::Map]
    }

    fn forward(&self, [x]: [FlexTensor; 1]) -> (FlexTensor, Saved) {
        let x = Map::new(x);
        let x = x.images();
        let output = self.window.output(x.size);
        let mut taps = vec![0; if self.tracked { output.len() } else { 0 }];
        let y = build(output, |y| {
            let taps = self.tracked.then_some(&mut taps[..]);
            kernel::largest(isa(), x, self.window, y, taps);
        });
        let saved = Saved {
            input: x.size,
            taps: Arc::new(taps),
        };
        (y, saved)
    }

    fn backward(
        &self,
        saved: Saved,
        grad: FlexTensor,
        _: [bool; 1],
        _: &mut [Option<FlexTensor>; 1],
    ) -> [Option<FlexTensor>; 1] {
        let grad = Map::new(grad);
        let Saved { input, taps } = saved;
        [Some(build(input, |dx| {
            kernel::grad(isa(), grad.images(), &taps, self.window, input, dx);
        }))]
    }
}

#[cfg(feature = "flex")]
pub(crate) mod kernel {
    //! The loops over windows.

    use std::mem::MaybeUninit;
    use std::ops::Range;

    use burn::tensor::ops::MaxPoolOptions;
    use rayon::prelude::*;

    use crate::images::{Images, Size, filled};
    use crate::simd::{Isa, Kernel, Simd};

    /// Channels whose largest values stay near while a window passes by.
    const BLOCK: usize = 64;

    /// Where windows lie.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Window {
        pub kernel: [usize; 2],
        pub stride: [usize; 2],
        /// What is missing on each side, as if smaller than any value.
        pub padding: [usize; 2],
    }

    impl Window {
        /// Those that the kernel serves.
        pub fn of(options: &MaxPoolOptions<2>) -> Option<Self> {
            let window = Self {
                kernel: options.kernel_size,
                stride: options.stride,
                padding: options.padding.map(|(before, _)| before),
            };
            let [height, width] = window.kernel;
            let even = options
                .padding
                .iter()
                .all(|(before, after)| before == after);
            // No window without a value.
            let inside = (0..2).all(|axis| window.padding[axis] < window.kernel[axis]);
            let plain = options.dilation == [1, 1] && !options.ceil_mode;
            (even && inside && plain && height * width <= 256).then_some(window)
        }

        /// Whether a padded map `[batch, channels, height, width]` has room for a window.
        pub fn fits(&self, [_, _, height, width]: &[usize; 4]) -> bool {
            let along =
                |size: usize, axis: usize| size + 2 * self.padding[axis] >= self.kernel[axis];
            along(*height, 0) && along(*width, 1)
        }

        /// The size of the output.
        pub fn output(&self, input: Size) -> Size {
            let along = |size: usize, axis: usize| {
                (size + 2 * self.padding[axis] - self.kernel[axis]) / self.stride[axis] + 1
            };
            Size {
                height: along(input.height, 0),
                width: along(input.width, 1),
                ..input
            }
        }

        /// The taps along an axis that lie in the input, and the place of the first of all taps, which the padding is
        /// taken from.
        #[inline(always)]
        fn taps(&self, axis: usize, place: usize, size: usize) -> (Range<usize>, usize) {
            let start = place * self.stride[axis];
            let first = self.padding[axis].saturating_sub(start);
            let last = (size + self.padding[axis] - start).min(self.kernel[axis]);
            (first..last, start)
        }
    }

    /// The largest value of each window, written over `y`, and which it is over `taps`; both dense.
    pub(crate) fn largest(
        isa: Isa,
        x: Images,
        window: Window,
        y: &mut [MaybeUninit<f32>],
        taps: Option<&mut [u8]>,
    ) {
        let output = window.output(x.size);
        assert_eq!(y.len(), output.len(), "a place for each value");
        let line = (output.width * output.channels).max(1);
        let run = |row: usize, y: &mut [MaybeUninit<f32>], taps: Option<&mut [u8]>| {
            isa.run(Largest {
                x: &x,
                window,
                image: row / output.height,
                row: row % output.height,
                y,
                taps,
            });
        };
        let rows = y.par_chunks_mut(line).enumerate();
        match taps {
            Some(taps) => {
                assert_eq!(taps.len(), output.len(), "a tap for each value");
                rows.zip(taps.par_chunks_mut(line))
                    .for_each(|((row, y), taps)| run(row, y, Some(taps)));
            }
            None => rows.for_each(|(row, y)| run(row, y, None)),
        }
    }

    /// A row of the output.
    struct Largest<'a> {
        x: &'a Images<'a>,
        window: Window,
        image: usize,
        row: usize,
        y: &'a mut [MaybeUninit<f32>],
        taps: Option<&'a mut [u8]>,
    }

    impl Kernel for Largest<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, _: S) {
            let Self { x, window, .. } = self;
            let size = x.size;
            let channels = size.channels;
            let (rows, top) = window.taps(0, self.row, size.height);
            let first = self.image * size.area();
            let mut taps = self.taps;
            for (column, y) in self.y.chunks_exact_mut(channels).enumerate() {
                let (columns, left) = window.taps(1, column, size.width);
                // The pixels of the window and their numbers.
                let pixels = || {
                    let columns = columns.clone();
                    rows.clone().flat_map(move |i| {
                        let down = first + (top + i - window.padding[0]) * size.width;
                        columns.clone().map(move |j| {
                            let tap = i * window.kernel[1] + j;
                            (x.pixel(down + left + j - window.padding[1]), tap as u32)
                        })
                    })
                };
                for channel in (0..channels).step_by(BLOCK) {
                    let count = (channels - channel).min(BLOCK);
                    let y = &mut y[channel..][..count];
                    match &mut taps {
                        Some(taps) => {
                            let taps = &mut taps[column * channels + channel..][..count];
                            block::<true>(pixels(), channel, y, taps);
                        }
                        None => block::<false>(pixels(), channel, y, &mut []),
                    }
                }
            }
        }
    }

    /// The largest values of some channels of a window, and on request which they are.
    #[inline(always)]
    fn block<'a, const TAPS: bool>(
        pixels: impl Iterator<Item = (&'a [f32], u32)>,
        channel: usize,
        y: &mut [MaybeUninit<f32>],
        taps: &mut [u8],
    ) {
        let count = y.len();
        let (mut most, mut place) = ([f32::NEG_INFINITY; BLOCK], [u32::MAX; BLOCK]);
        for (x, tap) in pixels {
            let found = most[..count].iter_mut().zip(&mut place[..count]);
            for ((most, place), x) in found.zip(&x[channel..][..count]) {
                // As burn and PyTorch: the first of equal values, and NaN above all.
                let larger = *x > *most || x.is_nan() || *place == u32::MAX;
                *most = if larger { *x } else { *most };
                *place = if larger { tap } else { *place };
            }
        }
        for (y, most) in y.iter_mut().zip(most) {
            y.write(most);
        }
        if TAPS {
            for (to, place) in taps.iter_mut().zip(place) {
                *to = place as u8;
            }
        }
    }

    /// The gradient of each output at the value that it is, written over `dx`, which is dense.
    pub(crate) fn grad(
        isa: Isa,
        grad: Images,
        taps: &[u8],
        window: Window,
        input: Size,
        dx: &mut [MaybeUninit<f32>],
    ) {
        assert_eq!(grad.size, window.output(input), "the output's size");
        assert_eq!(taps.len(), grad.size.len(), "a tap for each gradient");
        assert_eq!(dx.len(), input.len(), "a place for each value");
        dx.par_chunks_mut((input.area() * input.channels).max(1))
            .enumerate()
            .for_each(|(image, dx)| {
                isa.run(Scatter {
                    grad: &grad,
                    taps,
                    window,
                    input,
                    image,
                    dx,
                });
            });
    }

    /// An image.
    struct Scatter<'a> {
        grad: &'a Images<'a>,
        taps: &'a [u8],
        window: Window,
        input: Size,
        image: usize,
        dx: &'a mut [MaybeUninit<f32>],
    }

    impl Kernel for Scatter<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, _: S) {
            let Self { window, input, .. } = self;
            let dx = filled(self.dx, 0.0);
            let size = self.grad.size;
            let channels = size.channels;
            let taps = window.kernel[0] * window.kernel[1];
            let across = |tap: usize| {
                let (i, j) = (tap / window.kernel[1], tap % window.kernel[1]);
                (i * input.width + j) * channels
            };
            // Where the taps of a window lie, from its first.
            let places: Vec<usize> = (0..taps).map(across).collect();
            let margin = (window.padding[0] * input.width + window.padding[1]) * channels;
            for row in 0..size.height {
                for column in 0..size.width {
                    let pixel = (self.image * size.height + row) * size.width + column;
                    let corner = row * window.stride[0] * input.width + column * window.stride[1];
                    let taps = &self.taps[pixel * channels..][..channels];
                    let values = self.grad.pixel(pixel).iter().zip(taps).enumerate();
                    for (channel, (grad, tap)) in values {
                        dx[corner * channels + places[usize::from(*tap)] - margin + channel] +=
                            grad;
                    }
                }
            }
        }
    }
}
