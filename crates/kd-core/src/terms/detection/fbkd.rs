//! Feature-based distillation guided by attention, with relations of positions.
//!
//! With maps `[batch, channels, height, width]` of student `s` and teacher `t`, the attention
//! `A(f) = height · width · softmax over positions of mean_c |f| / T`, which is a constant, and the non-local block
//!
//! `R(f) = f + BatchNorm(W_o · θ(f) · (φ(f)ᵀ · g(f)) / (height · width))`
//!
//! of 1×1 convolutions `θ`, `φ`, `g` to `channels / reduction` and `W_o` back, one for each network:
//!
//! `L = Σ_levels ( λ_m · √(Σ ½ (A(s) + A(t)) · (a(s) − t)²) + λ_c · ‖b(mean_hw s) − mean_hw t‖`
//! `+ λ_p · ‖c(mean_c s) − mean_c t‖ + λ_r · ‖d(R_s(s)) − R_t(t)‖ )`
//!
//! Norms are over the whole batch, so the loss grows with the root of its size. `a` and `d` are 1×1 convolutions, `b` is
//! a linear layer and `c` a 3×3 convolution of one channel; they and both non-local blocks are trained. Of two sizes the
//! larger is averaged down.
//!
//! The authors pool the positions that are looked at, because a product for each pair of positions is large. Here all
//! are looked at: `φᵀ · g` first, which is exactly the same, costs as much for a position however many there are.
//!
//! Source: L. Zhang, K. Ma, "Improve Object Detection with Feature-based Knowledge Distillation: Towards Accurate and
//! Efficient Detectors", ICLR 2021.

use burn::module::{Initializer, Module};
use burn::nn::Linear;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};
use kd_kernels::layers::{BatchNorm, conv, conv_bn};
use serde::{Deserialize, Serialize};

use super::fgd::spatial_attention;
use crate::terms::adapter::{built_for, convolution, linear};
use crate::terms::maps::{LevelPair, at_one_size, pair_levels, sum, taps};
use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Part, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "fbkd",
    title: "Attention-guided and non-local distillation",
    formula: "Σ_levels ( λ_m √(Σ ½ (A_s + A_t)(a(s) − t)²) + λ_c ‖b(mean_hw s) − mean_hw t‖ + λ_p ‖c(mean_c s) − mean_c t‖ \
              + λ_r ‖d(R_s(s)) − R_t(t)‖ )",
    source: "Zhang, Ma, ICLR 2021",
    needs: "feature maps of both networks, of any channels and sizes; owns four adapters and two non-local blocks a level",
    when: "Detectors: where either network looks counts most, and so does how positions relate. It asks for no boxes.",
    teacher: true,
    weight: 1.0,
    reads: &[Part::Maps],
};

/// Parameters of [`Fbkd`]; the defaults are the authors'.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FbkdConfig {
    /// Levels of the student's maps: 0 is the first, then one a stage. The teacher's are as far from its last. Empty: all
    /// that both networks have after their first.
    pub levels: Vec<usize>,
    /// Temperature of the attentions, above 0.
    pub temperature: f64,
    /// Weight `λ_m` of the maps, at least 0.
    pub maps: f64,
    /// Weight `λ_c` of the means of channels, at least 0.
    pub channels: f64,
    /// Weight `λ_p` of the means of positions, at least 0.
    pub positions: f64,
    /// Weight `λ_r` of the relations, at least 0.
    pub relations: f64,
    /// Of how many channels a non-local block makes one, from 1 to those of either map.
    pub reduction: usize,
}

impl Default for FbkdConfig {
    fn default() -> Self {
        Self {
            levels: Vec::new(),
            temperature: 0.5,
            maps: 7e-5,
            channels: 4e-3,
            positions: 4e-3,
            relations: 7e-5,
            reduction: 2,
        }
    }
}

impl FbkdConfig {
    /// Builds the term from a dry run of both networks that kept their maps.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::Config`] when a network lacks a level or a value is out of range, and
    /// [`Error::MissingTap`] when a dry run did not keep a map.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        device: &Device,
    ) -> Result<Fbkd, Error> {
        let teacher = teacher.ok_or(Error::NoTeacher)?;
        check::positive("temperature", self.temperature)?;
        let weights = [
            ("maps", self.maps),
            ("channels", self.channels),
            ("positions", self.positions),
            ("relations", self.relations),
        ];
        for (key, weight) in weights {
            check::not_negative(key, weight)?;
        }
        let levels = pair_levels("fbkd", &self.levels, student, teacher)?;
        let block = |[own, theirs]: &LevelPair| {
            let [_, from, ..] = student.map(*own)?.dims();
            let [_, to, ..] = teacher.map(*theirs)?.dims();
            if self.reduction == 0 || self.reduction > from.min(to) {
                return Err(Error::Config {
                    key: "reduction".into(),
                    value: self.reduction.to_string(),
                    expected: format!("1 to {}, the channels of a map", from.min(to)),
                });
            }
            Ok(Block::new([from, to], self.reduction, device))
        };
        Ok(Fbkd {
            blocks: levels.iter().map(block).collect::<Result<_, Error>>()?,
            levels,
            config: self.clone(),
        })
    }
}

/// The sum of the method over levels of the two networks.
#[derive(Module, Debug)]
pub struct Fbkd {
    blocks: Vec<Block>,
    #[module(skip)]
    levels: Vec<LevelPair>,
    #[module(skip)]
    config: FbkdConfig,
}

