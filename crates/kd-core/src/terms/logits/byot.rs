//! Be your own teacher: the deepest classifier of a network teaches exits from its earlier stages.
//!
//! There is no other network: the student is its own teacher. Every stage before the last gets an exit: a
//! bottleneck of convolutions that brings its map to the channels and the size of the last map, giving
//! `F_i`, and a linear classifier of its average over positions, giving logits `z_i`. With the last map
//! `F`, the student's own logits `z`, `p = softmax(· / T)`, and no gradient to `F` and `z`:
//!
//! - `form = "authors"`, what the authors' code computes and its published results stand for:
//!
//!   `L = Σ_i (1 − α) · CE(z_i, y) + α · CE(z_i / T, p(z)) + λ · ‖avg F_i − avg F‖`,
//!
//!   with the cross-entropy of two distributions, without `T²`, and the plain distance of the averaged maps of
//!   the whole batch at once, so that λ depends on the batch's size;
//! - `form = "paper"`, what the paper writes:
//!
//!   `L = Σ_i (1 − α) · CE(z_i, y) + α · T² · KL(p(z) ‖ p(z_i)) + λ · mean ‖F_i − F‖²`,
//!
//!   whose last part sums squares over channels, and averages them over the batch and positions. Here λ has
//!   another scale, and may need to be found anew.
//!
//! The first two parts are in nats, the third has the unit of a map, or of a squared one. The deepest classifier
//! itself learns from the labels by a term `cross_entropy` beside this one. Exits train together with the
//! student and are no part of it afterwards.
//!
//! The bottleneck is a 1×1 convolution to a quarter of the last map's channels, a 3×3 convolution of
//! stride 2 for every halving of the size (one of stride 1 where there is none), and a 1×1 convolution,
//! each with batch normalisation and a ReLU. Defaults are those of the authors' code, where α is 0.3, λ 0.03
//! and T 3.
//!
//! Source: L. Zhang, J. Song, A. Gao, J. Chen, C. Bao, K. Ma, "Be Your Own Teacher: Improve the
//! Performance of Convolutional Neural Networks via Self Distillation", ICCV 2019.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::{Device, Int, Tensor};
use serde::{Deserialize, Serialize};

use crate::terms::adapter::{linear, resize};
use crate::terms::bottleneck::Bottleneck;
use crate::terms::cross_entropy::cross_entropy;
use crate::terms::kd::kd;
use crate::terms::maps::{average, sum};
use crate::terms::unit::{norm, widened};
use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Part, Step, Taps};

pub(in crate::terms) const ABOUT: About = About {
    name: "byot",
    title: "Be your own teacher",
    formula: "Σ_exits (1 − α) · CE(z_i, y) + α · CE(z_i / T, p) + λ · ‖avg F_i − avg F‖;  paper: α · T² · KL(p ‖ p_i) \
              and λ · mean_b,hw Σ_c (F_i − F)²",
    source: "Zhang, Song, Gao, Chen, Bao, Ma, ICCV 2019",
    needs: "feature maps and logits of the student, labels; no teacher; owns an exit a stage but the last",
    when: "There is no teacher, or none that is better. Combine with cross_entropy, which trains the network's own \
           classifier.",
    teacher: false,
    weight: 1.0,
    reads: &[Part::Maps],
};

/// What of the published method is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ByotForm {
    /// The authors' code.
    #[default]
    Authors,
    /// The formula of the paper.
    Paper,
}

/// What one exit learns: from its logits and the deepest classifier's, both `[batch, classes]`, its
/// features and the last map, both `[batch, channels, height, width]`, and class indices `[batch]`.
///
/// No gradient reaches the deepest classifier's logits and the last map. A label must lie in `0..classes`:
/// this is not checked, because it would make an accelerator wait for the host at every step.
///
/// # Errors
/// [`Error::Shape`] when the shapes differ, the labels are not one a row, or the batch is empty;
/// [`Error::Config`] for a value out of range.
pub fn byot(
    [exit, deepest]: [Tensor<2>; 2],
    [features, last]: [Tensor<4>; 2],
    labels: Tensor<1, Int>,
    config: &ByotConfig,
) -> Result<Tensor<1>, Error> {
    check::same_shape("byot", &exit, &deepest)?;
    check::same_shape("byot", &features, &last)?;
    check::labels_fit("byot", &exit, &labels)?;
    config.check()?;
    let last = last.detach();
    let labelled = cross_entropy(exit.clone(), labels, 0.0)? * (1.0 - config.alpha);
    let (taught, hint) = match config.form {
        ByotForm::Authors => (
            soft_cross_entropy(exit, deepest, config.temperature),
            length(average(features) - average(last)),
        ),
        ByotForm::Paper => {
            let [_, channels, ..] = features.dims();
            // The mean first: a sum over many channels leaves the range of half precision.
            let hint = (features - last).square().mean() * channels as f64;
            (kd(exit, deepest, config.temperature)?, hint)
        }
    };
    Ok(labelled + taught * config.alpha + hint * config.hint)
}

