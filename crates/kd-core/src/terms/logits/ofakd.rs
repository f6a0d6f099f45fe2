//! One-for-all distillation: intermediate maps of the student predict classes, and these predictions learn
//! from the teacher's.
//!
//! Where the families of two networks differ, their features cannot be compared, but their predictions can. An
//! exit at each level of the student (1×1 convolution to the channels of its last map, batch normalisation,
//! ReLU, average over positions, linear layer) gives logits, and so does the student itself. For each of them
//! `[batch, classes]`, with `p = softmax(z / T)` and `y` 1 at the label and 0 elsewhere:
//!
//! `L = − mean over the batch of Σ_c ( (p_t[c] + y[c])^γ − y[c] ) · log p_s[c]`, in nats,
//!
//! summed over the exits and the student. With `γ = 1` it is the cross-entropy with the teacher; a larger `γ`
//! leans towards the label where the teacher is sure of it. It is smallest at its targets, where it is not 0.
//!
//! The authors' exits are stacks of separable convolutions, or blocks of a transformer. No feature of the
//! teacher is needed.
//!
//! Source: Z. Hao, J. Guo, K. Han, Y. Tang, H. Hu, Y. Wang, C. Xu, "One-for-All: Bridge the Gap Between
//! Heterogeneous Architectures in Knowledge Distillation", NeurIPS 2023.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::{Device, Int, Tensor};
use kd_kernels::global_average;
use serde::{Deserialize, Serialize};

use crate::terms::adapter::{Connector, linear};
use crate::terms::maps::sum;
use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Part, Step, Taps};

pub(in crate::terms) const ABOUT: About = About {
    name: "ofakd",
    title: "One-for-all distillation",
    formula: "− Σ_exits mean_b Σ_c ( (p_t + y)^γ − y ) · log p_exit,  y one-hot",
    source: "Hao, Guo, Han, Tang, Hu, Wang, Xu, NeurIPS 2023",
    needs: "feature maps of the student, logits of both networks, labels; owns an exit a level",
    when: "Teacher and student of different families, a transformer and a convolutional network for one.",
    teacher: true,
    weight: 1.0,
    reads: &[Part::Maps],
};

/// One-for-all loss of logits `[batch, classes]` with class indices `[batch]`.
///
/// No gradient reaches the teacher. A label must lie in `0..classes`: this is not checked, because it would
/// make an accelerator wait for the host at every step.
///
/// # Errors
/// [`Error::Shape`] when the shapes differ, the labels are not one a row, or the batch is empty;
/// [`Error::Config`] when `gamma` or `temperature` is not above 0.
pub fn ofakd(
    student: Tensor<2>,
    teacher: Tensor<2>,
    labels: Tensor<1, Int>,
    gamma: f64,
    temperature: f64,
) -> Result<Tensor<1>, Error> {
    check::same_shape("ofakd", &student, &teacher)?;
    check::labels_fit("ofakd", &student, &labels)?;
    check::positive("gamma", gamma)?;
    check::positive("temperature", temperature)?;
    let p = softmax(teacher.detach() / temperature, 1);
    let log_p = log_softmax(student / temperature, 1);
    let label = labels.unsqueeze_dim::<2>(1);
    let p_label = p.clone().gather(1, label.clone());
    // What the label adds to a sum that takes it for any class.
    let more = (p_label.clone() + 1.0).powf_scalar(gamma) - 1.0 - p_label.powf_scalar(gamma);
    let plain = (p.powf_scalar(gamma) * log_p.clone()).sum_dim(1);
    Ok((plain + more * log_p.gather(1, label)).mean().neg())
}

/// Parameters of [`OfaKd`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OfaKdConfig {
    /// Levels of the student's maps that get an exit: 0 is the stem, then one per stage. Empty: all after
    /// the stem.
    pub levels: Vec<usize>,
    /// How much a label counts where the teacher is sure of it, above 0.
    pub gamma: f64,
    /// Temperature of the softmaxes, above 0.
    pub temperature: f64,
}

impl Default for OfaKdConfig {
    fn default() -> Self {
        Self {
            levels: Vec::new(),
            gamma: 1.0,
            temperature: 1.0,
        }
    }
}

impl OfaKdConfig {
    /// Builds the term and its exits from a dry run of both networks; the student's kept its maps.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::Config`] for a value out of range or a level that the student
    /// lacks, [`Error::MissingTap`] when the dry run did not keep its map, and [`Error::Shape`] when the
    /// class counts differ.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        device: &Device,
    ) -> Result<OfaKd, Error> {
        check::same_classes("ofakd", student, teacher.ok_or(Error::NoTeacher)?)?;
        check::positive("gamma", self.gamma)?;
        check::positive("temperature", self.temperature)?;
        let count = student.levels(Part::Maps);
        let levels: Vec<usize> = if self.levels.is_empty() {
            (1..count).collect()
        } else {
            self.levels.clone()
        };
        if count == 0 || !check::each_once_below(&levels, count) {
            return Err(Error::Config {
                key: "levels".into(),
                value: format!("{:?}", self.levels),
                expected: format!(
                    "must be levels of the student's maps, each once; it has {count} levels, from 0"
                ),
            });
        }
        let [_, classes] = student.logits.dims();
        let [_, last, ..] = student.map(count.saturating_sub(1))?.dims();
        let exits = levels
            .iter()
            .map(|level| {
                let [_, channels, ..] = student.map(*level)?.dims();
                Ok(Exit {
                    connector: Connector::pointwise([channels, last], device),
                    classifier: linear([last, classes], device),
                })
            })
            .collect::<Result<_, Error>>()?;
        Ok(OfaKd {
            config: self.clone(),
            levels,
            exits,
        })
    }
}

/// The sum of [`ofakd`] over exits of the student and the student itself.
#[derive(Module, Debug)]
pub struct OfaKd {
    #[module(skip)]
    config: OfaKdConfig,
    #[module(skip)]
    levels: Vec<usize>,
    exits: Vec<Exit>,
}

#[derive(Module, Debug)]
struct Exit {
    connector: Connector,
    classifier: Linear,
}

impl OfaKd {
    /// The student's maps.
    pub fn taps(&self) -> PairTaps {
        PairTaps {
            student: Taps::levels(Part::Maps, self.levels.iter().copied().collect()),
            teacher: Taps::none(),
        }
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`], and as [`ofakd`].
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        let teacher = &pair.teacher()?.logits;
        let loss = |logits: Tensor<2>| {
            let OfaKdConfig {
                gamma, temperature, ..
            } = self.config;
            let labels = pair.labels().clone();
            ofakd(logits, teacher.clone(), labels, gamma, temperature)
        };
        let exits = self.levels.iter().zip(&self.exits).map(|(level, exit)| {
            let map = pair.student.map(*level)?;
            let map = exit.connector.forward_relu("ofakd", map)?;
            loss(exit.classifier.forward(global_average(map)))
        });
        let own = loss(pair.student.logits.clone());
        sum(&teacher.device(), exits.chain([own]))
    }
}
