//! MiniLM's self-relations: tokens relate to each other in the student as they do in the teacher.
//!
//! With token vectors `[batch, tokens, width]` (widths may differ) split into `R` relation heads of width
//! `d`, let `p` be the softmax over tokens `j` of `x_i · x_j / √d`, for every head and token `i`:
//!
//! `L = Σ_levels mean over batch, heads and tokens i of Σ_j p_t · (log p_t − log p_s)`, in nats.
//!
//! MiniLMv2 compares queries, keys and values of one layer, each with itself: the function takes any of them. A
//! network's output shows hidden states only, and so the *term* compares the relations of hidden states, by
//! default of the last layer. Padding counts as any token. Layers meet in proportion to their depth.
//!
//! Source: W. Wang, H. Bao, S. Huang, L. Dong, F. Wei, "MiniLMv2: Multi-Head Self-Attention Relation
//! Distillation for Compressing Pretrained Transformers", Findings of ACL 2021.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::terms::kd::divergence;
use crate::terms::maps::sum;
use crate::terms::transformers::layers::{Counted, LayerPair, pair_layers};
use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Part, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "minilm_relation",
    title: "MiniLM's self-relations",
    formula: "Σ_levels mean Σ_j p_t · (log p_t − log p_s),  p = softmax_j( x_i · x_j / √d ) by head",
    source: "Wang, Bao, Huang, Dong, Wei, Findings of ACL 2021",
    needs: "token sequences of both networks, of as many tokens and any width",
    when: "Transformers of different widths and numbers of heads: relations need no adapter.",
    teacher: true,
    weight: 1.0,
    reads: &[Part::Tokens],
};

/// Self-relation loss of queries, keys, values or hidden states `[batch, tokens, width]`, whose widths
/// may differ.
///
/// No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when batch sizes or numbers of tokens differ or the batch is empty;
/// [`Error::Config`] when `relation_heads` does not divide both widths.
pub fn minilm_relation(
    student: Tensor<3>,
    teacher: Tensor<3>,
    relation_heads: usize,
) -> Result<Tensor<1>, Error> {
    check::same_batch("minilm_relation", &student, &teacher)?;
    check::same_tokens("minilm_relation", &student, &teacher)?;
    heads_fit(relation_heads, &student, &teacher)?;
    let [student, teacher] = [student, teacher].map(|x| relations(x, relation_heads));
    Ok(divergence(student, teacher))
}

/// Scaled products of tokens before the softmax, a row for each batch entry, head and token.
fn relations(x: Tensor<3>, heads: usize) -> Tensor<2> {
    let [batch, tokens, width] = x.dims();
    let depth = width / heads;
    // Both factors of a product get their share of the scale, so that it stays in range.
    let x = x / (depth as f64).powf(0.25);
    let x = x.reshape([batch, tokens, heads, depth]).swap_dims(1, 2);
    x.clone()
        .matmul(x.transpose())
        .reshape([batch * heads * tokens, tokens])
}

fn heads_fit(heads: usize, student: &Tensor<3>, teacher: &Tensor<3>) -> Result<(), Error> {
    let [[_, _, student], [_, _, teacher]] = [student.dims(), teacher.dims()];
    if heads > 0 && student % heads == 0 && teacher % heads == 0 {
        return Ok(());
    }
    Err(Error::Config {
        key: "relation_heads".into(),
        value: heads.to_string(),
        expected: format!("must divide the widths of student and teacher, {student} and {teacher}"),
    })
}

/// Parameters of [`MiniLmRelation`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MiniLmRelationConfig {
    /// Levels of the student's token sequences: 0 is the embedding, then one a layer. Empty: the last.
    pub levels: Vec<usize>,
    /// Heads into which both widths are split; it must divide them.
    pub relation_heads: usize,
}

impl Default for MiniLmRelationConfig {
    fn default() -> Self {
        Self {
            levels: Vec::new(),
            relation_heads: 48,
        }
    }
}

impl MiniLmRelationConfig {
    /// Builds the term from a dry run of both networks that kept their token sequences; the device is
    /// not needed.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::Config`] when a network has no token sequences or lacks a level or
    /// the heads do not divide a width, [`Error::MissingTap`] when a dry run did not keep it, and
    /// [`Error::Shape`] when the numbers of tokens differ.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        _device: &Device,
    ) -> Result<MiniLmRelation, Error> {
        let teacher = teacher.ok_or(Error::NoTeacher)?;
        let counts = [student.levels(Part::Tokens), teacher.levels(Part::Tokens)];
        let last = |count: usize| vec![count - 1];
        let levels = pair_layers(Counted::Sequences, &self.levels, last, counts)?;
        for [of_student, of_teacher] in &levels {
            let student = student.tokens(*of_student)?;
            let teacher = teacher.tokens(*of_teacher)?;
            check::same_tokens("minilm_relation", &student, &teacher)?;
            heads_fit(self.relation_heads, &student, &teacher)?;
        }
        Ok(MiniLmRelation {
            levels,
            relation_heads: self.relation_heads,
        })
    }
}

/// The sum of [`minilm_relation`] over hidden states of the two networks.
#[derive(Module, Debug)]
pub struct MiniLmRelation {
    #[module(skip)]
    levels: Vec<LayerPair>,
    relation_heads: usize,
}

impl MiniLmRelation {
    /// The token sequences of the compared layers.
    pub fn taps(&self) -> PairTaps {
        PairTaps::levels(Part::Tokens, &self.levels)
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`], and as [`minilm_relation`].
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        let teacher = pair.teacher()?;
        let losses = self.levels.iter().map(|[of_student, of_teacher]| {
            minilm_relation(
                pair.student.tokens(*of_student)?,
                teacher.tokens(*of_teacher)?,
                self.relation_heads,
            )
        });
        sum(&pair.student.logits.device(), losses)
    }
}
