//! The distance of two maps whose channels are each brought to mean 0 and standard deviation 1.

use burn::tensor::Tensor;

use super::distance::{by_channel, mean_squares};
#[cfg(feature = "flex")]
use super::of_maps::of_maps;
#[cfg(feature = "flex")]
use crate::flex::fast;

/// [`squared_distance`](crate::squared_distance) of maps whose channels are each brought to mean 0 and divided by
/// their unbiased standard deviation over batch and positions, plus `epsilon`. A constant channel becomes 0.
///
/// Differentiable in the student alone.
pub fn standardised_distance(student: Tensor<4>, target: Tensor<4>, epsilon: f64) -> Tensor<1> {
    #[cfg(feature = "flex")]
    if fast(&student) {
        return of_maps(kernel::StandardisedDistance { epsilon }, [student, target]);
    }
    let [student, target] = [student, target.detach()].map(|map| standardised(map, epsilon));
    mean_squares(student - target)
}

fn standardised(map: Tensor<4>, epsilon: f64) -> Tensor<4> {
    let shape = map.dims();
    let [batch, channels, height, width] = shape;
    let count = batch * height * width;
    let means = |map| by_channel(map).reshape([1, channels, 1, 1]);
    // Divided by the largest entry, no square overflows. That factor cancels, but for epsilon.
    let largest = map.clone().detach().abs();
    let largest = largest.max_dim(3).max_dim(2).max_dim(0);
    let silent = largest.clone().equal_elem(0.0);
    let largest = largest.mask_fill(silent, 1.0);
    let map = map / largest.clone();
    let centred = map.clone() - means(map);
    // A single number has no standard deviation, and is 0 once its mean is taken off.
    let unbiased = count as f64 / (count.max(2) - 1) as f64;
    let variance = means(centred.clone().square()) * unbiased;
    // What rounding leaves of a constant channel is no pattern.
    let finfo = variance.dtype().finfo();
    let rounding = 8.0 * finfo.map_or(f64::from(f32::EPSILON), |f| f.epsilon);
    let constant = variance
        .clone()
        .detach()
        .lower_equal_elem(rounding * rounding);
    let deviation = variance.mask_fill(constant.clone(), 1.0).sqrt() + largest.recip() * epsilon;
    centred.mask_fill(constant.expand(shape), 0.0) / deviation
}

#[cfg(feature = "flex")]
pub(crate) mod kernel {
    //! Passes over both maps, and statistics of their channels.

    use std::mem::MaybeUninit;

    use burn::tensor::Shape;

    use crate::images::Images;
    use crate::loss::of_maps::OfMaps;
    use crate::nn::norm::{Statistics, statistics};
    use crate::simd::chunks;
    use crate::simd::{Isa, Kernel, Simd};

    /// The distance of each channel, `[channels]`.
    #[derive(Clone, Debug)]
    pub(crate) struct StandardisedDistance {
        pub epsilon: f64,
    }

    impl OfMaps<2> for StandardisedDistance {
        type Saved = Saved;

        fn value(&self, isa: Isa, [student, target]: [Images; 2]) -> (Vec<f32>, Shape, Saved) {
            let (distance, saved) = distance(isa, student, target, self.epsilon);
            (distance, Shape::from([student.size.channels]), saved)
        }

        fn grad(
            &self,
            isa: Isa,
            [student, target]: [Images; 2],
            saved: &Saved,
            grad: &[f32],
            dx: &mut [MaybeUninit<f32>],
        ) {
            self::grad(isa, student, target, saved, grad, dx);
        }
    }

    /// A standard deviation below this share of a channel's size is what rounding leaves of a constant.
    const CONSTANT: f64 = 8.0 * f32::EPSILON as f64;

    /// How each channel of a map is standardised: `(x − mean) · scale`.
    #[derive(Clone, Debug)]
    pub(crate) struct Standard {
        mean: Vec<f32>,
        /// `1 / (standard deviation + epsilon)`, the standard deviation unbiased; 0 for a constant channel.
        scale: Vec<f32>,
        /// `d scale / d x = −slope · scale · (x − mean)`.
        slope: Vec<f64>,
    }

    impl Standard {
        fn of(isa: Isa, x: Images, epsilon: f64) -> Self {
            let Statistics { mean, variance } = statistics(isa, x);
            let count = x.size.pixels() as f64;
            let unbiased = count / (count - 1.0).max(1.0);
            let (scale, slope) = mean
                .iter()
                .zip(&variance)
                .map(|(mean, variance)| {
                    let (mean, variance) = (f64::from(*mean), f64::from(*variance));
                    let deviation = (variance * unbiased).sqrt();
                    if deviation <= CONSTANT * mean.hypot(deviation) {
                        return (0.0, 0.0);
                    }
                    let scale = 1.0 / (deviation + epsilon);
                    (scale as f32, scale * unbiased / (count * deviation))
                })
                .unzip();
            Self { mean, scale, slope }
        }
    }

