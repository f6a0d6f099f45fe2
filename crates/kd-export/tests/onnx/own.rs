//! Networks of one's own.

use std::process::Command;

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{AvgPool2d, AvgPool2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::{gelu, leaky_relu, sigmoid, softmax};
use burn::tensor::{Device, Tensor};
use kd_export::{Options, export_module};

use crate::{images, near, rten, tensor};

/// burn's own layers, and operations that no network of the registry has.
#[derive(Module, Debug)]
struct Own {
    conv: Conv2d,
    norm: BatchNorm,
    pool: AvgPool2d,
    classifier: Linear,
}

impl Own {
    fn new(device: &Device) -> Self {
        let padding = PaddingConfig2d::Explicit(0, 1, 1, 2);
        Self {
            conv: Conv2dConfig::new([3, 8], [3, 3])
                .with_padding(padding)
                .with_stride([2, 2])
                .init(device),
            norm: BatchNormConfig::new(8).init(device),
            pool: AvgPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
            classifier: LinearConfig::new(8, 5).init(device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let x = leaky_relu(self.norm.forward(self.conv.forward(x)), 0.1);
        let x = self.pool.forward(x);
        let gate = sigmoid(x.clone().mean_dim(2).mean_dim(3));
        let x = gelu(x.clone() * gate) + x.clamp(-1.0, 1.0).powf_scalar(2.0).sqrt() - 0.25;
        let x = Tensor::cat(
            vec![
                x.clone().slice([0..x.dims()[0], 4..8]),
                x.narrow(1, 0, 4).flip([3]),
            ],
            1,
        );
        let [batch, channels, height, width] = x.dims();
        let tokens = x.reshape([batch, channels, height * width]).swap_dims(1, 2);
        let shares = softmax(tokens.clone().sum_dim(2), 1);
        let pooled: Tensor<2> = (tokens * shares).max_dim(1).squeeze_dim(1);
        self.classifier.forward(pooled)
    }
}

#[test]
fn layers_and_operations_of_burn_itself() {
    let device = Device::flex();
    let network = Own::new(&device).map(&mut crate::Moved);
    let forward = |network: &Own, images| network.forward(images);
    let onnx = export_module(&network, [1, 3, 20, 24], &Options::default(), forward).unwrap();
    for batch in [1, 5] {
        let shape = [batch, 3, 20, 24];
        let values = images(shape);
        let wanted: Vec<f32> = network
            .forward(tensor(&values, shape))
            .into_data()
            .iter()
            .collect();
        near("own", &rten(&onnx, &values, shape).0, &wanted, 1e-4);
    }
    // The normalisation went into the convolution, whose parameters have the module's paths.
    let graph = onnx.model().graph.as_ref().unwrap();
    let names: Vec<&str> = graph
        .initializer
        .iter()
        .map(|tensor| tensor.name())
        .collect();
    for name in [
        "conv.weight",
        "conv.bias",
        "classifier.weight",
        "classifier.bias",
    ] {
        assert!(names.contains(&name), "{name} of {names:?}");
    }
    let classifier = graph
        .initializer
        .iter()
        .find(|tensor| tensor.name() == "classifier.weight");
    assert_eq!(classifier.unwrap().dims, [5, 8], "as in a state dict");
}

#[test]
fn the_example_runs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("own.onnx");
    // Examples are built with the tests, beside this program's folder.
    let here = std::env::current_exe().unwrap();
    let example = here
        .ancestors()
        .nth(2)
        .unwrap()
        .join("examples/own_backbone");
    let output = Command::new(&example).arg(&file).output();
    let output = output.unwrap_or_else(|error| panic!("start {}: {error}", example.display()));
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(rten::Model::load_file(&file).is_ok());
    let serve = example.with_file_name("serve_rten");
    let served = Command::new(serve).arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&served.stdout).into_owned();
    assert!(served.status.success() && said.contains("class"), "{said}");
}
