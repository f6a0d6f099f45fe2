//! Networks that compute with integers.

#![cfg(feature = "flex")]

#[path = "quantised/drawn.rs"]
mod drawn;

use burn::tensor::{Device, Tensor};
use kd_compress::integer::IntegerNetwork;
use kd_compress::prune::recalibrated;
use kd_compress::quantise::QuantiseConfig;
use kd_core::Taps;
use kd_kernels::int8::IntegerSet;
use kd_models::{Backbone, Input, Network};

use drawn::{difference, images, network};

/// The smallest network of every family that there are integers for, and small images that it takes.
const SMALL: [(&str, usize); 11] = [
    ("resnet8", 32),
    ("resnet20_a", 32),
    ("resnet8x4", 32),
    ("resnet18", 32),
    ("wrn_16_1", 32),
    ("vgg8", 32),
    ("mobilenet_v2", 32),
    ("shufflenet_v1", 32),
    ("shufflenet_v2", 32),
    ("resnet18_224", 64),
    ("shufflenet_v2_x0_5_224", 64),
];

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter().collect()
}

fn quantised(network: &Network, config: &QuantiseConfig, images: &Tensor<4>) -> Network {
    let coarse = config.quantise(network, [images.clone()]);
    coarse.expect("grids")
}

/// Integers are near the same network with numbers that are rounded to the grids, as near as its grids are to floats; and the same
/// to the last bit by every instruction set, number of threads and of images.
#[test]
fn every_family_computes_with_integers() {
    for (model, size) in SMALL {
        let images = images(8, size);
        // Statistics that are those of the images, as training leaves them.
        let names = |path: &str| path.to_owned();
        let forward = |network: &Network, _: &Device, _: usize| {
            network.forward(images.clone().lift(), &Taps::none());
        };
        let float = recalibrated(&network(model, size), 1, &names, forward);
        let float = float.expect("statistics");
        let each = 3 * size * size;
        let pixels = numbers(images.clone());
        let logits = |network: &Network| {
            let output = network.forward(images.clone(), &Taps::none());
            numbers(output.logits)
        };
        let whole = logits(&float);
        for (symmetric, bits) in [(false, 8), (true, 7)] {
            let config = QuantiseConfig {
                symmetric,
                weights: bits,
                ..QuantiseConfig::default()
            };
            let coarse = quantised(&float, &config, &images);
            let rounded = logits(&coarse);
            let mut first: Option<Vec<f32>> = None;
            for set in IntegerSet::available() {
                let integers = IntegerNetwork::with_set(&coarse, size, set);
                let integers = integers.unwrap_or_else(|problem| panic!("{model}: {problem}"));
                let all = integers.run(&pixels).expect("whole images");
                let Some(first) = &first else {
                    for threads in [1, 2] {
                        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                        let run = |pixels: &[f32]| {
                            let pool = pool.as_ref().expect("threads");
                            pool.install(|| integers.run(pixels)).expect("whole images")
                        };
                        assert_eq!(run(&pixels), all, "{model}, {set}, {threads} threads");
                        let third = run(&pixels[2 * each..3 * each]);
                        assert_eq!(third, all[20..30], "{model}, {set}, one image");
                    }
                    first = Some(all);
                    continue;
                };
                assert_eq!(*first, all, "{model}, {set}");
            }
            let found = first.expect("a set");
            let (cost, moved) = (difference(&rounded, &whole), difference(&found, &rounded));
            println!(
                "{model}, {bits} bits: grids move logits by {cost:.4}, integers by {moved:.4}"
            );
            assert!(moved < 2.0 * cost, "{model}: {moved} {cost}");
            assert!(moved > 0.0, "{model}: integers round sums and biases");
        }
    }
}

#[test]
fn what_stays_floats_is_told() {
    let told = |model: &str| {
        let images = images(2, 32);
        let coarse = quantised(&network(model, 32), &QuantiseConfig::default(), &images);
        let integers = IntegerNetwork::new(&coarse, 32).expect("integers");
        assert_eq!(integers.shape(), [3, 32, 32]);
        let logits = integers.logits(images).expect("images of its size");
        assert_eq!(logits.dims(), [2, 10]);
        integers.floats().to_vec()
    };
    assert_eq!(told("vgg8"), ["layer `block4.0`", "layer `classifier`"]);
    let shortcuts = [
        "layer `layer2.0.downsample.0`",
        "layer `layer3.0.downsample.0`",
        "layer `layer3.0.conv2`",
        "layer `fc`",
    ];
    assert_eq!(told("resnet8"), shortcuts);
}

#[test]
fn what_there_are_no_integers_for_is_told() {
    let refused = |network: &Network, size: usize| {
        let refused = IntegerNetwork::new(network, size);
        refused.expect_err("refused").to_string()
    };
    let float = network("resnet8", 32);
    assert!(refused(&float, 32).contains("quantise it first"));
    let images = images(2, 32);
    let keep = QuantiseConfig {
        keep: vec!["layer2.0.conv1".into()],
        ..QuantiseConfig::default()
    };
    let kept = refused(&quantised(&float, &keep, &images), 32);
    assert!(
        kept.contains("layer `layer2.0.conv1`: there are no integers for floats"),
        "{kept}"
    );
    let usual = QuantiseConfig::default();
    let swish = network("efficientnet_b0_224", 64);
    let swish = refused(&quantised(&swish, &usual, &drawn::images(2, 64)), 64);
    assert!(
        swish.contains("after layer `features.0.0`: there are no integers for `Sigmoid`"),
        "{swish}"
    );
    let integers = IntegerNetwork::new(&quantised(&float, &usual, &images), 32).expect("integers");
    let small = integers
        .logits(drawn::images(1, 16))
        .expect_err("refused")
        .to_string();
    assert!(
        small.contains(
            "images of [3, 16, 16], and the network of integers was made for [3, 32, 32]"
        ),
        "{small}"
    );
    assert!(
        integers
            .run(&[0.0; 5])
            .expect_err("refused")
            .to_string()
            .contains("5 numbers")
    );
}
