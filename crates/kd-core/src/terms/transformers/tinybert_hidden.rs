//! TinyBERT's loss of hidden states: the student's token vectors are the teacher's.
//!
//! With token vectors `[batch, tokens, width]` of one shape:
//!
//! `L = Σ_levels mean over real tokens and width of (h_s − h_t)²`, in the unit of a squared number.
//!
//! In the term, embeddings and all layers are compared, each with the level of the teacher that is as deep in
//! proportion. A student of another width gets one linear layer to the teacher's, which all levels share. The authors'
//! code takes the mean over padding too (`include_padding`); without, it is the masked loss of TextBrewer (Yang et al.,
//! ACL 2020).
//!
//! Source: X. Jiao, Y. Yin, L. Shang, X. Jiang, X. Chen, L. Li, F. Wang, Q. Liu, "TinyBERT: Distilling BERT for Natural
//! Language Understanding", Findings of EMNLP 2020.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Bool, Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::terms::adapter::linear;
use crate::terms::maps::sum;
use crate::terms::transformers::layers::{Counted, LayerPair, pair_layers};
use crate::terms::transformers::real::{mask_fits, mean_of_tokens, real_tokens};
use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Part, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "tinybert_hidden",
    title: "TinyBERT's loss of hidden states",
    formula: "Σ_levels mean( (h_s · W − h_t)² ) over real tokens",
    source: "Jiao, Yin, Shang, Jiang, Chen, Li, Wang, Liu, Findings of EMNLP 2020",
    needs: "token sequences of both networks, of as many tokens; owns a linear layer where widths differ",
    when: "Beside tinybert_attention, before the student learns the task.",
    teacher: true,
    weight: 1.0,
    reads: &[Part::Tokens],
};

/// Mean squared difference of token vectors `[batch, tokens, width]` over the tokens that a mask `[batch, tokens]` says
/// are real; over all without one, and 0 where no token is real.
///
/// No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when shapes differ or the batch is empty.
pub fn tinybert_hidden(
    student: Tensor<3>,
    teacher: Tensor<3>,
    real: Option<&Tensor<2, Bool>>,
) -> Result<Tensor<1>, Error> {
    check::same_shape("tinybert_hidden", &student, &teacher)?;
    let [batch, tokens, _] = student.dims();
    mask_fits("tinybert_hidden", real, [batch, tokens])?;
    let apart = (student - teacher.detach()).square();
    Ok(mean_of_tokens(apart.mean_dim(2).squeeze_dim(2), real))
}

/// Parameters of [`TinyBertHidden`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TinyBertHiddenConfig {
    /// Levels of the student's token sequences: 0 is the embedding, then one a layer. Empty: all.
    pub levels: Vec<usize>,
    /// Whether the mean is taken over padding too, as the authors' code does.
    pub include_padding: bool,
}

impl TinyBertHiddenConfig {
    /// Builds the term from a dry run of both networks that kept their token sequences.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::Config`] when a network has no token sequences or lacks a level,
    /// [`Error::MissingTap`] when a dry run did not keep it, and [`Error::Shape`] when the numbers of tokens differ.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        device: &Device,
    ) -> Result<TinyBertHidden, Error> {
        let teacher = teacher.ok_or(Error::NoTeacher)?;
        let counts = [student.levels(Part::Tokens), teacher.levels(Part::Tokens)];
        let all = |count: usize| (0..count).collect();
        let levels = pair_layers(Counted::Sequences, &self.levels, all, counts)?;
        let mut widths = [0; 2];
        for [of_student, of_teacher] in &levels {
            let student = student.tokens(*of_student)?;
            let teacher = teacher.tokens(*of_teacher)?;
            check::same_tokens("tinybert_hidden", &student, &teacher)?;
            widths = [student.dims()[2], teacher.dims()[2]];
        }
        let [from, to] = widths;
        Ok(TinyBertHidden {
            levels,
            fit: (from != to).then(|| linear([from, to], device)),
            include_padding: self.include_padding,
        })
    }
}

/// The sum of [`tinybert_hidden`] over levels of the two networks.
#[derive(Module, Debug)]
pub struct TinyBertHidden {
    #[module(skip)]
    levels: Vec<LayerPair>,
    fit: Option<Linear>,
    include_padding: bool,
}

impl TinyBertHidden {
    /// The token sequences of the compared levels.
    pub fn taps(&self) -> PairTaps {
        PairTaps::levels(Part::Tokens, &self.levels)
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`], and as [`tinybert_hidden`].
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        let teacher = pair.teacher()?;
        let real = real_tokens(pair).filter(|_| !self.include_padding);
        let losses = self.levels.iter().map(|[of_student, of_teacher]| {
            let student = pair.student.tokens(*of_student)?;
            let student = match &self.fit {
                Some(fit) => fit.forward(student),
                None => student,
            };
            tinybert_hidden(student, teacher.tokens(*of_teacher)?, real)
        });
        sum(&pair.student.logits.device(), losses)
    }
}
