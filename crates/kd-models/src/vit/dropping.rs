//! What training drops at random.

use burn::tensor::Tensor;
use kd_core::draw;

/// Dropout (Srivastava et al., JMLR 2014): each element is 0 with the probability `share`, and divided by `1 − share`
/// otherwise. Only on an autodiff device, which is where training runs.
pub(super) fn dropout<const D: usize>(x: Tensor<D>, share: f64) -> Tensor<D> {
    if !drops(&x, share) {
        return x;
    }
    let kept = draw::kept(x.dims(), share, &x.device());
    x * kept
}

/// Stochastic depth (Huang et al., ECCV 2016): a whole branch `[batch, tokens, width]` of a sample is 0 with the
/// probability `share`, and divided by `1 − share` otherwise.
pub(super) fn drop_path(branch: Tensor<3>, share: f64) -> Tensor<3> {
    if !drops(&branch, share) {
        return branch;
    }
    let kept = draw::kept([branch.dims()[0], 1, 1], share, &branch.device());
    branch * kept
}

/// Whether anything is to be dropped.
pub(super) fn drops<const D: usize>(x: &Tensor<D>, share: f64) -> bool {
    share > 0.0 && x.device().is_autodiff()
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    fn numbers<const D: usize>(x: Tensor<D>) -> Vec<f32> {
        x.into_data().iter().collect()
    }

    #[test]
    fn a_share_is_dropped_and_the_mean_stays() {
        let device = Device::flex().autodiff();
        draw::seed(3);
        let ones = Tensor::<3>::ones([50, 20, 20], &device);
        let dropped = numbers(dropout(ones.clone(), 0.25));
        let zeros = dropped.iter().filter(|v| **v == 0.0).count() as f64;
        assert!((zeros / 20_000.0 - 0.25).abs() < 0.02, "{zeros}");
        assert!(dropped.iter().all(|v| *v == 0.0 || (v - 4.0 / 3.0).abs() < 1e-6));

        let paths = numbers(drop_path(ones, 0.5));
        let paths: Vec<&[f32]> = paths.chunks(400).collect();
        assert!(paths.iter().all(|path| path.iter().all(|v| *v == path[0])));
        let gone = paths.iter().filter(|path| path[0] == 0.0).count();
        assert!((10..40).contains(&gone), "{gone}");
    }

    #[test]
    fn evaluation_drops_nothing() {
        let ones = Tensor::<3>::ones([4, 3, 2], &Device::flex());
        assert!(numbers(dropout(ones.clone(), 0.9)).iter().all(|v| *v == 1.0));
        assert!(numbers(drop_path(ones, 0.9)).iter().all(|v| *v == 1.0));
    }
}
