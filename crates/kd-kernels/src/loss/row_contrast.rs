//! Embeddings compared with rows of a bank.

#[cfg(feature = "flex")]
pub(crate) mod kernel;

#[cfg(feature = "flex")]
use std::sync::Arc;

use burn::tensor::activation::softplus;
use burn::tensor::kind::Basic;
use burn::tensor::{Bool, Int, Tensor};

#[cfg(feature = "flex")]
use self::kernel::{Contrast, Noise};
#[cfg(feature = "flex")]
use crate::flex::{Dense, FlexTensor, Input, Operation, dense, fast, run};
#[cfg(feature = "flex")]
use crate::isa;

/// Samples by their row in a bank and their class, both `[samples]`, on the plain device.
#[derive(Clone, Debug)]
pub struct Samples {
    /// From 0, below the number of the bank's rows.
    pub rows: Tensor<1, Int>,
    /// Whole numbers; those that are alike name one class.
    pub classes: Tensor<1>,
}

/// Embeddings compared with rows of a bank, each by its product `e · m`. A row that is an embedding's own, or is of
/// its own class, does not count for it.
#[derive(Clone, Debug)]
pub struct RowContrast {
    /// Rows `[rows, width]`, on the plain device.
    pub bank: Tensor<2>,
    /// Samples of the embeddings, `[batch]`.
    pub own: Samples,
    /// Samples that all embeddings are compared with, `[others]`.
    pub others: Samples,
}

/// What a [`RowContrast`] finds.
#[derive(Clone, Debug)]
pub struct Contrasted {
    /// `log` of the bank's rows times the mean of `exp(e · m)`, `[1]`, without a gradient.
    pub constant: Tensor<1>,
    /// Mean of `softplus(e · m − constant − bound)` over the others that count, 0 where none does, `[batch]`.
    pub noise: Tensor<1>,
}

impl RowContrast {
    /// Compares embeddings `[batch, width]`, differentiably.
    ///
    /// The constant's mean is over all embeddings and others and the scores `own` `[batch]`. Where the first entry of
    /// `known` `[2]` is 1, the constant is its second instead.
    pub fn compare(
        &self,
        embeddings: Tensor<2>,
        own: Tensor<1>,
        known: Tensor<1>,
        bound: f64,
    ) -> Contrasted {
        let [rows, _] = self.bank.dims();
        let rows = (rows as f64).ln();
        let [is_known, value] = [0, 1].map(|place| known.clone().narrow(0, place, 1));
        #[cfg(feature = "flex")]
        if fast(&embeddings) && fast(&self.bank) {
            let compared = self.on_host();
            let bank = || self.bank.clone().into_dispatch();
            // The host computes and may look.
            let constant = if is_known.into_data().iter::<f32>().any(|known| known > 0.5) {
                value
            } else {
                let inputs = [
                    embeddings.clone().without_autodiff().into_dispatch(),
                    bank(),
                    own.without_autodiff().into_dispatch(),
                ];
                run::<_, 1>(LogMeanExp(compared.clone()), inputs) + rows
            };
            let offset = (constant.clone() + bound).into_dispatch();
            let inputs = [embeddings.into_dispatch(), bank(), offset];
            let noise = run(NoiseOf(compared), inputs);
            return Contrasted { constant, noise };
        }
        let scores = self.scores(embeddings);
        let all = vec![scores.clone().flatten(0, 1), own];
        let constant = log_mean_exp(Tensor::cat(all, 0).without_autodiff()) + rows;
        let constant = constant.mask_where(is_known.greater_elem(0.5), value);
        let offset = (constant.clone() + bound).unsqueeze::<2>();
        let noise = mean_of_others(softplus(scores - offset, 1.0), self.skipped());
        Contrasted { constant, noise }
    }

    /// `[batch, others]`.
    fn scores(&self, embeddings: Tensor<2>) -> Tensor<2> {
        let others = self.bank.clone().select(0, self.others.rows.clone());
        embeddings.matmul(others.transpose())
    }

    /// Which do not count, `[batch, others]`.
    fn skipped(&self) -> Tensor<2, Bool> {
        let (own, others) = (self.own.clone(), self.others.clone());
        same(own.rows, others.rows).bool_or(same(own.classes, others.classes))
    }

    /// The samples as the kernels read them.
    #[cfg(feature = "flex")]
    fn on_host(&self) -> Compared {
        let read = |samples: &Samples| kernel::Samples {
            rows: samples.rows.clone().into_data().iter::<u32>().collect(),
            classes: samples.classes.clone().into_data().iter::<f32>().collect(),
        };
        [read(&self.own), read(&self.others)].into()
    }
}

