//! One-for-all distillation: intermediate maps of the student predict classes, and these predictions learn
//! from the teacher's.
//!
//! Where the families of two networks differ, their features cannot be compared, but their predictions can. An
//! exit at each level of the student gives logits, and so does the student itself. For each of them
//! `[batch, classes]`, with `p = softmax(z / T)` and `y` 1 at the label and 0 elsewhere:
//!
//! `L = − mean over the batch of Σ_c ( (p_t[c] + y[c])^γ − y[c] ) · log p_s[c]`, in nats,
//!
//! summed over the exits and the student. With `γ = 1` it is the cross-entropy with the teacher; a larger `γ`
//! leans towards the label where the teacher is sure of it. It is smallest at its targets, where it is not 0.
//!
//! Exits are the authors' for a convolutional student. At the last level it is a 1×1 convolution; at a level that is
//! `k` before it, `k` separable convolutions (twice: 3×3 of each channel by itself, 1×1, batch normalisation, ReLU),
//! each of which halves the map and doubles the channels. The last layer has as many channels as the wider of the
//! two networks' embeddings; an average over positions and a linear layer follow. A transformer keeps its width and its
//! number of patches from block to block, so there is nothing to halve: each exit of it is the 1×1 convolution. It has
//! four exits, after each quarter of its blocks, as in the authors' code, which has further blocks in them.
//!
//! No feature of the teacher is needed beside the width of its embedding. The authors choose γ for a
//! pair, from 1 to 1.5.
//!
//! Source: Z. Hao, J. Guo, K. Han, Y. Tang, H. Hu, Y. Wang, C. Xu, "One-for-All: Bridge the Gap Between
//! Heterogeneous Architectures in Knowledge Distillation", NeurIPS 2023.

use burn::module::Module;
use burn::nn::Linear;
use burn::nn::conv::Conv2d;
use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::{Device, Int, Tensor};
use kd_kernels::layers::conv;
use kd_kernels::{average_pool, global_average};
use serde::{Deserialize, Serialize};

use crate::terms::adapter::{built_for, convolution, linear};
use crate::terms::maps::sum;
use crate::terms::separable::Separable;
use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Part, Step, Taps};

pub(in crate::terms) const ABOUT: About = About {
    name: "ofakd",
    title: "One-for-all distillation",
    formula: "− Σ_exits mean_b Σ_c ( (p_t + y)^γ − y ) · log p_exit,  y one-hot",
    source: "Hao, Guo, Han, Tang, Hu, Wang, Xu, NeurIPS 2023",
    needs: "feature maps of the student, logits and embedding of both networks, labels; owns an exit a level",
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
    /// the stem; of a transformer, whose levels are blocks, one after each quarter of them.
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
    /// Builds the term and its exits from a dry run of both networks that kept the student's maps and both
    /// embeddings.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::Config`] for a value out of range or a level that the student
    /// lacks, [`Error::MissingTap`] for what a dry run did not keep, and [`Error::Shape`] when the
    /// class counts differ.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        device: &Device,
    ) -> Result<OfaKd, Error> {
        let teacher = teacher.ok_or(Error::NoTeacher)?;
        check::same_classes("ofakd", student, teacher)?;
        check::positive("gamma", self.gamma)?;
        check::positive("temperature", self.temperature)?;
        let count = student.levels(Part::Maps);
        let transformer = student.levels(Part::Tokens) > 0 && of_one_size(student, count)?;
        let levels: Vec<usize> = match self.levels.as_slice() {
            [] if transformer => quarters(count),
            [] => (1..count).collect(),
            listed => listed.to_vec(),
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
        let teachers = match teacher.members.as_slice() {
            [] => std::slice::from_ref(teacher),
            members => members,
        };
        let mut width = student.embedding()?.dims()[1];
        for teacher in teachers {
            width = width.max(teacher.embedding()?.dims()[1]);
        }
        let exits = levels
            .iter()
            .map(|level| {
                let [_, channels, ..] = student.map(*level)?.dims();
                let before = if transformer { 0 } else { count - 1 - level };
                Ok(Exit::new([channels, width, classes], before, device))
            })
            .collect::<Result<_, Error>>()?;
        Ok(OfaKd {
            config: self.clone(),
            levels,
            exits,
        })
    }
}

/// Whether the maps of all levels have as many rows and columns.
fn of_one_size(student: &Output, levels: usize) -> Result<bool, Error> {
    let mut sizes = Vec::new();
    for level in 0..levels {
        let [_, _, height, width] = student.map(level)?.dims();
        sizes.push([height, width]);
    }
    Ok(sizes.windows(2).all(|pair| pair[0] == pair[1]))
}

/// Levels after each quarter of a transformer's blocks, of so many levels.
fn quarters(count: usize) -> Vec<usize> {
    let blocks = count.saturating_sub(1);
    let mut levels: Vec<usize> = (1..=4)
        .map(|quarter| (blocks * quarter).div_ceil(4))
        .collect();
    levels.dedup();
    levels.retain(|level| *level > 0);
    levels
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
    channels: usize,
    halvings: Vec<Separable>,
    /// Where there is no halving.
    widening: Option<Conv2d>,
    classifier: Linear,
}

impl Exit {
    /// From a map's channels to a width and classes, at a level that has `before` others after it.
    fn new([channels, width, classes]: [usize; 3], before: usize, device: &Device) -> Self {
        let halving = |i: usize| {
            let from = channels << i;
            let to = if i + 1 == before { width } else { 2 * from };
            Separable::new([from, to], device)
        };
        Self {
            channels,
            halvings: (0..before).map(halving).collect(),
            widening: (before == 0).then(|| convolution([channels, width], 1, 1, true, device)),
            classifier: linear([width, classes], device),
        }
    }

    /// Logits `[batch, classes]`.
    fn forward(&self, map: Tensor<4>) -> Result<Tensor<2>, Error> {
        built_for("ofakd", "student", self.channels, &map.dims())?;
        let map = self
            .halvings
            .iter()
            .fold(map, |map, layer| layer.forward(map));
        // The average of a 1×1 convolution is that of the average, of fewer positions.
        let map = match &self.widening {
            Some(widening) => conv(widening, average_pool(map, [1, 1])),
            None => map,
        };
        Ok(self.classifier.forward(global_average(map)))
    }
}

impl OfaKd {
    /// The student's maps. Embeddings are read in the dry run alone.
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
            let labels = pair.class()?.clone();
            ofakd(logits, teacher.clone(), labels, gamma, temperature)
        };
        let exits = self
            .levels
            .iter()
            .zip(&self.exits)
            .map(|(level, exit)| loss(exit.forward(pair.student.map(*level)?)?));
        let own = loss(pair.student.logits.clone());
        sum(&teacher.device(), exits.chain([own]))
    }
}
