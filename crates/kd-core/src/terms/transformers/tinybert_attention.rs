//! TinyBERT's attention loss: the student attends to the tokens that the teacher attends to.
//!
//! With attention scores `q·kᵀ / √d` before mask and softmax, `[batch, heads, tokens, tokens]` of one shape:
//!
//! `L = Σ_levels mean over heads and pairs of real tokens of (a_s − a_t)²`, in the unit of a squared score.
//!
//! Scores of at most −100, how a mask spells "never", count as 0. The authors' code takes the mean over everything:
//! a masked key is 0 in both networks there, and rows of padding, whose states mean nothing, are compared like others.
//! `include_padding` does that. Without, it is the masked attention loss of TextBrewer (Yang et al., ACL 2020). The
//! term compares every layer of the student with the layer of the teacher that is as deep in proportion.
//!
//! Source: X. Jiao, Y. Yin, L. Shang, X. Jiang, X. Chen, L. Li, F. Wang, Q. Liu, "TinyBERT: Distilling BERT
//! for Natural Language Understanding", Findings of EMNLP 2020.

use burn::module::Module;
use burn::tensor::{Bool, Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::terms::maps::sum;
use crate::terms::transformers::layers::{Counted, LayerPair, pair_layers};
use crate::terms::transformers::real::{beside_heads, mask_fits, mean_of_pairs, real_tokens};
use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Part, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "tinybert_attention",
    title: "TinyBERT's attention loss",
    formula: "Σ_levels mean( (a_s − a_t)² ) over pairs of real tokens,  a = q · k / √d",
    source: "Jiao, Yin, Shang, Jiang, Chen, Li, Wang, Liu, Findings of EMNLP 2020",
    needs: "attention scores of both networks, of as many heads and tokens",
    when: "Transformers of the same number of heads, whose student is shallower or narrower.",
    teacher: true,
    weight: 1.0,
    reads: &[Part::Scores],
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
    attention_of_real(student, teacher, None, false)
}

/// [`tinybert_attention`] over pairs of the tokens that a mask `[batch, tokens]` says are real, or, with
/// `include_padding`, over everything, where masked keys count as 0; 0 where no token is real.
///
/// # Errors
/// As [`tinybert_attention`], and [`Error::Shape`] for a mask of another shape.
pub fn attention_of_real(
    student: Tensor<4>,
    teacher: Tensor<4>,
    real: Option<&Tensor<2, Bool>>,
    include_padding: bool,
) -> Result<Tensor<1>, Error> {
    check::same_shape("tinybert_attention", &student, &teacher)?;
    let shape = student.dims();
    mask_fits("tinybert_attention", real, [shape[0], shape[3]])?;
    let [student, teacher] = [student, teacher.detach()].map(|scores| {
        let masked = scores.clone().detach().lower_equal_elem(MASKED);
        scores.mask_fill(masked, 0.0)
    });
    let apart = (student - teacher).square();
    Ok(match real {
        Some(real) if include_padding => {
            let padding = beside_heads(real, 3).bool_not().expand(shape);
            apart.mask_fill(padding, 0.0).mean()
        }
        real => mean_of_pairs(apart, real),
    })
}

/// Parameters of [`TinyBertAttention`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TinyBertAttentionConfig {
    /// Layers of the student, from 0. Empty: all.
    pub levels: Vec<usize>,
    /// Whether the mean is taken over padding too, as the authors' code does.
    pub include_padding: bool,
}

impl TinyBertAttentionConfig {
    /// Builds the term from a dry run of both networks that kept their attention scores; the device is not
    /// needed.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::Config`] when a network has no attention scores or lacks a layer,
    /// [`Error::MissingTap`] when a dry run did not keep it, and [`Error::Shape`] when heads or tokens
    /// differ.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        _device: &Device,
    ) -> Result<TinyBertAttention, Error> {
        let teacher = teacher.ok_or(Error::NoTeacher)?;
        let counts = [student.levels(Part::Scores), teacher.levels(Part::Scores)];
        let all = |count: usize| (0..count).collect();
        let levels = pair_layers(Counted::Attentions, &self.levels, all, counts)?;
        for [of_student, of_teacher] in &levels {
            // The dry runs may have batches of their own.
            let scores = |output: &Output, level| output.get::<Tensor<4>>(Part::Scores, level);
            let [_, heads, rows, columns] = scores(student, *of_student)?.dims();
            let shape = [1, heads, rows, columns];
            let [_, heads, rows, columns] = scores(teacher, *of_teacher)?.dims();
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
        Ok(TinyBertAttention {
            levels,
            include_padding: self.include_padding,
        })
    }
}

/// The sum of [`tinybert_attention`] over layers of the two networks.
#[derive(Module, Debug)]
pub struct TinyBertAttention {
    #[module(skip)]
    levels: Vec<LayerPair>,
    include_padding: bool,
}

impl TinyBertAttention {
    /// The scores of the compared layers.
    pub fn taps(&self) -> PairTaps {
        PairTaps::levels(Part::Scores, &self.levels)
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`], and as [`tinybert_attention`].
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        let teacher = pair.teacher()?;
        let losses = self.levels.iter().map(|[of_student, of_teacher]| {
            attention_of_real(
                pair.student.get(Part::Scores, *of_student)?,
                teacher.get(Part::Scores, *of_teacher)?,
                real_tokens(pair),
                self.include_padding,
            )
        });
        sum(&pair.student.logits.device(), losses)
    }
}
