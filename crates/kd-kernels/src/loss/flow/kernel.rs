//! Distances between how two networks go from one map to another, image by image.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::images::{Images, Size};
use crate::loss::products::kernel::{pixels, runs};
use crate::loss::unit_rows::kernel::sum;
use crate::simd::chunks;
use crate::simd::exponential::exp_of_negative;
use crate::simd::panels::{Panels, packed};
use crate::simd::scratch;
use crate::simd::tile::{self, RUN};
use crate::simd::{Isa, Kernel, Simd};

/// How a network goes from a map `f` to a map `g`, a matrix `[channels of f, channels of g]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// Means over positions of `f_i · g_j`.
    Products,
    /// `exp(−(g_j − f_i)² / 8)` of maps of one position.
    SingularVectors,
}

/// The earlier and the later map of the student, and those of the target.
#[derive(Clone, Copy)]
pub(crate) struct Maps<'a> {
    pub student: [Images<'a>; 2],
    pub target: [Images<'a>; 2],
}

/// Channels of the earlier and the later map.
///
/// # Panics
/// When the maps do not fit, or are empty.
fn channels(maps: &[Images; 2], flow: Flow) -> [usize; 2] {
    let [from, to] = maps.map(|map| map.size);
    let fit = (from.batch, from.area()) == (to.batch, to.area());
    assert!(
        fit && from.len() > 0 && to.len() > 0,
        "only maps that fit have a flow"
    );
    assert!(
        flow == Flow::Products || from.area() == 1,
        "only vectors turn"
    );
    [from.channels, to.channels]
}

/// How many values the gradient of an image needs.
fn saved(flow: Flow, [from, to]: [usize; 2]) -> usize {
    match flow {
        Flow::Products => from * to,
        Flow::SingularVectors => from + to,
    }
}

/// Mean over `ij` of `(student_ij − target_ij)²` of each image, and what its gradient needs.
pub(crate) fn distance(isa: Isa, maps: Maps, flow: Flow) -> (Vec<f32>, Vec<f32>) {
    let target = channels(&maps.target, flow);
    let channels = channels(&maps.student, flow);
    let batch = maps.student[0].size.batch;
    let fit = target == channels && maps.target[0].size.batch == batch;
    assert!(fit, "only networks whose maps fit are compared");
    let len = saved(flow, channels);
    chunks::images(batch, len, |image, value, saved| {
        isa.run(Distance {
            maps: &maps,
            channels,
            flow,
            image,
            value,
            saved,
        });
    })
}

struct Distance<'a> {
    maps: &'a Maps<'a>,
    channels: [usize; 2],
    flow: Flow,
    image: usize,
    value: &'a mut f32,
    saved: &'a mut [f32],
}

impl Kernel for Distance<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { flow, value, .. } = self;
        let pairs = (self.channels[0] * self.channels[1]) as f64;
        let (maps, image, saved) = (self.maps, self.image, self.saved);
        let sum = match flow {
            Flow::Products => products(s, maps, image, saved),
            Flow::SingularVectors => turn(maps, image, saved),
        };
        *value = (sum / pairs) as f32;
    }
}

/// Saves the differences of the products, whose squares' sum is returned.
#[inline(always)]
fn products<S: Simd>(s: S, maps: &Maps, image: usize, saved: &mut [f32]) -> f64 {
    let [from, to] = maps.student.map(|map| map.size.channels);
    let parts = [(&maps.student, 1.0), (&maps.target, -1.0)];
    let [of_from, of_to] = [from, to].map(|channels| packed(S::LANES, RUN, channels));
    let mut memory = scratch::lend(of_from + of_to);
    let (of_from, of_to) = memory.aligned().split_at_mut(of_from);
    for (part, ([from, to], sign)) in parts.into_iter().enumerate() {
        let area = from.size.area();
        for run in runs(area) {
            let more = part > 0 || run.start > 0;
            let from = pixels(s, from, image, run.clone(), of_from);
            let to = pixels(s, to, image, run, of_to);
            tile::outer(s, from, to, sign / area as f32, false, more, saved);
        }
    }

    let rows = saved.chunks_exact(to);
    rows.map(|row| f64::from(sum(row, row, |a, b| a * b))).sum()
}

