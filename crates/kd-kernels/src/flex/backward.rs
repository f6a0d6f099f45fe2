//! The operations' gradients on Flex.

use burn::backend::Flex;
use burn_flex::FlexTensor;

use super::forward::{Purpose, add, convolve, geometry, shape4};
use super::tensor::{Dense, Map, build, dense, size};
use super::{KernelGrads, NormGrads, NormState};
use crate::images::{OutPtr, Size};
use crate::nn::channels;
use crate::nn::conv::{Epilogue, depthwise, direct, weight_grad, winograd, winograd_grad};
use crate::nn::norm::{self, Gate};
use crate::{ConvOptions, isa};

impl KernelGrads for Flex {
    fn conv2d_for_training(
        x: FlexTensor,
        weight: FlexTensor,
        bias: Option<FlexTensor>,
        residual: Option<FlexTensor>,
        relu: bool,
        options: ConvOptions,
    ) -> FlexTensor {
        let added = [bias, residual];
        convolve(x, weight, added, relu, options, Purpose::Training)
    }

    fn scaled(grad: FlexTensor, scale: FlexTensor) -> FlexTensor {
        let (grad, scale) = (Map::new(grad), Dense::new(scale));
        let (grad, scale) = (grad.images(), scale.values());
        let shift = vec![0.0; scale.len()];
        build(grad.size, |dx| {
            norm::affine(isa(), grad, scale, &shift, None, false, dx);
        })
    }

    fn scale_grad(grad: FlexTensor, x: FlexTensor) -> FlexTensor {
        let (grad, x) = (Map::new(grad), Map::new(x));
        let sums = channels::sum_of_products(isa(), grad.images(), x.images());
        let count = sums.len();
        dense(sums, [count])
    }

    fn conv2d_input_grad(
        grad: FlexTensor,
        weight: FlexTensor,
        input: [usize; 4],
        options: ConvOptions,
        earlier: Option<FlexTensor>,
    ) -> FlexTensor {
        let input = Size::of(input);
        let geometry = geometry(input, shape4(&weight), options);
        let (grad, weight) = (Map::new(grad), Dense::new(weight));
        let earlier = earlier.map(Map::new);
        let (isa, grad, weight) = (isa(), grad.images(), weight.values());
        let epilogue = Epilogue {
            residual: earlier.as_ref().map(Map::images),
            ..Epilogue::default()
        };
        build(input, |dx| {
            if geometry.is_depthwise() {
                depthwise::input_grad(isa, &geometry, grad, weight, epilogue, dx);
            } else if geometry.is_winograd() {
                winograd::input_grad(isa, &geometry, grad, weight, epilogue, dx);
            } else {
                direct::input_grad(isa, &geometry, grad, weight, epilogue, dx);
            }
        })
    }

    fn conv2d_weight_grad(
        x: FlexTensor,
        grad: FlexTensor,
        weight: [usize; 4],
        options: ConvOptions,
    ) -> FlexTensor {
        let geometry = geometry(size(x.layout()), weight, options);
        let (x, grad) = (Map::new(x), Map::new(grad));
        let (isa, x, grad) = (isa(), x.images(), grad.images());
        let values = if geometry.is_depthwise() {
            depthwise::weight_grad(isa, &geometry, x, grad)
        } else if geometry.is_winograd_for_weight() {
            winograd_grad::weight_grad(isa, &geometry, x, grad)
        } else {
            weight_grad::weight_grad(isa, &geometry, x, grad)
        };
        dense(values, weight)
    }

    fn relu_grad(grad: FlexTensor, output: FlexTensor) -> FlexTensor {
        let (grad, output) = (Map::new(grad), Map::new(output));
        let (grad, output) = (grad.images(), output.images());
        build(grad.size, |dx| channels::gate(isa(), grad, output, 0.0, dx))
    }

    fn bias_grad(grad: FlexTensor) -> FlexTensor {
        let grad = Map::new(grad);
        let sums = channels::sum(isa(), grad.images());
        let count = sums.len();
        dense(sums, [count])
    }

    fn batch_norm_grad(saved: NormState<Self>, grad: FlexTensor) -> NormGrads<Self> {
        let NormState {
            x,
            gamma,
            mean,
            variance,
            beta,
            relu,
            output,
            epsilon,
        } = saved;
        let shortcut = output.is_some();
        // Without a ReLU the shortcut's gradient is the output's.
        let unchanged = (shortcut && !relu).then(|| grad.clone());
        let (x, grad, output) = (Map::new(x), Map::new(grad), output.map(Map::new));
        let (gamma, beta) = (Dense::new(gamma), Dense::new(beta));
        let (mean, variance) = (Dense::new(mean), Dense::new(variance));
        let (scale, shift) = norm::fold(
            gamma.values(),
            beta.values(),
            mean.values(),
            variance.values(),
            epsilon,
        );
        let gate = match &output {
            _ if !relu => Gate::Open,
            Some(output) => Gate::Output(output.images()),
            None => Gate::Line {
                scale: &scale,
                shift: &shift,
            },
        };
        let rstd = norm::reciprocal_deviation(variance.values(), epsilon);
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
            let mut run = |residual: Option<OutPtr>| {
                parameters = Some(norm::grad(isa(), saved, grad.images(), dx, residual));
            };
            if shortcut && unchanged.is_none() {
                shortcut_grad = Some(build(size, |residual| run(Some(residual))));
            } else {
                run(None);
            }
        });
        let norm::ParameterGrads { gamma, beta } = parameters.unwrap_or_default();
        NormGrads {
            x: dx,
            gamma: dense(gamma, [size.channels]),
            beta: dense(beta, [size.channels]),
            shortcut: unchanged.or(shortcut_grad),
        }
    }

    fn channels_grad(
        grad: FlexTensor,
        total: usize,
        first: usize,
        earlier: Option<FlexTensor>,
    ) -> FlexTensor {
        let grad = Map::new(grad);
        let grad = grad.images();
        let output = Size {
            channels: total,
            ..grad.size
        };
        let earlier = earlier.map(Map::new);
        build(output, |dx| {
            channels::scatter(grad, first, earlier.as_ref().map(Map::images), output, dx);
        })
    }

    fn interleave_grad(grad: FlexTensor, second: bool) -> FlexTensor {
        let grad = Map::new(grad);
        let grad = grad.images();
        let output = Size {
            channels: grad.size.channels / 2,
            ..grad.size
        };
        build(output, |dx| channels::every_second(grad, second, dx))
    }

    fn global_average_grad(grad: FlexTensor, input: [usize; 4]) -> FlexTensor {
        let grad = Dense::new(grad);
        let output = Size::of(input);
        build(output, |dx| channels::spread(grad.values(), output, dx))
    }

    fn sum(a: FlexTensor, b: FlexTensor) -> FlexTensor {
        add(a, b)
    }
}
