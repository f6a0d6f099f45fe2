use std::fs;

use super::*;

/// What a folder with these files says.
fn described(config: &str, preprocessor: &str) -> Result<WeightsHeader, Error> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("config.json", config),
        ("preprocessor_config.json", preprocessor),
    ] {
        if !text.is_empty() {
            fs::write(folder.path().join(name), text).unwrap();
        }
    }
    of_folder(folder.path(), WeightsHeader::default())
}

const IMAGENET: [[f32; 3]; 2] = [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]];

#[test]
fn a_folder_of_timm_says_all() {
    let header = described(
        r#"{"architecture": "resnet18", "num_classes": 2, "num_features": 512, "label_names": ["cat", "dog"],
            "pretrained_cfg": {"tag": "a1_in1k", "input_size": [3, 224, 224], "fixed_input_size": false,
            "interpolation": "bicubic", "crop_pct": 0.95, "crop_mode": "center", "first_conv": "conv1",
            "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "classifier": "fc"}}"#,
        "",
    );
    let header = header.unwrap();
    assert_eq!(header.architecture.as_deref(), Some("resnet18"));
    assert_eq!(
        (header.classes, header.channels, header.size),
        (Some(2), Some(3), Some(224))
    );
    assert_eq!(header.mean.as_deref(), Some(&IMAGENET[0][..]));
    assert_eq!(header.std.as_deref(), Some(&IMAGENET[1][..]));
    assert_eq!(header.interpolation, Some(Interpolation::Bicubic));
    assert_eq!(header.crop, Some(0.95));
    assert_eq!(header.class_names.unwrap(), ["cat", "dog"]);
}

#[test]
fn a_folder_of_transformers_says_all() {
    let header = described(
        r#"{"architectures": ["ResNetForImageClassification"], "model_type": "resnet", "num_channels": 3,
            "id2label": {"0": "tench", "1": "goldfish", "2": "shark"}, "label2id": {"tench": 0}}"#,
        r#"{"do_normalize": true, "do_resize": true, "crop_pct": 0.875, "size": {"shortest_edge": 224},
            "resample": 3, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}"#,
    );
    let header = header.unwrap();
    assert_eq!(
        header.architecture.as_deref(),
        Some("ResNetForImageClassification")
    );
    assert_eq!(
        (header.classes, header.channels, header.size),
        (Some(3), Some(3), Some(224))
    );
    assert_eq!(header.mean.as_deref(), Some(&IMAGENET[0][..]));
    assert_eq!(header.interpolation, Some(Interpolation::Bicubic));
    assert_eq!(header.crop, Some(0.875));
    assert_eq!(header.class_names.unwrap(), ["tench", "goldfish", "shark"]);
}

