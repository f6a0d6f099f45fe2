//! Networks of the registry on integer grids, and their files.

use burn::tensor::Tensor;
use kd_compress::quantise::{QuantiseConfig, Range, Rounding};
use kd_core::Taps;
use kd_export::{Options, export_network};
use kd_models::{Backbone, Network};

use super::drawn::{difference, images, network};

/// The smallest convolutional network of every family, and small images that it takes.
const SMALL: [(&str, usize); 13] = [
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
    ("mobilenet_v3_small_224", 64),
    ("efficientnet_b0_224", 64),
    ("shufflenet_v2_x0_5_224", 64),
];

fn logits(network: &Network, images: &Tensor<4>) -> Vec<f32> {
    let output = network.forward(images.clone(), &Taps::none());
    output.logits.into_data().iter().collect()
}

fn usual() -> QuantiseConfig {
    QuantiseConfig::default()
}

pub fn bits() {
    let network = network("resnet8", 32);
    let images = images(8, 32);
    let whole = logits(&network, &images);
    let quantised = |config: QuantiseConfig| {
        let quantised = config.quantise(&network, [images.clone()]);
        difference(&logits(&quantised.expect("grids"), &images), &whole)
    };
    let bits = |bits| QuantiseConfig {
        weights: bits,
        inputs: bits,
        ..usual()
    };
    let [eight, four, two] = [8, 4, 2].map(|count| quantised(bits(count)));
    assert!(0.0 < eight && eight < 0.05, "{eight}");
    assert!(4.0 * eight < four && four < two, "{eight} {four} {two}");
    for range in [Range::Percentile, Range::LeastSquares] {
        let found = quantised(QuantiseConfig { range, ..usual() });
        assert!(0.0 < found && found < 0.05, "{range:?}: {found}");
    }
    let symmetric = quantised(QuantiseConfig {
        symmetric: true,
        ..usual()
    });
    assert!(0.0 < symmetric && symmetric < 0.05, "{symmetric}");
    let names = kd_export::layers(&network).expect("layers");
    let layers = names.iter().map(|name| name.trim_end_matches(".weight"));
    let kept = quantised(QuantiseConfig {
        keep: layers.map(str::to_owned).collect(),
        ..bits(2)
    });
    assert!(kept < 1e-5, "{kept}");
}

/// Weights of six bits that are rounded for what inputs have in common move answers less, also on images that were not looked
/// at, for convolutions of every kind; a file has them as they are.
pub fn learned_rounding() {
    // Answers of drawn networks with many depthwise layers move by their whole size whatever weights become.
    let names = ["resnet8", "resnet8x4", "wrn_16_1", "vgg8", "shufflenet_v1"];
    for (name, size) in SMALL.into_iter().filter(|(name, _)| names.contains(name)) {
        let network = network(name, size);
        let looked_at = images(48, size);
        let others = images(64, size).narrow(0, 48, 16);
        let whole = logits(&network, &others);
        let moved = |rounding| {
            let config = QuantiseConfig {
                weights: 6,
                rounding,
                ..usual()
            };
            let coarse = config
                .quantise(&network, [looked_at.clone()])
                .expect("grids");
            let answers = logits(&coarse, &others);
            (difference(&answers, &whole), coarse, answers)
        };
        let (nearest, ..) = moved(Rounding::Nearest);
        let (learned, coarse, answers) = moved(Rounding::Learned);
        eprintln!("{name}: {learned} of {nearest}");
        assert!(learned < nearest, "{name}: {learned} of {nearest}");
        // On its grid a weight stays what it is.
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("coarse.safetensors");
        coarse.save(&file, &[]).expect("a file");
        let read = Network::from_file(network.config(), &file, &others.device());
        let read = read.expect("a network");
        assert!(
            difference(&logits(&read, &others), &answers) < 1e-5,
            "{name}"
        );
    }
}

