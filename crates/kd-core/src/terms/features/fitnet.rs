//! FitNet hint: an adapted feature map of the student matches the teacher's map.
//!
//! With the student's map `f_s` `[batch, c_s, h_s, w_s]` and the teacher's `f_t`
//! `[batch, c_t, h_t, w_t]`:
//!
//! `L = mean over every element of (ReLU(BatchNorm(r(f_s))) − f_t)²`
//!
//! where the projection `r` brings the student's map to the teacher's shape:
//!
//! | student's map | `r` |
//! |---|---|
//! | of the teacher's size | 1×1 convolution |
//! | twice as high and wide | 3×3 convolution, stride 2, padding 1 |
//! | half as high and wide | 4×4 transposed convolution, stride 2, padding 1 |
//! | larger, by less than twice | convolution without padding, of `1 + h_s − h_t` × `1 + w_s − w_t` |
//! | anything else | 1×1 convolution; a side that is too long is averaged down (adaptive pooling), then a side that is too short is repeated (nearest neighbour) |
//!
//! The first four are those of the usual reference code (mdistiller, RepDistiller). It takes the fourth for larger
//! maps of any size too, where its kernel is a large part of the map, and has nothing for other smaller ones.
//!
//! `level` is a level of the student, and the teacher's is as far from its last, as for all other terms: a student
//! of three stages meets the last map of a teacher of four. Where both have as many
//! levels, the default is level 2 of both, which is the literature's hint.
//!
//! Channels and sizes are read from a dry run. The adapter's parameters train together with the
//! student in one stage; the paper trains the hint first, as a stage of its own.
//!
//! Source: A. Romero, N. Ballas, S. E. Kahou, A. Chassang, C. Gatta, Y. Bengio, "FitNets: Hints
//! for Thin Deep Nets", ICLR 2015.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kd_kernels::squared_distance;
use serde::{Deserialize, Serialize};

use crate::terms::adapter::Connector;
use crate::terms::maps::{LevelPair, pair_level, taps};
use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Part, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "fitnet",
    title: "FitNet hint",
    formula: "mean( (ReLU(BatchNorm(r(f_s))) − f_t)² ),  r: 1×1, strided, transposed or unpadded convolution",
    source: "Romero, Ballas, Kahou, Chassang, Gatta, Bengio, ICLR 2015",
    needs: "one feature map of both networks; owns an adapter",
    when: "When the student is much thinner or deeper than the teacher and should learn its \
           intermediate features too. Combine with kd.",
    teacher: true,
    weight: 100.0,
    reads: &[Part::Maps],
};

/// Mean squared difference of an adapted hint and its target, both
/// `[batch, channels, height, width]`. No gradient reaches the target.
///
/// # Errors
/// [`Error::Shape`] when the shapes differ or the batch is empty.
pub fn fitnet(hint: Tensor<4>, target: Tensor<4>) -> Result<Tensor<1>, Error> {
    check::same_shape("fitnet", &hint, &target)?;
    Ok(squared_distance(hint, target).mean())
}

/// Parameters of [`FitNet`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FitNetConfig {
    /// Level of the student's maps: 0 is the stem, then one per stage. The teacher's is as far from its last.
    pub level: usize,
}

impl Default for FitNetConfig {
    fn default() -> Self {
        Self { level: 2 }
    }
}

impl FitNetConfig {
    /// Builds the term and its adapter from a dry run of both networks that kept its maps.
    ///
    /// # Errors
    /// [`Error::Config`] when a network has no such level, [`Error::NoTeacher`], and
    /// [`Error::MissingTap`] when the dry run did not keep the map.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        device: &Device,
    ) -> Result<FitNet, Error> {
        let teacher = teacher.ok_or(Error::NoTeacher)?;
        let level = pair_level("fitnet", self.level, student, teacher)?;
        let student = student.map(level[0])?.dims();
        let teacher = teacher.map(level[1])?.dims();
        Ok(FitNet {
            level,
            adapter: Connector::new(student, teacher, device),
        })
    }
}

/// The [`fitnet`] loss of one map, with the adapter that brings the student to the teacher's shape.
#[derive(Module, Debug)]
pub struct FitNet {
    #[module(skip)]
    level: LevelPair,
    adapter: Connector,
}

impl FitNet {
    /// The map of one level of both networks.
    pub fn taps(&self) -> PairTaps {
        taps(&[self.level])
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`], and [`Error::Shape`] when the maps do not have
    /// the channels of the dry run.
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        let target = pair.teacher()?.map(self.level[1])?;
        let hint = pair.student.map(self.level[0])?;
        let [_, _, height, width] = target.dims();
        let size = [height, width];
        let adapted = self.adapter.forward_to("fitnet", hint, size, true)?;
        fitnet(adapted, target)
    }
}
