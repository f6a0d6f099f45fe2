//! Moving and summing channels-last maps.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::images::{Images, OutPtr, Size, filled};
use crate::simd::chunks;
use crate::simd::{Isa, Kernel, Simd};

/// Pixels of a task.
const PIXELS: usize = 1024;

/// Runs `work(pixel, its output channels)` for all pixels.
fn each_pixel(size: Size, y: OutPtr, work: impl Fn(usize, &mut [MaybeUninit<f32>]) + Sync) {
    // No instruction set is asked for here, which else counts.
    crate::mode::called();
    let (pixels, channels) = (size.pixels(), size.channels);
    y.check(size.len());
    (0..pixels.div_ceil(PIXELS))
        .into_par_iter()
        .for_each(|task| {
            for pixel in task * PIXELS..((task + 1) * PIXELS).min(pixels) {
                // SAFETY: the pixel is one of the size's, and this task alone has it.
                work(pixel, unsafe { y.part(pixel * channels, channels) });
            }
        });
}

/// The channels of `a` and `b` in turn.
pub(crate) fn interleave(a: Images, b: Images, y: OutPtr) {
    let size = Size {
        channels: 2 * a.size.channels,
        ..a.size
    };
    each_pixel(size, y, |pixel, to| {
        let both = a.pixel(pixel).iter().zip(b.pixel(pixel));
        for (to, (a, b)) in to.chunks_exact_mut(2).zip(both) {
            to[0].write(*a);
            to[1].write(*b);
        }
    });
}

/// The channels of even or of odd number.
pub(crate) fn every_second(x: Images, odd: bool, y: OutPtr) {
    let size = Size {
        channels: x.size.channels / 2,
        ..x.size
    };
    each_pixel(size, y, |pixel, to| {
        for (to, from) in to.iter_mut().zip(x.pixel(pixel).chunks_exact(2)) {
            to.write(from[usize::from(odd)]);
        }
    });
}

/// `x` at the channels from `first` on, zero elsewhere, plus `earlier`.
pub(crate) fn scatter(x: Images, first: usize, earlier: Option<Images>, output: Size, y: OutPtr) {
    each_pixel(output, y, |pixel, to| {
        let to = match &earlier {
            Some(earlier) => to.write_copy_of_slice(earlier.pixel(pixel)),
            None => filled(to, 0.0),
        };
        for (to, from) in to[first..].iter_mut().zip(x.pixel(pixel)) {
            *to += from;
        }
    });
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

/// `a + b`.
pub(crate) fn add(isa: Isa, a: Images, b: Images, y: OutPtr) {
    assert_eq!(a.size, b.size, "only equal maps can be added");
    y.check(a.size.len());
    let pixels = a.size.pixels();
    (0..pixels.div_ceil(PIXELS))
        .into_par_iter()
        .for_each(|task| {
            let first = task * PIXELS;
            isa.run(Add {
                a: &a,
                b: &b,
                first,
                count: PIXELS.min(pixels - first),
                y,
            });
        });
}

struct Add<'a> {
    a: &'a Images<'a>,
    b: &'a Images<'a>,
    first: usize,
    count: usize,
    y: OutPtr,
}

impl Kernel for Add<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let channels = self.a.size.channels;
        for pixel in self.first..self.first + self.count {
            for channel in (0..channels).step_by(S::LANES) {
                let left = channels - channel;
                // SAFETY: the pixels are there in all images.
                unsafe {
                    let a = self.a.data.as_ptr().add(pixel * self.a.pitch + channel);
                    let b = self.b.data.as_ptr().add(pixel * self.b.pitch + channel);
                    let sum = S::add(S::load_up_to(a, left), S::load_up_to(b, left));
                    S::store_up_to(self.y.at(pixel * channels + channel), sum, left);
                }
            }
        }
    }
}

/// Sum over all pixels, `[channels]`.
pub(crate) fn sum(isa: Isa, x: Images) -> Vec<f32> {
    let sums = chunks::sums(x.size, x.size.channels, |first, count, sums| {
        isa.run(Sum {
            x: &x,
            first,
            count,
            sums,
        });
    });
    sums.into_iter().map(|sum| sum as f32).collect()
}

