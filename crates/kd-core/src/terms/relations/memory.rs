//! What contrastive distillation remembers of every training sample.

use burn::module::Module;
use burn::tensor::{Device, IndexingUpdateOp, Int, Tensor};

use crate::draw;
use crate::terms::buffer::Buffer;
use crate::terms::unit::unit;

/// Memory banks of student and teacher, the classes seen, and the constants of the first batch: buffers
/// that are saved with the term and not trained.
#[derive(Module, Debug)]
pub(super) struct Memory {
    /// Last embeddings of every sample, `[samples, dim]`, rows of length 1.
    student: Buffer<2>,
    teacher: Buffer<2>,
    /// Class of every sample, −1 before it is seen, `[samples]`.
    classes: Buffer<1>,
    /// 1 after the first batch, then one constant a side, `[3]`.
    constants: Buffer<1>,
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
            Buffer::new(unit(rows).detach())
        };
        Self {
            student: bank(),
            teacher: bank(),
            classes: Buffer::new(Tensor::full([samples], -1.0, device)),
            constants: Buffer::new(Tensor::zeros([3], device)),
        }
    }

    /// Everything as it is before a batch.
    pub fn recall(&self) -> Recalled {
        Recalled {
            banks: [&self.student, &self.teacher].map(|bank| bank.value()),
            classes: self.classes.value(),
            constants: self.constants.value(),
        }
    }

    /// Remembers a batch: its constants `[2]`, and for the samples `index` their labels and the embeddings
    /// `rows` of student and teacher, of which the old ones leave the share `momentum`.
    ///
    /// What was [recalled](Self::recall) is dropped by then, or the banks are copied.
    pub fn store(
        &self,
        constants: Tensor<1>,
        index: &Tensor<1, Int>,
        labels: Tensor<1>,
        rows: [Tensor<2>; 2],
        momentum: f64,
    ) {
        let seen = Tensor::ones([1], &constants.device());
        let constants = Tensor::cat(vec![seen, constants], 0);
        self.constants.change(|_| constants);
        self.classes.change(|classes| put(classes, index, labels));
        for (buffer, new) in [&self.student, &self.teacher].into_iter().zip(rows) {
            buffer.change(|bank| {
                let old = bank.clone().select(0, index.clone()) * momentum;
                let rows = unit(old + new.without_autodiff() * (1.0 - momentum));
                put(bank, index, rows)
            });
        }
    }
}

impl Recalled {
    /// 1 after the first batch, and a side's constant, `[2]`.
    pub fn constant(&self, side: usize) -> Tensor<1> {
        let part = |place| self.constants.clone().narrow(0, place, 1);
        Tensor::cat(vec![part(0), part(1 + side)], 0)
    }
}

/// `rows` in the place of those at `index`.
fn put<const D: usize>(bank: Tensor<D>, index: &Tensor<1, Int>, rows: Tensor<D>) -> Tensor<D> {
    bank.select_assign(0, index.clone(), rows, IndexingUpdateOp::Assign)
}
