//! Initial values of parameters, the same on every device.
//!
//! A device draws with a generator of its own, so one seed would give a different network on a GPU
//! than on a CPU. Here values are drawn on the host, by a generator that each thread has.

use std::cell::RefCell;

use burn::module::{Param, ParamId};
use burn::tensor::{Device, Distribution, Tensor, TensorData};
use rand::SeedableRng;
use rand::rngs::StdRng;

thread_local! {
    static GENERATOR: RefCell<StdRng> = RefCell::new(StdRng::seed_from_u64(0));
}

/// Seeds this thread's generator of initial values, for [`normal`] and [`uniform`].
///
/// A thread that never calls it starts from seed 0.
pub fn seed(seed: u64) {
    GENERATOR.with_borrow_mut(|generator| *generator = StdRng::seed_from_u64(seed));
}

/// A parameter with normal values of mean 0, drawn when it is first used.
pub fn normal<const D: usize>(shape: [usize; D], std: f64, device: &Device) -> Param<Tensor<D>> {
    parameter(shape, Distribution::Normal(0.0, std), device)
}

/// A parameter with uniform values in `[-bound, bound)`, drawn when it is first used.
pub fn uniform<const D: usize>(shape: [usize; D], bound: f64, device: &Device) -> Param<Tensor<D>> {
    parameter(shape, Distribution::Uniform(-bound, bound), device)
}

fn parameter<const D: usize>(
    shape: [usize; D],
    distribution: Distribution,
    device: &Device,
) -> Param<Tensor<D>> {
    let draw = move |device: &Device, require_grad: bool| {
        let data = GENERATOR.with_borrow_mut(|generator| {
            TensorData::random::<f32, _, _>(shape, distribution, generator)
        });
        Tensor::from_data(data, device).set_require_grad(require_grad)
    };
    Param::uninitialized(ParamId::new(), draw, device.clone(), true, shape.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(std: f64) -> Vec<f32> {
        let param = normal([40, 50], std, &Device::flex());
        param.val().into_data().iter().collect()
    }

    #[test]
    fn a_seed_repeats_its_values() {
        seed(7);
        let first = values(2.0);
        let next = values(2.0);
        assert_ne!(first, next);
        seed(7);
        assert_eq!(first, values(2.0));
        seed(8);
        assert_ne!(first, values(2.0));
    }

    #[test]
    fn values_have_the_spread_that_was_asked_for() {
        seed(1);
        let deviation = |v: &[f32]| (v.iter().map(|v| v * v).sum::<f32>() / v.len() as f32).sqrt();
        assert!((deviation(&values(2.0)) / 2.0 - 1.0).abs() < 0.05);
        let uniform: Vec<f32> = uniform([2000], 0.5, &Device::flex())
            .val()
            .into_data()
            .iter()
            .collect();
        assert!(uniform.iter().all(|v| (-0.5..0.5).contains(v)));
        assert!((deviation(&uniform) / (0.5 / 3f32.sqrt()) - 1.0).abs() < 0.05);
    }

    #[test]
    fn drawn_parameters_can_be_trained() {
        let device = Device::flex().autodiff();
        let param = uniform([3], 1.0, &device);
        let gradients = param.val().sum().backward();
        assert!(param.grad(&gradients).is_some());
        assert!(!normal([3], 1.0, &Device::flex()).val().is_require_grad());
    }
}
