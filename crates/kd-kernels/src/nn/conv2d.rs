//! Convolution.

#[cfg(feature = "flex")]
use std::sync::Arc;

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use super::affine::of_bias;
#[cfg(feature = "flex")]
use super::conv::{self, Geometry, Way, depthwise, direct, weight_grad, winograd, winograd_grad};
#[cfg(feature = "flex")]
use super::leaky_relu::gate;
#[cfg(feature = "flex")]
use super::{Activation, activate};
use super::{ConvOptions, Epilogue};
#[cfg(feature = "flex")]
use crate::flex::{Dense, FlexTensor, Input, Map, Operation, build, dense, fast, run, shape4};
#[cfg(feature = "flex")]
use crate::images::Size;
#[cfg(feature = "flex")]
use crate::isa;
#[cfg(feature = "flex")]
use crate::prepared::packed;

/// A convolution: `x` of shape `[batch, inputs, height, width]` with `weight`
/// `[outputs, inputs / groups, kernel height, kernel width]`, and what the epilogue asks for.
///
/// Differentiable in all of them. On a device without autodiff, and in the gradients, 3×3 kernels of stride
/// 1 are computed by Winograd's minimal filtering F(4×4, 3×3) (Lavin and Gray, CVPR 2016), whose
/// rounding error is about two and a half times that of the direct sum. The forward pass of
/// training sums directly or by F(2×2, 3×3): there the error decides which values near zero pass a ReLU. Maps of one or
/// two tiles are summed directly on such devices, too, where the transformed weights would outgrow the cache.
/// A dilated convolution is burn's own.
pub fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    options: ConvOptions,
    mut epilogue: Epilogue,
) -> Tensor<4> {
    #[cfg(feature = "flex")]
    if fast(&x) && options.dilation == [1, 1] {
        let purpose = Purpose::of(&x, &weight, &epilogue);
        let last = match purpose {
            Purpose::Training => epilogue.take_opaque(),
            Purpose::Inference => Activation::Identity,
        };
        let convolution = Convolution {
            options,
            purpose,
            biased: epilogue.bias.is_some(),
            activation: epilogue.activation,
        };
        return activate(convolution.run(x, weight, epilogue), last);
    }
    let bias = epilogue.bias.take();
    epilogue.finish(burn::tensor::module::conv2d(
        x,
        weight,
        bias,
        options.composed(),
    ))
}

/// The inputs are weight, bias (if `biased`), the map to add (if there is another) and last the map that is convolved.
///
/// It is last because both maps may be the same one: its gradient is then added to that of the other.
#[cfg(feature = "flex")]
#[derive(Clone, Debug)]
struct Convolution {
    options: ConvOptions,
    purpose: Purpose,
    biased: bool,
    activation: Activation,
}

/// What a forward pass is for.
#[cfg(feature = "flex")]
#[derive(Clone, Copy, Debug)]
enum Purpose {
    /// It decides which values pass a ReLU, and a value near zero that falls on the other side changes what is
    /// learned, so its sums are as exact as `f32` allows.
    Training,
    /// There is no such threshold behind it.
    Inference,
}

#[cfg(feature = "flex")]
impl Purpose {
    fn of(x: &Tensor<4>, weight: &Tensor<4>, epilogue: &Epilogue) -> Self {
        let devices = [
            Some(x.device()),
            Some(weight.device()),
            epilogue.bias.as_ref().map(Tensor::device),
            epilogue.residual.as_ref().map(Tensor::device),
        ];
        let training = devices
            .into_iter()
            .flatten()
            .any(|device| device.is_autodiff());
        match training {
            true => Self::Training,
            false => Self::Inference,
        }
    }
}

#[cfg(feature = "flex")]
impl Convolution {
    fn run(self, x: Tensor<4>, weight: Tensor<4>, epilogue: Epilogue) -> Tensor<4> {
        let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
        let bias = epilogue.bias.map(Tensor::into_dispatch);
        let residual = epilogue.residual.map(Tensor::into_dispatch);
        match (bias, residual) {
            (None, None) => run(self, [weight, x]),
            (Some(added), None) | (None, Some(added)) => run(self, [weight, added, x]),
            (Some(bias), Some(residual)) => run(self, [weight, bias, residual, x]),
        }
    }

    /// The output, and again the map that is convolved and the weight.
    fn of_inputs<const N: usize>(&self, inputs: [FlexTensor; N]) -> (FlexTensor, [FlexTensor; 2]) {
        let mut inputs = inputs.into_iter();
        let weight = inputs.next().expect("a weight");
        let x = inputs.next_back().expect("an input");
        let bias = if self.biased { inputs.next() } else { None };
        (
            self.convolve(&x, &weight, [bias, inputs.next()]),
            [x, weight],
        )
    }

