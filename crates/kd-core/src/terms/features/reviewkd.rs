//! Knowledge review: each level of the student, fused with those above it, follows the teacher's level.
//!
//! From the last level to the first, beginning with the embedding as a map of size 1×1, *attention-based
//! fusion* merges what the levels above have handed down into the student's map: `x` is a 1×1 convolution
//! of the map, `y` what was handed down, brought to its size; `a, b` are two sigmoids of a 1×1 convolution
//! of both; `x' = a·x + b·y` is handed on, and a 3×3 convolution of it, with the teacher's channels, is
//! compared with the teacher's map before the activation (for the first, with its embedding) by the
//! *hierarchical context loss*. For maps `s` and `t` of one shape, and `pool_k` the average over a grid
//! of k × k:
//!
//! `HCL = Σ_k w_k · mean (pool_k(s) − pool_k(t))² / Σ_k w_k`
//!
//! over the full size with weight 1, then those `k` of 4, 2, 1 that are smaller than the map, with weights
//! ½, ¼, ⅛ in that order. `L = Σ_levels HCL`, in the unit of a squared map.
//!
//! The authors raise the weight over the first 20 epochs: `weight = { schedule = "linear_warmup", to = 5.0,
//! epochs = 20 }`. Where it ends is chosen for a pair; in their script for CIFAR-100:
//!
//! | teacher | student | weight |
//! |---|---|---|
//! | wrn_40_2 | wrn_16_2, wrn_40_1, shufflenet_v1 | 5 |
//! | resnet32x4 | resnet8x4, shufflenet_v1 | 5 |
//! | resnet32x4 | shufflenet_v2 | 8 |
//! | resnet56 | resnet20 | 0.6 |
//! | resnet110 | resnet32 | 1 |
//!
//! Source: P. Chen, S. Liu, H. Zhao, J. Jia, "Distilling Knowledge via Knowledge Review", CVPR 2021.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::activation::sigmoid;
use burn::tensor::{Device, Tensor};
use kd_kernels::layers::{BatchNorm, conv_bn};
use kd_kernels::{ConvOptions, Epilogue, average_pool, blend, conv2d, squared_distance};
use serde::{Deserialize, Serialize};

use crate::terms::adapter::{built_for, convolution, resize};
use crate::terms::maps::{LevelPair, pair_levels, sum};
use crate::terms::{About, check};
use crate::{Error, Levels, Output, Pair, PairTaps, Part, Step, Taps, draw};

pub(in crate::terms) const ABOUT: About = About {
    name: "reviewkd",
    title: "Knowledge review",
    formula: "Σ_levels HCL(fused f_s, f_t),  HCL = Σ_k w_k · mean( (pool_k(s) − pool_k(t))² ) / Σ_k w_k",
    source: "Chen, Liu, Zhao, Jia, CVPR 2021",
    needs: "feature maps and embedding of the student, maps before the activation and embedding of the \
            teacher, of any channels and sizes; owns a fusion a level",
    when: "Among the strongest feature methods, for classification and detection; it costs more time and \
           memory than most. The weight, raised over 20 epochs, is chosen for a pair: 5 for resnet32x4 and resnet8x4 or \
           shufflenet_v1 and for wrn_40_2, 8 for shufflenet_v2, 0.6 for resnet56 and resnet20, 1 for resnet110 and \
           resnet32.",
    teacher: true,
    weight: 1.0,
    reads: &[Part::Embedding, Part::Maps, Part::MapsPreact],
};

/// Widest map that is handed from level to level.
const WIDEST: usize = 512;

/// Hierarchical context loss of maps `[batch, channels, height, width]`.
///
/// No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when the shapes differ or the batch is empty.
pub fn hcl(student: Tensor<4>, teacher: Tensor<4>) -> Result<Tensor<1>, Error> {
    check::same_shape("hcl", &student, &teacher)?;
    let [_, _, height, width] = student.dims();
    let mut maps = [student, teacher.detach()];
    let distance = |[student, teacher]: [Tensor<4>; 2]| squared_distance(student, teacher).mean();
    let mut loss = distance(maps.clone());
    let (mut weight, mut total) = (1.0, 1.0);
    for size in [4, 2, 1] {
        if size >= height.max(width) {
            continue;
        }
        weight /= 2.0;
        total += weight;
        let grid = [size.min(height), size.min(width)];
        let pooled = maps.clone().map(|map| average_pool(map, grid));
        loss = loss + distance(pooled.clone()) * weight;
        // Averages of equal parts are averages of the whole.
        if height % size == 0 && width % size == 0 {
            maps = pooled;
        }
    }
    Ok(loss / total)
}

