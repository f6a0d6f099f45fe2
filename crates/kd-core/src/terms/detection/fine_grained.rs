//! Fine-grained feature imitation: near objects, the student's map is the teacher's.
//!
//! A cell counts for an object when one of its anchors has an IoU with it above `threshold` times the best that any
//! anchor of the level has. With `m` 1 at cells that count for any object:
//!
//! `L = Σ_levels Σ m · (s − t)² / (2 · Σ m)`, over batch, channels and positions; 0 where no cell counts.
//!
//! In the term, the student's map `s` is what an adapter makes of it, a 3×3 convolution and a ReLU.
//!
//! Source: T. Wang, L. Yuan, X. Zhang, J. Feng, "Distilling Object Detectors with Fine-Grained Feature Imitation",
//! CVPR 2019.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor, TensorData};
use kd_kernels::layers::conv_relu;
use serde::{Deserialize, Serialize};

use crate::detection::{Anchors, Corners, Objects, Overlaps};
use crate::terms::adapter::convolution;
use crate::terms::maps::{LevelPair, at_one_size, pair_levels, sum, taps};
use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Part, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "fine_grained",
    title: "Fine-grained feature imitation",
    formula: "Σ_levels Σ m · (adapter(s) − t)² / (2 · Σ m), with m = 1 at cells near objects",
    source: "Wang, Yuan, Zhang, Feng, CVPR 2019",
    needs: "feature maps of both networks after a ReLU, of any channels and sizes, and the objects of each image; owns a 3×3 \
            convolution a level",
    when: "Detectors: the background, which is most of an image, is left out. Begin with FGD, which weighs it instead.",
    teacher: true,
    weight: 0.01,
    reads: &[Part::Maps],
};

/// Parameters of [`FineGrained`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FineGrainedConfig {
    /// Levels of the student's maps: 0 is the first, then one a stage. The teacher's are as far from its last. Empty: all
    /// that both networks have after their first.
    pub levels: Vec<usize>,
    /// Share of an object's best IoU that a cell's best anchor has more than, from 0 to below 1.
    pub threshold: f64,
    /// Sizes of the anchors, in cells of a level, above 0.
    pub sizes: Vec<f64>,
    /// Ratios of their height to their width, above 0.
    pub ratios: Vec<f64>,
}

impl Default for FineGrainedConfig {
    fn default() -> Self {
        Self {
            levels: Vec::new(),
            threshold: 0.5,
            sizes: vec![4.0, 8.0],
            ratios: vec![0.5, 1.0, 2.0],
        }
    }
}

impl FineGrainedConfig {
    /// Builds the term from a dry run of both networks that kept their maps.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::Config`] when a network lacks a level or a value is out of range, and
    /// [`Error::MissingTap`] when a dry run did not keep a map or the student finds no objects.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        device: &Device,
    ) -> Result<FineGrained, Error> {
        let teacher = teacher.ok_or(Error::NoTeacher)?;
        student.boxes()?;
        if !(0.0..1.0).contains(&self.threshold) {
            return Err(Error::Config {
                key: "threshold".into(),
                value: self.threshold.to_string(),
                expected: "0 or more, below 1".into(),
            });
        }
        for (key, values) in [("sizes", &self.sizes), ("ratios", &self.ratios)] {
            if values.is_empty() || !values.iter().all(|value| *value > 0.0) {
                return Err(Error::Config {
                    key: key.into(),
                    value: format!("{values:?}"),
                    expected: "one or more numbers above 0".into(),
                });
            }
        }
        let levels = pair_levels("fine_grained", &self.levels, student, teacher)?;
        let adapter = |[own, theirs]: &LevelPair| {
            let channels = [
                student.map(*own)?.dims()[1],
                teacher.map(*theirs)?.dims()[1],
            ];
            Ok(convolution(channels, 3, 1, true, device))
        };
        Ok(FineGrained {
            adapters: levels.iter().map(adapter).collect::<Result<_, Error>>()?,
            levels,
            config: self.clone(),
        })
    }

    /// The anchors of a map `[height, width]` of an image, cell by cell.
    fn anchors(&self, image: [usize; 2], map: [usize; 2]) -> Vec<Corners> {
        let strides = [image[0] / map[0], image[1] / map[1]];
        let sizes = self.sizes.iter().map(|size| size * strides[0] as f64);
        let anchors = Anchors {
            sizes: vec![sizes.collect()],
            ratios: self.ratios.clone(),
        };
        anchors.of_map(0, map, strides)
    }
}

