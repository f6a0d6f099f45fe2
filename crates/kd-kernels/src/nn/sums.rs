//! Sums over the pixels of maps: the gradients of what is added to or multiplied with a whole channel.

use crate::images::Images;
use crate::simd::chunks;
use crate::simd::{Isa, Kernel, Simd};

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
    fn run<S: Simd>(self, _: S) {
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
    fn run<S: Simd>(self, _: S) {
        for pixel in self.first..self.first + self.count {
            let factors = self.a.pixel(pixel).iter().zip(self.b.pixel(pixel));
            for (sum, (a, b)) in self.sums.iter_mut().zip(factors) {
                *sum += a * b;
            }
        }
    }
}
