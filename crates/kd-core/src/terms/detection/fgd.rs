//! Focal and global distillation: foreground and background apart, attentions, and relations of positions.
//!
//! Of a map `f` `[batch, channels, height, width]`, with a temperature `T`:
//! - its spatial attention `A = height · width · softmax over positions of mean_c |f| / T`;
//! - its channel attention `B = channels · softmax over channels of mean_hw |f| / T`;
//! - its context `G(f) = f + conv₂(ReLU(LN(conv₁(Σ_hw softmax_hw(conv_m f) · f))))`, a block for each network; both are
//!   trained, and the last convolution starts at 0.
//!
//! A box takes the cells that it touches and one more each way; `M` is 1 / (their number) there, the largest of
//! several boxes; `N` is 1 / (number of cells without a box) at these. With `d = (s − t)² · A_t · B_t`:
//!
//! `L = ( α Σ d·M + β Σ d·N + γ (Σ|B_s − B_t| + Σ|A_s − A_t|) + λ Σ (G_s(s) − G_t(t))² ) / batch`.
//!
//! A student of other channels than the teacher's goes through a 1×1 convolution first. Of two sizes the larger is averaged
//! down.
//!
//! Source: Z. Yang, Z. Li, X. Jiang, Y. Gong, Z. Yuan, D. Zhao, C. Yuan, "Focal and Global Knowledge Distillation for
//! Detectors", CVPR 2022.

use burn::module::{Initializer, Module};
use burn::nn::conv::Conv2d;
use burn::nn::{LayerNorm, LayerNormConfig};
use burn::tensor::activation::{relu, softmax};
use burn::tensor::{Device, Tensor, TensorData};
use kd_kernels::layers::conv;
use serde::{Deserialize, Serialize};

use crate::detection::{Corners, Objects};
use crate::terms::adapter::convolution;
use crate::terms::maps::{LevelPair, at_one_size, pair_levels, sum, taps};
use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Part, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "fgd",
    title: "Focal and global distillation",
    formula: "Σ_levels ( α Σ d·M + β Σ d·N + γ (Σ|B_s − B_t| + Σ|A_s − A_t|) + λ Σ (G_s(s) − G_t(t))² ) / batch",
    source: "Yang, Li, Jiang, Gong, Yuan, Zhao, Yuan, CVPR 2022",
    needs: "feature maps of both networks, of any channels and sizes, and the objects of each image; owns a block of context for \
            each network, and a 1×1 convolution where channels differ",
    when: "Detectors: objects and background, which is most of an image, are weighed apart.",
    teacher: true,
    weight: 1.0,
    reads: &[Part::Maps],
};

/// Parameters of [`Fgd`]; the defaults are the authors' for two-stage detectors. For one-stage detectors with anchors
/// they take 1e-3, 5e-4, 5e-4 and 5e-6, for FCOS 1.6e-3, 8e-4, 8e-4 and 8e-6 at temperature 0.8.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FgdConfig {
    /// Levels of the student's maps: 0 is the first, then one a stage. The teacher's are as far from its last. Empty: all
    /// that both networks have after their first.
    pub levels: Vec<usize>,
    /// Temperature of the attentions, above 0.
    pub temperature: f64,
    /// Weight of the foreground, at least 0.
    pub alpha: f64,
    /// Weight of the background, at least 0.
    pub beta: f64,
    /// Weight of the attentions, at least 0.
    pub gamma: f64,
    /// Weight of the context, at least 0.
    pub lambda: f64,
}

impl Default for FgdConfig {
    fn default() -> Self {
        Self {
            levels: Vec::new(),
            temperature: 0.5,
            alpha: 5e-5,
            beta: 2.5e-5,
            gamma: 5e-5,
            lambda: 5e-7,
        }
    }
}

/// What a level's loss knows of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct FgdImage {
    /// The objects' boxes, in pixels.
    pub boxes: Vec<Corners>,
    /// Height and width in pixels, without padding.
    pub size: [f64; 2],
}