struct Sum<'a> {
    x: &'a Images<'a>,
    first: usize,
    count: usize,
    sums: &'a mut [f32],
}

impl Kernel for Sum<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for pixel in self.first..self.first + self.count {
            for (sum, x) in self.sums.iter_mut().zip(self.x.pixel(pixel)) {
                *sum += x;
            }
        }
    }
}

/// Sum over all pixels of `a · b`, `[channels]`.
pub(crate) fn sum_of_products(isa: Isa, a: Images, b: Images) -> Vec<f32> {
    assert_eq!(a.size, b.size, "one factor for each value");
    let sums = chunks::sums(a.size, a.size.channels, |first, count, sums| {
        isa.run(SumOfProducts {
            a: &a,
            b: &b,
            first,
            count,
            sums,
        });
    });
    sums.into_iter().map(|sum| sum as f32).collect()
}

struct SumOfProducts<'a> {
    a: &'a Images<'a>,
    b: &'a Images<'a>,
    first: usize,
    count: usize,
    sums: &'a mut [f32],
}

impl Kernel for SumOfProducts<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for pixel in self.first..self.first + self.count {
            let factors = self.a.pixel(pixel).iter().zip(self.b.pixel(pixel));
            for (sum, (a, b)) in self.sums.iter_mut().zip(factors) {
                *sum += a * b;
            }
        }
    }
}

/// `grad` where `output` is above zero, else `slope · grad`: the gradient of a rectifier, and of `output` by
/// itself the rectifier.
pub(crate) fn gate(isa: Isa, grad: Images, output: Images, slope: f32, dx: OutPtr) {
    assert_eq!(grad.size, output.size, "one gradient for each value");
    dx.check(grad.size.len());
    chunks::each(grad.size, |first, count| {
        isa.run(Gate {
            grad: &grad,
            output: &output,
            slope,
            first,
            count,
            dx,
        });
    });
}

struct Gate<'a> {
    grad: &'a Images<'a>,
    output: &'a Images<'a>,
    slope: f32,
    first: usize,
    count: usize,
    dx: OutPtr,
}

impl Kernel for Gate<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let channels = self.grad.size.channels;
        for pixel in self.first..self.first + self.count {
            // SAFETY: the output has a value for each of the map, and this task alone writes its pixels.
            let dx = unsafe { self.dx.part(pixel * channels, channels) };
            let from = self.grad.pixel(pixel).iter().zip(self.output.pixel(pixel));
            for (dx, (grad, output)) in dx.iter_mut().zip(from) {
                dx.write(if *output > 0.0 {
                    *grad
                } else {
                    self.slope * grad
                });
            }
        }
    }
}

/// Mean over all pixels of `min(x, 0)`, then the share of pixels below zero, `[2, channels]`.
pub(crate) fn negative_part(isa: Isa, x: Images) -> Vec<f32> {
    let sums = chunks::sums(x.size, 2 * x.size.channels, |first, count, sums| {
        isa.run(NegativePart {
            x: &x,
            first,
            count,
            sums,
        });
    });
    let scale = 1.0 / x.size.pixels() as f64;
    sums.into_iter().map(|sum| (sum * scale) as f32).collect()
}

struct NegativePart<'a> {
    x: &'a Images<'a>,
    first: usize,
    count: usize,
    sums: &'a mut [f32],
}

impl Kernel for NegativePart<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (part, often) = self.sums.split_at_mut(self.x.size.channels);
        for pixel in self.first..self.first + self.count {
            let sums = part.iter_mut().zip(often.iter_mut());
            for ((part, often), x) in sums.zip(self.x.pixel(pixel)) {
                // NaN is seen in the mean.
                *part += if *x >= 0.0 { 0.0 } else { *x };
                *often += if *x < 0.0 { 1.0 } else { 0.0 };
            }
        }
    }
}
