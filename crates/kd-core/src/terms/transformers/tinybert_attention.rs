//! TinyBERT's attention loss: the student attends to the tokens that the teacher attends to.
//!
//! With attention scores `[batch, heads, tokens, tokens]` of one shape, in which scores of at most −100,
//! how a mask spells "never", count as 0:
//!
//! `L = Σ_levels mean over every element of (a_s − a_t)²`, in the unit of a squared score.
//!
//! The paper compares scores before the softmax: give those to the function. A network's output shows
//! probabilities, and so the *term* compares these, of every layer of the student with the layer of the
//! teacher that is as deep in proportion.
//!
//! Source: X. Jiao, Y. Yin, L. Shang, X. Jiang, X. Chen, L. Li, F. Wang, Q. Liu, "TinyBERT: Distilling BERT
//! for Natural Language Understanding", Findings of EMNLP 2020.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::terms::maps::sum;
use crate::terms::transformers::layers::{Counted, LayerPair, pair_layers};
use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Part, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "tinybert_attention",
    title: "TinyBERT's attention loss",
    formula: "Σ_levels mean( (a_s − a_t)² ),  masked scores count as 0",
    source: "Jiao, Yin, Shang, Jiang, Chen, Li, Wang, Liu, Findings of EMNLP 2020",
    needs: "attentions of both networks, of as many heads and tokens",
    when: "Transformers of the same number of heads, whose student is shallower or narrower.",
    teacher: true,
    weight: 1.0,
    reads: &[Part::Attentions],
};

/// A score of at most this is a masked one.
const MASKED: f64 = -100.0;

/// Mean squared difference of attention scores `[batch, heads, tokens, tokens]`.
///
/// No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when the shapes differ or the batch is empty.
pub fn tinybert_attention(student: Tensor<4>, teacher: Tensor<4>) -> Result<Tensor<1>, Error> {
    check::same_shape("tinybert_attention", &student, &teacher)?;
    let [student, teacher] = [student, teacher.detach()].map(|scores| {
        let masked = scores.clone().detach().lower_equal_elem(MASKED);
        scores.mask_fill(masked, 0.0)
    });
    Ok((student - teacher).square().mean())
}

/// Parameters of [`TinyBertAttention`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TinyBertAttentionConfig {
    /// Layers of the student, from 0. Empty: all.
    pub levels: Vec<usize>,
}

impl TinyBertAttentionConfig {
    /// Builds the term from a dry run of both networks that kept their attentions; the device is not
    /// needed.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::Config`] when a network has no attentions or lacks a layer,
    /// [`Error::MissingTap`] when a dry run did not keep it, and [`Error::Shape`] when heads or tokens
    /// differ.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        _device: &Device,
    ) -> Result<TinyBertAttention, Error> {
        let teacher = teacher.ok_or(Error::NoTeacher)?;
        let counts = [
            student.levels(Part::Attentions),
            teacher.levels(Part::Attentions),
        ];
        let all = |count: usize| (0..count).collect();
        let levels = pair_layers(Counted::Attentions, &self.levels, all, counts)?;
        for [of_student, of_teacher] in &levels {
            // The dry runs may have batches of their own.
            let [_, heads, rows, columns] = student.attention(*of_student)?.dims();
            let shape = [1, heads, rows, columns];
            let [_, heads, rows, columns] = teacher.attention(*of_teacher)?.dims();
            let other = [1, heads, rows, columns];
            if shape != other {
                return Err(Error::Shape {
                    loss: "tinybert_attention",
                    problem: format!(
                        "a sample's attention has heads and tokens {:?} in the student and {:?} in the \
                         teacher",
                        &shape[1..],
                        &other[1..]
                    ),
                });
            }
        }
        Ok(TinyBertAttention { levels })
    }
}

/// The sum of [`tinybert_attention`] over layers of the two networks.
#[derive(Module, Debug)]
pub struct TinyBertAttention {
    #[module(skip)]
    levels: Vec<LayerPair>,
}

impl TinyBertAttention {
    /// The attentions of the compared layers.
    pub fn taps(&self) -> PairTaps {
        PairTaps::levels(Part::Attentions, &self.levels)
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`], and as [`tinybert_attention`].
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        let teacher = pair.teacher()?;
        let losses = self.levels.iter().map(|[of_student, of_teacher]| {
            tinybert_attention(
                pair.student.attention(*of_student)?,
                teacher.attention(*of_teacher)?,
            )
        });
        sum(&pair.student.logits.device(), losses)
    }
}