/// The sum of fine-grained imitation over levels of the two networks.
#[derive(Module, Debug)]
pub struct FineGrained {
    adapters: Vec<Conv2d>,
    #[module(skip)]
    levels: Vec<LevelPair>,
    #[module(skip)]
    config: FineGrainedConfig,
}

impl FineGrained {
    /// The maps of the compared levels.
    pub fn taps(&self) -> PairTaps {
        taps(&self.levels)
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`], [`Error::NoObjects`], and [`Error::Shape`] for other channels than
    /// those of the dry run.
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        let (teacher, objects) = (pair.teacher()?, pair.objects()?);
        let image = pair.student.boxes()?.image;
        let loss = |(adapter, [own, theirs]): (&Conv2d, &LevelPair)| {
            let theirs = teacher.map(*theirs)?.detach();
            let [own, theirs] = at_one_size(pair.student.map(*own)?, theirs);
            let [_, _, height, width] = own.dims();
            let anchors = self.config.anchors(image, [height, width]);
            let mask = |objects: &Objects| {
                let threshold = self.config.threshold;
                imitation_mask(objects.boxes(), &anchors, height * width, threshold)
            };
            let masks: Vec<Vec<bool>> = objects.iter().map(mask).collect();
            fine_grained_imitation(conv_relu(adapter, own), theirs, &masks)
        };
        let levels = self.adapters.iter().zip(&self.levels);
        sum(&pair.student.logits.device(), levels.map(loss))
    }
}

/// Which cells count for the objects of an image: one value a cell, from the level's anchors, listed by cell. The
/// paper's threshold is 0.5.
///
/// # Panics
/// When the anchors are not equally many at each of `cells`.
pub fn imitation_mask(
    objects: &[Corners],
    anchors: &[Corners],
    cells: usize,
    threshold: f64,
) -> Vec<bool> {
    assert!(
        cells > 0 && anchors.len().is_multiple_of(cells),
        "{} anchors for {cells} cells",
        anchors.len()
    );
    let a_cell = anchors.len() / cells;
    let mut mask = vec![false; cells];
    for row in Overlaps::new(objects, anchors).rows() {
        let best = row.iter().fold(0.0_f64, |best, overlap| best.max(*overlap));
        for (counts, overlaps) in mask.iter_mut().zip(row.chunks(a_cell)) {
            *counts |= overlaps.iter().any(|overlap| *overlap > threshold * best);
        }
    }
    mask
}

/// Imitation of one level, from maps `[batch, channels, height, width]` of one shape and the cells that count of each
/// image ([`imitation_mask`]).
///
/// No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when the shapes differ or a mask is not one value a cell.
pub fn fine_grained_imitation(
    student: Tensor<4>,
    teacher: Tensor<4>,
    masks: &[Vec<bool>],
) -> Result<Tensor<1>, Error> {
    check::same_shape("fine_grained_imitation", &student, &teacher)?;
    let [batch, _, height, width] = student.dims();
    if masks.len() != batch || masks.iter().any(|mask| mask.len() != height * width) {
        return Err(Error::Shape {
            loss: "fine_grained_imitation",
            problem: format!(
                "masks of {:?} cells for maps of shape {:?}",
                masks.iter().map(Vec::len).collect::<Vec<_>>(),
                student.dims()
            ),
        });
    }
    let counts: Vec<f64> = masks
        .concat()
        .iter()
        .map(|c| f64::from(u8::from(*c)))
        .collect();
    let cells = counts.iter().sum::<f64>().max(1.0);
    let mask = TensorData::new(counts, [batch, 1, height, width]);
    let mask = Tensor::<4>::from_data(mask, (&student.device(), student.dtype()));
    Ok(((student - teacher.detach()).square() * mask).sum() / (2.0 * cells))
}