impl Fbkd {
    /// The maps of the compared levels.
    pub fn taps(&self) -> PairTaps {
        taps(&self.levels)
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`], and [`Error::Shape`] for other channels than those of the dry run.
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        let teacher = pair.teacher()?;
        let loss = |(block, [own, theirs]): (&Block, &LevelPair)| {
            let theirs = teacher.map(*theirs)?.detach();
            let [own, theirs] = at_one_size(pair.student.map(*own)?, theirs);
            block.forward(own, theirs, &self.config)
        };
        let levels = self.blocks.iter().zip(&self.levels);
        sum(&pair.student.logits.device(), levels.map(loss))
    }
}

/// What the term owns of one level.
#[derive(Module, Debug)]
struct Block {
    map: Conv2d,
    channels: Linear,
    positions: Conv2d,
    relations: Conv2d,
    student: NonLocal,
    teacher: NonLocal,
}

impl Block {
    fn new(channels: [usize; 2], reduction: usize, device: &Device) -> Self {
        let [from, to] = channels;
        Self {
            map: convolution(channels, 1, 1, true, device),
            channels: linear(channels, device),
            positions: convolution([1, 1], 3, 1, true, device),
            relations: convolution(channels, 1, 1, true, device),
            student: NonLocal::new(from, reduction, device),
            teacher: NonLocal::new(to, reduction, device),
        }
    }

    fn forward(
        &self,
        student: Tensor<4>,
        teacher: Tensor<4>,
        config: &FbkdConfig,
    ) -> Result<Tensor<1>, Error> {
        let [from, to] = [&self.student, &self.teacher].map(NonLocal::channels);
        built_for("fbkd", "student", from, &student.dims())?;
        built_for("fbkd", "teacher", to, &teacher.dims())?;
        let adapted = conv(&self.map, student.clone());
        let maps = fbkd(
            student.clone(),
            adapted,
            teacher.clone(),
            config.temperature,
        )?;
        let of_channels = |map: &Tensor<4>| -> Tensor<2> {
            map.clone().flatten::<3>(2, 3).mean_dim(2).squeeze_dim(2)
        };
        let channels = self.channels.forward(of_channels(&student)) - of_channels(&teacher);
        let positions =
            conv(&self.positions, student.clone().mean_dim(1)) - teacher.clone().mean_dim(1);
        let own = conv(&self.relations, self.student.forward(student));
        let relations = own - self.teacher.forward(teacher);
        Ok(maps * config.maps
            + length(channels.square().sum()) * config.channels
            + length(positions.square().sum()) * config.positions
            + length(relations.square().sum()) * config.relations)
    }
}

/// A map and what all of its positions say of each (X. Wang et al., "Non-local Neural Networks", CVPR 2018; the form
/// without a softmax).
#[derive(Module, Debug)]
struct NonLocal {
    theta: Conv2d,
    phi: Conv2d,
    g: Conv2d,
    out: Conv2d,
    norm: BatchNorm,
}

impl NonLocal {
    /// The normalisation's scale starts at 0, so that the block starts as the map itself.
    fn new(channels: usize, reduction: usize, device: &Device) -> Self {
        let inner = channels / reduction;
        let into = || convolution([channels, inner], 1, 1, true, device);
        let mut norm = BatchNorm::new(channels, device);
        norm.gamma = Initializer::Zeros.init([channels], device);
        Self {
            theta: into(),
            phi: into(),
            g: into(),
            out: convolution([inner, channels], 1, 1, false, device),
            norm,
        }
    }

    fn channels(&self) -> usize {
        self.theta.weight.dims()[1]
    }

    fn forward(&self, map: Tensor<4>) -> Tensor<4> {
        let [batch, _, height, width] = map.dims();
        let rows = |layer: &Conv2d| conv(layer, map.clone()).flatten::<3>(2, 3);
        let [theta, phi, g] = [&self.theta, &self.phi, &self.g].map(rows);
        // [inner, inner] an image: what each channel of g is where each of phi is.
        let related = g.matmul(phi.swap_dims(1, 2)) / (height * width) as f64;
        let said = related.matmul(theta);
        let [_, inner, _] = said.dims();
        let said = said.reshape([batch, inner, height, width]);
        conv_bn(&self.out, &self.norm, said, Some(map), false)
    }
}

/// The root of a sum of squares `[1]`, with a gradient of 0 at 0, where nothing is to be learnt.
fn length(squares: Tensor<1>) -> Tensor<1> {
    let zero = squares.clone().detach().equal_elem(0.0);
    squares
        .mask_fill(zero.clone(), 1.0)
        .sqrt()
        .mask_fill(zero, 0.0)
}

/// The attention-guided distance of one level, `√( Σ ½ (A(s) + A(t)) · (a − t)² )`.
///
/// No gradient reaches the student's own map, which only gives its attention, and none the teacher.
///
/// # Errors
/// [`Error::Shape`] when the adapted map differs from the teacher's in shape, or the student's in batch or size;
/// [`Error::Config`] when `temperature` is not above 0.
pub fn fbkd(
    student: Tensor<4>,
    adapted: Tensor<4>,
    teacher: Tensor<4>,
    temperature: f64,
) -> Result<Tensor<1>, Error> {
    check::same_shape("fbkd", &adapted, &teacher)?;
    check::positive("temperature", temperature)?;
    let ([batch, _, height, width], of_teacher) = (student.dims(), teacher.dims());
    if [batch, height, width] != [of_teacher[0], of_teacher[2], of_teacher[3]] {
        return Err(Error::Shape {
            loss: "fbkd",
            problem: format!(
                "the student has shape {:?} and the teacher {of_teacher:?}: batch or sizes differ",
                student.dims()
            ),
        });
    }
    let teacher = teacher.detach();
    let attention = spatial_attention(student.detach(), temperature)
        + spatial_attention(teacher.clone(), temperature);
    let squares = (adapted - teacher).square() * (attention * 0.5);
    Ok(length(squares.sum()))
}
