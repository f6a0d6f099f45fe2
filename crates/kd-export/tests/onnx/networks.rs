//! Every family of the registry.

use burn::tensor::{Device, Tensor};
use kd_core::Taps;
use kd_export::{Options, export_network};
use kd_models::{Backbone, models};

use crate::{images, near, network, rten, tensor};

/// The smallest network of every family, and the smallest images that it takes.
const SMALL: [(&str, usize); 19] = [
    ("resnet8", 32),
    ("resnet20_a", 32),
    ("resnet8x4", 32),
    ("resnet18", 32),
    ("wrn_16_1", 32),
    ("vgg8", 32),
    ("mobilenet_v2", 32),
    ("shufflenet_v1", 32),
    ("shufflenet_v2", 32),
    ("vit_p4_d6_w192_mlp2", 32),
    ("deit_tiny_patch16_224", 48),
    ("resnet18_224", 64),
    ("mobilenet_v2_224", 64),
    ("mobilenet_v3_small_224", 64),
    ("efficientnet_b0_224", 64),
    ("shufflenet_v2_x0_5_224", 64),
    ("vgg11_224", 64),
    ("cct_2_3x2_32", 32),
    ("vit_lite_6_4_32", 32),
];

#[test]
fn every_family_has_a_network_here() {
    let families: std::collections::BTreeSet<_> =
        models().iter().map(|model| model.family).collect();
    let here = SMALL.map(|(name, _)| kd_models::find(name).unwrap().family);
    for family in families {
        // A variant of another family: its own parts are in the list under another name.
        let same = ["VGG-BN", "VGG"].contains(&family);
        assert!(
            here.contains(&family) || same,
            "{family} has no network in the list"
        );
    }
}

#[test]
fn logits_are_those_of_the_network_for_one_image_and_five() {
    for (name, size) in SMALL {
        let network = network(name, size);
        let onnx = export_network(&network, size, &Options::default()).unwrap();
        for batch in [1, 5] {
            let shape = [batch, 3, size, size];
            let values = images(shape);
            let wanted = network
                .forward(tensor(&values, shape), &Taps::none())
                .logits;
            let wanted: Vec<f32> = wanted.into_data().iter().collect();
            let (found, found_shape) = rten(&onnx, &values, shape);
            assert_eq!(found_shape, [batch, 10], "{name}");
            let largest = wanted
                .iter()
                .fold(1.0_f32, |most, value| most.max(value.abs()));
            near(name, &found, &wanted, 1e-4 * largest);
        }
        assert!(
            !onnx.operations().contains_key("BatchNormalization"),
            "{name}"
        );
        assert_eq!(onnx.tensorrt(), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn a_residual_network_is_convolutions_sums_and_relus() {
    let onnx = export_network(&network("resnet8", 32), 32, &Options::default()).unwrap();
    let operations: Vec<(&str, usize)> = onnx.operations().into_iter().collect();
    let wanted = [
        ("Add", 3),
        ("Conv", 9),
        ("Flatten", 1),
        ("Gemm", 1),
        ("GlobalAveragePool", 1),
        ("Relu", 7),
    ];
    assert_eq!(operations, wanted);
}

#[test]
fn what_runtimes_have_kernels_for_is_recognised() {
    let operations = |name, size| {
        let onnx = export_network(&network(name, size), size, &Options::default()).unwrap();
        let counts = onnx.operations().into_iter();
        counts
            .map(|(op, count)| (op.to_owned(), count))
            .collect::<std::collections::BTreeMap<_, _>>()
    };
    let mobile = operations("mobilenet_v2_224", 64);
    assert!(
        mobile.contains_key("Clip") && !mobile.contains_key("Relu"),
        "{mobile:?}"
    );
    assert!(
        !mobile.contains_key("Mul") && mobile["Gemm"] == 1,
        "{mobile:?}"
    );
    let third = operations("mobilenet_v3_small_224", 64);
    assert!(
        third.contains_key("HardSwish") && third.contains_key("HardSigmoid"),
        "{third:?}"
    );
    let transformer = operations("vit_p4_d6_w192_mlp2", 32);
    assert_eq!(transformer["LayerNormalization"], 13, "{transformer:?}");
    assert_eq!(transformer["Erf"], 6, "{transformer:?}");
    assert_eq!(transformer["Softmax"], 6, "{transformer:?}");
    let shuffled = operations("shufflenet_v2", 32);
    assert!(
        !shuffled.contains_key("Mul") && !shuffled.contains_key("Expand"),
        "{shuffled:?}"
    );
}

#[test]
fn the_original_keeps_its_statistics() {
    let network = network("resnet8", 32);
    let shape = [2, 3, 32, 32];
    let values = images(shape);
    let logits = || -> Vec<f32> {
        let images: Tensor<4> = tensor(&values, shape);
        network
            .forward(images, &Taps::none())
            .logits
            .into_data()
            .iter()
            .collect()
    };
    let before = logits();
    export_network(&network, 32, &Options::default()).unwrap();
    assert_eq!(logits(), before);
}

#[test]
fn a_network_on_an_autodiff_device_is_exported_in_evaluation_mode() {
    let config = kd_models::NetworkConfig::new("resnet8", 10, 3);
    let training = kd_models::Network::new(&config, &Device::flex().autodiff()).unwrap();
    let shape = [4, 3, 32, 32];
    let values = images(shape);
    let input = tensor(&values, shape);
    // Running statistics of a batch that is not flushed yet.
    training.forward(Tensor::from_inner(input.clone()), &Taps::none());
    let onnx = export_network(&training, 32, &Options::default()).unwrap();
    let wanted = burn::module::Module::valid(&training).forward(input, &Taps::none());
    let wanted: Vec<f32> = wanted.logits.into_data().iter().collect();
    near("resnet8", &rten(&onnx, &values, shape).0, &wanted, 1e-4);
}
