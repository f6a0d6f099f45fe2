//! A real DINOv2, in f16 and with Hugging Face's names, beside what Hugging Face computes with it.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{DType, Device, Tensor, TensorData};
use kd_core::Taps;
use kd_goldens::{Comparison, Report, uniform};
use kd_models::{Backbone, Network, NetworkConfig, Origin, layer_norm};
use safetensors::SafeTensors;
use serde_json::Value;

use crate::{check, dims};

const FILE: &str = "dinov2_vits14_imgfocus_f16.safetensors";

#[test]
fn a_trained_dinov2_computes_what_its_reference_does() {
    let Some(folder) = std::env::var_os("KD_DATA") else {
        println!("skipped: KD_DATA is not set");
        return;
    };
    let folder = Path::new(&folder).join("weights");
    let text = std::fs::read_to_string(folder.join("dinov2_vits14_expected.json")).unwrap();
    let golden: Value = serde_json::from_str(&text).unwrap();
    let mut report = Report::new("dinov2_vits14_expected.json", &[]);
    for case in golden["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        report.case(name, |found| compare(&folder.join(FILE), name, case, found));
    }
    report.finish();
}

fn compare(path: &Path, name: &str, case: &Value, found: &mut Comparison) {
    let device = Device::flex();
    let shape: [usize; 4] = dims(&case["input"]["shape"]).try_into().unwrap();
    let config = NetworkConfig::new("vit_small_patch14_dinov2", 10, 3).with_image_size(shape[2]);
    let without = Network::from_file(&config, path, &device).unwrap_err();
    let cure = "these are weights without a classifier: `Network::from_backbone_file`";
    assert!(without.to_string().contains(cure), "{without}");
    let network = Network::from_backbone_file(&config, path, &device).unwrap();
    assert_eq!(network.origin(), Some(Origin::HuggingFace));

    let scale = case["input"]["scale"].as_f64().unwrap();
    let values = uniform(&format!("{name}/input"), shape.iter().product()).into_iter();
    let values: Vec<f32> = values.map(|u| (scale * u) as f32).collect();
    let images = Tensor::<1>::from_floats(values.as_slice(), &device).reshape(shape);
    let output = network.forward(images, &Taps::all());
    for (level, want) in case["hidden"].as_object().unwrap() {
        let tokens = output.tokens(level.parse().unwrap()).unwrap();
        check(&format!("tokens {level}"), want, &tokens, found);
    }
    let embedding = output.embedding().unwrap();
    let [_, width] = embedding.dims();
    for (part, start) in [("cls", 0), ("patch_mean", width / 2)] {
        let half = embedding.clone().narrow(1, start, width / 2);
        check(part, &case[part], &half, found);
    }
    let bytes = std::fs::read(path).unwrap();
    let norm = last_norm(&bytes);
    let [weight, bias] = ["weight", "bias"].map(|last| norm[last].clone());
    let states = layer_norm(output.tokens(12).unwrap(), weight, bias, 1e-6);
    check("last states", &case["last_hidden_state"], &states, found);
}

/// Weight and bias of the last layer normalisation.
fn last_norm(bytes: &[u8]) -> BTreeMap<&'static str, Tensor<1>> {
    let file = SafeTensors::deserialize(bytes).unwrap();
    let part = |last: &'static str| {
        let view = file.tensor(&format!("dinov2.layernorm.{last}")).unwrap();
        let data =
            TensorData::from_bytes_vec(view.data().to_vec(), view.shape().to_vec(), DType::F16);
        (
            last,
            Tensor::from_data(data.convert::<f32>(), &Device::flex()),
        )
    };
    ["weight", "bias"].map(part).into_iter().collect()
}
