//! Contrastive representation distillation: a sample is told from all others across the two networks.
//!
//! Embeddings of student and teacher go through a linear layer each to `dim` numbers, divided by their
//! norm, `s` and `t`. Two memory banks hold what each sample of the training set, `N` in all, gave last, with
//! rows of length 1. Each student embedding is compared with the teacher's row of its own sample and of `K`
//! negatives, and the other way round. With `P = exp(e · m / τ) / Z` for such a product, and `c = K / N + 1e-7`:
//!
//! `L = mean over the batch of −log( P_own / (P_own + c) ) − Σ_negatives log( (K/N) / (P + c) )`,
//! summed over both sides, in nats,
//!
//! where `Z` is `N` times the mean of `exp(e · m / τ)` over the *first* batch, one constant a side. After the
//! scores, the rows of the batch become `momentum · row + (1 − momentum) · e`, at length 1.
//!
//! How the term does it:
//!
//! - Banks, constants and the labels seen are buffers of the term: not trained, and saved with it. They need a
//!   sample's index, [`Pair::indices`], so that the order of the data may change from epoch to epoch.
//! - Negatives are drawn with replacement, by a generator that is seeded by `seed` and the step, so that a
//!   resumed run repeats them. The whole batch shares one draw: each sample's negatives are as random as
//!   draws of its own, and a product of two matrices takes the place of a gather of `[batch, K, dim]`.
//! - A negative that is the sample itself, or of its class as far as labels have been seen, does not count;
//!   the others count for it.
//! - Logarithms are taken of the scores directly, so that no exponential overflows.
//!
//! Source: Y. Tian, D. Krishnan, P. Isola, "Contrastive Representation Distillation", ICLR 2020.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::activation::softplus;
use burn::tensor::{Device, Int, Tensor};
use kd_kernels::{RowContrast, Samples};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::terms::adapter::{built_for, linear};
use crate::terms::relations::memory::Memory;
use crate::terms::unit::unit;
use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Part, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "crd",
    title: "Contrastive representation distillation",
    formula: "Σ_sides mean_b( −log P_own/(P_own + c) − Σ_neg log (K/N)/(P + c) ),  P = exp(e·m/τ)/Z, \
              c = K/N",
    source: "Tian, Krishnan, Isola, ICLR 2020",
    needs: "embedding of both networks, of any width, and every sample's index; owns two linear layers and \
            two memory banks of a row a training sample",
    when: "One of the strongest methods on CIFAR-100, also across families. It keeps memory for every \
           training sample. Combine with kd.",
    teacher: true,
    weight: 0.8,
    reads: &[Part::Embedding],
};

/// Added to the noise's probability, as the authors' code does.
const EPSILON: f64 = 1e-7;

/// The loss of a first batch: embeddings `[batch, dim]` of student and teacher, memories
/// `[samples, dim]`, the batch's rows in them, `index` `[batch]`, and those of its negatives,
/// `negatives` `[batch, K]`. Rows are divided by their norms here, and `Z` is that of this batch.
///
/// Gradients reach both embeddings, whose layers are trained, and not the memories. An index must lie in
/// `0..samples`: this is not checked, because it would make an accelerator wait for the host at every step.
///
/// # Errors
/// [`Error::Shape`] when the shapes do not fit or one is empty; [`Error::Config`] when `temperature` is not
/// above 0.
pub fn crd(
    [student, teacher]: [Tensor<2>; 2],
    memories: [Tensor<2>; 2],
    index: Tensor<1, Int>,
    negatives: Tensor<2, Int>,
    temperature: f64,
) -> Result<Tensor<1>, Error> {
    check::same_shape("crd", &student, &teacher)?;
    check::same_shape("crd", &memories[0], &memories[1])?;
    check::positive("temperature", temperature)?;
    let [batch, dim] = student.dims();
    let [samples, width] = memories[0].dims();
    let ([own], [rows, count]) = (index.dims(), negatives.dims());
    if dim != width || batch != own || batch != rows || count == 0 {
        return Err(Error::Shape {
            loss: "crd",
            problem: format!(
                "embeddings [{batch}, {dim}], memories [{samples}, {width}], index [{own}] and negatives \
                 [{rows}, {count}] do not fit"
            ),
        });
    }
    let side = |embedding: Tensor<2>, memory: Tensor<2>| {
        let embedding = unit(embedding) / temperature;
        let scores = |rows: Tensor<1, Int>, count: usize| -> Tensor<2> {
            let rows = unit(memory.clone().detach().select(0, rows));
            let rows = rows.reshape([batch, count, dim]);
            rows.matmul(embedding.clone().unsqueeze_dim(2))
                .squeeze_dim(2)
        };
        let own: Tensor<1> = scores(index.clone(), 1).squeeze_dim(1);
        let others = scores(negatives.clone().flatten(0, 1), count);
        let constant = constant(own.clone(), others.clone(), samples);
        let noise = Noise::new(count, samples);
        let offset = (constant.clone() + noise.bound).unsqueeze::<2>();
        noise.loss(own, constant, softplus(others - offset, 1.0).mean())
    };
    let [of_student, of_teacher] = memories;
    Ok(side(student, of_teacher) + side(teacher, of_student))
}

