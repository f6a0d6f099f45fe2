//! Locality guidance: a convolutional network shows a transformer what to look at nearby.
//!
//! The student's patches after some of its blocks, as a grid `[batch, width, rows, columns]` without class and
//! distillation token, meet the maps after the stages of a small convolutional guide. With `r` a 1×1 convolution to the
//! guide's channels, and both maps brought to the larger of their two sizes (bilinear):
//!
//! `L = Σ_levels mean over every element of (r(f_s) − f_t)²`, without a unit.
//!
//! Of a guide with `n` stages and a student with `m` blocks, stage `i` of `0..n` meets block `i · (m − 1) / (n − 1)`,
//! rounded: blocks 0, 6 and 11 of 12 for a guide of three stages, which are the authors'.
//!
//! Source: K. Li, R. Yu, Z. Wang, L. Yuan, G. Song, J. Chen, "Locality Guidance for Improving Vision Transformers on
//! Tiny Datasets", ECCV 2022, and its code.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};
use kd_kernels::layers::conv;
use kd_kernels::squared_distance;
use serde::{Deserialize, Serialize};

use crate::terms::adapter::{built_for, convolution};
use crate::terms::bilinear::bilinear;
use crate::terms::maps::{LevelPair, sum, taps};
use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Part, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "lg",
    title: "Locality guidance",
    formula: "Σ_levels mean( (r(f_s) − f_t)² ),  r: 1×1 convolution, both at the larger size",
    source: "Li, Yu, Wang, Yuan, Song, Chen, ECCV 2022",
    needs: "feature maps of both networks, a transformer's are its patches as a grid; owns a 1×1 convolution a level",
    when: "A vision transformer on little data, guided by a small convolutional network. Beside cross_entropy at 1.",
    teacher: true,
    weight: 2.5,
    reads: &[Part::Maps],
};

/// Mean squared difference of two maps `[batch, channels, height, width]` of the same channels, at the larger of their
/// two sizes.
///
/// No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when batch sizes or channels differ or a map is empty.
pub fn lg(student: Tensor<4>, teacher: Tensor<4>) -> Result<Tensor<1>, Error> {
    check::same_batch("lg", &student, &teacher)?;
    check::same_channels("lg", &student, &teacher)?;
    let ([_, _, height, width], [_, _, tall, wide]) = (student.dims(), teacher.dims());
    let size = [height.max(tall), width.max(wide)];
    let [student, teacher] = [student, teacher.detach()].map(|map| bilinear(map, size));
    Ok(squared_distance(student, teacher).mean())
}

/// Parameters of [`Lg`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LgConfig {
    /// Levels of the student's maps, one for each of the guide's stages: 0 is the embedding, then one a block. Empty:
    /// spread evenly from the first block to the last.
    pub levels: Vec<usize>,
}

impl LgConfig {
    /// Builds the term and its convolutions from a dry run of both networks that kept their maps.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::Config`] when the levels are not levels of the student, one for each stage of the
    /// guide, and [`Error::MissingTap`] when a dry run did not keep a map.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        device: &Device,
    ) -> Result<Lg, Error> {
        let teacher = teacher.ok_or(Error::NoTeacher)?;
        let levels = self.pairs([student, teacher].map(|output| output.levels(Part::Maps)))?;
        let adapters = levels
            .iter()
            .map(|[of_student, of_teacher]| {
                let [_, from, ..] = student.map(*of_student)?.dims();
                let [_, to, ..] = teacher.map(*of_teacher)?.dims();
                Ok(Adapter {
                    channels: from,
                    projection: convolution([from, to], 1, 1, true, device),
                })
            })
            .collect::<Result<_, Error>>()?;
        Ok(Lg { levels, adapters })
    }

    /// Levels of the student with the guide's stages.
    fn pairs(&self, [of_student, of_teacher]: [usize; 2]) -> Result<Vec<LevelPair>, Error> {
        let refuse = |expected: String| Error::Config {
            key: "levels".into(),
            value: format!("{:?}", self.levels),
            expected,
        };
        // The first level of both is not a block or a stage.
        let [blocks, stages] = [of_student, of_teacher].map(|levels| levels.saturating_sub(1));
        if blocks == 0 || stages == 0 {
            return Err(refuse(
                "both networks must have feature maps after their first".into(),
            ));
        }
        let levels = match self.levels.as_slice() {
            [] if stages == 1 => vec![blocks],
            [] => {
                let step = (blocks - 1) as f64 / (stages - 1) as f64;
                let block = |stage: usize| (stage as f64 * step).round() as usize;
                (0..stages).map(|stage| 1 + block(stage)).collect()
            }
            listed => listed.to_vec(),
        };
        if levels.len() != stages || levels.iter().any(|level| *level >= of_student) {
            return Err(refuse(format!(
                "must be {stages} levels of the student, one for each of the guide's stages; it has {of_student} \
                 levels, from 0"
            )));
        }
        Ok(levels
            .into_iter()
            .zip(1..)
            .map(|(level, stage)| [level, stage])
            .collect())
    }
}

/// The sum of [`lg`] over the guide's stages, with a 1×1 convolution of the student's patches for each.
#[derive(Module, Debug)]
pub struct Lg {
    #[module(skip)]
    levels: Vec<LevelPair>,
    adapters: Vec<Adapter>,
}

#[derive(Module, Debug)]
struct Adapter {
    channels: usize,
    projection: Conv2d,
}

impl Lg {
    /// The maps of the compared levels.
    pub fn taps(&self) -> PairTaps {
        taps(&self.levels)
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`], and as [`lg`].
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        let teacher = pair.teacher()?;
        let levels = self.levels.iter().zip(&self.adapters);
        let losses = levels.map(|([of_student, of_teacher], adapter)| {
            let map = pair.student.map(*of_student)?;
            built_for("lg", "student", adapter.channels, &map.dims())?;
            lg(conv(&adapter.projection, map), teacher.map(*of_teacher)?)
        });
        sum(&teacher.logits.device(), losses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_meet_the_blocks_of_the_authors() {
        let pairs = |levels: Vec<usize>, counts| LgConfig { levels }.pairs(counts);
        assert_eq!(pairs(vec![], [13, 4]).unwrap(), [[1, 1], [7, 2], [12, 3]]);
        assert_eq!(pairs(vec![], [7, 2]).unwrap(), [[6, 1]]);
        assert_eq!(pairs(vec![2, 4], [7, 3]).unwrap(), [[2, 1], [4, 2]]);
        let refused = pairs(vec![2, 7], [7, 3]).unwrap_err().to_string();
        assert!(
            refused.starts_with("levels = [2, 7]: must be 2 levels"),
            "{refused}"
        );
    }
}
