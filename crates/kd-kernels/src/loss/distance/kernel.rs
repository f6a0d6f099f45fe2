//! Squared differences of two maps, summed for each channel: a pass over both in each direction.

use std::mem::MaybeUninit;

use burn::tensor::Shape;

use crate::images::Images;
use crate::loss::of_maps::OfMaps;
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

/// The maps are the student's, the target's and, if there are three, one pixel of margins.
impl<const N: usize> OfMaps<N> for Rule {
    type Saved = ();

    fn value(&self, isa: Isa, maps: [Images; N]) -> (Vec<f32>, Shape, ()) {
        self.compare(maps, |compared| {
            let distance = mean_squares(isa, compared);
            let channels = distance.len();
            (distance, Shape::from([channels]), ())
        })
    }

    fn grad(
        &self,
        isa: Isa,
        maps: [Images; N],
        (): &(),
        grad: &[f32],
        dx: &mut [MaybeUninit<f32>],
    ) {
        self.compare(maps, |compared| self::grad(isa, compared, grad, dx));
    }
}

impl Rule {
    fn compare<R, const N: usize>(
        self,
        maps: [Images; N],
        work: impl FnOnce(DistanceArgs) -> R,
    ) -> R {
        let [student, target] = [maps[0], maps[1]];
        let none = vec![0.0; student.size.channels];
        work(DistanceArgs {
            student,
            target,
            margin: maps.get(2).map_or(&none[..], |margin| margin.pixel(0)),
            rule: self,
        })
    }
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

    /// Student, target and margin of every channel of a pixel.
    #[inline(always)]
    fn values(&self, pixel: usize) -> impl Iterator<Item = ((&f32, &f32), &f32)> {
        let values = self.student.pixel(pixel).iter();
        values.zip(self.target.pixel(pixel)).zip(self.margin)
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
pub(crate) fn grad(isa: Isa, compared: DistanceArgs, grad: &[f32], dx: &mut [MaybeUninit<f32>]) {
    compared.check();
    let size = compared.student.size;
    assert_eq!(grad.len(), size.channels, "one gradient for each channel");
    let scale = 2.0 / size.pixels() as f32;
    let factors: Vec<f32> = grad.iter().map(|grad| grad * scale).collect();
    chunks::each(size, size.channels, dx, |first, dx| {
        isa.run(Slopes {
            compared,
            factors: &factors,
            first,
            dx,
        });
    });
}

/// Zero in the place of negative values; NaN stays.
#[inline(always)]
fn rectified(value: f32) -> f32 {
    if value <= 0.0 { 0.0 } else { value }
}

// Each rule gives the difference, and half of its square's slope by the student's value.

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

/// Calls `$self.$function(rule)` with the rule's function, so that each is compiled into its own loop.
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
    fn run<S: Simd>(self, _: S) {
        by_rule!(self.over)
    }
}

impl Sums<'_> {
    #[inline(always)]
    fn over(self, rule: impl Fn(f32, f32, f32) -> (f32, f32)) {
        for pixel in self.first..self.first + self.count {
            let values = self.compared.values(pixel);
            for (sum, ((s, t), margin)) in self.sums.iter_mut().zip(values) {
                let (difference, _) = rule(*s, *t, *margin);
                *sum += difference * difference;
            }
        }
    }
}

struct Slopes<'a> {
    compared: DistanceArgs<'a>,
    factors: &'a [f32],
    first: usize,
    dx: &'a mut [MaybeUninit<f32>],
}

impl Kernel for Slopes<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        by_rule!(self.over)
    }
}

impl Slopes<'_> {
    #[inline(always)]
    fn over(self, rule: impl Fn(f32, f32, f32) -> (f32, f32)) {
        let pixels = self.dx.chunks_exact_mut(self.factors.len());
        for (dx, pixel) in pixels.zip(self.first..) {
            let values = self.compared.values(pixel);
            let to = dx.iter_mut().zip(self.factors);
            for ((dx, factor), ((s, t), margin)) in to.zip(values) {
                dx.write(factor * rule(*s, *t, *margin).1);
            }
        }
    }
}