    fn convolve(
        &self,
        x: &FlexTensor,
        weight: &FlexTensor,
        added: [Option<FlexTensor>; 2],
    ) -> FlexTensor {
        let [bias, residual] = added;
        let (bias, residual) = (bias.map(Dense::new), residual.map(Map::new));
        let epilogue = conv::Epilogue {
            bias: bias.as_ref().map(Dense::values),
            residual: residual.as_ref().map(Map::images),
            activation: self.activation,
        };
        let geometry = geometry(Size::of(shape4(x)), shape4(weight), self.options);
        let (isa, x) = (isa(), Map::new(x.clone()));
        let values = || Dense::new(weight.clone());
        let weights = match self.purpose {
            Purpose::Training => {
                let way = Way::for_training(&geometry);
                Arc::new(way.weights(isa, &geometry, values().values()))
            }
            Purpose::Inference => {
                let way = Way::for_inference(&geometry);
                packed(weight, (self.options, way), || {
                    way.weights(isa, &geometry, values().values())
                })
            }
        };
        build(geometry.output(), |y| {
            weights.forward(isa, &geometry, x.images(), epilogue, y);
        })
    }

    /// The gradient of the map, plus `earlier`.
    fn of_input(
        &self,
        grad: &FlexTensor,
        weight: &FlexTensor,
        input: [usize; 4],
        earlier: Option<FlexTensor>,
    ) -> FlexTensor {
        let input = Size::of(input);
        let geometry = geometry(input, shape4(weight), self.options);
        let (grad, weight) = (Map::new(grad.clone()), Dense::new(weight.clone()));
        let earlier = earlier.map(Map::new);
        let (isa, grad, weight) = (isa(), grad.images(), weight.values());
        let epilogue = conv::Epilogue {
            residual: earlier.as_ref().map(Map::images),
            ..conv::Epilogue::default()
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

    fn of_weight(&self, grad: &FlexTensor, x: &FlexTensor, weight: [usize; 4]) -> FlexTensor {
        let geometry = geometry(Size::of(shape4(x)), weight, self.options);
        let (x, grad) = (Map::new(x.clone()), Map::new(grad.clone()));
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
}

#[cfg(feature = "flex")]
#[derive(Clone, Debug)]
struct Saved {
    x: FlexTensor,
    weight: FlexTensor,
    /// The output, where a ReLU made it.
    gate: Option<FlexTensor>,
}

#[cfg(feature = "flex")]
impl<const N: usize> Operation<N> for Convolution {
    type Saved = Saved;

    fn inputs(&self) -> [Input; N] {
        let parameters = 1 + usize::from(self.biased);
        std::array::from_fn(|input| {
            if input < parameters {
                Input::Plain
            } else {
                Input::Map
            }
        })
    }

    fn forward(&self, inputs: [FlexTensor; N]) -> (FlexTensor, Saved) {
        let (y, [x, weight]) = self.of_inputs(inputs);
        let gate = (self.activation == Activation::Relu).then(|| y.clone());
        (y, Saved { x, weight, gate })
    }

    fn infer(&self, inputs: [FlexTensor; N]) -> (FlexTensor, Vec<FlexTensor>) {
        (self.of_inputs(inputs).0, vec![])
    }

    fn backward(
        &self,
        saved: Saved,
        grad: FlexTensor,
        wants: [bool; N],
        earlier: &mut [Option<FlexTensor>; N],
    ) -> [Option<FlexTensor>; N] {
        let Saved { x, weight, gate } = saved;
        let grad = match gate {
            Some(output) => self::gate(grad, output, 0.0),
            None => grad,
        };
        let mut gradient = |input| match input {
            0 => self.of_weight(&grad, &x, shape4(&weight)),
            1 if self.biased => of_bias(&grad),
            _ if input == N - 1 => self.of_input(&grad, &weight, shape4(&x), earlier[input].take()),
            _ => grad.clone(),
        };
        std::array::from_fn(|input| wants[input].then(|| gradient(input)))
    }
}

#[cfg(feature = "flex")]
fn geometry(input: Size, weight: [usize; 4], options: ConvOptions) -> Geometry {
    let [outputs, inputs, height, width] = weight;
    assert_eq!(
        input.channels,
        inputs * options.groups,
        "the weight has {inputs} channels in each of {} groups, the input {}",
        options.groups,
        input.channels,
    );
    assert_eq!(options.dilation, [1, 1], "the kernels are not dilated");
    assert_eq!(
        outputs % options.groups,
        0,
        "{outputs} output channels cannot be divided into {} groups",
        options.groups,
    );
    for (axis, size) in [input.height, input.width].into_iter().enumerate() {
        assert!(
            [height, width][axis] <= size + 2 * options.padding[axis],
            "a kernel of {height}x{width} is larger than the padded input",
        );
    }
    Geometry {
        input,
        outputs,
        kernel: [height, width],
        stride: options.stride,
        padding: options.padding,
        groups: options.groups,
    }
}
