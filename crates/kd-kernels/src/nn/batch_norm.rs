//! Batch normalisation by the statistics of the batch.

#[cfg(feature = "flex")]
use std::mem::MaybeUninit;

use burn::tensor::Tensor;
use burn::tensor::module::batch_norm_train;

use super::Epilogue;
#[cfg(feature = "flex")]
use super::norm::{self, Gate};
#[cfg(feature = "flex")]
use super::{Activation, activate};
#[cfg(feature = "flex")]
use crate::flex::{Dense, FlexTensor, Input, Map, Operation, build, dense, fast, run_with_aside};
#[cfg(feature = "flex")]
use crate::isa;

/// What [`batch_norm`] returns.
#[derive(Clone, Debug)]
pub struct Normalized {
    /// `[batch, channels, height, width]`.
    pub output: Tensor<4>,
    /// Mean of the batch, `[channels]`, without a gradient.
    pub mean: Tensor<1>,
    /// Biased variance of the batch, `[channels]`, without a gradient.
    pub variance: Tensor<1>,
}

/// Batch normalisation by the statistics of the batch (Ioffe and Szegedy, ICML 2015):
/// `gamma · (x − mean) / sqrt(variance + epsilon) + beta`, and what the epilogue asks for.
///
/// Differentiable in `x`, `gamma`, `beta` and the epilogue.
pub fn batch_norm(
    x: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
    mut epilogue: Epilogue,
) -> Normalized {
    let beta = epilogue.shifted(beta);
    #[cfg(feature = "flex")]
    if fast(&x) {
        // Without a shortcut, what the activation reads is computed again from what the gradient reads anyway.
        let last = match epilogue.residual {
            Some(_) => epilogue.take_opaque(),
            None => Activation::Identity,
        };
        let operation = BatchNorm {
            epsilon,
            activation: epilogue.activation,
        };
        let x = x.into_dispatch();
        let (gamma, beta) = (gamma.into_dispatch(), beta.into_dispatch());
        let (output, statistics) = match epilogue.residual.map(Tensor::into_dispatch) {
            Some(residual) => run_with_aside(operation, [gamma, beta, x, residual]),
            None => run_with_aside(operation, [gamma, beta, x]),
        };
        let mut statistics = statistics.into_iter().map(Tensor::from_dispatch);
        let mut next = || statistics.next().expect("a mean and a variance");
        return Normalized {
            output: activate(Tensor::from_dispatch(output), last),
            mean: next(),
            variance: next(),
        };
    }
    let result = batch_norm_train(x, gamma, beta, epsilon);
    Normalized {
        output: epilogue.finish(result.output),
        mean: result.mean.detach(),
        variance: result.variance.detach(),
    }
}

/// The inputs are scale, shift, map, and the map to add, if there are four.
#[cfg(feature = "flex")]
#[derive(Clone, Debug)]
struct BatchNorm {
    epsilon: f64,
    activation: Activation,
}

#[cfg(feature = "flex")]
#[derive(Clone, Debug)]
struct Saved {
    x: FlexTensor,
    gamma: FlexTensor,
    beta: FlexTensor,
    mean: FlexTensor,
    variance: FlexTensor,
    /// The output, where something was added, in which a ReLU shows where the gradient passes.
    output: Option<FlexTensor>,
}

#[cfg(feature = "flex")]
impl<const N: usize> Operation<N> for BatchNorm {
    type Saved = Saved;

    fn inputs(&self) -> [Input; N] {
        norm::inputs()
    }

    fn forward(&self, inputs: [FlexTensor; N]) -> (FlexTensor, Saved) {
        let (gamma, beta, x, residual) = norm::named(inputs);
        let map = Map::new(x.clone());
        let images = map.images();
        let residual = residual.map(Map::new);
        let residual = residual.as_ref().map(Map::images);
        let norm::Statistics { mean, variance } = norm::statistics(isa(), images);
        let (factor, offset) = (Dense::new(gamma.clone()), Dense::new(beta.clone()));
        let (factor, offset) = (factor.values(), offset.values());
        let (scale, shift) = norm::fold(factor, offset, &mean, &variance, self.epsilon);
        let y = build(images.size, |y| {
            norm::affine(isa(), images, &scale, &shift, residual, self.activation, y);
        });
        let channels = images.size.channels;
        let saved = Saved {
            x,
            gamma,
            beta,
            mean: dense(mean, [channels]),
            variance: dense(variance, [channels]),
            output: residual.is_some().then(|| y.clone()),
        };
        (y, saved)
    }

    fn aside(saved: &Saved) -> Vec<FlexTensor> {
        vec![saved.mean.clone(), saved.variance.clone()]
    }

    fn backward(
        &self,
        saved: Saved,
        grad: FlexTensor,
        _: [bool; N],
        _: &mut [Option<FlexTensor>; N],
    ) -> [Option<FlexTensor>; N] {
        let shortcut = saved.output.is_some();
        // Without a ReLU the shortcut's gradient is the output's.
        let open = self.activation == Activation::Identity;
        let unchanged = (shortcut && open).then(|| grad.clone());
        let (x, grad, output) = (
            Map::new(saved.x),
            Map::new(grad),
            saved.output.map(Map::new),
        );
        let (gamma, beta) = (Dense::new(saved.gamma), Dense::new(saved.beta));
        let (mean, variance) = (Dense::new(saved.mean), Dense::new(saved.variance));
        let (scale, shift) = norm::fold(
            gamma.values(),
            beta.values(),
            mean.values(),
            variance.values(),
            self.epsilon,
        );
        let gate = match &output {
            _ if open => Gate::Open,
            Some(output) => Gate::Output(output.images()),
            None => Gate::Line {
                scale: &scale,
                shift: &shift,
                activation: self.activation,
            },
        };
        let rstd = norm::reciprocal_deviation(variance.values(), self.epsilon);
        let saved = norm::Saved {
            x: x.images(),
            gate,
            mean: mean.values(),
            rstd: &rstd,
            gamma: gamma.values(),
        };
        let size = saved.x.size;
        let mut parameters = None;
        let mut shortcut_grad = None;
        let dx = build(size, |dx| {
            let mut run = |residual: Option<&mut [MaybeUninit<f32>]>| {
                parameters = Some(norm::grad(isa(), saved, grad.images(), dx, residual));
            };
            if shortcut && unchanged.is_none() {
                shortcut_grad = Some(build(size, |residual| run(Some(residual))));
            } else {
                run(None);
            }
        });
        let norm::ParameterGrads { gamma, beta } = parameters.unwrap_or_default();
        let [gamma, beta] = [gamma, beta].map(|values| Some(dense(values, [size.channels])));
        let mut gradients = [gamma, beta, Some(dx), unchanged.or(shortcut_grad)].into_iter();
        std::array::from_fn(|_| gradients.next().flatten())
    }
}
