//! Patient knowledge distillation: the student's class tokens point where those of the teacher's layers do.
//!
//! With the first token's vectors of some layers, `[batch, layers, width]`, each divided by its Euclidean norm:
//!
//! `L = mean over batch, layers and width of (s − t)²`, without a unit.
//!
//! The term compares all layers of the student but the last, whose class token the logits read: with the layers of the
//! teacher that are as deep in proportion (`skip`), or with those before its last (`last`). Beside it stand a
//! cross-entropy and [`kd`](crate::terms::kd) with a temperature of 5 to 20; the paper's weight of this term is 10 to
//! 1000. A student of another width, which the paper has none of, gets a linear layer to the teacher's a layer.
//!
//! Source: S. Sun, Y. Cheng, Z. Gan, J. Liu, "Patient Knowledge Distillation for BERT Model Compression", EMNLP 2019.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::terms::adapter::linear;
use crate::terms::transformers::layers::{Counted, LayerPair, pair_layers};
use crate::terms::unit::unit;
use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Part, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "pkd_bert",
    title: "Patient knowledge distillation",
    formula: "mean( (s / ‖s‖ − t / ‖t‖)² ),  s and t the class token after layers",
    source: "Sun, Cheng, Gan, Liu, EMNLP 2019",
    needs: "token sequences of both networks, whose first is a class token; owns linear layers where widths differ",
    when: "BERTs of one width, beside cross_entropy and kd.",
    teacher: true,
    weight: 100.0,
    reads: &[Part::Tokens],
};

/// Mean squared difference of class tokens `[batch, layers, width]` of unit length.
///
/// No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when the shapes differ or the batch is empty.
pub fn pkd_bert(student: Tensor<3>, teacher: Tensor<3>) -> Result<Tensor<1>, Error> {
    check::same_shape("pkd_bert", &student, &teacher)?;
    let [student, teacher] = [student, teacher.detach()].map(unit);
    Ok((student - teacher).square().mean())
}

/// Which layers of the teacher are followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PkdBertLayers {
    /// Those that are as deep in proportion.
    #[default]
    Skip,
    /// Those before the last.
    Last,
}

/// Parameters of [`PkdBert`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PkdBertConfig {
    /// Layers of the teacher: `skip` or `last`.
    pub layers: PkdBertLayers,
}

impl PkdBertConfig {
    /// Builds the term from a dry run of both networks that kept their token sequences.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::Config`] when the student has fewer than two layers or the teacher fewer than the
    /// student, and [`Error::MissingTap`] when a dry run did not keep its token sequences.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        device: &Device,
    ) -> Result<PkdBert, Error> {
        let teacher = teacher.ok_or(Error::NoTeacher)?;
        let counts = [student.levels(Part::Tokens), teacher.levels(Part::Tokens)];
        if counts[0] < 3 || counts[1] < counts[0] {
            return Err(Error::Config {
                key: "layers".into(),
                value: format!("{:?}", self.layers).to_lowercase(),
                expected: format!(
                    "the student must have at least two layers and the teacher as many; they show {} and {} levels of \
                     tokens",
                    counts[0], counts[1]
                ),
            });
        }
        let inner = |count: usize| (1..count - 1).collect();
        let mut levels = pair_layers(Counted::Sequences, &[], inner, counts)?;
        if self.layers == PkdBertLayers::Last {
            for [of_student, of_teacher] in &mut levels {
                *of_teacher = *of_student + counts[1] - counts[0];
            }
        }
        let widths = levels
            .iter()
            .map(|[of_student, of_teacher]| {
                let [_, _, from] = student.tokens(*of_student)?.dims();
                let [_, _, to] = teacher.tokens(*of_teacher)?.dims();
                Ok((from != to).then(|| linear([from, to], device)))
            })
            .collect::<Result<_, Error>>()?;
        Ok(PkdBert { levels, widths })
    }
}

/// The [`pkd_bert`] loss of layers of the two networks.
#[derive(Module, Debug)]
pub struct PkdBert {
    #[module(skip)]
    levels: Vec<LayerPair>,
    widths: Vec<Option<Linear>>,
}

impl PkdBert {
    /// The token sequences of the compared layers.
    pub fn taps(&self) -> PairTaps {
        PairTaps::levels(Part::Tokens, &self.levels)
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`], and as [`pkd_bert`].
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        let teacher = pair.teacher()?;
        let class = |tokens: Tensor<3>| tokens.narrow(1, 0, 1);
        let mut tokens = [Vec::new(), Vec::new()];
        for ([of_student, of_teacher], width) in self.levels.iter().zip(&self.widths) {
            let own = class(pair.student.tokens(*of_student)?);
            tokens[0].push(match width {
                Some(width) => width.forward(own),
                None => own,
            });
            tokens[1].push(class(teacher.tokens(*of_teacher)?));
        }
        let [student, teacher] = tokens.map(|tokens| Tensor::cat(tokens, 1));
        pkd_bert(student, teacher)
    }
}
