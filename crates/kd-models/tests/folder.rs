//! Folders for other programs: what is in them, and what is refused. That these programs load them, and give the same
//! logits, `cargo xtask verify-folders` shows.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use kd_core::Taps;
use kd_models::{
    Backbone, Error, FolderFormat, Interpolation, Network, NetworkConfig, WeightsHeader,
};
use serde_json::{Value, json};

const CLASSES: usize = 3;

fn network(model: &str, size: usize) -> Network {
    let config = NetworkConfig::new(model, CLASSES, 3).with_image_size(size);
    Network::new(&config, &Device::flex()).unwrap()
}

fn logits(network: &Network) -> TensorData {
    let config = network.config();
    let (channels, size) = (config.channels().unwrap(), config.image_size().unwrap());
    let shape = [2, channels, size, size];
    let values = kd_goldens::uniform("input", shape.iter().product());
    let values: Vec<f32> = values.into_iter().map(|v| v as f32).collect();
    let input = Tensor::<1>::from_floats(values.as_slice(), &Device::flex()).reshape(shape);
    network.forward(input, &Taps::none()).logits.into_data()
}

fn header() -> WeightsHeader {
    let mut header = WeightsHeader::default();
    header.mean = Some(vec![0.5, 0.25, 0.125]);
    header.std = Some(vec![0.25, 0.5, 0.75]);
    header.interpolation = Some(Interpolation::Bicubic);
    header.crop = Some(0.875);
    header.class_names = Some(["cat", "dog", "owl"].map(String::from).to_vec());
    header
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Formats with names of their own.
fn programs(network: &Network) -> Vec<FolderFormat> {
    let formats = network.folder_formats().into_iter();
    formats
        .filter(|format| *format != FolderFormat::Safetensors)
        .collect()
}

#[test]
fn what_is_written_is_read_back() {
    use FolderFormat::{HuggingFace, Timm, Torchvision};
    for (model, size, formats) in [
        ("resnet8", 32, &[][..]),
        ("resnet18_224", 64, &[HuggingFace, Timm, Torchvision]),
        ("shufflenet_v2_x0_5_224", 64, &[Torchvision]),
        ("mobilenet_v2_224", 64, &[Timm, Torchvision]),
        ("mobilenet_v3_small_224", 64, &[Timm, Torchvision]),
        ("efficientnet_b0_224", 64, &[Timm, Torchvision]),
        ("vit_p4_d6_w192_mlp2", 32, &[HuggingFace, Timm, Torchvision]),
        (
            "deit_tiny_patch16_224",
            32,
            &[HuggingFace, Timm, Torchvision],
        ),
        ("deit_tiny_distilled_patch16_224", 32, &[HuggingFace, Timm]),
        ("vit_small_patch14_dinov2", 28, &[HuggingFace]),
    ] {
        let original = network(model, size);
        assert_eq!(programs(&original), formats, "{model}");
        let expected = logits(&original);
        for format in original.folder_formats() {
            let scratch = tempfile::tempdir().unwrap();
            let folder = scratch.path().join("a/b");
            original.export(&folder, format, &header()).unwrap();
            let loaded = Network::from_file(original.config(), &folder, &Device::flex()).unwrap();
            assert_eq!(logits(&loaded), expected, "{model} as {format}");
            let file = folder.join("model.safetensors");
            let loaded = Network::from_file(original.config(), &file, &Device::flex()).unwrap();
            assert_eq!(logits(&loaded), expected, "{model} as {format}, the file");
            let found = WeightsHeader::read(&folder).unwrap();
            assert_eq!(found.model.as_deref(), Some(model), "{format}");
            assert_eq!(found.mean, header().mean);
            assert_eq!(found.classes, Some(CLASSES));
            assert_eq!(found.size, Some(size));
            let beside = std::fs::read_dir(scratch.path().join("a")).unwrap();
            assert_eq!(beside.count(), 1, "no temporary folder stays");
        }
    }
}

/// What the files say counts without the header of `kd`, as the other programs write them.
#[test]
fn descriptions_say_what_the_header_says() {
    let scratch = tempfile::tempdir().unwrap();
    let original = network("resnet18_224", 64);
    for format in programs(&original) {
        let folder = scratch.path().join(format.name());
        original.export(&folder, format, &header()).unwrap();
        let file = folder.join("model.safetensors");
        let bytes = std::fs::read(&file).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        safetensors::serialize_to_file(tensors.iter(), None, &file).unwrap();
        let found = WeightsHeader::read(&folder).unwrap();
        if format == FolderFormat::Torchvision {
            assert_eq!(found, WeightsHeader::default());
            continue;
        }
        assert_eq!(found.model.as_deref(), Some("resnet18_224"), "{format}");
        assert_eq!(found.classes, Some(CLASSES));
        assert_eq!(found.size, Some(64));
        assert_eq!(found.mean, header().mean);
        assert_eq!(found.std, header().std);
        assert_eq!(found.interpolation, header().interpolation);
        let crop = found.crop.unwrap();
        assert!((crop - 0.875).abs() < 0.01, "{crop}");
        assert_eq!(found.class_names, header().class_names);
    }
}

#[test]
fn a_folder_says_what_its_program_reads() {
    let scratch = tempfile::tempdir().unwrap();
    let vit = network("vit_p4_d6_w192_mlp2", 32);
    let mut plain = header();
    plain.crop = None;
    let folder = scratch.path().join("hf");
    vit.export(&folder, FolderFormat::HuggingFace, &plain)
        .unwrap();
    let config = json(&folder.join("config.json"));
    assert_eq!(
        config["architectures"],
        json!(["ViTForImageClassification"])
    );
    assert_eq!(config["layer_norm_eps"], json!(1e-6));
    assert_eq!(config["intermediate_size"], json!(384));
    assert_eq!(
        config["id2label"],
        json!({"0": "cat", "1": "dog", "2": "owl"})
    );
    let prepared = json(&folder.join("preprocessor_config.json"));
    assert_eq!(prepared["size"], json!({"height": 32, "width": 32}));
    assert_eq!(prepared["resample"], json!(3));

    let folder = scratch.path().join("timm");
    let v3 = network("mobilenet_v3_small_224", 64);
    v3.export(&folder, FolderFormat::Timm, &header()).unwrap();
    let config = json(&folder.join("config.json"));
    assert_eq!(config["architecture"], "mobilenetv3_small_100");
    assert_eq!(config["model_args"], json!({"bn_eps": 1e-3}));
    let prepared = &config["pretrained_cfg"];
    assert_eq!(prepared["first_conv"], "conv_stem");
    assert_eq!(prepared["classifier"], "classifier");
    assert_eq!(prepared["input_size"], json!([3, 64, 64]));

    let distilled = network("deit_tiny_distilled_patch16_224", 32);
    let folder = scratch.path().join("distilled");
    distilled
        .export(&folder, FolderFormat::Timm, &header())
        .unwrap();
    let config = json(&folder.join("config.json"));
    assert_eq!(
        config["pretrained_cfg"]["classifier"],
        json!(["head", "head_dist"])
    );
    let folder = scratch.path().join("torchvision");
    vit.export(&folder, FolderFormat::Torchvision, &header())
        .unwrap();
    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let line = "torchvision.models.VisionTransformer(image_size=32, patch_size=4, num_layers=6, num_heads=3, \
                hidden_dim=192, mlp_dim=384, num_classes=3)";
    assert!(readme.contains(line), "{readme}");
}

/// MobileNetV3 has another epsilon in timm than in torchvision, and the weights go with it.
#[test]
fn an_epsilon_goes_with_the_weights() {
    let scratch = tempfile::tempdir().unwrap();
    let original = network("mobilenet_v3_small_224", 64);
    let folder = scratch.path().join("timm");
    original
        .export(&folder, FolderFormat::Timm, &header())
        .unwrap();
    let file = folder.join("model.safetensors");
    let bytes = std::fs::read(&file).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    safetensors::serialize_to_file(tensors.iter(), None, &file).unwrap();
    let load = |path: &Path| Network::from_file(original.config(), path, &Device::flex()).unwrap();
    // `config.json` says it; timm's own is another one.
    assert_eq!(logits(&load(&folder)), logits(&original));
    let timms = load(&file);
    assert_ne!(logits(&timms), logits(&original));
    let saved = scratch.path().join("saved.safetensors");
    timms.save(&saved, &[]).unwrap();
    assert_eq!(logits(&load(&saved)), logits(&timms));
    let problem = timms.export(
        scratch.path().join("x"),
        FolderFormat::Torchvision,
        &header(),
    );
    let problem = problem.unwrap_err().to_string();
    assert!(problem.contains("the epsilon 1e-5"), "{problem}");
    // And another file brings its own back.
    let torchvision = scratch.path().join("torchvision.safetensors");
    original.save(&torchvision, &[]).unwrap();
    assert_eq!(
        logits(&timms.load(&torchvision).unwrap()),
        logits(&original)
    );
}

#[test]
fn what_cannot_be_is_refused_and_nothing_is_left() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("out");
    let says = |network: &Network, format, header: &WeightsHeader| {
        let problem = network.export(&folder, format, header).unwrap_err();
        assert!(!folder.exists());
        problem.to_string()
    };
    let small = network("resnet8", 32);
    assert_eq!(
        says(&small, FolderFormat::Timm, &header()),
        "`resnet8` cannot be exported for timm: it has no such network. It can be exported as safetensors"
    );
    let grey = NetworkConfig::new("resnet18_224", CLASSES, 1).with_image_size(64);
    let grey = Network::new(&grey, &Device::flex()).unwrap();
    let message = says(&grey, FolderFormat::Torchvision, &header());
    assert!(message.contains("3 channels, and this one 1"), "{message}");
    assert!(message.ends_with("as safetensors, hf, timm"), "{message}");
    let message = says(&grey, FolderFormat::Timm, &header());
    assert!(message.contains("for 1 channels"), "{message}");
    let vit = network("vit_p4_d6_w192_mlp2", 32);
    let message = says(&vit, FolderFormat::HuggingFace, &WeightsHeader::default());
    assert!(message.contains("how images are normalised"), "{message}");

    std::fs::create_dir(&folder).unwrap();
    let problem = small.export(&folder, FolderFormat::Safetensors, &header());
    assert!(matches!(problem, Err(Error::Save { .. })), "{problem:?}");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    let taken = scratch.path().join("file");
    std::fs::write(&taken, "x").unwrap();
    let problem = small.export(taken.join("out"), FolderFormat::Safetensors, &header());
    assert!(matches!(problem, Err(Error::Save { .. })), "{problem:?}");
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 2);
}
