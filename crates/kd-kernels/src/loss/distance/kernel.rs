//! Squared differences of two maps, summed for each channel: a pass over both in each direction.

use crate::images::{Images, OutPtr};
use crate::simd::chunks;
use crate::simd::{Isa, Kernel, Simd};

/// What the difference of a student's value and its target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// `s − t`.
    Plain,
    /// What `s` lacks to be beyond the margin on the side of `t`: `max(0, margin + s)` where
    /// `t ≤ 0`, `max(0, margin − s)` elsewhere.
    Boundary,
    /// `s − max(t, margin)`, and where `t ≤ 0` only what is above zero of it.
    OneSided,
}

/// Both maps, and a margin for each channel.
#[derive(Clone, Copy)]
pub(crate) struct DistanceArgs<'a> {
    pub student: Images<'a>,
    pub target: Images<'a>,
    pub margin: &'a [f32],
    pub rule: Rule,
}

impl DistanceArgs<'_> {
    fn check(&self) {
        assert_eq!(
            self.student.size, self.target.size,
            "only maps of one size can be compared"
        );
        assert_eq!(
            self.margin.len(),
            self.student.size.channels,
            "one margin for each channel"
        );
    }
}

/// Mean over all pixels of the squared differences, `[channels]`.
pub(crate) fn mean_squares(isa: Isa, compared: DistanceArgs) -> Vec<f32> {
    compared.check();
    let size = compared.student.size;
    let sums = chunks::sums(size, size.channels, |first, count, sums| {
        isa.run(Sums {
            compared,
            first,
            count,
            sums,
        });
    });
    let scale = 1.0 / size.pixels() as f64;
    sums.into_iter().map(|sum| (sum * scale) as f32).collect()
}

/// The student's gradient, given that of [`mean_squares`], written over `dx`, which is dense.
pub(crate) fn grad(isa: Isa, compared: DistanceArgs, grad: &[f32], dx: OutPtr) {
    compared.check();
    let size = compared.student.size;
    assert_eq!(grad.len(), size.channels, "one gradient for each channel");
    dx.check(size.len());
    let scale = 2.0 / size.pixels() as f32;
    let factors: Vec<f32> = grad.iter().map(|grad| grad * scale).collect();
    chunks::each(size, |first, count| {
        isa.run(Slopes {
            compared,
            factors: &factors,
            first,
            count,
            dx,
        });
    });
}

/// Zero in the place of negative values; NaN stays.
#[inline(always)]
fn rectified(value: f32) -> f32 {
    if value <= 0.0 { 0.0 } else { value }
}

#[inline(always)]
fn plain(s: f32, t: f32, _: f32) -> (f32, f32) {
    (s - t, s - t)
}

#[inline(always)]
fn boundary(s: f32, t: f32, margin: f32) -> (f32, f32) {
    let side = if t > 0.0 { -1.0 } else { 1.0 };
    let missing = rectified(s * side + margin);
    (missing, missing * side)
}

#[inline(always)]
fn one_sided(s: f32, t: f32, margin: f32) -> (f32, f32) {
    let difference = s - if t < margin { margin } else { t };
    let counted = if t <= 0.0 {
        rectified(difference)
    } else {
        difference
    };
    (counted, counted)
}

/// Calls `$self.$function(difference)` with the rule's, so that each is compiled into its own loop.
macro_rules! by_rule {
    ($self:ident.$function:ident) => {
        match $self.compared.rule {
            Rule::Plain => $self.$function(plain),
            Rule::Boundary => $self.$function(boundary),
            Rule::OneSided => $self.$function(one_sided),
        }
    };
}

struct Sums<'a> {
    compared: DistanceArgs<'a>,
    first: usize,
    count: usize,
    sums: &'a mut [f32],
}

impl Kernel for Sums<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        by_rule!(self.over)
    }
}

impl Sums<'_> {
    #[inline(always)]
    fn over(self, difference: impl Fn(f32, f32, f32) -> (f32, f32)) {
        let DistanceArgs {
            student,
            target,
            margin,
            ..
        } = self.compared;
        for pixel in self.first..self.first + self.count {
            let values = student.pixel(pixel).iter().zip(target.pixel(pixel));
            for ((sum, (s, t)), margin) in self.sums.iter_mut().zip(values).zip(margin) {
                let (d, _) = difference(*s, *t, *margin);
                *sum += d * d;
            }
        }
    }
}

struct Slopes<'a> {
    compared: DistanceArgs<'a>,
    factors: &'a [f32],
    first: usize,
    count: usize,
    dx: OutPtr,
}

impl Kernel for Slopes<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        by_rule!(self.over)
    }
}

impl Slopes<'_> {
    #[inline(always)]
    fn over(self, difference: impl Fn(f32, f32, f32) -> (f32, f32)) {
        let DistanceArgs {
            student,
            target,
            margin,
            ..
        } = self.compared;
        let channels = student.size.channels;
        for pixel in self.first..self.first + self.count {
            // SAFETY: the output has a value for each of the map, and this task alone writes its pixels.
            let dx = unsafe { self.dx.part(pixel * channels, channels) };
            let values = student.pixel(pixel).iter().zip(target.pixel(pixel));
            let fixed = margin.iter().zip(self.factors);
            for ((dx, (s, t)), (margin, factor)) in dx.iter_mut().zip(values).zip(fixed) {
                dx.write(factor * difference(*s, *t, *margin).1);
            }
        }
    }
}