pub fn refused() {
    let network = network("resnet8", 32);
    let refused = |config: &QuantiseConfig, batches: &[Tensor<4>]| {
        let quantised = config.quantise(&network, batches.to_vec());
        quantised.expect_err("refused").to_string()
    };
    let one = QuantiseConfig {
        weights: 1,
        ..usual()
    };
    assert!(refused(&one, &[images(1, 32)]).starts_with("weights: 1 bits"));
    let none = QuantiseConfig {
        images: 0,
        ..usual()
    };
    assert!(refused(&none, &[images(1, 32)]).starts_with("images: 0 images"));
    assert!(refused(&usual(), &[]).contains("no images to find ranges in"));
    let unknown = QuantiseConfig {
        keep: vec!["conv9".into()],
        ..usual()
    };
    assert!(refused(&unknown, &[images(1, 32)]).contains("no layer `conv9`; there are conv1,"));
    let nothing = images(1, 32) * f32::NAN;
    assert!(refused(&usual(), &[nothing]).contains("NaN"));
    let quantised = usual().quantise(&network, [images(1, 32)]).expect("grids");
    let twice = usual().quantise(&quantised, [images(1, 32)]);
    let twice = twice.expect_err("refused").to_string();
    assert!(twice.contains("on grids already"), "{twice}");
    let pruned = kd_compress::prune::NetworkPruning::new(&quantised, &Default::default());
    let pruned = pruned.expect_err("refused").to_string();
    assert!(pruned.contains("prune the one it was made of"), "{pruned}");
    let coarse = QuantiseConfig {
        inputs: 4,
        ..usual()
    };
    let coarse = coarse.quantise(&network, [images(1, 32)]).expect("grids");
    let file = export_network(&coarse, 32, &Options::default());
    let file = file.expect_err("refused").to_string();
    assert!(file.contains("integers 0 to 15"), "{file}");
    let halves = Options {
        float16: true,
        ..Options::default()
    };
    let halves = export_network(&quantised, 32, &halves).expect_err("refused");
    assert!(halves.to_string().starts_with("float16: "), "{halves}");
}

pub fn transformers() {
    let network = network("vit_lite_6_4_32", 32);
    let refused = usual().quantise(&network, [images(1, 32)]);
    let refused = refused.expect_err("refused").to_string();
    assert!(refused.contains("transformers"), "{refused}");
}

/// Every layer of every family has integers in the file, which computes what the network computes.
pub fn files() {
    let mut largest = (0.0, "");
    for (model, size) in SMALL {
        let network = network(model, size);
        let layers = kd_export::layers(&network).expect("layers").len();
        for symmetric in [false, true] {
            let config = QuantiseConfig {
                symmetric,
                ..usual()
            };
            let quantised = config.quantise(&network, [images(2, size)]);
            let quantised = quantised.unwrap_or_else(|problem| panic!("{model}: {problem}"));
            let onnx = export_network(&quantised, size, &Options::default());
            let onnx = onnx.unwrap_or_else(|problem| panic!("{model}: {problem}"));
            let counts = onnx.operations();
            let pairs = counts["QuantizeLinear"];
            assert_eq!(counts["DequantizeLinear"], layers + pairs, "{model}");
            assert!(0 < pairs && pairs <= layers, "{model}: {pairs} of {layers}");
            let findings = onnx.tensorrt();
            match symmetric {
                true => assert!(findings.is_empty(), "{model}: {findings:?}"),
                false => assert!(findings[0].contains("TensorRT takes INT8"), "{findings:?}"),
            }
            let plain = export_network(&network, size, &Options::default()).expect("a file");
            assert!(onnx.bytes().len() < plain.bytes().len() * 6 / 10, "{model}");
            let images = images(2, size);
            let whole = logits(&quantised, &images);
            let scale = whole
                .iter()
                .fold(f32::MIN_POSITIVE, |most, v| most.max(v.abs()));
            let share = onnx.difference() / scale;
            if share > largest.0 {
                largest = (share, model);
            }
        }
    }
    eprintln!(
        "largest difference of a file: {:e} of {}",
        largest.0, largest.1
    );
}
