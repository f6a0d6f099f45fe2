//! Blocks that are left out at random in training (Huang et al., ECCV 2016).

use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig};
use burn::tensor::{Device, Tensor};

/// Leaves the branch of a residual block out, for each sample of a batch by itself, and divides the others by the
/// probability that they stay. In evaluation every branch stays as it is.
#[derive(Module, Debug)]
pub(crate) struct StochasticDepth {
    dropout: Dropout,
}

impl StochasticDepth {
    /// With the probability that a branch is left out, in `[0, 1)`.
    pub fn new(probability: f64) -> Self {
        Self {
            dropout: DropoutConfig::new(probability).init(),
        }
    }

    /// Whether a branch on this device may be left out.
    pub fn is_active(&self, device: &Device) -> bool {
        let Dropout { prob, training } = &self.dropout;
        *prob > 0.0 && training.is_enabled() && device.is_autodiff()
    }

    /// A branch `[batch, ..]`, such as maps or tokens, with the samples left out that chance says.
    pub fn forward<const D: usize>(&self, branch: Tensor<D>) -> Tensor<D> {
        let device = branch.device();
        if !self.is_active(&device) {
            return branch;
        }
        let mut samples = [1; D];
        samples[0] = branch.dims()[0];
        branch * self.dropout.forward(Tensor::ones(samples, &device))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_samples_go_in_training_and_none_in_evaluation() {
        const BATCH: usize = 2000;
        let device = Device::flex().autodiff();
        let depth = StochasticDepth::new(0.25);
        let ones = Tensor::<4>::ones([BATCH, 1, 1, 2], &device);
        let run = |seed: u64| -> Vec<f32> {
            device.seed(seed);
            depth.forward(ones.clone()).into_data().iter().collect()
        };
        let values = run(3);
        let mut kept = 0;
        for sample in values.chunks(2) {
            assert_eq!(sample[0], sample[1]);
            assert!(sample[0] == 0.0 || (sample[0] - 1.0 / 0.75).abs() < 1e-6);
            kept += usize::from(sample[0] > 0.0);
        }
        assert!((kept as f64 / BATCH as f64 - 0.75).abs() < 0.04, "{kept}");
        assert_eq!(values, run(3));
        assert_ne!(values, run(4));
        let plain = depth.valid().forward(ones.inner());
        assert!(plain.into_data().iter::<f32>().all(|v| v == 1.0));
    }
}