impl FgdConfig {
    /// Builds the term from a dry run of both networks that kept their maps.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::Config`] when a network lacks a level or a value is out of range,
    /// [`Error::MissingTap`] when a dry run did not keep a map or the student finds no objects, and [`Error::Shape`] for a teacher's map of one channel.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        device: &Device,
    ) -> Result<Fgd, Error> {
        let teacher = teacher.ok_or(Error::NoTeacher)?;
        student.boxes()?;
        let levels = pair_levels("fgd", &self.levels, student, teacher)?;
        let blocks = levels.iter().map(|[own, theirs]| {
            let [_, channels, ..] = student.map(*own)?.dims();
            let [_, of_teacher, ..] = teacher.map(*theirs)?.dims();
            self.level(channels, of_teacher, device)
        });
        Ok(Fgd {
            blocks: blocks.collect::<Result<_, _>>()?,
            levels,
        })
    }

    /// The loss of one level for a student and a teacher of these channels.
    ///
    /// # Errors
    /// [`Error::Config`] when a value is out of range; [`Error::Shape`] for a teacher of fewer than two channels.
    pub fn level(
        &self,
        student: usize,
        teacher: usize,
        device: &Device,
    ) -> Result<FgdLevel, Error> {
        check::positive("temperature", self.temperature)?;
        let weights = [
            ("alpha", self.alpha),
            ("beta", self.beta),
            ("gamma", self.gamma),
            ("lambda", self.lambda),
        ];
        for (key, weight) in weights {
            check::not_negative(key, weight)?;
        }
        if teacher < 2 || student == 0 {
            return Err(refuse(format!("maps of {student} and {teacher} channels")));
        }
        let align = student != teacher;
        Ok(FgdLevel {
            config: self.clone(),
            align: align.then(|| convolution([student, teacher], 1, 1, true, device)),
            student: Context::new(teacher, device),
            teacher: Context::new(teacher, device),
        })
    }
}

/// The sum of focal and global distillation over levels of the two networks.
#[derive(Module, Debug)]
pub struct Fgd {
    blocks: Vec<FgdLevel>,
    #[module(skip)]
    levels: Vec<LevelPair>,
}