/// Parameters of [`ReviewKd`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReviewKdConfig {
    /// Levels of the student's maps, from the first: 0 is the stem, then one per stage. The teacher's
    /// are as far from its last. Empty: all that both networks have after their stems.
    pub levels: Vec<usize>,
}

impl ReviewKdConfig {
    /// Builds the term and its fusions from a dry run of both networks that kept their maps and
    /// embeddings.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::Config`] when a network lacks a level or they are not in order, and
    /// [`Error::MissingTap`] when a dry run did not keep what is read.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        device: &Device,
    ) -> Result<ReviewKd, Error> {
        let teacher = teacher.ok_or(Error::NoTeacher)?;
        let levels = pair_levels("reviewkd", &self.levels, student, teacher)?;
        if !levels.is_sorted() {
            return Err(Error::Config {
                key: "levels".into(),
                value: format!("{:?}", self.levels),
                expected: "must be in order, from the first to the last".into(),
            });
        }
        let [_, width] = student.embedding()?.dims();
        let [_, target] = teacher.embedding()?.dims();
        let middle = width.min(WIDEST);
        let mut fusions = vec![Fusion::new([width, middle, target], false, device)];
        for [of_student, of_teacher] in levels.iter().rev() {
            let [_, from, ..] = student.map(*of_student)?.dims();
            let [_, to, ..] = teacher.map_preact(*of_teacher)?.dims();
            fusions.push(Fusion::new([from, middle, to], true, device));
        }
        Ok(ReviewKd { levels, fusions })
    }
}

/// The sum of [`hcl`] over fused levels of the student and their counterparts in the teacher.
#[derive(Module, Debug)]
pub struct ReviewKd {
    #[module(skip)]
    levels: Vec<LevelPair>,
    /// From the embedding's down to the first level's.
    fusions: Vec<Fusion>,
}

