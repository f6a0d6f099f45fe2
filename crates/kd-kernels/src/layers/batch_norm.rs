//! Batch normalisation with PyTorch's running statistics.

use burn::module::{Flag, Initializer, Module, Param, RunningState};
use burn::tensor::{Device, Tensor};

use crate::{Epilogue, Normalized};

/// Batch normalisation over `[batch, channels, height, width]` (Ioffe and Szegedy, ICML 2015).
///
/// burn's own layer keeps the biased variance of each batch as running variance; PyTorch, and so
/// every reference network, keeps the unbiased one (`n - 1` values in the denominator). On a
/// 2×2 map and a batch of 16 that is 1.6 %, which evaluation after training shows. Everything else,
/// from the field names that weight files are matched by to [`Flag`] and [`RunningState`],
/// is as in [`burn::nn::BatchNorm`].
#[derive(Module, Debug)]
pub struct BatchNorm {
    /// Scale, `[channels]`.
    pub gamma: Param<Tensor<1>>,
    /// Shift, `[channels]`.
    pub beta: Param<Tensor<1>>,
    /// Running mean, `[channels]`.
    pub running_mean: RunningState<Tensor<1>>,
    /// Running unbiased variance, `[channels]`.
    pub running_var: RunningState<Tensor<1>>,
    /// Off in a frozen layer, which then normalises by its running statistics.
    pub training: Param<Flag>,
    /// Weight of the newest batch in the running statistics.
    pub momentum: f64,
    /// Added to the variance before its square root.
    pub epsilon: f64,
}

impl BatchNorm {
    /// Scale 1, shift 0, running mean 0 and variance 1, with PyTorch's momentum 0.1 and epsilon 1e-5.
    pub fn new(channels: usize, device: &Device) -> Self {
        Self {
            gamma: Initializer::Ones.init([channels], device),
            beta: Initializer::Zeros.init([channels], device),
            running_mean: RunningState::new(Tensor::zeros([channels], device)),
            running_var: RunningState::new(Tensor::ones([channels], device)),
            training: Param::from_bool(true),
            momentum: 0.1,
            epsilon: 1e-5,
        }
    }

    /// With another weight of the newest batch in the running statistics.
    pub fn with_momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self
    }

    /// With another number added to the variance.
    pub fn with_epsilon(mut self, epsilon: f64) -> Self {
        self.epsilon = epsilon;
        self
    }

    /// Normalises `[batch, channels, height, width]`: by the batch's statistics on an autodiff
    /// device, by the running ones elsewhere.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        self.forward_then(input, None, false)
    }

    /// [`forward`](Self::forward), plus `shortcut`, and a ReLU on request.
    pub fn forward_then(
        &self,
        input: Tensor<4>,
        shortcut: Option<Tensor<4>>,
        relu: bool,
    ) -> Tensor<4> {
        self.forward_with(
            input,
            Epilogue::default().with_residual(shortcut).with_relu(relu),
        )
    }

    /// [`forward`](Self::forward), and what the epilogue asks for.
    pub fn forward_with(&self, input: Tensor<4>, epilogue: Epilogue) -> Tensor<4> {
        let learns = self.training.is_enabled() && !super::quantised::quantised();
        if input.device().is_autodiff() && learns {
            let [batch, _, height, width] = input.dims();
            let count = (batch * height * width) as f64;
            let unbiased = count / (count - 1.0).max(1.0);
            let Normalized {
                output,
                mean,
                variance,
            } = crate::batch_norm(
                input,
                self.gamma.val(),
                self.beta.val(),
                self.epsilon,
                epilogue,
            );
            self.blend(&self.running_mean, mean, 1.0);
            self.blend(&self.running_var, variance, unbiased);
            return output;
        }
        let (scale, shift) = self.affine(&input.device());
        crate::affine(input, scale, shift, epilogue)
    }

    /// Scale and shift of each channel that stand for the layer in inference, both `[channels]`.
    pub(crate) fn affine(&self, device: &Device) -> (Tensor<1>, Tensor<1>) {
        let mean = self.running_mean.value().to_device(device);
        let variance = self.running_var.value().to_device(device);
        let scale = self.gamma.val() / (variance + self.epsilon).sqrt();
        let shift = self.beta.val() - mean * scale.clone();
        (scale, shift)
    }

    /// Moves a running statistic towards `scale · batch`.
    fn blend(&self, running: &RunningState<Tensor<1>>, batch: Tensor<1>, scale: f64) {
        let old = running.value_sync().to_device(&batch.device());
        let new = old.mul_scalar(1.0 - self.momentum) + batch.mul_scalar(self.momentum * scale);
        running.update(new.detach());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_statistics_are_pytorchs() {
        let device = Device::flex().autodiff();
        let layer = BatchNorm::new(1, &device);
        // Mean 2.5, biased variance 1.25, unbiased 5/3.
        let input = Tensor::<1>::from_floats([1.0, 2.0, 3.0, 4.0], &device).reshape([2, 1, 1, 2]);
        layer.forward(input.clone());
        layer.forward(input);
        let evaluated = layer.valid();
        let mean = evaluated.running_mean.value().into_scalar::<f32>();
        let variance = evaluated.running_var.value().into_scalar::<f32>();
        assert!((mean - 0.19 * 2.5).abs() < 1e-6, "{mean}");
        assert!(
            (variance - (0.81 + 0.19 * 5.0 / 3.0)).abs() < 1e-6,
            "{variance}"
        );
    }

    #[test]
    fn training_normalises_by_the_batch_and_evaluation_does_not() {
        let device = Device::flex().autodiff();
        let layer = BatchNorm::new(1, &device);
        let input = Tensor::<1>::from_floats([1.0, 3.0], &device).reshape([2, 1, 1, 1]);
        let trained: Vec<f32> = layer.forward(input.clone()).into_data().iter().collect();
        assert!((trained[0] + 1.0).abs() < 1e-4 && (trained[1] - 1.0).abs() < 1e-4);
        let frozen = BatchNorm::new(1, &device).freeze();
        let kept: Vec<f32> = frozen.forward(input).into_data().iter().collect();
        assert!((kept[0] - 1.0).abs() < 1e-4 && (kept[1] - 3.0).abs() < 1e-4);
    }
}
