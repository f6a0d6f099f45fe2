//! Channel by channel, the divergence of two softmaxes over an image's positions.

use burn::tensor::Tensor;
use burn::tensor::activation::{log_softmax, softmax};

#[cfg(feature = "flex")]
use super::of_maps::of_maps;
#[cfg(feature = "flex")]
use crate::flex::fast;

/// Divergence of the softmaxes over positions of `map / temperature`, channel by channel,
/// `Σ p_t (log p_t − log p_s)` in nats, from maps `[batch, channels, height, width]` of one shape,
/// `[batch, channels]`.
///
/// Differentiable in the student alone.
pub fn divergence_over_positions(
    student: Tensor<4>,
    target: Tensor<4>,
    temperature: f64,
) -> Tensor<2> {
    #[cfg(feature = "flex")]
    if fast(&student) {
        return of_maps(kernel::Divergence { temperature }, [student, target]);
    }
    let [student, target] =
        [student, target.detach()].map(|map| map.flatten::<3>(2, 3) / temperature);
    let difference = log_softmax(target.clone(), 2) - log_softmax(student, 2);
    (softmax(target, 2) * difference).sum_dim(2).squeeze_dim(2)
}

#[cfg(feature = "flex")]
pub(crate) mod kernel {
    //! Passes over the images of both maps.

    use std::mem::MaybeUninit;

    use burn::tensor::Shape;
    use rayon::prelude::*;

    use crate::images::Images;
    use crate::loss::of_maps::OfMaps;
    use crate::simd::exponential::exp_of_negative;
    use crate::simd::{Isa, Kernel, Simd};

    /// A divergence of each image's channels, `[batch, channels]`.
    #[derive(Clone, Debug)]
    pub(crate) struct Divergence {
        pub temperature: f64,
    }

    impl OfMaps<2> for Divergence {
        /// The maps' softmaxes.
        type Saved = [Softmax; 2];

        fn value(
            &self,
            isa: Isa,
            [student, target]: [Images; 2],
        ) -> (Vec<f32>, Shape, Self::Saved) {
            let (value, softmaxes) = divergence(isa, student, target, self.temperature);
            let shape = Shape::from([student.size.batch, student.size.channels]);
            (value, shape, softmaxes)
        }

        fn grad(
            &self,
            isa: Isa,
            [student, target]: [Images; 2],
            softmaxes: &Self::Saved,
            grad: &[f32],
            dx: &mut [MaybeUninit<f32>],
        ) {
            self::grad(isa, student, target, self.temperature, softmaxes, grad, dx);
        }
    }

    /// Pixels whose exponentials are summed before they meet the others of the image.
    const BLOCK: usize = 32;

    /// What the gradient needs of one map: `softmax = exp((x − largest) / T) / sum`, `[batch, channels]`.
    #[derive(Clone, Debug)]
    pub(crate) struct Softmax {
        largest: Vec<f32>,
        inverse_sum: Vec<f32>,
    }

