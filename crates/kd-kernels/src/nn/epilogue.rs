//! What follows an operation on maps, in the same pass.

use burn::tensor::Tensor;

use super::Activation;

/// What happens to a value between its sum and its store: `activation(value + bias + residual)`, each part on request.
///
/// By default nothing happens.
#[derive(Clone, Debug, Default)]
pub struct Epilogue {
    /// Added to every pixel, `[channels]`.
    pub bias: Option<Tensor<1>>,
    /// Added value by value, of the output's shape.
    pub residual: Option<Tensor<4>>,
    /// What comes last.
    pub activation: Activation,
}

impl Epilogue {
    /// Nothing but a ReLU.
    pub fn relu() -> Self {
        Self::default().with_relu(true)
    }

    /// Adds `bias` `[channels]`, if there is one.
    pub fn with_bias(self, bias: impl Into<Option<Tensor<1>>>) -> Self {
        Self {
            bias: bias.into(),
            ..self
        }
    }

    /// Adds `residual` `[batch, channels, height, width]`, if there is one.
    pub fn with_residual(self, residual: impl Into<Option<Tensor<4>>>) -> Self {
        Self {
            residual: residual.into(),
            ..self
        }
    }

    /// Sets whether a ReLU comes last.
    pub fn with_relu(self, relu: bool) -> Self {
        self.with_activation(if relu {
            Activation::Relu
        } else {
            Activation::Identity
        })
    }

    /// Sets what comes last.
    pub fn with_activation(self, activation: Activation) -> Self {
        Self { activation, ..self }
    }

    /// `shift` and the bias: both are added to a whole channel.
    pub(crate) fn shifted(&mut self, shift: Tensor<1>) -> Tensor<1> {
        match self.bias.take() {
            Some(bias) => shift + bias,
            None => shift,
        }
    }

    /// What is left to do once the bias is added, composed of burn's operations.
    pub(crate) fn finish(self, y: Tensor<4>) -> Tensor<4> {
        let y = match self.residual {
            Some(residual) => y + residual,
            None => y,
        };
        self.activation.apply(y)
    }

    /// Takes out an activation whose output does not show its slope. Where a gradient needs that slope, such an
    /// activation is an operation of its own, which keeps its input.
    #[cfg(feature = "flex")]
    pub(crate) fn take_opaque(&mut self) -> Activation {
        match self.activation {
            Activation::Identity | Activation::Relu => Activation::Identity,
            _ => std::mem::take(&mut self.activation),
        }
    }
}
