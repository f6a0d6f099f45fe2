//! Masked generative distillation: from a part of its map, the student generates the teacher's whole map.
//!
//! The student's map `[batch, channels, height, width]`, with the teacher's channels (a 1×1 convolution
//! where they differ; of two sizes the larger is averaged down), loses a random share `mask` of its
//! positions, or of its channels with `masked = "channels"`. A generator of two 3×3 convolutions with a ReLU
//! between them fills in `g`:
//!
//! `L = Σ_levels mean over the batch of Σ_chw (g − t)²`, in the unit of a squared map.
//!
//! The authors have two forms of it. The defaults are that of detection: positions of every level, `mask = 0.65`,
//! at a weight of 2e-5. That of classification masks channels of the last map alone; for a network of three stages:
//!
//! ```toml
//! [objective.mgd]
//! weight = 7e-5
//! masked = "channels"
//! mask = 0.15
//! levels = [3]
//! ```
//!
//! The generator trains beside the student. Masks are drawn by a generator that is seeded by `seed` and the
//! step, so that a resumed run repeats them; [`Mgd::forward_masked`] takes them from outside.
//!
//! Source: Z. Yang, Z. Li, M. Shao, D. Shi, Z. Yuan, C. Yuan, "Masked Generative Distillation", ECCV 2022.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor, TensorData};
use kd_kernels::layers::{conv, conv_relu};
use kd_kernels::squared_distance;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::terms::adapter::{Adapted, convolution};
use crate::terms::maps::{at_one_size, pair_levels, sum};
use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Part, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "mgd",
    title: "Masked generative distillation",
    formula: "Σ_levels mean_b Σ_chw (g(masked f_s) − f_t)²",
    source: "Yang, Li, Shao, Shi, Yuan, Yuan, ECCV 2022",
    needs: "feature maps of both networks, of any channels and sizes; owns a generator a level",
    when: "Detection and segmentation, by the defaults. For classification the authors mask channels of the last map: \
           masked = \"channels\", mask = 0.15, levels = [the last], weight = 7e-5. Its sums are large: keep the weight \
           near these.",
    teacher: true,
    weight: 2e-5,
    reads: &[Part::Maps],
};

/// Squared distance of a generated map and the teacher's, both `[batch, channels, height, width]`, summed
/// over a sample and averaged over the batch. No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when the shapes differ or the batch is empty.
pub fn mgd(generated: Tensor<4>, teacher: Tensor<4>) -> Result<Tensor<1>, Error> {
    check::same_shape("mgd", &generated, &teacher)?;
    let [_, channels, height, width] = generated.dims();
    // The mean first: a sum over a large map leaves the range of half precision.
    let mean = squared_distance(generated, teacher).mean();
    Ok(mean * (channels * height * width) as f64)
}

/// What of a map is masked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MgdMasked {
    /// Positions, in all channels: the form of detection.
    #[default]
    Positions,
    /// Channels, at all positions: the form of classification.
    Channels,
}

/// Parameters of [`Mgd`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MgdConfig {
    /// Levels of the student's maps: 0 is the stem, then one per stage. The teacher's are as far
    /// from its last. Empty: all that both networks have after their stems.
    pub levels: Vec<usize>,
    /// `"positions"` or `"channels"`.
    pub masked: MgdMasked,
    /// Share of them that is masked, at least 0 and below 1.
    pub mask: f64,
    /// Seed of the masks.
    pub seed: u64,
}

impl Default for MgdConfig {
    fn default() -> Self {
        Self {
            levels: Vec::new(),
            masked: MgdMasked::Positions,
            mask: 0.65,
            seed: 0,
        }
    }
}

impl MgdConfig {
    /// Builds the term and its generators from a dry run of both networks that kept their maps.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::Config`] when a network lacks a level or the mask is out of range,
    /// and [`Error::MissingTap`] when a dry run did not keep its map.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        device: &Device,
    ) -> Result<Mgd, Error> {
        let teacher = teacher.ok_or(Error::NoTeacher)?;
        check::fraction("mask", self.mask)?;
        let levels = pair_levels("mgd", &self.levels, student, teacher)?;
        let generators = levels
            .iter()
            .map(|[_, of_teacher]| {
                let [_, channels, ..] = teacher.map(*of_teacher)?.dims();
                let layer = || convolution([channels, channels], 3, 1, true, device);
                Ok(Generator {
                    first: layer(),
                    second: layer(),
                })
            })
            .collect::<Result<_, Error>>()?;
        Ok(Mgd {
            config: self.clone(),
            maps: Adapted::new(levels, student, teacher, device)?,
            generators,
        })
    }
}