    /// Both maps and the temperature's inverse.
    #[derive(Clone, Copy)]
    struct Pair<'a> {
        student: &'a Images<'a>,
        target: &'a Images<'a>,
        inverse: f32,
    }

    /// `Σ p_t (log p_t − log p_s)` over the positions of each channel, `[batch, channels]`, for softmaxes of
    /// `x / temperature`.
    pub(crate) fn divergence(
        isa: Isa,
        student: Images,
        target: Images,
        temperature: f64,
    ) -> (Vec<f32>, [Softmax; 2]) {
        let size = student.size;
        assert_eq!(size, target.size, "only maps of one size can be compared");
        let pair = Pair {
            student: &student,
            target: &target,
            inverse: (1.0 / temperature) as f32,
        };
        let channels = size.channels;
        let len = size.batch * channels;
        let mut found: [Vec<f32>; 5] = [(); 5].map(|()| vec![0.0; len]);
        let [value, s_largest, s_sum, t_largest, t_sum] =
            found.each_mut().map(|v| v.par_chunks_mut(channels.max(1)));
        value
            .zip(s_largest.zip(s_sum))
            .zip(t_largest.zip(t_sum))
            .enumerate()
            .for_each(|(image, ((value, of_student), of_target))| {
                isa.run(Image {
                    pair,
                    image,
                    value,
                    student: of_student,
                    target: of_target,
                });
            });
        let [value, largest, inverse_sum, t_largest, t_inverse_sum] = found;
        let of_student = Softmax {
            largest,
            inverse_sum,
        };
        let of_target = Softmax {
            largest: t_largest,
            inverse_sum: t_inverse_sum,
        };
        (value, [of_student, of_target])
    }

    /// One image: the value, and largest entry and inverse sum of both maps.
    struct Image<'a> {
        pair: Pair<'a>,
        image: usize,
        value: &'a mut [f32],
        student: (&'a mut [f32], &'a mut [f32]),
        target: (&'a mut [f32], &'a mut [f32]),
    }

    #[inline(always)]
    fn find_largest(x: &Images, image: usize, largest: &mut [f32]) {
        largest.fill(f32::NEG_INFINITY);
        let area = x.size.area();
        for pixel in image * area..(image + 1) * area {
            for (largest, x) in largest.iter_mut().zip(x.pixel(pixel)) {
                *largest = if *x > *largest { *x } else { *largest };
            }
        }
    }

    impl Kernel for Image<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, _: S) {
            let Pair {
                student,
                target,
                inverse,
            } = self.pair;
            let channels = student.size.channels;
            let ((s_largest, s_inverse), (t_largest, t_inverse)) = (self.student, self.target);
            find_largest(student, self.image, s_largest);
            find_largest(target, self.image, t_largest);
            // Sums of exponentials, and of the target's times the difference, first of a block and then of all.
            let mut block = vec![0.0f32; 3 * channels];
            let mut total = vec![0.0f64; 3 * channels];
            let area = student.size.area();
            for first in (0..area).step_by(BLOCK) {
                block.fill(0.0);
                let (s_sum, rest) = block.split_at_mut(channels);
                let (t_sum, along) = rest.split_at_mut(channels);
                let (s_largest, t_largest) = (&s_largest[..channels], &t_largest[..channels]);
                for pixel in first..(first + BLOCK).min(area) {
                    let pixel = self.image * area + pixel;
                    let s = &student.pixel(pixel)[..channels];
                    let t = &target.pixel(pixel)[..channels];
                    for c in 0..channels {
                        let s = (s[c] - s_largest[c]) * inverse;
                        let t = (t[c] - t_largest[c]) * inverse;
                        let of_target = exp_of_negative(t);
                        s_sum[c] += exp_of_negative(s);
                        t_sum[c] += of_target;
                        along[c] += of_target * (t - s);
                    }
                }
                for (total, block) in total.iter_mut().zip(&block) {
                    *total += f64::from(*block);
                }
            }
            for c in 0..channels {
                let [s_sum, t_sum, along] = [0, 1, 2].map(|i| total[i * channels + c]);
                self.value[c] = (along / t_sum + (s_sum / t_sum).ln()) as f32;
                s_inverse[c] = (1.0 / s_sum) as f32;
                t_inverse[c] = (1.0 / t_sum) as f32;
            }
        }
    }

    /// The student's gradient, given that of [`divergence`], written over `dx`, which is dense.
    pub(crate) fn grad(
        isa: Isa,
        student: Images,
        target: Images,
        temperature: f64,
        softmaxes: &[Softmax; 2],
        grad: &[f32],
        dx: &mut [MaybeUninit<f32>],
    ) {
        let pair = Pair {
            student: &student,
            target: &target,
            inverse: (1.0 / temperature) as f32,
        };
        let len = student.size.batch * student.size.channels;
        let size = student.size;
        assert_eq!(size, target.size, "only maps of one size can be compared");
        assert_eq!(dx.len(), size.len(), "a place for each value");
        assert_eq!(grad.len(), len, "one gradient for each channel");
        let images = dx.par_chunks_mut((size.area() * size.channels).max(1));
        images.enumerate().for_each(|(image, dx)| {
            isa.run(Slopes {
                pair,
                softmaxes,
                grad,
                image,
                dx,
            });
        });
    }

    struct Slopes<'a> {
        pair: Pair<'a>,
        softmaxes: &'a [Softmax; 2],
        grad: &'a [f32],
        image: usize,
        dx: &'a mut [MaybeUninit<f32>],
    }

    impl Kernel for Slopes<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, _: S) {
            let Pair {
                student,
                target,
                inverse,
            } = self.pair;
            let channels = student.size.channels;
            let first = self.image * channels;
            let of = |values: &'_ [f32]| -> Vec<f32> { values[first..first + channels].to_vec() };
            let [s_largest, t_largest] = self.softmaxes.each_ref().map(|s| of(&s.largest));
            let [mut s_factor, mut t_factor] =
                self.softmaxes.each_ref().map(|s| of(&s.inverse_sum));
            for (c, grad) in of(self.grad).into_iter().enumerate() {
                s_factor[c] *= grad * inverse;
                t_factor[c] *= grad * inverse;
            }
            let [s_largest, t_largest] = [&s_largest[..channels], &t_largest[..channels]];
            let [s_factor, t_factor] = [&s_factor[..channels], &t_factor[..channels]];
            let first = self.image * student.size.area();
            for (dx, pixel) in self.dx.chunks_exact_mut(channels).zip(first..) {
                let s = &student.pixel(pixel)[..channels];
                let t = &target.pixel(pixel)[..channels];
                for c in 0..channels {
                    let of_student = exp_of_negative((s[c] - s_largest[c]) * inverse);
                    let of_target = exp_of_negative((t[c] - t_largest[c]) * inverse);
                    dx[c].write(of_student * s_factor[c] - of_target * t_factor[c]);
                }
            }
        }
    }
}
