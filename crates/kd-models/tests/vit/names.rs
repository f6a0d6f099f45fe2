//! The names of every program, and what follows from them.

use std::path::Path;

use burn::tensor::{Device, Tensor};
use kd_core::{Part, Taps};
use kd_models::{Backbone, Network, NetworkConfig, Origin, VitConfig, VitPooling, find};

use crate::tensors::{read, renamed, restless, write};
use crate::{SHAPE, close, config, images, logits, network};

const HUGGING_FACE: [(&str, &str); 12] = [
    ("cls_token", "embeddings.cls_token"),
    ("pos_embed", "embeddings.position_embeddings"),
    ("patch_embed.proj", "embeddings.patch_embeddings.projection"),
    ("blocks.", "encoder.layer."),
    ("attn.qkv", "attention.attention.{}"),
    ("attn.proj", "attention.output.dense"),
    ("norm1", "layernorm_before"),
    ("norm2", "layernorm_after"),
    ("mlp.fc1", "intermediate.dense"),
    ("mlp.fc2", "output.dense"),
    ("head.", "classifier."),
    ("norm.", "layernorm."),
];

#[test]
fn every_spelling_is_read_behind_any_wrapper() {
    let (own, tensors, folder, _) = restless(&SHAPE);
    let wanted = logits(&own);
    let torchvision = [
        ("cls_token", "class_token"),
        ("pos_embed", "encoder.pos_embedding"),
        ("patch_embed.proj", "conv_proj"),
        ("blocks.", "encoder.layers.encoder_layer_"),
        ("attn.qkv.", "self_attention.in_proj_"),
        ("attn.proj", "self_attention.out_proj"),
        ("norm1", "ln_1"),
        ("norm2", "ln_2"),
        ("mlp.fc1", "mlp.linear_1"),
        ("mlp.fc2", "mlp.linear_2"),
        ("head.", "heads.head."),
        ("norm.", "encoder.ln."),
    ];
    let mut hugging_face = renamed(&tensors, &HUGGING_FACE);
    for (name, shape) in [
        ("pooler.dense.weight", vec![48, 48]),
        ("pooler.dense.bias", vec![48]),
    ] {
        let values = vec![1.0; shape.iter().product()];
        hugging_face.insert(name.into(), (shape, values));
    }
    let cases = [
        (tensors.clone(), Origin::Timm, 0.0),
        (renamed(&tensors, &torchvision), Origin::Torchvision, 0.0),
        // Another epsilon.
        (hugging_face, Origin::HuggingFace, 1e-3),
    ];
    for (tensors, origin, within) in cases {
        for wrapper in ["", "module.", "state_dict.model."] {
            let path = folder.path().join("other.safetensors");
            let wrapped = tensors
                .iter()
                .map(|(name, t)| (format!("{wrapper}{name}"), t.clone()));
            write(&path, &wrapped.collect());
            let read = network(&SHAPE, &Device::flex()).load(&path).unwrap();
            assert_eq!(read.origin(), Some(origin));
            close(&logits(&read), &wanted, within);
        }
    }
}

#[test]
fn epsilon_and_resizing_follow_the_names_and_stay_with_the_weights() {
    let (_, mut tensors, folder, path) = restless(&SHAPE);
    // So small that an epsilon of 1e-6 is a good part of the variance.
    for name in [
        "cls_token",
        "pos_embed",
        "patch_embed.proj.weight",
        "patch_embed.proj.bias",
    ] {
        let (_, values) = tensors.get_mut(name).unwrap();
        values.iter_mut().for_each(|v| *v *= 1e-2);
    }
    write(&path, &tensors);
    let other = folder.path().join("other.safetensors");
    write(&other, &renamed(&tensors, &HUGGING_FACE));
    let read = |path: &Path| network(&SHAPE, &Device::flex()).load(path).unwrap();
    let [timm, theirs] = [&path, &other].map(|path| read(path));
    let far = |one: &[f32], two: &[f32]| {
        let off = one.iter().zip(two).map(|(a, b)| (a - b).abs());
        off.fold(0.0, f32::max)
    };
    let apart = far(&logits(&timm), &logits(&theirs));
    assert!(apart > 1e-2, "{apart}");

    let again = folder.path().join("again.safetensors");
    theirs.save(&again, &[]).unwrap();
    assert_eq!(logits(&read(&again)), logits(&theirs));
    timm.save(&again, &[]).unwrap();
    assert_eq!(logits(&theirs.load(&again).unwrap()), logits(&timm));

    let positions = |path: &Path| -> Vec<f32> {
        let large = config().with_image_size(56);
        let network = Network::vit(&SHAPE, &large, &Device::flex()).unwrap();
        let network = network.load(path).unwrap();
        let black = Tensor::zeros([1, 3, 56, 56], &Device::flex());
        let output = network.forward(black, &Taps::part(Part::Tokens));
        output.tokens(0).unwrap().into_data().iter().collect()
    };
    let apart = far(&positions(&path), &positions(&other));
    assert!(apart > 1e-4, "{apart}");
}

