//! MiniLM's self-relations: tokens relate to each other in the student as they do in the teacher.
//!
//! With token vectors `[batch, tokens, width]` (widths may differ) split into `R` relation heads of width
//! `d`, let `p` be the softmax over tokens `j` of `x_i · x_j / √d`, for every head and token `i`:
//!
//! `L = Σ_relations mean over heads and real tokens i of Σ_j p_t · (log p_t − log p_s)`, in nats.
//!
//! MiniLMv2 compares queries, keys and values of one layer, each with itself, and so does the term: those of the student's
//! last layer with those of the teacher's last, or of its 21st of 24. Their heads are joined and split anew into
//! relation heads, so that the networks may have any numbers of heads. Padding is no key, and no row of it counts
//! ([`Output::real_tokens`]).
//!
//! Source: W. Wang, H. Bao, S. Huang, L. Dong, F. Wei, "MiniLMv2: Multi-Head Self-Attention Relation
//! Distillation for Compressing Pretrained Transformers", Findings of ACL 2021.

use burn::module::Module;
use burn::tensor::{Bool, Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::terms::maps::sum;
use crate::terms::transformers::real::{mask_fits, real_tokens};
use crate::terms::transformers::relations::relation_divergence;
use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Part, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "minilm_relation",
    title: "MiniLM's self-relations",
    formula: "Σ_relations mean Σ_j p_t · (log p_t − log p_s),  p = softmax_j( x_i · x_j / √d ) by head",
    source: "Wang, Bao, Huang, Dong, Wei, Findings of ACL 2021",
    needs: "queries, keys and values of both networks, of as many tokens and any width",
    when: "Transformers of different widths and numbers of heads: relations need no adapter.",
    teacher: true,
    weight: 1.0,
    reads: &[Part::Queries, Part::Keys, Part::Values],
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
    minilm_relation_of_real(student, teacher, relation_heads, None)
}

/// [`minilm_relation`] over the tokens that a mask `[batch, tokens]` says are real; 0 where there is none.
///
/// Relations are computed some sequences at a time and not kept.
///
/// # Errors
/// As [`minilm_relation`], and [`Error::Shape`] for a mask of another shape.
pub fn minilm_relation_of_real(
    student: Tensor<3>,
    teacher: Tensor<3>,
    relation_heads: usize,
    real: Option<&Tensor<2, Bool>>,
) -> Result<Tensor<1>, Error> {
    check::same_batch("minilm_relation", &student, &teacher)?;
    check::same_tokens("minilm_relation", &student, &teacher)?;
    heads_fit(relation_heads, &student, &teacher)?;
    let [batch, tokens, _] = student.dims();
    mask_fits("minilm_relation", real, [batch, tokens])?;
    Ok(relation_divergence(student, teacher, relation_heads, real))
}

/// Heads `[batch, heads, tokens, d]` beside each other, `[batch, tokens, heads · d]`.
pub(super) fn joined(heads: Tensor<4>) -> Tensor<3> {
    let [batch, count, tokens, each] = heads.dims();
    heads.swap_dims(1, 2).reshape([batch, tokens, count * each])
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

/// What of a token relates to what of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Relation {
    /// Queries with queries.
    Queries,
    /// Keys with keys.
    Keys,
    /// Values with values.
    Values,
}

impl Relation {
    fn part(self) -> Part {
        match self {
            Self::Queries => Part::Queries,
            Self::Keys => Part::Keys,
            Self::Values => Part::Values,
        }
    }
}

/// Parameters of [`MiniLmRelation`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MiniLmRelationConfig {
    /// What is compared: some of `queries`, `keys` and `values`.
    pub relations: Vec<Relation>,
    /// Layer of the student, from 1, and 0 for its last.
    pub layer: usize,
    /// Layer of the teacher, from 1, and 0 for the paper's: the 21st of 24, and the last of fewer.
    pub teacher_layer: usize,
    /// Heads into which both widths are split; it must divide them.
    pub relation_heads: usize,
}

impl Default for MiniLmRelationConfig {
    fn default() -> Self {
        Self {
            relations: vec![Relation::Queries, Relation::Keys, Relation::Values],
            layer: 0,
            teacher_layer: 0,
            relation_heads: 48,
        }
    }
}

impl MiniLmRelationConfig {
    /// Builds the term from a dry run of both networks that kept their queries, keys and values; the device is not
    /// needed.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::Config`] when a network lacks the layer, no relation or one twice is listed, or the
    /// heads do not divide a width, [`Error::MissingTap`] when a dry run did not keep a part, and [`Error::Shape`] when
    /// the numbers of tokens differ.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        _device: &Device,
    ) -> Result<MiniLmRelation, Error> {
        let teacher = teacher.ok_or(Error::NoTeacher)?;
        let mut relations = self.relations.clone();
        relations.sort();
        relations.dedup();
        if relations.is_empty() || relations.len() != self.relations.len() {
            return Err(Error::Config {
                key: "relations".into(),
                value: format!("{:?}", self.relations).to_lowercase(),
                expected: "must be some of `queries`, `keys` and `values`, each once".into(),
            });
        }
        let part = relations[0].part();
        let counts = [student, teacher].map(|output| output.levels(part));
        let upper_middle = if counts[1] == 24 { 21 } else { 0 };
        let of_teacher = match self.teacher_layer {
            0 => upper_middle,
            layer => layer,
        };
        let layers = [
            layer("layer", self.layer, counts[0])?,
            layer("teacher_layer", of_teacher, counts[1])?,
        ];
        for relation in &relations {
            let of = |output: &Output, layer| output.get(relation.part(), layer).map(joined);
            let (student, teacher) = (of(student, layers[0])?, of(teacher, layers[1])?);
            check::same_tokens("minilm_relation", &student, &teacher)?;
            heads_fit(self.relation_heads, &student, &teacher)?;
        }
        Ok(MiniLmRelation {
            relations,
            layers,
            relation_heads: self.relation_heads,
        })
    }
}

/// A layer's level; 0 is the last.
fn layer(key: &str, layer: usize, count: usize) -> Result<usize, Error> {
    match layer {
        _ if count == 0 || layer > count => Err(Error::Config {
            key: key.into(),
            value: layer.to_string(),
            expected: format!(
                "the network shows queries, keys and values of {count} layers, from 1"
            ),
        }),
        0 => Ok(count - 1),
        layer => Ok(layer - 1),
    }
}

/// The sum of [`minilm_relation`] over queries, keys and values of a layer of the two networks.
#[derive(Module, Debug)]
pub struct MiniLmRelation {
    #[module(skip)]
    relations: Vec<Relation>,
    #[module(skip)]
    layers: [usize; 2],
    relation_heads: usize,
}

impl MiniLmRelation {
    /// Queries, keys and values of the compared layers.
    pub fn taps(&self) -> PairTaps {
        let relations = self.relations.iter();
        let each = relations.map(|relation| PairTaps::levels(relation.part(), &[self.layers]));
        each.fold(PairTaps::default(), PairTaps::union)
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`], and as [`minilm_relation`].
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        let (teacher, real) = (pair.teacher()?, real_tokens(pair));
        let losses = self.relations.iter().map(|relation| {
            minilm_relation_of_real(
                joined(pair.student.get(relation.part(), self.layers[0])?),
                joined(teacher.get(relation.part(), self.layers[1])?),
                self.relation_heads,
                real,
            )
        });
        sum(&pair.student.logits.device(), losses)
    }
}
