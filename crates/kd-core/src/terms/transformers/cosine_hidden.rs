//! Cosine distance of hidden states: the student's token vectors point where the teacher's do.
//!
//! With token vectors `[batch, tokens, width]` divided by their Euclidean norm:
//!
//! `L = Σ_levels mean over real tokens of ½ ‖s − t‖² = mean of 1 − cos(s, t)`, without a unit.
//!
//! The form with the difference keeps its digits where the two agree. A vector of zeros has no direction:
//! it costs ½ against any direction and 0 against another. Padding does not count
//! ([`Output::real_tokens`]). In the term, a student of another width gets a linear layer to the teacher's,
//! and layers meet in proportion to their depth.
//!
//! Source: V. Sanh, L. Debut, J. Chaumond, T. Wolf, "DistilBERT, a Distilled Version of BERT: Smaller,
//! Faster, Cheaper and Lighter", NeurIPS EMC² workshop 2019.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Bool, Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::terms::adapter::linear;
use crate::terms::maps::sum;
use crate::terms::transformers::layers::{Counted, LayerPair, pair_layers};
use crate::terms::transformers::real::{mask_fits, mean_of_tokens, real_tokens};
use crate::terms::unit::unit;
use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Part, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "cosine_hidden",
    title: "Cosine distance of hidden states",
    formula: "Σ_levels mean( 1 − cos(h_s, h_t) ) over real tokens",
    source: "Sanh, Debut, Chaumond, Wolf, NeurIPS EMC² workshop 2019",
    needs: "token sequences of both networks, of as many tokens; owns a linear layer where widths \
            differ",
    when: "Transformers, beside kd: DistilBERT's third loss.",
    teacher: true,
    weight: 1.0,
    reads: &[Part::Tokens],
};

/// Mean of `1 − cos` of token vectors `[batch, tokens, width]`.
///
/// No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when the shapes differ or the batch is empty.
pub fn cosine_hidden(student: Tensor<3>, teacher: Tensor<3>) -> Result<Tensor<1>, Error> {
    cosine_of_real(student, teacher, None)
}

/// [`cosine_hidden`] over the tokens that a mask `[batch, tokens]` says are real; 0 where there is none.
///
/// # Errors
/// As [`cosine_hidden`], and [`Error::Shape`] for a mask of another shape.
pub fn cosine_of_real(
    student: Tensor<3>,
    teacher: Tensor<3>,
    real: Option<&Tensor<2, Bool>>,
) -> Result<Tensor<1>, Error> {
    check::same_shape("cosine_hidden", &student, &teacher)?;
    let [batch, tokens, _] = student.dims();
    mask_fits("cosine_hidden", real, [batch, tokens])?;
    let [student, teacher] = [student, teacher.detach()].map(unit);
    let apart = (student - teacher).square().sum_dim(2).squeeze_dim(2);
    Ok(mean_of_tokens(apart, real) * 0.5)
}

/// Parameters of [`CosineHidden`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CosineHiddenConfig {
    /// Levels of the student's token sequences: 0 is the embedding, then one a layer. Empty: the last.
    pub levels: Vec<usize>,
}

impl CosineHiddenConfig {
    /// Builds the term from a dry run of both networks that kept their token sequences.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::Config`] when a network has no token sequences or lacks a level,
    /// [`Error::MissingTap`] when a dry run did not keep it, and [`Error::Shape`] when the numbers of
    /// tokens differ.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        device: &Device,
    ) -> Result<CosineHidden, Error> {
        let teacher = teacher.ok_or(Error::NoTeacher)?;
        let counts = [student.levels(Part::Tokens), teacher.levels(Part::Tokens)];
        let last = |count: usize| vec![count - 1];
        let levels = pair_layers(Counted::Sequences, &self.levels, last, counts)?;
        let widths = levels
            .iter()
            .map(|[of_student, of_teacher]| {
                let student = student.tokens(*of_student)?;
                let teacher = teacher.tokens(*of_teacher)?;
                check::same_tokens("cosine_hidden", &student, &teacher)?;
                let [[_, _, from], [_, _, to]] = [student.dims(), teacher.dims()];
                Ok((from != to).then(|| linear([from, to], device)))
            })
            .collect::<Result<_, Error>>()?;
        Ok(CosineHidden { levels, widths })
    }
}

/// The sum of [`cosine_hidden`] over layers of the two networks.
#[derive(Module, Debug)]
pub struct CosineHidden {
    #[module(skip)]
    levels: Vec<LayerPair>,
    widths: Vec<Option<Linear>>,
}

impl CosineHidden {
    /// The token sequences of the compared layers.
    pub fn taps(&self) -> PairTaps {
        PairTaps::levels(Part::Tokens, &self.levels)
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`], and as [`cosine_hidden`].
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        let teacher = pair.teacher()?;
        let levels = self.levels.iter().zip(&self.widths);
        let losses = levels.map(|([of_student, of_teacher], width)| {
            let student = pair.student.tokens(*of_student)?;
            let student = match width {
                Some(width) => width.forward(student),
                None => student,
            };
            cosine_of_real(student, teacher.tokens(*of_teacher)?, real_tokens(pair))
        });
        sum(&pair.student.logits.device(), losses)
    }
}