impl Fgd {
    /// The maps of the compared levels.
    pub fn taps(&self) -> PairTaps {
        taps(&self.levels)
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`], [`Error::NoObjects`], and as [`FgdLevel::forward`].
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        let teacher = pair.teacher()?;
        let size = pair.student.boxes()?.image.map(|side| side as f64);
        let image = |objects: &Objects| FgdImage {
            boxes: objects.boxes().to_vec(),
            size,
        };
        let images: Vec<FgdImage> = pair.objects()?.iter().map(image).collect();
        let loss = |(block, [own, theirs]): (&FgdLevel, &LevelPair)| {
            let theirs = teacher.map(*theirs)?.detach();
            let [own, theirs] = at_one_size(pair.student.map(*own)?, theirs);
            block.forward(own, theirs, &images)
        };
        let levels = self.blocks.iter().zip(&self.levels);
        sum(&pair.student.logits.device(), levels.map(loss))
    }
}

/// Focal and global distillation of one level, with its adapters.
#[derive(Module, Debug)]
pub struct FgdLevel {
    #[module(skip)]
    config: FgdConfig,
    align: Option<Conv2d>,
    student: Context,
    teacher: Context,
}

/// A block of global context.
#[derive(Module, Debug)]
struct Context {
    mask: Conv2d,
    reduce: Conv2d,
    norm: LayerNorm,
    expand: Conv2d,
}

impl Context {
    fn new(channels: usize, device: &Device) -> Self {
        let pointwise = |channels| convolution(channels, 1, 1, true, device);
        let mut expand = pointwise([channels / 2, channels]);
        expand.weight = Initializer::Zeros.init([channels, channels / 2, 1, 1], device);
        Self {
            mask: pointwise([channels, 1]),
            reduce: pointwise([channels, channels / 2]),
            norm: LayerNormConfig::new(channels / 2).init(device),
            expand,
        }
    }

    fn forward(&self, map: Tensor<4>) -> Tensor<4> {
        let [batch, channels, height, width] = map.dims();
        let share = conv(&self.mask, map.clone()).reshape([batch, height * width, 1]);
        let pixels = map.clone().reshape([batch, channels, height * width]);
        let context = pixels.matmul(softmax(share, 1));
        let reduced = conv(&self.reduce, context.reshape([batch, channels, 1, 1]));
        let normed = self.norm.forward(reduced.reshape([batch, channels / 2]));
        let filled = relu(normed).reshape([batch, channels / 2, 1, 1]);
        map + conv(&self.expand, filled)
    }
}

impl FgdLevel {
    /// The loss, `[1]`, of maps `[batch, channels, height, width]` of one size, and the images that they show.
    ///
    /// No gradient reaches the teacher's map.
    ///
    /// # Errors
    /// [`Error::Shape`] when the maps do not have the channels of [`FgdConfig::level`], differ in batch or size, or there
    /// are not as many images.
    pub fn forward(
        &self,
        student: Tensor<4>,
        teacher: Tensor<4>,
        images: &[FgdImage],
    ) -> Result<Tensor<1>, Error> {
        let teacher = teacher.detach();
        let student = match &self.align {
            Some(align) if align.weight.dims()[1] == student.dims()[1] => conv(align, student),
            _ => student,
        };
        check::same_shape("fgd", &student, &teacher)?;
        let [batch, channels, height, width] = student.dims();
        if images.len() != batch || self.student.mask.weight.dims()[1] != channels {
            return Err(refuse(format!(
                "maps of shape {:?} of {} images",
                student.dims(),
                images.len()
            )));
        }
        let FgdConfig {
            temperature,
            alpha,
            beta,
            gamma,
            lambda,
            ..
        } = self.config;
        let [positions, of_teacher] =
            [&student, &teacher].map(|map| spatial_attention(map.clone(), temperature));
        let [channel, channel_of_teacher] =
            [&student, &teacher].map(|map| channel_attention(map.clone(), temperature));
        let masks = |weight: fn(&Masks) -> &Vec<f64>| {
            let masks = images
                .iter()
                .map(|image| Masks::new(image, [height, width]));
            let values = masks.flat_map(|masks| weight(&masks).clone()).collect();
            let data = TensorData::new::<f64, _>(values, [batch, 1, height, width]);
            Tensor::<4>::from_data(data, (&student.device(), student.dtype()))
        };
        let share = masks(|m| &m.foreground) * alpha + masks(|m| &m.background) * beta;
        let squares = (student.clone() - teacher.clone()).square();
        let focal = squares * (of_teacher.clone() * share) * channel_of_teacher.clone();
        let attention =
            (channel - channel_of_teacher).abs().sum() + (positions - of_teacher).abs().sum();
        let context = self.student.forward(student) - self.teacher.forward(teacher);
        let sum = focal.sum() + attention * gamma + context.square().sum() * lambda;
        Ok(sum / batch as f64)
    }
}

/// `height · width` times the softmax over positions of the mean size of channels, `[batch, 1, height, width]`.
pub(super) fn spatial_attention(map: Tensor<4>, temperature: f64) -> Tensor<4> {
    let [batch, _, height, width] = map.dims();
    let size = map.abs().mean_dim(1).reshape([batch, height * width]) / temperature;
    (softmax(size, 1) * (height * width) as f64).reshape([batch, 1, height, width])
}

/// `channels` times the softmax over channels of the mean size of positions, `[batch, channels, 1, 1]`.
fn channel_attention(map: Tensor<4>, temperature: f64) -> Tensor<4> {
    let [batch, channels, ..] = map.dims();
    let size = map.abs().flatten::<3>(2, 3).mean_dim(2);
    let size = size.reshape([batch, channels]) / temperature;
    (softmax(size, 1) * channels as f64).reshape([batch, channels, 1, 1])
}

/// The weight of each cell of an image.
struct Masks {
    foreground: Vec<f64>,
    background: Vec<f64>,
}

impl Masks {
    fn new(image: &FgdImage, [height, width]: [usize; 2]) -> Self {
        let mut foreground = vec![0.0_f64; height * width];
        let [rows, columns] = [height as f64 / image.size[0], width as f64 / image.size[1]];
        for [x1, y1, x2, y2] in &image.boxes {
            // The last cell is counted too, as in the authors' code.
            let first = |edge: f64| edge.floor().max(0.0) as usize;
            let end = |edge: f64| edge.ceil().max(0.0) as usize + 1;
            let (top, bottom) = (first(y1 * rows), end(y2 * rows));
            let (left, right) = (first(x1 * columns), end(x2 * columns));
            let cells = bottom.saturating_sub(top) * right.saturating_sub(left);
            for row in top..bottom.min(height) {
                for column in left..right.min(width) {
                    let cell = &mut foreground[row * width + column];
                    *cell = cell.max(1.0 / cells as f64);
                }
            }
        }
        let free = foreground.iter().filter(|cell| **cell == 0.0).count();
        let of = |cell: &f64| if *cell == 0.0 { 1.0 / free as f64 } else { 0.0 };
        Self {
            background: foreground.iter().map(of).collect(),
            foreground,
        }
    }
}

fn refuse(problem: String) -> Error {
    Error::Shape {
        loss: "fgd",
        problem,
    }
}
