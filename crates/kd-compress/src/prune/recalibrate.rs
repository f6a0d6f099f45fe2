//! Running statistics of a network whose channels are gone.

use burn::module::{Flag, Module, ModuleMapper, Param};
use burn::tensor::Device;

use super::module::{Names, filled, own, parameters};
use super::{Array, Parameters};
use crate::Error;

/// The same module with the mean of the batches' statistics in its batch normalisations: what channels sum up to has changed
/// with what was removed. `forward` runs batch number `0..batches` through the module in training, on the device that it
/// is given; nothing is dropped, and no parameter changes.
///
/// # Errors
/// [`Error::Calibration`] for no batches.
pub fn recalibrated<M: Module>(
    module: &M,
    batches: usize,
    rename: &dyn Fn(&str) -> String,
    forward: impl Fn(&M, &Device, usize),
) -> Result<M, Error> {
    if batches == 0 {
        return Err(Error::Calibration {
            problem: "running statistics of no batches are none: give it at least one".into(),
        });
    }
    let devices = module.collect_devices(Vec::new());
    let device = devices.into_iter().next().unwrap_or_default().autodiff();
    let trains = only_normalising(&module.valid().train(), rename);
    let mut sums = Parameters::new();
    for batch in 0..batches {
        // A layer moves its statistics by a share, which two starts tell: `(1 − share) · start + share · batch`.
        let [from_zero, from_one] = [0.0, 1.0].map(|start| {
            let trial = filled(&trains, &started(module, start, rename), rename);
            forward(&trial, &device, batch);
            statistics(&trial, rename)
        });
        for (name, zero) in from_zero {
            let pairs = zero.values.iter().zip(&from_one[&name].values);
            let of_batch = pairs.map(|(zero, one)| match 1.0 - (one - zero) {
                share if share > 0.0 => zero / share,
                _ => *zero,
            });
            let of_batch: Vec<f64> = of_batch.map(|value| value / batches as f64).collect();
            match sums.get_mut(&name) {
                Some(sum) => {
                    let pairs = sum.values.iter_mut().zip(of_batch);
                    pairs.for_each(|(sum, value)| *sum += value);
                }
                None => {
                    let values = of_batch;
                    sums.insert(name, Array { values, ..zero });
                }
            }
        }
    }
    Ok(filled(&own(module), &sums, rename))
}

fn statistics<M: Module>(module: &M, rename: &dyn Fn(&str) -> String) -> Parameters {
    let mut all = parameters(module, rename);
    all.retain(|name, _| {
        name.rsplit('.')
            .next()
            .is_some_and(|last| last.starts_with("running_"))
    });
    all
}

fn started<M: Module>(module: &M, start: f64, rename: &dyn Fn(&str) -> String) -> Parameters {
    let mut all = statistics(module, rename);
    all.values_mut().for_each(|array| array.values.fill(start));
    all
}

/// Everything off that is on in training, but for batch normalisation.
fn only_normalising<M: Module>(module: &M, rename: &dyn Fn(&str) -> String) -> M {
    struct Off<'a>(Names<'a>);
    impl ModuleMapper for Off<'_> {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.0.enter(name, container);
        }
        fn exit_module(&mut self, _: &str, container: &str) {
            self.0.exit(container);
        }
        fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
            match self.0.is_batch_norm() {
                true => flag,
                false => flag.with_value(false),
            }
        }
    }
    own(module).map(&mut Off(Names::new(rename)))
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Distribution, Tensor};
    use kd_core::Taps;
    use kd_models::{Backbone, Network, NetworkConfig};

    use super::*;

    #[test]
    fn statistics_are_the_mean_of_the_batches() {
        let config = NetworkConfig::new("resnet8", 10, 3);
        let network = Network::new(&config, &Device::flex()).unwrap();
        let rename = |path: &str| network.pytorch_name(path);
        let shape = [8, 3, 32, 32];
        let images: Vec<Tensor<4>> = (0..3)
            .map(|_| Tensor::random(shape, Distribution::Normal(0.5, 2.0), &Device::flex()))
            .collect();
        let found = recalibrated(&network, 3, &rename, |network: &Network, device, batch| {
            let images = images[batch].clone().into_data();
            network.forward(Tensor::from_data(images, device), &Taps::none());
        });
        let values = parameters(&found.unwrap(), &rename);
        // The first layer's, computed from what its convolution gives.
        let weight = parameters(&network, &rename)["conv1.weight"].clone();
        let data = burn::tensor::TensorData::new(weight.values, weight.shape);
        let weight = Tensor::<4>::from_data(data, &Device::flex());
        let options = kd_kernels::ConvOptions {
            padding: [1, 1],
            ..kd_kernels::ConvOptions::default()
        };
        let mut mean = vec![0.0; 16];
        let mut variance = vec![0.0; 16];
        for images in &images {
            let maps =
                kd_kernels::conv2d(images.clone(), weight.clone(), options, Default::default());
            let rows = maps.swap_dims(0, 1).reshape([16, -1]);
            let (of_batch, means) = rows.var_mean(1);
            for (channel, value) in means.into_data().iter::<f64>().enumerate() {
                mean[channel] += value / 3.0;
            }
            for (channel, value) in of_batch.into_data().iter::<f64>().enumerate() {
                variance[channel] += value / 3.0;
            }
        }
        for (name, wanted) in [("bn1.running_mean", mean), ("bn1.running_var", variance)] {
            for (got, want) in values[name].values.iter().zip(&wanted) {
                assert!(
                    (got - want).abs() < 1e-3 * want.abs().max(0.1),
                    "{name}: {got} {want}"
                );
            }
        }
        assert_eq!(
            values["conv1.weight"],
            parameters(&network, &rename)["conv1.weight"]
        );
    }

    #[test]
    fn no_batches_are_refused() {
        let network = Network::new(&NetworkConfig::new("resnet8", 10, 3), &Device::flex()).unwrap();
        let rename = |path: &str| network.pytorch_name(path);
        let refused = recalibrated(&network, 0, &rename, |_, _, _| {});
        assert!(refused.unwrap_err().to_string().contains("at least one"));
    }
}
