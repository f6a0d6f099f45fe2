//! What contrastive distillation remembers of every training sample.

use burn::module::{Module, RunningState};
use burn::tensor::{Device, IndexingUpdateOp, Int, Tensor};

use super::unit::unit;
use crate::draw;

/// Memory banks of student and teacher, the classes seen, and the constants of the first batch: buffers
/// that are saved with the term and not trained.
#[derive(Module, Debug)]
pub(super) struct Memory {
    /// Last embeddings of every sample, `[samples, dim]`, rows of length 1.
    student: RunningState<Tensor<2>>,
    teacher: RunningState<Tensor<2>>,
    /// Class of every sample, −1 before it is seen, `[samples]`.
    classes: RunningState<Tensor<1>>,
    /// 1 after the first batch, then one constant a side, `[3]`.
    constants: RunningState<Tensor<1>>,
}

/// What was remembered before a batch, on the plain device.
pub(super) struct Recalled {
    /// Rows of student and teacher.
    pub banks: [Tensor<2>; 2],
    /// Classes, −1 where unknown.
    pub classes: Tensor<1>,
    constants: Tensor<1>,
}

impl Memory {
    /// Random directions for every sample.
    pub fn new(samples: usize, dim: usize, device: &Device) -> Self {
        let bank = || {
            let rows = draw::uniform([samples, dim], 1.0, device).val();
            RunningState::new(unit(rows).detach())
        };
        Self {
            student: bank(),
            teacher: bank(),
            classes: RunningState::new(Tensor::full([samples], -1.0, device)),
            constants: RunningState::new(Tensor::zeros([3], device)),
        }
    }

    /// Everything as it is before a batch.
    pub fn recall(&self) -> Recalled {
        Recalled {
            banks: [&self.student, &self.teacher].map(|bank| bank.value_sync().without_autodiff()),
            classes: self.classes.value_sync().without_autodiff(),
            constants: self.constants.value_sync().without_autodiff(),
        }
    }

    /// Remembers a batch: its constants, and for the samples `index` their labels and the embeddings
    /// `rows` of student and teacher, of which the old ones leave the share `momentum`.
    pub fn store(
        &self,
        known: Recalled,
        constants: Tensor<1>,
        index: &Tensor<1, Int>,
        labels: Tensor<1>,
        rows: [Tensor<2>; 2],
        momentum: f64,
    ) {
        let seen = Tensor::ones([1], &constants.device());
        self.constants
            .update(lift(Tensor::cat(vec![seen, constants], 0)));
        self.classes.update(lift(put(known.classes, index, labels)));
        let states = [&self.student, &self.teacher];
        for ((state, bank), new) in states.into_iter().zip(known.banks).zip(rows) {
            let old = bank.clone().select(0, index.clone()) * momentum;
            let rows = unit(old + new.without_autodiff() * (1.0 - momentum));
            state.update(lift(put(bank, index, rows)));
        }
    }
}

impl Recalled {
    /// The constants of the first batch, or `first` when this is it, `[2]`.
    pub fn constants(&self, first: [Tensor<1>; 2]) -> Tensor<1> {
        let seen = self.constants.clone().narrow(0, 0, 1).greater_elem(0.5);
        let known = self.constants.clone().narrow(0, 1, 2);
        Tensor::cat(first.to_vec(), 0).mask_where(seen.expand([2]), known)
    }
}

/// `rows` in the place of those at `index`.
fn put<const D: usize>(bank: Tensor<D>, index: &Tensor<1, Int>, rows: Tensor<D>) -> Tensor<D> {
    bank.select_assign(0, index.clone(), rows, IndexingUpdateOp::Assign)
}

/// A buffer as the module holds it while it trains.
fn lift<const D: usize>(buffer: Tensor<D>) -> Tensor<D> {
    Tensor::from_inner(buffer)
}
