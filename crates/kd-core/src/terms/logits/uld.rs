//! Universal logit distillation: for networks with unlike vocabularies.
//!
//! With the probabilities `p = softmax(z)` of each network sorted from the largest, the shorter list padded with 0:
//!
//! `L = mean over the batch of Σ_k |p_s[k] − p_t[k]|`, a number from 0 to 2.
//!
//! Which class is which does not matter, only how sure the teacher is: for classes in common every other loss says more.
//!
//! Source: N. Boizard, K. El Haddad, C. Hudelot, P. Colombo, "Towards Cross-Tokenizer Distillation: the Universal Logit
//! Distillation Loss for LLMs", TMLR 2025.

use burn::module::Module;
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "uld",
    title: "Universal logit distillation",
    formula: "mean_b Σ_k | p_s[k] − p_t[k] |,  p = softmax(z) sorted from the largest",
    source: "Boizard, El Haddad, Hudelot, Colombo, TMLR 2025",
    needs: "logits of both networks, over any classes",
    when: "Teacher and student tell other classes or words apart, so that logits cannot be compared one by one.",
    teacher: true,
    weight: 1.0,
    reads: &[],
};

/// Mean absolute difference of sorted probabilities, from logits `[batch, classes]` with any numbers of classes.
///
/// No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when the batch sizes differ or a tensor is empty.
pub fn uld(student: Tensor<2>, teacher: Tensor<2>) -> Result<Tensor<1>, Error> {
    check::same_batch("uld", &student, &teacher)?;
    let [student, teacher] = [student, teacher.detach()].map(sorted);
    let ([batch, own], [_, theirs]) = (student.dims(), teacher.dims());
    let common = own.min(theirs);
    let apart = student.clone().narrow(1, 0, common) - teacher.clone().narrow(1, 0, common);
    let apart = apart.abs().sum();
    let beyond = |list: Tensor<2>, count: usize| list.narrow(1, common, count - common).sum();
    // Probabilities of one network that the other has no counterpart for.
    let total = match own.cmp(&theirs) {
        std::cmp::Ordering::Equal => apart,
        std::cmp::Ordering::Greater => apart + beyond(student, own),
        std::cmp::Ordering::Less => apart + beyond(teacher, theirs),
    };
    Ok(total / batch as f64)
}

/// Probabilities from the largest.
fn sorted(logits: Tensor<2>) -> Tensor<2> {
    let order = logits.clone().without_autodiff().argsort_descending(1);
    let order = match logits.device().is_autodiff() {
        true => Tensor::from_inner(order),
        false => order,
    };
    softmax(logits, 1).gather(1, order)
}

/// [`Uld`] has no parameters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UldConfig {}

impl UldConfig {
    /// Builds the term; the dry runs and the device are not needed.
    ///
    /// # Errors
    /// [`Error::NoTeacher`].
    pub fn init(
        &self,
        _student: &Output,
        teacher: Option<&Output>,
        _device: &Device,
    ) -> Result<Uld, Error> {
        teacher.ok_or(Error::NoTeacher)?;
        Ok(Uld {})
    }
}

/// The [`uld`] loss of the two networks' logits.
#[derive(Module, Debug)]
pub struct Uld {}

impl Uld {
    /// Logits only.
    pub fn taps(&self) -> PairTaps {
        PairTaps::default()
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], and as [`uld`].
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        uld(pair.student.logits.clone(), pair.teacher()?.logits.clone())
    }
}
