//! MiniLM: in the last layer the student attends, and relates values, as the teacher does.
//!
//! With attention probabilities `a`, and relations `v`, the softmax over tokens `j` of `v_i · v_j / √d` by head:
//!
//! `L = mean over heads and real tokens i of Σ_j a_t · (log a_t − log a_s) + the same of v`, in nats.
//!
//! Padding is no key, and no row of it counts. Both networks have as many heads; widths may differ. The attention's
//! probabilities come from the scores before the mask.
//!
//! Source: W. Wang, F. Wei, L. Dong, H. Bao, N. Yang, M. Zhou, "MiniLM: Deep Self-Attention Distillation for
//! Task-Agnostic Compression of Pre-Trained Transformers", NeurIPS 2020.

use burn::module::Module;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Bool, Device, Tensor};
use serde::{Deserialize, Serialize};

use super::minilm_relation::{joined, minilm_relation_of_real};
use crate::terms::transformers::real::{mask_fits, mean_of_tokens, of_real_keys, real_tokens};
use crate::terms::{About, check};
use crate::{Error, Levels, Output, Pair, PairTaps, Part, Step, Taps};

pub(in crate::terms) const ABOUT: About = About {
    name: "minilm",
    title: "MiniLM",
    formula: "mean Σ_j a_t · (log a_t − log a_s) + mean Σ_j r_t · (log r_t − log r_s),  r = softmax_j( v_i · v_j / √d )",
    source: "Wang, Wei, Dong, Bao, Yang, Zhou, NeurIPS 2020",
    needs: "attention scores and values of both networks, of as many heads and tokens and any width",
    when: "Transformers of as many heads and any depths and widths: no adapter, and no layers to be chosen.",
    teacher: true,
    weight: 1.0,
    reads: &[Part::Scores, Part::Values],
};

/// Divergence of attention probabilities, from scores `[batch, heads, tokens, tokens]` before mask and softmax, over the
/// tokens that a mask `[batch, tokens]` says are real.
///
/// No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when the shapes differ or the batch is empty.
pub fn minilm_attention(
    student: Tensor<4>,
    teacher: Tensor<4>,
    real: Option<&Tensor<2, Bool>>,
) -> Result<Tensor<1>, Error> {
    check::same_shape("minilm", &student, &teacher)?;
    let [batch, _, _, tokens] = student.dims();
    mask_fits("minilm", real, [batch, tokens])?;
    let [student, teacher] =
        [student, teacher.detach()].map(|scores| log_softmax(of_real_keys(scores, real), 3));
    let apart = (teacher.clone().exp() * (teacher - student)).sum_dim(3);
    let apart: Tensor<3> = apart.squeeze_dim(3);
    Ok(mean_of_tokens(apart.mean_dim(1).squeeze_dim(1), real))
}

/// Parameters of [`MiniLm`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MiniLmConfig {}

impl MiniLmConfig {
    /// Builds the term from a dry run of both networks that kept scores and values of their last layers; the device is
    /// not needed.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`] for a network that lacks a part, and [`Error::Shape`] when the numbers
    /// of heads or tokens differ.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        _device: &Device,
    ) -> Result<MiniLm, Error> {
        let teacher = teacher.ok_or(Error::NoTeacher)?;
        let layers = [student, teacher].map(|o| o.levels(Part::Scores).saturating_sub(1));
        let of = |output: &Output, layer| {
            output.get::<Tensor<4>>(Part::Values, layer)?;
            let [_, heads, tokens, _] = output.get::<Tensor<4>>(Part::Scores, layer)?.dims();
            Ok([heads, tokens])
        };
        let (own, theirs) = (of(student, layers[0])?, of(teacher, layers[1])?);
        if own != theirs {
            return Err(Error::Shape {
                loss: "minilm",
                problem: format!(
                    "the student has {} heads for {} tokens and the teacher {} for {}; minilm_relation splits both into \
                     heads of its own",
                    own[0], own[1], theirs[0], theirs[1]
                ),
            });
        }
        Ok(MiniLm { layers })
    }
}

/// [`minilm_attention`] and the relation of values
/// ([`minilm_relation`](crate::terms::minilm_relation::minilm_relation)) of the last layers.
#[derive(Module, Debug)]
pub struct MiniLm {
    #[module(skip)]
    layers: [usize; 2],
}

impl MiniLm {
    /// Scores and values of the last layers.
    pub fn taps(&self) -> PairTaps {
        let [student, teacher] = self.layers.map(|layer| {
            let values = Taps::levels(Part::Values, Levels::one(layer));
            values.with(Part::Scores, Levels::one(layer))
        });
        PairTaps { student, teacher }
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`], and as [`minilm_attention`].
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        let (teacher, real) = (pair.teacher()?, real_tokens(pair));
        let [own, theirs] = self.layers;
        let values: Tensor<4> = pair.student.get(Part::Values, own)?;
        let heads = values.dims()[1];
        let attention = minilm_attention(
            pair.student.get(Part::Scores, own)?,
            teacher.get(Part::Scores, theirs)?,
            real,
        )?;
        let values = minilm_relation_of_real(
            joined(values),
            joined(teacher.get(Part::Values, theirs)?),
            heads,
            real,
        )?;
        Ok(attention + values)
    }
}
