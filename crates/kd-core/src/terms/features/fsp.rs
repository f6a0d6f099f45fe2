//! Flow of the solution procedure: how the student's maps lead to each other, as the teacher's do.
//!
//! With two maps of one network, `f` `[batch, c, ..]` and `g` `[batch, d, ..]` (of two sizes the larger
//! is averaged down), their flow is `G[i, j] = mean over positions of f_i · g_j`, `[batch, c, d]`. Over
//! each pair of neighbouring levels:
//!
//! `L = Σ_pairs mean over every element of (G_s − G_t)²`
//!
//! It has the unit of the maps to the fourth power. The two networks' sizes may differ; their channels may
//! not, so that in the term a student with other channels gets a 1×1 convolution to the teacher's. The
//! paper, and the reference code, train with this loss alone before the whole; `weight = { schedule =
//! "step", value = 50.0, milestones = [30], factor = 0.0 }` is near to it.
//!
//! Source: J. Yim, D. Joo, J. Bae, J. Kim, "A Gift from Knowledge Distillation: Fast Optimization,
//! Network Minimization and Transfer Learning", CVPR 2017.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kd_kernels::fsp_distance;
use serde::{Deserialize, Serialize};

use crate::terms::adapter::Adapted;
use crate::terms::maps::{at_one_size, pair_levels, sum};
use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Part, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "fsp",
    title: "Flow of the solution procedure",
    formula: "Σ_pairs mean( (G_s − G_t)² ),  G[i, j] = mean_hw( f_i · g_j ) of neighbouring levels",
    source: "Yim, Joo, Bae, Kim, CVPR 2017",
    needs: "feature maps of both networks, at least two levels; owns a 1×1 convolution where channels \
            differ",
    when: "Networks of one family and the same channels, at the start of a training: it teaches the \
           way from one stage to the next.",
    teacher: true,
    weight: 50.0,
    reads: &[Part::Maps],
};

/// Flow loss of two maps `[batch, channels, height, width]` of each network, the earlier first.
///
/// No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when batch sizes or the channels of a level differ or a map is empty.
pub fn fsp(student: [Tensor<4>; 2], teacher: [Tensor<4>; 2]) -> Result<Tensor<1>, Error> {
    for (student, teacher) in student.iter().zip(&teacher) {
        check::same_batch("fsp", student, teacher)?;
        check::same_channels("fsp", student, teacher)?;
    }
    check::same_batch("fsp", &student[0], &student[1])?;
    let ([from, to], [taught_from, taught_to]) = (student, teacher);
    let [from, to] = at_one_size(from, to);
    let taught = at_one_size(taught_from.detach(), taught_to.detach());
    Ok(fsp_distance([from, to], taught).mean())
}

/// Parameters of [`Fsp`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FspConfig {
    /// Levels of the student's maps, at least two, from the first: 0 is the stem, then one per stage.
    /// The teacher's are as far from its last. Empty: all that both networks have.
    pub levels: Vec<usize>,
}

impl FspConfig {
    /// Builds the term from a dry run of both networks that kept their maps.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::Config`] when a network lacks a level, there are fewer than two
    /// or they are not in order, and [`Error::MissingTap`] when a dry run did not keep its map.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        device: &Device,
    ) -> Result<Fsp, Error> {
        let teacher = teacher.ok_or(Error::NoTeacher)?;
        let count = student.levels(Part::Maps);
        let listed = if self.levels.is_empty() {
            (count - count.min(teacher.levels(Part::Maps))..count).collect()
        } else {
            self.levels.clone()
        };
        let levels = pair_levels("fsp", &listed, student, teacher)?;
        check::neighbours("levels", &levels)?;
        Ok(Fsp {
            maps: Adapted::new(levels, student, teacher, device)?,
        })
    }
}

/// The sum of [`fsp`] over pairs of neighbouring levels of the two networks.
#[derive(Module, Debug)]
pub struct Fsp {
    maps: Adapted,
}

impl Fsp {
    /// The maps of the compared levels.
    pub fn taps(&self) -> PairTaps {
        self.maps.taps()
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`], and as [`fsp`].
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        let maps = self.maps.maps("fsp", pair)?;
        let losses = maps.windows(2).map(|two| {
            let of = |network: usize| [two[0][network].clone(), two[1][network].clone()];
            fsp(of(0), of(1))
        });
        sum(&pair.student.logits.device(), losses)
    }
}
