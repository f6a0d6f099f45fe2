//! The distance of two maps whose channels are each brought to mean 0 and standard deviation 1.

use crate::images::{Images, OutPtr};
use crate::nn::norm::{Statistics, statistics};
use crate::simd::chunks;
use crate::simd::{Isa, Kernel, Simd};

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
    unsafe fn run<S: Simd>(self) {
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
    dx: OutPtr,
) {
    let size = student.size;
    assert_eq!(size, target.size, "only maps of one size can be compared");
    assert_eq!(grad.len(), size.channels, "one gradient for each channel");
    dx.check(size.len());
    let count = size.pixels() as f64;
    // 2/n · scale · (r − slope · Σ(r · (s − mean)) · (s − mean)), times the gradient.
    let outer: Vec<f32> = (grad.iter().zip(&saved.student.scale))
        .map(|(grad, scale)| (2.0 / count * f64::from(*grad) * f64::from(*scale)) as f32)
        .collect();
    let inner: Vec<f32> = (saved.along.iter().zip(&saved.student.slope))
        .map(|(along, slope)| (along * slope) as f32)
        .collect();
    chunks::each(size, |first, count| {
        isa.run(Slopes {
            maps: [&student, &target],
            standards: [&saved.student, &saved.target],
            factors: [&outer, &inner],
            first,
            count,
            dx,
        });
    });
}

struct Slopes<'a> {
    maps: [&'a Images<'a>; 2],
    standards: [&'a Standard; 2],
    factors: [&'a [f32]; 2],
    first: usize,
    count: usize,
    dx: OutPtr,
}

impl Kernel for Slopes<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let channels = self.maps[0].size.channels;
        let [mean, other_mean] = self.standards.map(|s| &s.mean[..channels]);
        let [scale, other_scale] = self.standards.map(|s| &s.scale[..channels]);
        let [outer, inner] = self.factors.map(|factors| &factors[..channels]);
        for pixel in self.first..self.first + self.count {
            let [s, t] = self.maps.map(|map| &map.pixel(pixel)[..channels]);
            // SAFETY: the output has a value for each of the map, and this task alone writes its pixels.
            let dx = unsafe { self.dx.part(pixel * channels, channels) };
            for c in 0..channels {
                let centred = s[c] - mean[c];
                let r = centred * scale[c] - (t[c] - other_mean[c]) * other_scale[c];
                dx[c].write(outer[c] * (r - inner[c] * centred));
            }
        }
    }
}
