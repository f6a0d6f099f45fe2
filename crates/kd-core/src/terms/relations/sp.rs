//! Similarity preservation: samples that are alike to the teacher are alike to the student.
//!
//! With the last map of each network, flattened to `F` `[batch, features]` (features may differ),
//! let `G` be `F Fᵀ` with each row divided by its Euclidean norm:
//!
//! `L = Σ_ij (G_s[i,j] − G_t[i,j])² / batch²`, without a unit.
//!
//! A sample whose map is all zeros is like no other: its row is 0.
//!
//! Source: F. Tung, G. Mori, "Similarity-Preserving Knowledge Distillation", ICCV 2019.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kd_kernels::gram_of_rows;
use serde::{Deserialize, Serialize};

use crate::terms::maps::{LevelPair, last_levels, sum_over, taps};
use crate::terms::unit::{for_products, unit_products};
use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Part, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "sp",
    title: "Similarity-preserving distillation",
    formula: "Σ_ij (G_s − G_t)² / batch²,  G = rows of F·Fᵀ divided by their norms",
    source: "Tung, Mori, ICCV 2019",
    needs: "the last feature map of both networks, of any channels and sizes; at least two samples \
            a batch",
    when: "When the networks have nothing in common but their input: it compares samples, not \
           features, and needs no adapter. Larger batches say more.",
    teacher: true,
    weight: 3000.0,
    reads: &[Part::Maps],
};

/// Similarity-preserving loss of maps `[batch, channels, height, width]`, whose channels and sizes
/// may differ.
///
/// No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when the batch sizes differ, a map is empty, or the batch has fewer than two
/// samples.
pub fn sp(student: Tensor<4>, teacher: Tensor<4>) -> Result<Tensor<1>, Error> {
    check::same_batch_of_pairs("sp", &student, &teacher)?;
    let [student, teacher] = [student, teacher.detach()].map(|map| similarity(for_products(map)));
    Ok((student - teacher).square().mean())
}

/// Similarities of each sample to all, `[batch, batch]`, every row of length 1.
fn similarity(map: Tensor<4>) -> Tensor<2> {
    let [batch, channels, height, width] = map.dims();
    // In which order a sample has its features changes nothing; this is the one in which maps lie in memory.
    let features = map.permute([0, 2, 3, 1]);
    let features = features.reshape([batch, height * width * channels]);
    unit_products(gram_of_rows(features))
}

/// Parameters of [`Sp`]: none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpConfig {}

impl SpConfig {
    /// Builds the term from a dry run of both networks that kept their maps; the dry run's batch
    /// may be of any size, and the device is not needed.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`] when a network has no map or the dry run did not
    /// keep it.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        _device: &Device,
    ) -> Result<Sp, Error> {
        let teacher = teacher.ok_or(Error::NoTeacher)?;
        Ok(Sp {
            level: last_levels("sp", student, teacher)?,
        })
    }
}

/// The [`sp`] loss of the two networks' last maps.
#[derive(Module, Debug)]
pub struct Sp {
    #[module(skip)]
    level: LevelPair,
}

impl Sp {
    /// The last map of both networks.
    pub fn taps(&self) -> PairTaps {
        taps(&[self.level])
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`], and as [`sp`].
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        sum_over(&[self.level], pair.student, pair.teacher()?, sp)
    }
}
