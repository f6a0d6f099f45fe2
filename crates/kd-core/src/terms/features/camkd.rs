//! Confidence-aware features of several teachers: the student's last map is projected onto each teacher's, and
//! a teacher counts by what its classifier makes of the projection.
//!
//! For each of `K` teachers a connector (1×1 convolution, batch normalisation, ReLU) turns the student's last
//! map into `F_k`, with that teacher's channels and size (averaged down, or repeated). With the teacher's last
//! map `T_k`, and the cross-entropy `c_k` of a sample's label with what the teacher's classifier says of the
//! average of `F_k`:
//!
//! `w_k = (1 − exp(c_k) / Σ_j exp(c_j)) / (K − 1)`, which sum to 1; for one teacher it is 1;
//!
//! `L = mean over the batch of 1/K · Σ_k w_k · mean over every element of (F_k − T_k)²`, in the unit of a squared
//! map.
//!
//! As in the authors' code the weights have a gradient, so that a projection also learns to be classified
//! rightly. That code leaves this loss out in the first epoch: `weight = { schedule = "piecewise", values = [0.0,
//! 50.0], milestones = [1] }`. It enlarges a small map bilinearly.
//!
//! The other half of the method weighs logits: `combine = { rule = "confidence" }` beside `kd` (see
//! [`Combine`](crate::Combine)). With `K` teachers that code divides it by `K` too, so its weight 1 is `1/K` here.
//!
//! A teacher's map is the one whose average its classifier reads, as for [`simkd`](crate::terms::simkd).
//!
//! Source: H. Zhang, D. Chen, C. Wang, "Confidence-Aware Multi-Teacher Knowledge Distillation", ICASSP 2022.

use burn::module::Module;
use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::{Device, Int, Tensor};
use serde::{Deserialize, Serialize};

use crate::terms::adapter::Connector;
use crate::terms::head::Pooled;
use crate::terms::maps::average;
use crate::terms::{About, check};
use crate::{Error, Levels, Output, Pair, PairTaps, Part, Step, Taps};

pub(in crate::terms) const ABOUT: About = About {
    name: "camkd",
    title: "Confidence-aware features of several teachers",
    formula: "mean_b( 1/K · Σ_k w_k · mean( (F_k − T_k)² ) ),  w_k: how well teacher k's classifier reads F_k, the \
              student's last map through a connector",
    source: "Zhang, Chen, Wang, ICASSP 2022",
    needs: "the last feature map of the student and of every teacher, of any channels and sizes, the teachers' \
            classifiers; labels; owns a connector a teacher",
    when: "With several teachers, where other terms on maps have no common coordinates. Combine with kd and \
           combine = { rule = \"confidence\" }.",
    teacher: true,
    weight: 50.0,
    reads: &[Part::Maps, Part::Classifier],
};

/// Confidence-aware loss of projected maps and teachers' maps, a pair `[batch, channels, height, width]` for each
/// teacher, what the teachers' classifiers say of the projected ones, `[batch, classes]` each, and labels
/// `[batch]`. No gradient reaches the teachers' maps.
///
/// # Errors
/// [`Error::NoTeacher`] when there is none, [`Error::Shape`] when shapes or their number differ or the batch is
/// empty.
pub fn camkd(
    projected: Vec<Tensor<4>>,
    teachers: Vec<Tensor<4>>,
    said: Vec<Tensor<2>>,
    labels: &Tensor<1, Int>,
) -> Result<Tensor<1>, Error> {
    let count = projected.len();
    if count == 0 {
        return Err(Error::NoTeacher);
    }
    if [teachers.len(), said.len()] != [count; 2] {
        return Err(Error::Shape {
            loss: "camkd",
            problem: format!(
                "{count} projected maps need as many teachers' maps and logits, not {} and {}",
                teachers.len(),
                said.len()
            ),
        });
    }
    let mut distances = Vec::with_capacity(count);
    for (projected, teacher) in projected.into_iter().zip(teachers) {
        check::same_shape("camkd", &projected, &teacher)?;
        let apart = (projected - teacher.detach()).square();
        distances.push(apart.flatten::<2>(1, 3).mean_dim(1).squeeze_dim::<1>(1));
    }
    let weights = confidence(said, labels)?;
    Ok((weights * Tensor::stack::<2>(distances, 0)).mean())
}