/// Cross-entropy `[1]` of logits with the softmax of `teacher`, both `[batch, classes]`, at a temperature.
fn soft_cross_entropy(student: Tensor<2>, teacher: Tensor<2>, temperature: f64) -> Tensor<1> {
    let p = softmax(teacher.detach() / temperature, 1);
    (p * log_softmax(student / temperature, 1))
        .sum_dim(1)
        .mean()
        .neg()
}

/// Euclidean norm of all numbers, `[1]`; where it is 0 it passes no gradient on.
fn length(values: Tensor<2>) -> Tensor<1> {
    let [batch, width] = values.dims();
    let (dtype, row) = (values.dtype(), values.reshape([1, batch * width]));
    norm(widened(row)).reshape([1]).cast(dtype)
}

/// Parameters of [`Byot`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ByotConfig {
    /// Levels of the student's maps that get an exit: 0 is the stem, then one per stage. Empty: all between
    /// the stem and the last.
    pub levels: Vec<usize>,
    /// Share α of the deepest classifier in what an exit learns, from 0 to 1; the labels have the rest.
    pub alpha: f64,
    /// Weight λ of the distance of an exit's features from the last map, at least 0.
    pub hint: f64,
    /// Temperature of the softmaxes, above 0.
    pub temperature: f64,
    /// `"authors"` as their code, or `"paper"`.
    pub form: ByotForm,
}

impl Default for ByotConfig {
    fn default() -> Self {
        Self {
            levels: Vec::new(),
            alpha: 0.3,
            hint: 0.03,
            temperature: 3.0,
            form: ByotForm::Authors,
        }
    }
}

impl ByotConfig {
    /// Builds the term and its exits from a dry run of the student that kept its maps; a teacher is not
    /// needed.
    ///
    /// # Errors
    /// [`Error::Config`] for a value out of range or a level that is not before the student's last, and
    /// [`Error::MissingTap`] when the dry run did not keep its maps.
    pub fn init(
        &self,
        student: &Output,
        _teacher: Option<&Output>,
        device: &Device,
    ) -> Result<Byot, Error> {
        self.check()?;
        let count = student.levels(Part::Maps);
        let last = count.saturating_sub(1);
        let levels: Vec<usize> = if self.levels.is_empty() {
            (1..last).collect()
        } else {
            self.levels.clone()
        };
        if levels.is_empty() || !check::each_once_below(&levels, last) {
            return Err(Error::Config {
                key: "levels".into(),
                value: format!("{:?}", self.levels),
                expected: format!(
                    "must be levels before the student's last, each once; it has {count} levels, from 0"
                ),
            });
        }
        let [_, classes] = student.logits.dims();
        let deep = student.map(last)?.dims();
        check::not_empty("byot", &deep)?;
        let exits = levels
            .iter()
            .map(|level| {
                Ok(Exit::new(
                    student.map(*level)?.dims(),
                    deep,
                    classes,
                    device,
                ))
            })
            .collect::<Result<_, Error>>()?;
        Ok(Byot {
            config: self.clone(),
            levels,
            last,
            exits,
        })
    }

    fn check(&self) -> Result<(), Error> {
        check::share("alpha", self.alpha)?;
        check::not_negative("hint", self.hint)?;
        check::positive("temperature", self.temperature)
    }
}

/// The sum of [`byot`] over exits of the student.
#[derive(Module, Debug)]
pub struct Byot {
    #[module(skip)]
    config: ByotConfig,
    #[module(skip)]
    levels: Vec<usize>,
    last: usize,
    exits: Vec<Exit>,
}

#[derive(Module, Debug)]
struct Exit {
    bottleneck: Bottleneck,
    classifier: Linear,
}

impl Exit {
    /// For a map of shape `from` and a last map of shape `to`.
    fn new(from: [usize; 4], to: [usize; 4], classes: usize, device: &Device) -> Self {
        let [_, channels, mut height, mut width] = from;
        let [_, deep, ..] = to;
        let mut halvings = 0;
        while height.div_ceil(2) >= to[2] && width.div_ceil(2) >= to[3] && height.max(width) > 1 {
            (height, width) = (height.div_ceil(2), width.div_ceil(2));
            halvings += 1;
        }
        let inner = (deep / 4).max(1);
        Self {
            bottleneck: Bottleneck::new([channels, inner, deep], halvings, device),
            classifier: linear([deep, classes], device),
        }
    }
}

impl Byot {
    /// The student's maps: those with an exit, and the last.
    pub fn taps(&self) -> PairTaps {
        PairTaps {
            student: Taps::levels(
                Part::Maps,
                self.levels.iter().copied().chain([self.last]).collect(),
            ),
            teacher: Taps::none(),
        }
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::MissingTap`], and [`Error::Shape`] when a map does not have the channels of the dry run.
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        let logits = &pair.student.logits;
        let last = pair.student.map(self.last)?;
        let [_, _, height, width] = last.dims();
        let exits = self.levels.iter().zip(&self.exits).map(|(level, exit)| {
            let features = exit.bottleneck.forward("byot", pair.student.map(*level)?)?;
            let features = resize(features, [height, width]);
            byot(
                [
                    exit.classifier.forward(average(features.clone())),
                    logits.clone(),
                ],
                [features, last.clone()],
                pair.class()?.clone(),
                &self.config,
            )
        });
        sum(&logits.device(), exits)
    }
}