/// The sum of [`mgd`] over levels of the two networks, with a generator each.
#[derive(Module, Debug)]
pub struct Mgd {
    #[module(skip)]
    config: MgdConfig,
    maps: Adapted,
    generators: Vec<Generator>,
}

#[derive(Module, Debug)]
struct Generator {
    first: Conv2d,
    second: Conv2d,
}

impl Mgd {
    /// The maps of the compared levels.
    pub fn taps(&self) -> PairTaps {
        self.maps.taps()
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`], and [`Error::Shape`] when a map does not have the
    /// channels of the dry run.
    pub fn forward(&self, pair: &Pair, step: &Step) -> Result<Tensor<1>, Error> {
        let seed = self.config.seed.rotate_left(32) ^ step.index as u64;
        let mut draws = StdRng::seed_from_u64(seed);
        self.with_masks(pair, |_, map| Ok(self.kept(map, &mut draws)))
    }

    /// As [`Mgd::forward`], with masks from outside: for every level 1 where the map is kept and 0 where it is
    /// masked, `[batch, 1, height, width]` of positions or `[batch, channels, 1, 1]` of channels. Height and width
    /// are those of the smaller of the two networks' maps.
    ///
    /// # Errors
    /// As [`Mgd::forward`], and [`Error::Shape`] for masks of another number or shape.
    pub fn forward_masked(&self, pair: &Pair, kept: &[Tensor<4>]) -> Result<Tensor<1>, Error> {
        let count = self.generators.len();
        let refuse = |problem: String| Error::Shape {
            loss: "mgd",
            problem,
        };
        if kept.len() != count {
            return Err(refuse(format!("{} masks for {count} levels", kept.len())));
        }
        self.with_masks(pair, |level, map| {
            let mask = kept[level].clone();
            if mask.dims() != self.mask_shape(map) {
                return Err(refuse(format!(
                    "a mask of shape {:?} for a map of shape {:?}; it must be {:?}",
                    mask.dims(),
                    map.dims(),
                    self.mask_shape(map)
                )));
            }
            Ok(mask)
        })
    }

    fn with_masks(
        &self,
        pair: &Pair,
        mut mask: impl FnMut(usize, &Tensor<4>) -> Result<Tensor<4>, Error>,
    ) -> Result<Tensor<1>, Error> {
        let levels = self.maps.maps("mgd", pair)?.into_iter();
        let levels = levels.zip(&self.generators).enumerate();
        let losses = levels.map(|(level, ([student, teacher], generator))| {
            let [student, teacher] = at_one_size(student, teacher);
            let kept = mask(level, &student)?;
            let filled = conv_relu(&generator.first, masked(student, kept));
            mgd(conv(&generator.second, filled), teacher)
        });
        sum(&pair.student.logits.device(), losses)
    }

    fn mask_shape(&self, map: &Tensor<4>) -> [usize; 4] {
        let [batch, channels, height, width] = map.dims();
        match self.config.masked {
            MgdMasked::Positions => [batch, 1, height, width],
            MgdMasked::Channels => [batch, channels, 1, 1],
        }
    }

    /// 1 for what is kept of a map and 0 for what is masked.
    fn kept(&self, map: &Tensor<4>, draws: &mut StdRng) -> Tensor<4> {
        let shape = self.mask_shape(map);
        let kept: Vec<f32> = (0..shape.iter().product())
            .map(|_| f32::from(u8::from(!draws.random_bool(self.config.mask))))
            .collect();
        Tensor::from_data(TensorData::new(kept, shape), (&map.device(), map.dtype()))
    }
}

/// A map with nothing where it is masked. Channels last, as maps lie in memory, it is one run over it.
fn masked(map: Tensor<4>, kept: Tensor<4>) -> Tensor<4> {
    let [pixels, kept] = [map, kept].map(|tensor| tensor.permute([0, 2, 3, 1]));
    (pixels * kept).permute([0, 3, 1, 2])
}
