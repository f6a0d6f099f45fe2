//! Distances between what goes together in two maps, image by image.

mod correlation;
mod selectivity;

use std::mem::MaybeUninit;

use burn::tensor::Shape;
use rayon::prelude::*;

use crate::images::{Images, Size};
use crate::loss::of_maps::OfMaps;
use crate::simd::chunks;
use crate::simd::{Isa, Kernel, Simd};

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Relation {
    /// `mean_ij k(s_i, s_j) + mean_ij k(t_i, t_j) − 2 mean_ij k(s_i, t_j)` of channels, with `k` the square of the
    /// cosine between two of them. A channel whose mean square is not above `zero` has none with any.
    Selectivity { zero: f32 },
    /// `Σ_ij (G_s − G_t)² / channels`, with `G` the products of channels, each row of which is divided by its length
    /// where it has an entry above `zero`.
    Correlation { zero: f32 },
}

impl Relation {
    /// How many values the gradient of an image needs.
    fn saved(self, lanes: usize, student: Size, target: Size) -> usize {
        match self {
            Self::Selectivity { .. } => selectivity::saved(lanes, student, target),
            Self::Correlation { .. } => correlation::saved(lanes, student),
        }
    }
}

impl OfMaps<2> for Relation {
    /// What was computed on the way.
    type Saved = Vec<f32>;

    fn value(&self, isa: Isa, [student, target]: [Images; 2]) -> (Vec<f32>, Shape, Vec<f32>) {
        let (distance, saved) = distance(isa, Maps { student, target }, *self);
        (distance, Shape::from([student.size.batch]), saved)
    }

    fn grad(
        &self,
        isa: Isa,
        [student, target]: [Images; 2],
        saved: &Vec<f32>,
        grad: &[f32],
        dx: &mut [MaybeUninit<f32>],
    ) {
        self::grad(isa, Maps { student, target }, *self, saved, grad, dx);
    }
}

/// The student's map and its target.
#[derive(Clone, Copy)]
pub(crate) struct Maps<'a> {
    pub student: Images<'a>,
    pub target: Images<'a>,
}

impl Maps<'_> {
    /// # Panics
    /// When the maps do not fit, or are empty.
    fn check(&self, relation: Relation) {
        let [s, t] = [self.student.size, self.target.size];
        let fit = match relation {
            Relation::Selectivity { .. } => s.area() == t.area(),
            Relation::Correlation { .. } => s.channels == t.channels,
        };
        assert!(fit && s.batch == t.batch, "only maps that fit are related");
        assert!(s.len() > 0 && t.len() > 0, "an empty map has no relations");
    }
}

/// The distance of each image, and what its gradient needs.
pub(crate) fn distance(isa: Isa, maps: Maps, relation: Relation) -> (Vec<f32>, Vec<f32>) {
    maps.check(relation);
    let batch = maps.student.size.batch;
    let len = relation.saved(isa.lanes(), maps.student.size, maps.target.size);
    chunks::images(batch, len, |image, value, saved| {
        isa.run(Distance {
            maps: &maps,
            relation,
            image,
            value,
            saved,
        });
    })
}

struct Distance<'a> {
    maps: &'a Maps<'a>,
    relation: Relation,
    image: usize,
    value: &'a mut f32,
    saved: &'a mut [f32],
}

impl Kernel for Distance<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        *self.value = match self.relation {
            Relation::Selectivity { zero } => {
                selectivity::distance(s, self.maps, self.image, zero, self.saved)
            }
            Relation::Correlation { zero } => {
                correlation::distance(s, self.maps, self.image, zero, self.saved)
            }
        };
    }
}

/// The student's gradient, given what [`distance`] saved and the gradient of each image's, written over `dx`,
/// which is dense.
pub(crate) fn grad(
    isa: Isa,
    maps: Maps,
    relation: Relation,
    saved: &[f32],
    grad: &[f32],
    dx: &mut [MaybeUninit<f32>],
) {
    maps.check(relation);
    let size = maps.student.size;
    let len = relation.saved(isa.lanes(), size, maps.target.size);
    assert_eq!(
        [saved.len(), grad.len(), dx.len()],
        [size.batch * len, size.batch, size.len()]
    );
    let images = grad.par_iter().zip(saved.par_chunks(len));
    let images = images.zip(dx.par_chunks_mut(size.area() * size.channels));
    images.enumerate().for_each(|(image, ((grad, saved), dx))| {
        isa.run(Slopes {
            maps: &maps,
            relation,
            image,
            saved,
            grad: *grad,
            dx,
        });
    });
}

struct Slopes<'a> {
    maps: &'a Maps<'a>,
    relation: Relation,
    image: usize,
    saved: &'a [f32],
    grad: f32,
    dx: &'a mut [MaybeUninit<f32>],
}

impl Kernel for Slopes<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self {
            maps,
            image,
            saved,
            grad,
            dx,
            ..
        } = self;
        match self.relation {
            Relation::Selectivity { .. } => selectivity::grad(s, maps, image, saved, grad, dx),
            Relation::Correlation { .. } => correlation::grad(s, maps, image, saved, grad, dx),
        }
    }
}
