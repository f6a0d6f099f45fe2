//! `kd eval` and `kd convert` of weights that say how images come to them.

use std::fs;
use std::path::Path;

use burn::tensor::Device;
use image::{Rgb, RgbImage};
use kd_data::{DataConfig, Interpolation, Normalize};
use kd_models::{Network, NetworkConfig, WeightsHeader};
use kd_train::{EvalOptions, Silent, evaluate};

use super::run::{Finished, finish, kd};

/// Two classes of two test images that are no squares.
fn images(folder: &Path) {
    for number in 0..4_u32 {
        let class = folder.join("test").join(["a", "b"][number as usize % 2]);
        fs::create_dir_all(&class).unwrap();
        let pixel = |x: u32, y: u32| {
            let byte = |c: u32| ((x * x + y * (5 + number) + c * 85) % 256) as u8;
            Rgb([byte(0), byte(1), byte(2)])
        };
        let image = RgbImage::from_fn(60 + 8 * number, 40, pixel);
        image.save(class.join(format!("{number}.png"))).unwrap();
    }
}

/// A ResNet-8 for two classes with what timm would say of it.
fn weights(folder: &Path) {
    fs::create_dir(folder).unwrap();
    let device = Device::flex();
    device.seed(5);
    let network = Network::new(&NetworkConfig::new("resnet8", 2, 3), &device).unwrap();
    let model = [("model".to_owned(), "resnet8".to_owned())];
    network
        .save(folder.join("model.safetensors"), &model)
        .unwrap();
    let config = r#"{"num_classes": 2, "pretrained_cfg": {"input_size": [3, 24, 24], "interpolation": "bicubic",
        "crop_pct": 0.75, "mean": [0.5, 0.4, 0.3], "std": [0.01, 0.02, 0.01]}}"#;
    fs::write(folder.join("config.json"), config).unwrap();
}

#[test]
fn images_come_to_a_network_as_its_description_says() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    images(&at("images"));
    weights(&at("hub"));
    let call = |options: &[&str]| -> Finished {
        let arguments = ["eval", "--weights", "hub", "--data", "folder", "--data-dir"];
        finish(kd(
            folder.path(),
            &[&arguments[..], &["images"], options].concat(),
        ))
    };
    let expected = |data: DataConfig| {
        let options = EvalOptions {
            model: "resnet8".into(),
            weights: at("hub"),
            data: DataConfig {
                name: "folder".into(),
                dir: Some(at("images")),
                normalize: Normalize::Given {
                    mean: vec![0.5, 0.4, 0.3],
                    std: vec![0.01, 0.02, 0.01],
                },
                ..data
            },
            batch: 4,
        };
        let found = evaluate(&options, &Device::flex(), &mut Silent).unwrap();
        let loss = found.scores.list.iter().find(|s| s.key == "loss").unwrap();
        loss.show(loss.value)
    };
    let described = DataConfig {
        size: Some(24),
        resize: Some(32),
        interpolation: Some(Interpolation::Bicubic),
        ..DataConfig::default()
    };
    let resized = DataConfig {
        resize: Some(40),
        ..described.clone()
    };
    let larger = DataConfig {
        size: Some(30),
        resize: Some(40),
        ..described.clone()
    };
    let stretched = DataConfig {
        resize: None,
        ..described.clone()
    };
    let cases = [
        (described, &[][..]),
        (resized, &["--resize", "40"]),
        // The share of the middle stays.
        (larger, &["--size", "30"]),
    ];
    let mut losses = vec![expected(stretched)];
    for (data, options) in cases {
        let finished = call(options);
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        let loss = expected(data);
        assert!(
            finished.stdout.contains(&loss),
            "{options:?}: {loss}: {}",
            finished.stdout
        );
        losses.push(loss);
    }
    losses.sort();
    losses.dedup();
    assert_eq!(losses.len(), 4, "each of the ways shows: {losses:?}");
    let told = "hub says: size 24, crop_pct 0.75, interpolation bicubic, mean [0.5, 0.4, 0.3]";
    let finished = call(&[]);
    assert!(finished.stderr.contains(told), "{}", finished.stderr);
}

#[test]
fn a_size_that_weights_say_stays_when_they_are_converted() {
    let folder = tempfile::tempdir().unwrap();
    let config = NetworkConfig::new("vit_p4_d6_w192_mlp2", 3, 3).with_image_size(48);
    let network = Network::new(&config, &Device::flex()).unwrap();
    let mut header = WeightsHeader::default();
    header.model = Some(config.model.clone());
    (header.classes, header.channels, header.size) = (Some(3), Some(3), Some(48));
    network
        .save(folder.path().join("vit.safetensors"), &header.entries())
        .unwrap();
    let arguments = ["convert", "vit.safetensors", "copy.safetensors"];
    let finished = finish(kd(folder.path(), &arguments));
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let copy = folder.path().join("copy.safetensors");
    assert_eq!(WeightsHeader::read(&copy).unwrap(), header);
    let bytes = fs::read(&copy).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let positions = tensors.tensor("pos_embed").unwrap();
    assert_eq!(positions.shape(), [1, 12 * 12 + 1, 192], "not resized");
}
