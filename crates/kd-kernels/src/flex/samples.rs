//! Operations of losses that compare samples.

use std::sync::Arc;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Flex, TensorMetadata, backend_extension};
use burn_flex::FlexTensor;

use super::tensor::{Dense, dense, values};
use crate::isa;
use crate::loss::contrast::{self, Contrast, Noise, Samples};
use crate::loss::gram::{self, Rows};

/// Samples of the embeddings, and those that they are compared with.
pub(crate) type Compared = Arc<[Samples; 2]>;

/// Operations that have gradients. None reaches a bank.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait SampleOps: Backend {
    /// Means over the width of products of rows `[rows, width]` with each other, `[rows, rows]`.
    fn kernel_gram_of_rows(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Mean of `softplus(e · m − offset)` over the rows of a bank that count, `[batch]`.
    fn kernel_noise(
        embeddings: FloatTensor<Self>,
        bank: FloatTensor<Self>,
        offset: FloatTensor<Self>,
        compared: Compared,
    ) -> FloatTensor<Self>;
}

/// Operations without gradients.
#[backend_extension(Flex)]
pub(crate) trait PlainSampleOps: Backend {
    /// `log` of the mean of `exp(e · m)` and of exponentials of the scores `more`, `[1]`.
    fn kernel_log_mean_exp(
        embeddings: FloatTensor<Self>,
        bank: FloatTensor<Self>,
        more: FloatTensor<Self>,
        compared: Compared,
    ) -> FloatTensor<Self>;
}

/// What the backward passes of [`SampleOps`] compute, and forward passes that keep something for them.
pub(crate) trait SampleGrads: Backend {
    fn gram_of_rows_grad(x: FloatTensor<Self>, grad: FloatTensor<Self>) -> FloatTensor<Self>;

    /// The means, and the gradient of each by its embedding, `[batch, width]`.
    fn noise(
        embeddings: FloatTensor<Self>,
        bank: FloatTensor<Self>,
        offset: FloatTensor<Self>,
        compared: Compared,
    ) -> (FloatTensor<Self>, Vec<f32>);

    /// The gradient of the embeddings, given those slopes.
    fn noise_grad(slopes: Vec<f32>, grad: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// Runs `work` on embeddings and a bank.
fn contrast<R>(
    [embeddings, bank]: [FlexTensor; 2],
    compared: &Compared,
    work: impl FnOnce(Contrast) -> R,
) -> R {
    let width = embeddings.shape()[1];
    assert_eq!(bank.shape()[1], width, "a bank of rows as wide");
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

fn scale(width: usize) -> f32 {
    1.0 / width.max(1) as f32
}

impl SampleOps for Flex {
    fn kernel_gram_of_rows(x: FlexTensor) -> FlexTensor {
        let [count, width] = [x.shape()[0], x.shape()[1]];
        let x = Dense::new(x);
        let x = Rows::new(x.values(), [count, width]);
        dense(gram::gram(isa(), x, scale(width)), [count, count])
    }

    fn kernel_noise(
        embeddings: FlexTensor,
        bank: FlexTensor,
        offset: FlexTensor,
        compared: Compared,
    ) -> FlexTensor {
        Self::noise(embeddings, bank, offset, compared).0
    }
}

impl PlainSampleOps for Flex {
    fn kernel_log_mean_exp(
        embeddings: FlexTensor,
        bank: FlexTensor,
        more: FlexTensor,
        compared: Compared,
    ) -> FlexTensor {
        let more = Dense::new(more);
        let log = contrast([embeddings, bank], &compared, |contrast| {
            contrast::log_mean_exp(isa(), contrast, more.values())
        });
        dense(vec![log], [1])
    }
}

impl SampleGrads for Flex {
    fn gram_of_rows_grad(x: FlexTensor, grad: FlexTensor) -> FlexTensor {
        let [count, width] = [x.shape()[0], x.shape()[1]];
        let (x, grad) = (Dense::new(x), Dense::new(grad));
        let x = Rows::new(x.values(), [count, width]);
        let dx = values(count * width, |dx| {
            gram::gram_grad(isa(), x, scale(width), grad.values(), dx);
        });
        dense(dx, [count, width])
    }

    fn noise(
        embeddings: FlexTensor,
        bank: FlexTensor,
        offset: FlexTensor,
        compared: Compared,
    ) -> (FlexTensor, Vec<f32>) {
        let offset = Dense::new(offset).values()[0];
        let Noise { means, slopes } = contrast([embeddings, bank], &compared, |contrast| {
            contrast::noise(isa(), contrast, offset)
        });
        let batch = means.len();
        (dense(means, [batch]), slopes)
    }

    fn noise_grad(mut slopes: Vec<f32>, grad: FlexTensor) -> FlexTensor {
        let grad = Dense::new(grad);
        let batch = grad.values().len();
        let width = slopes.len() / batch.max(1);
        for (row, grad) in slopes.chunks_mut(width.max(1)).zip(grad.values()) {
            for slope in row {
                *slope *= grad;
            }
        }
        dense(slopes, [batch, width])
    }
}