#[test]
fn a_dinov2_of_hugging_face_has_layer_scale_and_two_things_to_read() {
    let shape = VitConfig {
        layer_scale: Some(0.5),
        pooling: VitPooling::TokenAndMean,
        ..SHAPE
    };
    let (own, tensors, folder, _) = restless(&shape);
    let kept = HUGGING_FACE
        .into_iter()
        .filter(|(name, _)| !["norm1", "norm2", "mlp.fc1", "mlp.fc2"].contains(name));
    let scales = [
        ("ls1.gamma", "layer_scale1.lambda1"),
        ("ls2.gamma", "layer_scale2.lambda1"),
    ];
    let names: Vec<_> = kept.chain(scales).collect();
    let mut tensors = renamed(&tensors, &names);
    let token = (vec![1, 48], vec![1.0; 48]);
    tensors.insert("embeddings.mask_token".into(), token);
    let path = folder.path().join("other.safetensors");
    write(&path, &tensors);
    let read = network(&shape, &Device::flex()).load(&path).unwrap();
    assert_eq!(read.origin(), Some(Origin::HuggingFace));
    // The epsilon is the same here.
    assert_eq!(logits(&read), logits(&own));
    let output = read.forward(images(32, &Device::flex()), &Taps::all());
    assert_eq!(output.embedding().unwrap().dims(), [2, 96]);
}

#[test]
fn what_does_not_fit_is_told_in_the_names_of_the_file() {
    let (_, tensors, folder, _) = restless(&SHAPE);
    let mut tensors = renamed(&tensors, &HUGGING_FACE);
    let path = folder.path().join("other.safetensors");
    tensors.remove("encoder.layer.1.attention.attention.key.bias");
    tensors.insert("extra.weight".into(), (vec![1], vec![0.0]));
    write(&path, &tensors);
    let of = || {
        network(&SHAPE, &Device::flex())
            .load(&path)
            .unwrap_err()
            .to_string()
    };
    let message = of();
    let missing = "1 missing: encoder.layer.1.attention.attention.key.bias";
    assert!(message.contains(missing), "{message}");
    assert!(message.contains("1 unexpected: extra.weight"), "{message}");

    let (_, tensors, ..) = restless(&SHAPE);
    let mut odd = tensors.clone();
    odd.insert("pos_embed".into(), (vec![1, 12, 48], vec![0.0; 12 * 48]));
    write(&path, &odd);
    let message = of();
    let positions = "pos_embed is [1, 12, 48] instead of [1, 17, 48]";
    assert!(message.contains(positions), "{message}");
    let mut holes = tensors;
    holes.get_mut("blocks.2.attn.qkv.weight").unwrap().1[7] = f32::NAN;
    write(&path, &holes);
    let message = of();
    assert!(
        message.contains("`blocks.2.attn.qkv.weight` holds 1 values"),
        "{message}"
    );
}

#[test]
fn a_backbone_alone_is_read_by_its_own_call() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let device = Device::flex();
    let config = NetworkConfig::new("vit_p8_d6_w192_mlp4", 7, 3);
    let drawn = Network::new(&config, &device).unwrap();
    drawn.save(&path, &[]).unwrap();
    let all = read(&path);
    // Other classes are left alone, too.
    let other = NetworkConfig {
        classes: 5,
        ..config.clone()
    };
    let tokens = |network: &Network| -> Vec<f32> {
        let output = network.forward(images(32, &device), &Taps::part(Part::Embedding));
        output.embedding().unwrap().into_data().iter().collect()
    };
    for keep in [true, false] {
        let kept = all
            .iter()
            .filter(|(name, _)| keep || !name.starts_with("head."));
        write(&path, &kept.map(|(n, t)| (n.clone(), t.clone())).collect());
        let read = Network::from_backbone_file(&other, &path, &device).unwrap();
        assert_eq!(tokens(&read), tokens(&drawn));
        assert_eq!(logits(&read).len(), 10);
    }
    let message = Network::from_file(&config, &path, &device)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("`Network::from_backbone_file` reads them"),
        "{message}"
    );

    let convolutional = NetworkConfig::new("resnet8", 10, 3);
    Network::new(&convolutional, &device)
        .unwrap()
        .save(&path, &[])
        .unwrap();
    let other = NetworkConfig {
        classes: 3,
        ..convolutional
    };
    let read = Network::from_backbone_file(&other, &path, &device).unwrap();
    assert_eq!(logits(&read).len(), 6);
}

#[test]
fn torchvisions_names_lead_to_theirs() {
    for (alias, name) in [
        ("torchvision.vit_b_16", "vit_base_patch16_224"),
        ("tv_vit_b_32", "vit_base_patch32_224"),
        ("dinov2_vits14", "vit_small_patch14_dinov2"),
    ] {
        assert_eq!(find(alias).unwrap().name, name);
    }
}
