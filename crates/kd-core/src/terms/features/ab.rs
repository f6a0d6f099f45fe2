//! Activation boundaries: the student's units are on where the teacher's are, with a margin.
//!
//! With maps before the activation, `s` and `t` `[batch, channels, height, width]` of one shape, and a
//! margin `m`:
//!
//! `L = 3/1000 · mean over the batch of Σ_chw ( (s + m)² [t ≤ 0 and s > −m] + (s − m)² [t > 0 and s ≤ m] )`
//!
//! in the unit of a squared map: a unit that is on its teacher's side by more than the margin costs
//! nothing, whatever its size. Over levels the term adds `2^(i − n + 1)` times the loss of level `i` of
//! `n`, counted from 0. A map of the student that has the teacher's channels and size is compared as it is; others
//! are brought to them as in [`fitnet`](crate::terms::fitnet), with batch normalisation and without an activation.
//!
//! At a student that equals its teacher the loss is 0 only where no unit is within the margin.
//!
//! The factor 3/1000 and the sum are the reference code's (RepDistiller), which trains with this loss alone for 30
//! epochs and without it afterwards. `weight = { schedule = "step", value = 1.0, milestones = [30], factor
//! = 0.0 }` does the same beside the other terms.
//!
//! Source: B. Heo, M. Lee, S. Yun, J. Y. Choi, "Knowledge Transfer via Distillation of Activation
//! Boundaries Formed by Hidden Neurons", AAAI 2019.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kd_kernels::boundary_distance;
use serde::{Deserialize, Serialize};

use crate::terms::adapter::Connector;
use crate::terms::maps::{LevelPair, pair_preact_levels, sum, taps_preact};
use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Part, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "ab",
    title: "Activation boundaries",
    formula: "Σ_levels 2^(i−n+1) · 3/1000 · mean_b Σ_chw( (s+m)² [t ≤ 0, s > −m] + (s−m)² [t > 0, s ≤ m] )",
    source: "Heo, Lee, Yun, Choi, AAAI 2019",
    needs: "feature maps of both networks before the activation, of any channels and sizes; owns an \
            adapter a level whose shapes differ",
    when: "At the start of a training, to give the student the teacher's on/off pattern: schedule its \
           weight to 0 after some epochs.",
    teacher: true,
    weight: 1.0,
    reads: &[Part::MapsPreact],
};

/// Activation-boundary loss of one level, from maps `[batch, channels, height, width]` before the
/// activation.
///
/// No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when the shapes differ or the batch is empty; [`Error::Config`] when `margin` is
/// below 0.
pub fn ab(student: Tensor<4>, teacher: Tensor<4>, margin: f64) -> Result<Tensor<1>, Error> {
    check::same_shape("ab", &student, &teacher)?;
    check::not_negative("margin", margin)?;
    let [_, channels, height, width] = student.dims();
    let units = (channels * height * width) as f64;
    // The mean first: a sum over all units of a large map leaves the range of half precision.
    Ok(boundary_distance(student, teacher, margin).mean() * (units * 3.0 / 1000.0))
}

/// Parameters of [`Ab`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AbConfig {
    /// Levels of the student's maps: 0 is the stem, then one per stage. The teacher's are as far
    /// from its last. Empty: all that both networks have after their stems.
    pub levels: Vec<usize>,
    /// How far beyond 0 a unit has to be, at least 0.
    pub margin: f64,
}

impl Default for AbConfig {
    fn default() -> Self {
        Self {
            levels: Vec::new(),
            margin: 1.0,
        }
    }
}

impl AbConfig {
    /// Builds the term and its adapters from a dry run of both networks that kept their maps before
    /// the activation.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::Config`] when a network lacks a level or the margin is below 0,
    /// and [`Error::MissingTap`] when a dry run did not keep its map.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        device: &Device,
    ) -> Result<Ab, Error> {
        let teacher = teacher.ok_or(Error::NoTeacher)?;
        check::not_negative("margin", self.margin)?;
        let levels = pair_preact_levels("ab", &self.levels, student, teacher)?;
        let connectors = levels
            .iter()
            .map(|[of_student, of_teacher]| {
                let student = student.map_preact(*of_student)?.dims();
                let teacher = teacher.map_preact(*of_teacher)?.dims();
                let differ = student[1..] != teacher[1..];
                Ok(differ.then(|| Connector::new(student, teacher, device)))
            })
            .collect::<Result<_, Error>>()?;
        Ok(Ab {
            levels,
            connectors,
            margin: self.margin,
        })
    }
}

/// The weighted sum of [`ab`] over levels of the two networks, with an adapter where their shapes differ.
#[derive(Module, Debug)]
pub struct Ab {
    #[module(skip)]
    levels: Vec<LevelPair>,
    /// None where the shapes are equal.
    connectors: Vec<Option<Connector>>,
    margin: f64,
}

impl Ab {
    /// The maps of the compared levels before the activation.
    pub fn taps(&self) -> PairTaps {
        taps_preact(&self.levels)
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`], and [`Error::Shape`] when a map does not have the
    /// channels of the dry run.
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        let teacher = pair.teacher()?;
        let levels = self.levels.iter().zip(&self.connectors).enumerate();
        let losses = levels.map(|(i, ([of_student, of_teacher], connector))| {
            let target = teacher.map_preact(*of_teacher)?;
            let [_, _, height, width] = target.dims();
            let map = pair.student.map_preact(*of_student)?;
            let map = match connector {
                Some(connector) => connector.forward_to("ab", map, [height, width], false)?,
                None => map,
            };
            let share = 0.5_f64.powi((self.levels.len() - 1 - i) as i32);
            Ok(ab(map, target, self.margin)? * share)
        });
        sum(&pair.student.logits.device(), losses)
    }
}