#[test]
fn sizes_are_read_in_every_spelling() {
    for (text, size, crop) in [
        (r#"{"size": 224}"#, Some(224), None),
        (r#"{"size": [224, 224]}"#, Some(224), None),
        (
            r#"{"size": {"height": 384, "width": 384}}"#,
            Some(384),
            None,
        ),
        (r#"{"size": {"height": 384, "width": 128}}"#, None, None),
        (
            r#"{"size": {"shortest_edge": 256}, "crop_size": 224}"#,
            Some(224),
            Some(0.875),
        ),
        (
            r#"{"size": 256, "crop_size": {"height": 192, "width": 192}, "do_center_crop": true}"#,
            Some(192),
            Some(0.75),
        ),
        (
            r#"{"size": 256, "crop_size": 192, "do_center_crop": false}"#,
            Some(256),
            None,
        ),
        (r#"{"size": 256, "do_resize": false}"#, None, None),
        (r#"{"size": {"shortest_edge": 256}}"#, None, None),
    ] {
        let header = described("{}", text).unwrap();
        assert_eq!((header.size, header.crop), (size, crop), "{text}");
    }
    let header = described(r#"{"image_size": 96, "num_channels": 1}"#, "").unwrap();
    assert_eq!((header.size, header.channels), (Some(96), Some(1)));
}

#[test]
fn a_way_to_resize_that_is_not_known_is_told() {
    for (config, preprocessor, part) in [
        (
            r#"{"pretrained_cfg": {"interpolation": "random"}}"#,
            "",
            "config.json describes weights and cannot be read: interpolation = \"random\" is none of nearest, lanczos, bilinear, bicubic, box, hamming",
        ),
        (
            "{}",
            r#"{"resample": 7}"#,
            "preprocessor_config.json describes weights and cannot be read: resample = 7 is none of nearest",
        ),
    ] {
        let error = described(config, preprocessor).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    let named = |name: &str| format!(r#"{{"pretrained_cfg": {{"interpolation": "{name}"}}}}"#);
    for (number, known) in Interpolation::ALL.into_iter().enumerate() {
        let spelled = described(&named(known.name()), "").unwrap();
        let numbered = described("{}", &format!(r#"{{"resample": {number}}}"#)).unwrap();
        assert_eq!(spelled.interpolation, Some(known));
        assert_eq!(numbered.interpolation, Some(known));
    }
}

#[test]
fn the_share_of_a_crop_leads_back_to_the_resized_side() {
    for resize in 1..600 {
        for size in 1..=resize {
            let share = WeightsHeader::crop_of(size, resize);
            let back = (size as f64 / share).floor();
            assert_eq!(back, resize as f64, "{size} of {resize}");
        }
    }
    assert_eq!(WeightsHeader::crop_of(224, 256), 0.875);
}

#[test]
fn statistics_are_in_units_of_255_whatever_the_factor() {
    let statistics = |text: &str| {
        let header = described(r#"{"num_channels": 2}"#, text).unwrap();
        (header.mean, header.std)
    };
    let both = |mean: f32, std: f32| (Some(vec![mean; 2]), Some(vec![std; 2]));
    let given = r#""image_mean": [0.5, 0.5], "image_std": [0.25, 0.25]"#;
    assert_eq!(statistics(&format!("{{{given}}}")), both(0.5, 0.25));
    // To -1 and 1: (p / 127.5 - 1) / 1.
    let factor = format!(
        r#"{{"rescale_factor": {}, "image_mean": [1, 1], "image_std": [1, 1]}}"#,
        1.0 / 127.5
    );
    assert_eq!(statistics(&factor), both(0.5, 0.5));
    let raw = r#"{"do_rescale": false, "image_mean": [127.5, 127.5], "image_std": [51, 51]}"#;
    assert_eq!(statistics(raw), both(0.5, 0.2));
    assert_eq!(
        statistics(&format!(r#"{{"do_normalize": false, {given}}}"#)),
        both(0.0, 1.0)
    );
    assert_eq!(statistics("{}"), (None, None));
}

#[test]
fn names_are_taken_where_every_label_has_one() {
    let names = |labels: &str| {
        let header = described(&format!(r#"{{"id2label": {labels}}}"#), "").unwrap();
        (header.classes, header.class_names)
    };
    assert_eq!(
        names(r#"{"0": "LABEL_0", "1": "LABEL_1"}"#),
        (Some(2), None)
    );
    assert_eq!(names(r#"{"1": "a", "2": "b"}"#), (Some(2), None));
    let mut ten: Vec<String> = (0..11).map(|n| format!("class {n}")).collect();
    let spelled: Vec<String> = (0..11)
        .rev()
        .map(|n| format!(r#""{n}": "class {n}""#))
        .collect();
    let (classes, found) = names(&format!("{{{}}}", spelled.join(",")));
    assert_eq!((classes, found.as_ref()), (Some(11), Some(&ten)));
    // Eleven names for ten classes are no names.
    let text = serde_json::json!({"num_classes": 10, "label_names": ten});
    assert_eq!(described(&text.to_string(), "").unwrap().class_names, None);
    ten.truncate(10);
    let text = serde_json::json!({"num_classes": 10, "label_names": ten});
    assert_eq!(
        described(&text.to_string(), "").unwrap().class_names,
        Some(ten)
    );
}

#[test]
fn a_name_of_timm_is_that_of_the_network_for_imagenets_size() {
    let known = |name: &str| {
        let names = [
            "resnet18_224",
            "resnet50",
            "vit_base_patch16_224",
            "vit_base_patch16_384",
        ];
        names.into_iter().find(|known| *known == name)
    };
    for (timm, name) in [
        ("resnet18", Some("resnet18_224")),
        ("resnet18.a1_in1k", Some("resnet18_224")),
        (
            "vit_base_patch16_224.augreg_in21k",
            Some("vit_base_patch16_224"),
        ),
        ("vit_base_patch16_384", Some("vit_base_patch16_384")),
        // The one of this name here is for images of 32 pixels.
        ("resnet50", None),
        ("ResNetForImageClassification", None),
    ] {
        assert_eq!(of_timm_among(timm, &known).as_deref(), name, "{timm}");
    }
}

#[test]
fn networks_of_transformers_have_timms_names() {
    let name = |text: &str| {
        let config: Config = serde_json::from_str(text).unwrap();
        config.of_timms_networks()
    };
    for (text, wanted) in [
        (
            r#"{"model_type": "resnet", "layer_type": "basic", "depths": [2, 2, 2, 2]}"#,
            Some("resnet18"),
        ),
        (
            r#"{"model_type": "resnet", "layer_type": "basic", "depths": [3, 4, 6, 3]}"#,
            Some("resnet34"),
        ),
        (
            r#"{"model_type": "resnet", "layer_type": "bottleneck", "depths": [3, 4, 6, 3]}"#,
            Some("resnet50"),
        ),
        (
            r#"{"model_type": "resnet", "layer_type": "bottleneck", "depths": [3, 4, 6, 4]}"#,
            None,
        ),
        (
            r#"{"model_type": "vit", "hidden_size": 768, "patch_size": 16, "image_size": 224}"#,
            Some("vit_base_patch16_224"),
        ),
        (
            r#"{"model_type": "deit", "hidden_size": 192, "patch_size": [16, 16], "image_size": 224}"#,
            Some("deit_tiny_patch16_224"),
        ),
        (
            r#"{"model_type": "vit", "hidden_size": 32, "patch_size": 16, "image_size": 224}"#,
            None,
        ),
        (r#"{"model_type": "swin", "hidden_size": 768}"#, None),
        ("{}", None),
    ] {
        assert_eq!(name(text).as_deref(), wanted, "{text}");
    }
}

#[test]
fn what_cannot_be_read_names_the_file() {
    for (config, preprocessor, file) in [
        ("{", "", "config.json"),
        (r#"{"num_classes": "ten"}"#, "", "config.json"),
        (
            r#"{"pretrained_cfg": {"input_size": [3, 224]}}"#,
            "",
            "config.json",
        ),
        ("{}", r#"{"image_mean": 0.5}"#, "preprocessor_config.json"),
        ("{}", r#"{"size": "large"}"#, "preprocessor_config.json"),
    ] {
        let message = described(config, preprocessor).unwrap_err().to_string();
        assert!(
            message.contains(file) && message.contains("describes weights"),
            "{message}"
        );
    }
    assert_eq!(described("", "").unwrap(), WeightsHeader::default());
}
