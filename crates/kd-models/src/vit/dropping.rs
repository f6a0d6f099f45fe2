//! What training drops at random.

use burn::nn::{Dropout, DropoutConfig};
use burn::tensor::{Device, Tensor};

/// Dropout (Srivastava et al., JMLR 2014) of so large a share, in `[0, 1)`.
pub(super) fn dropout(share: f64) -> Dropout {
    DropoutConfig::new(share).init()
}

/// Whether anything is dropped on this device: only in training.
pub(super) fn is_active(dropout: &Dropout, device: &Device) -> bool {
    dropout.prob > 0.0 && dropout.training.is_enabled() && device.is_autodiff()
}

/// Stochastic depth (Huang et al., ECCV 2016): the whole branch `[batch, tokens, width]` of a sample is dropped, or
/// divided by the probability that it stays.
pub(super) fn drop_path(branch: Tensor<3>, dropout: &Dropout) -> Tensor<3> {
    let device = branch.device();
    if !is_active(dropout, &device) {
        return branch;
    }
    let kept = dropout.forward(Tensor::<3>::ones([branch.dims()[0], 1, 1], &device));
    branch * kept
}

#[cfg(test)]
mod tests {
    use burn::module::Module;

    use super::*;

    fn numbers(x: Tensor<3>) -> Vec<f32> {
        x.into_data().iter().collect()
    }

    #[test]
    fn whole_samples_are_dropped_and_only_in_training() {
        const SAMPLES: usize = 1000;
        let device = Device::flex().autodiff();
        let half = dropout(0.25);
        let ones = Tensor::<3>::ones([SAMPLES, 2, 3], &device);
        let paths = numbers(drop_path(ones.clone(), &half));
        let paths: Vec<&[f32]> = paths.chunks(6).collect();
        assert!(paths.iter().all(|path| path.iter().all(|v| *v == path[0])));
        let factor = |v: f32| v == 0.0 || (v - 4.0 / 3.0).abs() < 1e-6;
        assert!(paths.iter().all(|path| factor(path[0])));
        let gone = paths.iter().filter(|path| path[0] == 0.0).count() as f64;
        assert!((gone / SAMPLES as f64 - 0.25).abs() < 0.05, "{gone}");

        let same = |x: Tensor<3>| numbers(x).iter().all(|v| *v == 1.0);
        assert!(same(drop_path(ones.clone().inner(), &half)));
        assert!(same(drop_path(ones.clone(), &half.freeze())));
        assert!(same(drop_path(ones, &dropout(0.0))));
    }
}