/// `log Z`: `N` times the mean of the exponentials of scores of own rows `[batch]` and of negatives
/// `[batch, K]`, on the plain device.
fn constant(own: Tensor<1>, others: Tensor<2>, samples: usize) -> Tensor<1> {
    let scores = Tensor::cat(vec![own, others.flatten(0, 1)], 0).without_autodiff();
    let largest = scores.clone().max();
    let mean = (scores - largest.clone()).exp().mean();
    mean.log() + largest + (samples as f64).ln()
}

/// What samples are told from.
struct Noise {
    negatives: usize,
    /// `log(K/N)`.
    log: f64,
    /// `log c`.
    bound: f64,
}

impl Noise {
    fn new(negatives: usize, samples: usize) -> Self {
        let noise = negatives as f64 / samples as f64;
        Self {
            negatives,
            log: noise.ln(),
            bound: (noise + EPSILON).ln(),
        }
    }

    /// One side's loss, from scores of own rows `[batch]`, `log Z`, and the mean of `log((P + c) / c)` over
    /// negatives.
    fn loss(&self, own: Tensor<1>, constant: Tensor<1>, others: Tensor<1>) -> Tensor<1> {
        // −log(P / (P + c)), from log P.
        let own = softplus(constant + self.bound - own, 1.0).mean();
        own + (others + (self.bound - self.log)) * self.negatives as f64
    }
}

/// Parameters of [`Crd`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CrdConfig {
    /// Numbers that both embeddings are reduced to, above 0.
    pub dim: usize,
    /// Negatives of a batch, above 0.
    pub negatives: usize,
    /// Temperature τ of the products, above 0.
    pub temperature: f64,
    /// Share of a bank's row that a new embedding leaves, at least 0 and below 1.
    pub momentum: f64,
    /// Samples of the training set. 0: what
    /// [`ObjectiveConfig::with_samples`](crate::ObjectiveConfig::with_samples) says.
    pub samples: usize,
    /// Seed of the negatives.
    pub seed: u64,
}

impl Default for CrdConfig {
    fn default() -> Self {
        Self {
            dim: 128,
            negatives: 16384,
            temperature: 0.07,
            momentum: 0.5,
            samples: 0,
            seed: 0,
        }
    }
}

impl CrdConfig {
    /// Builds the term with its layers and banks from a dry run of both networks that kept the embedding.
    ///
    /// # Errors
    /// [`Error::Config`] for a value out of range, [`Error::NoTeacher`], and [`Error::MissingTap`] when a
    /// network has no embedding.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        device: &Device,
    ) -> Result<Crd, Error> {
        check::above("dim", self.dim as f64, 0.0)?;
        check::above("negatives", self.negatives as f64, 0.0)?;
        let most = [
            ("dim", self.dim, 1 << 16),
            ("negatives", self.negatives, 1 << 24),
            ("samples", self.samples, 1 << 28),
        ];
        if let Some((key, value, most)) = most.into_iter().find(|(_, value, most)| value > most) {
            return Err(Error::Config {
                key: key.into(),
                value: value.to_string(),
                expected: format!("must be at most {most}"),
            });
        }
        check::positive("temperature", self.temperature)?;
        check::fraction("momentum", self.momentum)?;
        let [_, wide] = teacher.ok_or(Error::NoTeacher)?.embedding()?.dims();
        let [_, narrow] = student.embedding()?.dims();
        if self.samples < 2 {
            return Err(Error::Config {
                key: "samples".into(),
                value: self.samples.to_string(),
                expected: "must be the number of training samples, at least 2".into(),
            });
        }
        Ok(Crd {
            config: self.clone(),
            widths: [narrow, wide],
            of_student: linear([narrow, self.dim], device),
            of_teacher: linear([wide, self.dim], device),
            memory: Memory::new(self.samples, self.dim, device),
        })
    }
}

/// The contrast of the two networks' embeddings, with their layers and memory banks.
#[derive(Module, Debug)]
pub struct Crd {
    #[module(skip)]
    config: CrdConfig,
    #[module(skip)]
    widths: [usize; 2],
    of_student: Linear,
    of_teacher: Linear,
    memory: Memory,
}

impl Crd {
    /// The embedding of both networks.
    pub fn taps(&self) -> PairTaps {
        PairTaps::embeddings()
    }

