//! Inter-channel correlation: the student's channels go together as the teacher's do.
//!
//! With maps as `F` `[batch, channels, positions]` of the same channels (positions may differ), let `G` be
//! `F Fᵀ` `[batch, channels, channels]` with each row divided by its Euclidean norm:
//!
//! `L = Σ_ij (G_s[i, j] − G_t[i, j])² / channels`, mean over the batch, without a unit.
//!
//! In the term the student's last map goes through a 1×1 convolution to the teacher's channels and batch
//! normalisation. A channel of zeros goes with none: its row is 0.
//!
//! Source: L. Liu, Q. Huang, S. Lin, H. Xie, B. Wang, X. Chang, X. Liang, "Exploring Inter-Channel
//! Correlation for Diversity-Preserved Knowledge Distillation", ICCV 2021.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kd_kernels::correlation_distance;
use serde::{Deserialize, Serialize};

use crate::terms::adapter::Connector;
use crate::terms::maps::{LevelPair, last_levels, taps};
use crate::terms::unit::{ZERO, for_products};
use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Part, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "ickd",
    title: "Inter-channel correlation",
    formula: "mean_b Σ_ij (G_s − G_t)² / channels,  G = rows of F·Fᵀ over channels divided by their norms",
    source: "Liu, Huang, Lin, Xie, Wang, Chang, Liang, ICCV 2021",
    needs: "the last feature map of both networks, of any channels and sizes; owns a 1×1 convolution",
    when: "When a thin student should keep the teacher's diversity of channels. Combine with kd.",
    teacher: true,
    weight: 2.5,
    reads: &[Part::Maps],
};

/// Inter-channel correlation loss of maps `[batch, channels, height, width]` of the same channels.
///
/// Sizes may differ. No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when batch sizes or channels differ or a map is empty.
pub fn ickd(student: Tensor<4>, teacher: Tensor<4>) -> Result<Tensor<1>, Error> {
    check::same_batch("ickd", &student, &teacher)?;
    check::same_channels("ickd", &student, &teacher)?;
    let [student, teacher] = [student, teacher.detach()].map(for_products);
    Ok(correlation_distance(student, teacher, ZERO * ZERO).mean())
}

/// Parameters of [`Ickd`]: none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IckdConfig {}

impl IckdConfig {
    /// Builds the term and its adapter from a dry run of both networks that kept their maps.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`] when a network has no map or the dry run did not
    /// keep it.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        device: &Device,
    ) -> Result<Ickd, Error> {
        let teacher = teacher.ok_or(Error::NoTeacher)?;
        let level = last_levels("ickd", student, teacher)?;
        let [_, from, ..] = student.map(level[0])?.dims();
        let [_, to, ..] = teacher.map(level[1])?.dims();
        Ok(Ickd {
            level,
            connector: Connector::pointwise([from, to], device),
        })
    }
}

/// The [`ickd`] loss of the two networks' last maps, with an adapter.
#[derive(Module, Debug)]
pub struct Ickd {
    #[module(skip)]
    level: LevelPair,
    connector: Connector,
}

impl Ickd {
    /// The last map of both networks.
    pub fn taps(&self) -> PairTaps {
        taps(&[self.level])
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`], and as [`ickd`].
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        let student = pair.student.map(self.level[0])?;
        let teacher = pair.teacher()?.map(self.level[1])?;
        ickd(self.connector.forward("ickd", student)?, teacher)
    }
}