/// How much each teacher counts for each sample, `[teachers, batch]`, from what their classifiers say of the
/// projected maps, `[batch, classes]` each, and labels `[batch]`. Weights of a sample sum to 1.
///
/// # Errors
/// [`Error::NoTeacher`] when there is none, [`Error::Shape`] when labels are not one a row.
pub fn confidence(said: Vec<Tensor<2>>, labels: &Tensor<1, Int>) -> Result<Tensor<2>, Error> {
    let count = said.len();
    let mut surprises = Vec::with_capacity(count);
    for logits in said {
        check::labels_fit("camkd", &logits, labels)?;
        let logs = log_softmax(logits, 1).gather(1, labels.clone().unsqueeze_dim(1));
        surprises.push(-logs.squeeze_dim::<1>(1));
    }
    if count == 0 {
        return Err(Error::NoTeacher);
    }
    let surprises = Tensor::stack::<2>(surprises, 0);
    if count == 1 {
        return Ok(surprises.ones_like());
    }
    Ok((-softmax(surprises, 0) + 1.0) / (count as f64 - 1.0))
}

/// Parameters of [`CaMkd`]: none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CaMkdConfig {}

impl CaMkdConfig {
    /// Builds the term and its connectors from dry runs that kept everything; a combined teacher shows
    /// its members ([`Output::members`]).
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`] for what a network does not show, and [`Error::Shape`] when a
    /// teacher's classifier does not read the average of its last map, or knows other classes.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        device: &Device,
    ) -> Result<CaMkd, Error> {
        let level = student.levels(Part::Maps).saturating_sub(1);
        let shape = student.map(level)?.dims();
        check::not_empty("camkd", &shape)?;
        let [_, narrow, ..] = shape;
        let (mut levels, mut connectors) = (Vec::new(), Vec::new());
        for teacher in members(teacher.ok_or(Error::NoTeacher)?) {
            check::same_classes("camkd", student, teacher)?;
            let Pooled { part, level, .. } = Pooled::of("camkd", teacher)?;
            let [_, wide, ..] = teacher.get::<Tensor<4>>(part, level)?.dims();
            levels.push((part, level));
            connectors.push(Connector::pointwise([narrow, wide], device));
        }
        Ok(CaMkd {
            level,
            levels,
            connectors,
        })
    }
}

/// The [`camkd`] loss of the networks' last maps, with a connector a teacher.
#[derive(Module, Debug)]
pub struct CaMkd {
    level: usize,
    /// The map of each teacher.
    #[module(skip)]
    levels: Vec<(Part, usize)>,
    connectors: Vec<Connector>,
}

impl CaMkd {
    /// The student's last map, every teacher's before pooling, and the teachers' classifiers.
    pub fn taps(&self) -> PairTaps {
        let classifier = Taps::part(Part::Classifier);
        let levels = self.levels.iter();
        PairTaps {
            student: Taps::levels(Part::Maps, Levels::one(self.level)),
            teacher: levels.fold(classifier, |taps, (part, level)| {
                taps.with(*part, Levels::one(*level))
            }),
        }
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`], and [`Error::Shape`] when a map does not have the channels of the
    /// dry run or there is another number of teachers.
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        let Read {
            projected,
            maps,
            said,
        } = self.read(pair)?;
        camkd(projected, maps, said, pair.class()?)
    }

    /// How much each teacher counts for each sample, `[teachers, batch]`: see [`confidence`].
    ///
    /// # Errors
    /// As [`CaMkd::forward`].
    pub fn weights(&self, pair: &Pair) -> Result<Tensor<2>, Error> {
        confidence(self.read(pair)?.said, pair.class()?)
    }

    fn read(&self, pair: &Pair) -> Result<Read, Error> {
        let teachers = members(pair.teacher()?);
        if teachers.len() != self.connectors.len() {
            return Err(Error::Shape {
                loss: "camkd",
                problem: format!(
                    "{} teachers show something, and the term was built for {}",
                    teachers.len(),
                    self.connectors.len()
                ),
            });
        }
        let own = pair.student.map(self.level)?;
        let mut read = Read::default();
        let levels = self.levels.iter().zip(&self.connectors);
        for (teacher, ((part, level), connector)) in teachers.iter().zip(levels) {
            let map: Tensor<4> = teacher.get(*part, *level)?;
            let [_, _, height, width] = map.dims();
            let features = connector.forward_to("camkd", own.clone(), [height, width], true)?;
            let classifier = teacher.classifier()?.detach();
            let embedding = average(features.clone());
            read.said.push(classifier.forward(embedding)?);
            read.projected.push(features);
            read.maps.push(map);
        }
        Ok(read)
    }
}

/// What a batch shows, teacher by teacher.
#[derive(Default)]
struct Read {
    projected: Vec<Tensor<4>>,
    maps: Vec<Tensor<4>>,
    said: Vec<Tensor<2>>,
}

/// The teachers of a combined one, or the only one.
fn members(teacher: &Output) -> Vec<&Output> {
    match teacher.members.as_slice() {
        [] => vec![teacher],
        members => members.iter().collect(),
    }
}