/// Saves the gradients, and returns the sum of the squared differences.
#[inline(always)]
fn turn(maps: &Maps, image: usize, saved: &mut [f32]) -> f64 {
    let vectors = |maps: &[Images<'_>; 2]| maps.map(|map| map.pixel(image).to_vec());
    let [from, to] = vectors(&maps.student);
    let [target_from, target_to] = vectors(&maps.target);
    let (of_from, of_to) = saved.split_at_mut(from.len());
    let turned = |difference: f32| exp_of_negative(difference * difference * -0.125);
    let (mut value, mut row) = (0.0f64, vec![0.0f32; to.len()]);
    let mut slopes = row.clone();
    for ((of_from, from), target_from) in of_from.iter_mut().zip(&from).zip(&target_from) {
        let columns = row.iter_mut().zip(&mut slopes).zip(&mut *of_to);
        let ends = to.iter().zip(&target_to);
        for (((off, slope), of_to), (to, target_to)) in columns.zip(ends) {
            let difference = to - from;
            let own = turned(difference);
            *off = own - turned(target_to - target_from);
            *slope = *off * own * difference * -0.5;
            *of_to += *slope;
        }
        value += f64::from(sum(&row, &row, |a, b| a * b));
        *of_from = -sum(&slopes, &slopes, |a, _| a);
    }
    value
}

/// The gradients of both of the student's maps, given what [`distance`] saved and the gradient of each image's,
/// written over `dx`, which are dense.
pub(crate) fn grad(
    isa: Isa,
    student: [Images; 2],
    flow: Flow,
    saved: &[f32],
    grad: &[f32],
    dx: [&mut [MaybeUninit<f32>]; 2],
) {
    let channels = channels(&student, flow);
    let Size { batch, .. } = student[0].size;
    let len = self::saved(flow, channels);
    assert_eq!([saved.len(), grad.len()], [batch * len, batch]);
    let area = student[0].size.area();
    let lens = student.map(|map| map.size.len());
    assert_eq!(
        dx.each_ref().map(|dx| dx.len()),
        lens,
        "a place for each value"
    );
    let images = grad.par_iter().zip(saved.par_chunks(len));
    let [from, to] = dx;
    let dx = from.par_chunks_mut(area * channels[0]);
    let dx = dx.zip(to.par_chunks_mut(area * channels[1]));
    let images = images.zip(dx).enumerate();
    images.for_each(|(image, ((grad, saved), (from, to)))| {
        isa.run(Slopes {
            student: &student,
            channels,
            flow,
            image,
            saved,
            grad: grad / (channels[0] * channels[1]) as f32,
            dx: [from, to],
        });
    });
}

struct Slopes<'a> {
    student: &'a [Images<'a>; 2],
    channels: [usize; 2],
    flow: Flow,
    image: usize,
    saved: &'a [f32],
    grad: f32,
    dx: [&'a mut [MaybeUninit<f32>]; 2],
}

impl Kernel for Slopes<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.flow {
            Flow::Products => self.products(s),
            Flow::SingularVectors => {
                let of_from = self.channels[0];
                let (from, to) = self.saved.split_at(of_from);
                for (saved, dx) in [from, to].into_iter().zip(self.dx) {
                    for (dx, saved) in dx.iter_mut().zip(saved) {
                        dx.write(saved * self.grad);
                    }
                }
            }
        }
    }
}

impl Slopes<'_> {
    #[inline(always)]
    fn products<S: Simd>(self, s: S) {
        let [from, to] = self.channels;
        let [earlier, later] = self.student;
        let scale = 2.0 * self.grad / earlier.size.area() as f32;
        let lens = [packed(S::LANES, to, from), packed(S::LANES, from, to)];
        let [of_earlier, of_later] = self.dx;
        let mut memory = scratch::lend(lens[0] + lens[1]);
        let (turned, plain) = memory.aligned().split_at_mut(lens[0]);
        let turned = Panels::of_columns(s, self.saved, to, [to, from], |_| 1.0, turned);
        let plain = Panels::of_rows(s, self.saved, to, [from, to], plain);
        for (x, m, dx) in [(later, turned, of_earlier), (earlier, plain, of_later)] {
            tile::apply(s, x.image(self.image), x.pitch, m, scale, dx);
        }
    }
}