    /// The loss of one batch, `[1]`. On a device that records gradients the batch enters the banks.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::NoIndices`], [`Error::MissingTap`], and [`Error::Shape`] when an
    /// embedding does not have the width of the dry run or an index is not below `samples`.
    pub fn forward(&self, pair: &Pair, step: &Step) -> Result<Tensor<1>, Error> {
        let seed = self.config.seed.rotate_left(32) ^ step.index as u64;
        let mut generator = StdRng::seed_from_u64(seed);
        let samples = self.config.samples as i64;
        let drawn = (0..self.config.negatives).map(|_| generator.random_range(0..samples));
        let drawn: Vec<usize> = drawn.map(|row| row as usize).collect();
        self.forward_with_negatives(pair, &drawn)
    }

    /// As [`Crd::forward`], with the negatives of the batch from outside: places of samples in the training set.
    ///
    /// # Errors
    /// As [`Crd::forward`], and [`Error::Shape`] when there is none or one is not below `samples`.
    pub fn forward_with_negatives(
        &self,
        pair: &Pair,
        negatives: &[usize],
    ) -> Result<Tensor<1>, Error> {
        let student = pair.student.embedding()?;
        let teacher = pair.teacher()?.embedding()?.detach();
        check::same_batch("crd", &student, &teacher)?;
        built_for("crd", "student", self.widths[0], &student.dims())?;
        built_for("crd", "teacher", self.widths[1], &teacher.dims())?;
        let index = self.own(pair.indices()?, &student)?;
        let noise = Noise::new(negatives.len(), self.config.samples);
        let negatives = self.others(negatives, &student)?;
        let student = unit(self.of_student.forward(student));
        let teacher = unit(self.of_teacher.forward(teacher));

        let labels = pair.class()?.clone().without_autodiff().float();
        let known = self.memory.recall();
        let own = Samples {
            rows: index.clone(),
            classes: labels.clone(),
        };
        let others = Samples {
            classes: known.classes.clone().select(0, negatives.clone()),
            rows: negatives,
        };
        let [of_student, of_teacher] = known.banks.clone();
        let sides = [(&student, of_teacher), (&teacher, of_student)];
        let mut side = 0;
        let sides = sides.map(|(embedding, bank)| {
            let embedding = embedding.clone() / self.config.temperature;
            let rows = bank.clone().select(0, index.clone());
            let scores = (embedding.clone() * rows).sum_dim(1).squeeze_dim(1);
            let contrast = RowContrast {
                bank,
                own: own.clone(),
                others: others.clone(),
            };
            let constant = known.constant(side);
            side += 1;
            let found = contrast.compare(embedding, scores.clone(), constant, noise.bound);
            let loss = noise.loss(scores, found.constant.clone(), found.noise.mean());
            (loss, found.constant)
        });
        let [(one, of_student), (other, of_teacher)] = sides;
        drop(known);
        if student.device().is_autodiff() {
            let constants = Tensor::cat(vec![of_student, of_teacher], 0);
            let rows = [student, teacher];
            self.memory
                .store(constants, &index, labels, rows, self.config.momentum);
        }
        Ok(one + other)
    }

    /// The batch's rows in the banks, on the plain device.
    fn own(&self, indices: &[usize], like: &Tensor<2>) -> Result<Tensor<1, Int>, Error> {
        let [batch, _] = like.dims();
        let samples = self.config.samples;
        let outside = indices.iter().find(|&&index| index >= samples);
        if let (true, None) = (indices.len() == batch, outside) {
            return Ok(integers(indices.iter().map(|&i| i as i64).collect(), like));
        }
        Err(Error::Shape {
            loss: "crd",
            problem: match outside {
                Some(index) => format!(
                    "index {index} of a training set of samples = {samples}: leave `samples` out, which \
                     takes the number of training samples, or give that number"
                ),
                None => format!("{} indices for a batch of {batch}", indices.len()),
            },
        })
    }

    /// The negatives' rows in the banks, on the plain device.
    fn others(&self, negatives: &[usize], like: &Tensor<2>) -> Result<Tensor<1, Int>, Error> {
        let samples = self.config.samples;
        let problem = match negatives.iter().find(|&&row| row >= samples) {
            None if negatives.is_empty() => "there are no negatives".to_owned(),
            None => {
                return Ok(integers(
                    negatives.iter().map(|&i| i as i64).collect(),
                    like,
                ));
            }
            Some(row) => format!("negative {row} of a training set of samples = {samples}"),
        };
        Err(Error::Shape {
            loss: "crd",
            problem,
        })
    }
}

/// Integers on the plain device of a tensor.
fn integers(values: Vec<i64>, like: &Tensor<2>) -> Tensor<1, Int> {
    Tensor::from_ints(values.as_slice(), &like.device().without_autodiff())
}