    /// What the gradient needs from the forward pass.
    #[derive(Clone, Debug)]
    pub(crate) struct Saved {
        student: Standard,
        target: Standard,
        /// `Σ r · (s − mean)` of each channel, for the difference `r`.
        along: Vec<f64>,
    }

    /// Mean over all pixels of the squared difference of the standardised maps, `[channels]`.
    pub(crate) fn distance(
        isa: Isa,
        student: Images,
        target: Images,
        epsilon: f64,
    ) -> (Vec<f32>, Saved) {
        let size = student.size;
        assert_eq!(size, target.size, "only maps of one size can be compared");
        let [of_student, of_target] = [student, target].map(|x| Standard::of(isa, x, epsilon));
        let mut sums = chunks::sums(size, 2 * size.channels, |first, count, sums| {
            isa.run(Sums {
                maps: [&student, &target],
                standards: [&of_student, &of_target],
                first,
                count,
                sums,
            });
        });
        let along = sums.split_off(size.channels);
        let count = size.pixels() as f64;
        let distance = sums.into_iter().map(|sum| (sum / count) as f32).collect();
        let saved = Saved {
            student: of_student,
            target: of_target,
            along,
        };
        (distance, saved)
    }

    /// `Σ r²` and `Σ r · (s − mean)` of each channel.
    struct Sums<'a> {
        maps: [&'a Images<'a>; 2],
        standards: [&'a Standard; 2],
        first: usize,
        count: usize,
        sums: &'a mut [f32],
    }

    impl Kernel for Sums<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, _: S) {
            let channels = self.maps[0].size.channels;
            let (squares, along) = self.sums.split_at_mut(channels);
            let [mean, other_mean] = self.standards.map(|s| &s.mean[..channels]);
            let [scale, other_scale] = self.standards.map(|s| &s.scale[..channels]);
            for pixel in self.first..self.first + self.count {
                let [s, t] = self.maps.map(|map| &map.pixel(pixel)[..channels]);
                for c in 0..channels {
                    let centred = s[c] - mean[c];
                    let r = centred * scale[c] - (t[c] - other_mean[c]) * other_scale[c];
                    squares[c] += r * r;
                    along[c] += r * centred;
                }
            }
        }
    }

    /// The student's gradient, given that of [`distance`], written over `dx`, which is dense.
    pub(crate) fn grad(
        isa: Isa,
        student: Images,
        target: Images,
        saved: &Saved,
        grad: &[f32],
        dx: &mut [MaybeUninit<f32>],
    ) {
        let size = student.size;
        assert_eq!(size, target.size, "only maps of one size can be compared");
        assert_eq!(grad.len(), size.channels, "one gradient for each channel");
        let count = size.pixels() as f64;
        // 2/n · scale · (r − slope · Σ(r · (s − mean)) · (s − mean)), times the gradient.
        let outer: Vec<f32> = (grad.iter().zip(&saved.student.scale))
            .map(|(grad, scale)| (2.0 / count * f64::from(*grad) * f64::from(*scale)) as f32)
            .collect();
        let inner: Vec<f32> = (saved.along.iter().zip(&saved.student.slope))
            .map(|(along, slope)| (along * slope) as f32)
            .collect();
        chunks::each(size, size.channels, dx, |first, dx| {
            isa.run(Slopes {
                maps: [&student, &target],
                standards: [&saved.student, &saved.target],
                factors: [&outer, &inner],
                first,
                dx,
            });
        });
    }

    struct Slopes<'a> {
        maps: [&'a Images<'a>; 2],
        standards: [&'a Standard; 2],
        factors: [&'a [f32]; 2],
        first: usize,
        dx: &'a mut [MaybeUninit<f32>],
    }

    impl Kernel for Slopes<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, _: S) {
            let channels = self.maps[0].size.channels;
            let [mean, other_mean] = self.standards.map(|s| &s.mean[..channels]);
            let [scale, other_scale] = self.standards.map(|s| &s.scale[..channels]);
            let [outer, inner] = self.factors.map(|factors| &factors[..channels]);
            for (dx, pixel) in self.dx.chunks_exact_mut(channels).zip(self.first..) {
                let [s, t] = self.maps.map(|map| &map.pixel(pixel)[..channels]);
                for c in 0..channels {
                    let centred = s[c] - mean[c];
                    let r = centred * scale[c] - (t[c] - other_mean[c]) * other_scale[c];
                    dx[c].write(outer[c] * (r - inner[c] * centred));
                }
            }
        }
    }
}