/// `log` of the mean of exponentials, `[1]`.
fn log_mean_exp(scores: Tensor<1>) -> Tensor<1> {
    let largest = scores.clone().max();
    (scores - largest.clone()).exp().mean().log() + largest
}

/// Means of rows over the entries that are not to `skip`, 0 where there is none.
fn mean_of_others(values: Tensor<2>, skip: Tensor<2, Bool>) -> Tensor<1> {
    let [rows, _] = values.dims();
    let counted = skip.clone().bool_not().float().cast(values.dtype());
    let shares = counted.mean_dim(1);
    let none = shares.clone().equal_elem(0.0);
    let means = values.mask_fill(skip, 0.0).mean_dim(1);
    (means / shares.mask_fill(none, 1.0)).reshape([rows])
}

/// Which entries of `a` `[rows]` equal which of `b` `[columns]`, `[rows, columns]`.
fn same<K: Basic>(a: Tensor<1, K>, b: Tensor<1, K>) -> Tensor<2, Bool> {
    let ([rows], [columns]) = (a.dims(), b.dims());
    let a: Tensor<2, K> = a.unsqueeze_dim(1);
    let b: Tensor<2, K> = b.unsqueeze_dim(0);
    a.expand([rows, columns]).equal(b.expand([rows, columns]))
}

/// Samples of the embeddings, and those that they are compared with.
#[cfg(feature = "flex")]
type Compared = Arc<[kernel::Samples; 2]>;

/// Runs `work` on embeddings and a bank.
#[cfg(feature = "flex")]
fn contrast<R>(
    [embeddings, bank]: [FlexTensor; 2],
    compared: &Compared,
    work: impl FnOnce(Contrast) -> R,
) -> R {
    let width = embeddings.layout().shape()[1];
    assert_eq!(bank.layout().shape()[1], width, "a bank of rows as wide");
    let (embeddings, bank) = (Dense::new(embeddings), Dense::new(bank));
    let [own, others] = &**compared;
    work(Contrast {
        embeddings: embeddings.values(),
        bank: bank.values(),
        width,
        own,
        others,
    })
}

/// `log` of the mean of `exp(e · m)` and of exponentials of more scores, `[1]`. The inputs are embeddings, bank and
/// those scores.
#[cfg(feature = "flex")]
#[derive(Clone, Debug)]
struct LogMeanExp(Compared);

#[cfg(feature = "flex")]
impl Operation<3> for LogMeanExp {
    type Saved = ();

    fn inputs(&self) -> [Input; 3] {
        [Input::Constant; 3]
    }

    fn forward(&self, [embeddings, bank, more]: [FlexTensor; 3]) -> (FlexTensor, ()) {
        let more = Dense::new(more);
        let log = contrast([embeddings, bank], &self.0, |contrast| {
            kernel::log_mean_exp(isa(), contrast, more.values())
        });
        (dense(vec![log], [1]), ())
    }

    fn backward(
        &self,
        (): (),
        _: FlexTensor,
        _: [bool; 3],
        _: &mut [Option<FlexTensor>; 3],
    ) -> [Option<FlexTensor>; 3] {
        [None, None, None]
    }
}

/// Mean of `softplus(e · m − offset)` over the rows that count, `[batch]`. The inputs are embeddings, bank and offset.
#[cfg(feature = "flex")]
#[derive(Clone, Debug)]
struct NoiseOf(Compared);

#[cfg(feature = "flex")]
impl Operation<3> for NoiseOf {
    /// The slope of each mean by its embedding.
    type Saved = Vec<f32>;

    fn inputs(&self) -> [Input; 3] {
        [Input::Plain, Input::Constant, Input::Constant]
    }

    fn forward(&self, [embeddings, bank, offset]: [FlexTensor; 3]) -> (FlexTensor, Vec<f32>) {
        let offset = Dense::new(offset).values()[0];
        let Noise { means, slopes } = contrast([embeddings, bank], &self.0, |contrast| {
            kernel::noise(isa(), contrast, offset)
        });
        let batch = means.len();
        (dense(means, [batch]), slopes)
    }

    fn backward(
        &self,
        mut slopes: Vec<f32>,
        grad: FlexTensor,
        _: [bool; 3],
        _: &mut [Option<FlexTensor>; 3],
    ) -> [Option<FlexTensor>; 3] {
        let grad = Dense::new(grad);
        let batch = grad.values().len();
        let width = slopes.len() / batch.max(1);
        for (row, grad) in slopes.chunks_mut(width.max(1)).zip(grad.values()) {
            for slope in row {
                *slope *= grad;
            }
        }
        [Some(dense(slopes, [batch, width])), None, None]
    }
}