impl ReviewKd {
    /// The maps of the compared levels, the teacher's before the activation, and both embeddings.
    pub fn taps(&self) -> PairTaps {
        let levels = |index: usize| -> Levels { self.levels.iter().map(|p| p[index]).collect() };
        PairTaps {
            student: Taps::part(Part::Embedding).with(Part::Maps, levels(0)),
            teacher: Taps::part(Part::Embedding).with(Part::MapsPreact, levels(1)),
        }
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`], and [`Error::Shape`] when a map does not have the
    /// channels of the dry run.
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        let losses = self.losses(pair)?;
        sum(&pair.student.logits.device(), losses.into_iter().map(Ok))
    }

    /// The loss of each level, `[1]`, from the embedding's down to the first level's: their sum is the loss.
    ///
    /// # Errors
    /// As [`ReviewKd::forward`].
    pub fn losses(&self, pair: &Pair) -> Result<Vec<Tensor<1>>, Error> {
        let teacher = pair.teacher()?;
        let mut maps = vec![[pair.student.embedding()?, teacher.embedding()?].map(as_map)];
        for [of_student, of_teacher] in self.levels.iter().rev() {
            maps.push([
                pair.student.map(*of_student)?,
                teacher.map_preact(*of_teacher)?,
            ]);
        }
        let mut above = None;
        let mut losses = Vec::with_capacity(maps.len());
        for (fusion, [student, teacher]) in self.fusions.iter().zip(maps) {
            let [_, _, height, width] = teacher.dims();
            let (fused, shown) = fusion.forward(student, above, [height, width])?;
            above = Some(fused);
            losses.push(hcl(shown, teacher)?);
        }
        Ok(losses)
    }
}

/// An embedding `[batch, width]` as a map `[batch, width, 1, 1]`.
fn as_map(embedding: Tensor<2>) -> Tensor<4> {
    let [batch, width] = embedding.dims();
    embedding.reshape([batch, width, 1, 1])
}

/// Attention-based fusion of one level with those above it.
#[derive(Module, Debug)]
struct Fusion {
    channels: usize,
    reduce: Conv2d,
    reduce_norm: BatchNorm,
    /// Absent at the topmost level, which has none above it.
    attend: Option<Conv2d>,
    show: Conv2d,
    show_norm: BatchNorm,
}

impl Fusion {
    fn new([from, middle, to]: [usize; 3], fuses: bool, device: &Device) -> Self {
        Self {
            channels: from,
            reduce: drawn_wider(convolution([from, middle], 1, 1, false, device), device),
            reduce_norm: BatchNorm::new(middle, device),
            attend: fuses.then(|| convolution([2 * middle, 2], 1, 1, true, device)),
            show: drawn_wider(convolution([middle, to], 3, 1, false, device), device),
            show_norm: BatchNorm::new(to, device),
        }
    }

    /// What is handed on, and what is compared: both at the teacher's size.
    fn forward(
        &self,
        map: Tensor<4>,
        above: Option<Tensor<4>>,
        size: [usize; 2],
    ) -> Result<(Tensor<4>, Tensor<4>), Error> {
        built_for("reviewkd", "student", self.channels, &map.dims())?;
        let own = conv_bn(&self.reduce, &self.reduce_norm, map, None, false);
        let fused = match (&self.attend, above) {
            (Some(attend), Some(above)) => fuse(attend, own, above),
            _ => own,
        };
        let fused = resize(fused, size);
        let shown = conv_bn(&self.show, &self.show_norm, fused.clone(), None, false);
        Ok((fused, shown))
    }
}

/// `a·own + b·above`, where `a, b` are sigmoids of the convolution `attend` of both, and `above` is
/// brought to the size of `own`.
///
/// The convolution of both is the sum of one of each. That of `above` comes before its values are
/// repeated, which then never stand in memory.
fn fuse(attend: &Conv2d, own: Tensor<4>, above: Tensor<4>) -> Tensor<4> {
    let [_, middle, height, width] = own.dims();
    let [_, _, rows, columns] = above.dims();
    // What is not repeated evenly is brought to size at once.
    let above = if height.is_multiple_of(rows) && width.is_multiple_of(columns) {
        above
    } else {
        resize(above, [height, width])
    };
    let half = |first: usize| attend.weight.val().narrow(1, first, middle);
    let options = ConvOptions::default();
    let bias = attend.bias.as_ref().map(|bias| bias.val());
    let of_own = conv2d(
        own.clone(),
        half(0),
        options,
        Epilogue::default().with_bias(bias),
    );
    let of_above = conv2d(above.clone(), half(middle), options, Epilogue::default());
    let shares = sigmoid(of_own + resize(of_above, [height, width]));
    blend(own, above, shares)
}

/// The authors' initial values: uniform within `sqrt(3 / fan in)`.
fn drawn_wider(mut conv: Conv2d, device: &Device) -> Conv2d {
    let shape = conv.weight.dims();
    let fan_in: usize = shape[1..].iter().product();
    conv.weight = draw::uniform(shape, (3.0 / fan_in as f64).sqrt(), device);
    conv.weight.val();
    conv
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only<const D: usize>(tensor: &Tensor<D>) -> f32 {
        tensor.clone().into_scalar()
    }

    #[test]
    fn a_fusion_of_single_numbers_by_hand() {
        let device = Device::flex();
        draw::seed(2);
        let fusion = Fusion::new([1, 1, 1], true, &device);
        let one = |value: f32| Tensor::<4>::full([1, 1, 1, 1], value, &device);
        let (fused, shown) = fusion.forward(one(0.7), Some(one(-1.3)), [1, 1]).unwrap();
        // Batch normalisation in evaluation, with mean 0 and variance 1.
        let norm = 1.0 / 1.00001_f32.sqrt();
        let weight = only(&fusion.reduce.weight.val());
        let (x, y) = (0.7 * weight * norm, -1.3);
        let attend: Vec<f32> = fusion
            .attend
            .as_ref()
            .unwrap()
            .weight
            .val()
            .into_data()
            .iter()
            .collect();
        let share =
            |row: usize| 1.0 / (1.0 + (-(attend[2 * row] * x + attend[2 * row + 1] * y)).exp());
        let expected = share(0) * x + share(1) * y;
        assert!((only(&fused) - expected).abs() < 1e-6);
        // Of a 3×3 kernel at a single position only the middle counts.
        let kernel: Vec<f32> = fusion.show.weight.val().into_data().iter().collect();
        assert!((only(&shown) - expected * kernel[4] * norm).abs() < 1e-6);
    }
}
