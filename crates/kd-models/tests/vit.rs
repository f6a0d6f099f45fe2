//! Vision transformers: the names of every program, positions of another size, two heads, dropping.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::{Device, Distribution, Tensor};
use kd_core::{Levels, Part, Taps, draw};
use kd_models::{
    Backbone, Error, Network, NetworkConfig, Origin, VitConfig, VitDropout, VitPooling, find,
};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

const SHAPE: VitConfig = VitConfig::new(8, 48, 3, 4);

fn config() -> NetworkConfig {
    NetworkConfig::new("vit", 10, 3)
}

fn network(shape: &VitConfig, device: &Device) -> Network {
    draw::seed(5);
    Network::vit(shape, &config(), device).unwrap()
}

fn images(size: usize, device: &Device) -> Tensor<4> {
    let values = kd_goldens::uniform("images", 2 * 3 * size * size).into_iter();
    let values: Vec<f32> = values.map(|v| v as f32).collect();
    Tensor::<1>::from_floats(values.as_slice(), device).reshape([2, 3, size, size])
}

fn logits(network: &Network) -> Vec<f32> {
    let output = network.forward(images(32, &Device::flex()), &Taps::none());
    output.logits.into_data().iter().collect()
}

fn close(one: &[f32], other: &[f32], within: f32) {
    assert_eq!(one.len(), other.len());
    for (one, other) in one.iter().zip(other) {
        assert!((one - other).abs() <= within, "{one} {other}");
    }
}

/// A drawn network whose every number is drawn, also those that start at 0 and 1.
fn restless(shape: &VitConfig) -> (Network, Tensors, tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    network(shape, &Device::flex()).save(&path, &[]).unwrap();
    let mut tensors = read(&path);
    for (name, (_, values)) in &mut tensors {
        let noise = kd_goldens::uniform(name, values.len());
        for (value, noise) in values.iter_mut().zip(noise) {
            *value += 0.1 * noise as f32;
        }
    }
    write(&path, &tensors);
    let network = network(shape, &Device::flex()).load(&path).unwrap();
    (network, tensors, folder, path)
}

fn read(path: &Path) -> Tensors {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = |(name, view): (&str, TensorView)| {
        let values = view.data().chunks(4);
        let values = values.map(|v| f32::from_le_bytes(v.try_into().unwrap()));
        (name.to_owned(), (view.shape().to_vec(), values.collect()))
    };
    file.iter().map(tensor).collect()
}

fn write(path: &Path, tensors: &Tensors) {
    let bytes: Vec<Vec<u8>> = tensors
        .values()
        .map(|(_, values)| values.iter().flat_map(|v| v.to_le_bytes()).collect())
        .collect();
    let views = tensors
        .iter()
        .zip(&bytes)
        .map(|((name, (shape, _)), bytes)| {
            (
                name,
                TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap(),
            )
        });
    safetensors::serialize_to_file(views, None, path).unwrap();
}

/// The tensors with other names; a row-wise third of each `qkv` where a name holds `{}`.
fn renamed(tensors: &Tensors, names: &[(&str, &str)]) -> Tensors {
    let mut all = Tensors::new();
    for (name, (shape, values)) in tensors {
        let rename = |third: &str| {
            names.iter().fold(name.clone(), |name, (from, to)| {
                name.replacen(from, &to.replace("{}", third), 1)
            })
        };
        if !rename("").eq(&rename("x")) {
            let mut shape = shape.clone();
            shape[0] /= 3;
            for (part, values) in ["query", "key", "value"]
                .iter()
                .zip(values.chunks(values.len() / 3))
            {
                all.insert(rename(part), (shape.clone(), values.to_vec()));
            }
        } else {
            all.insert(rename(""), (shape.clone(), values.clone()));
        }
    }
    all
}

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
fn positions_follow_the_size_of_the_images() {
    let (_, _, _folder, path) = restless(&SHAPE);
    let device = Device::flex();
    let large = config().with_image_size(56);
    let large = Network::vit(&SHAPE, &large, &device)
        .unwrap()
        .load(&path)
        .unwrap();
    let input = images(56, &device);
    let built = large.forward(input.clone(), &Taps::all());
    assert_eq!(built.tokens(0).unwrap().dims(), [2, 50, 48]);
    assert_eq!(built.map(3).unwrap().dims(), [2, 48, 7, 7]);
    // A network for small images resizes them as it goes.
    let small = network(&SHAPE, &device).load(&path).unwrap();
    let seen = small.forward(input, &Taps::none());
    let [built, seen] =
        [built.logits, seen.logits].map(|logits| logits.into_data().iter().collect::<Vec<f32>>());
    close(&built, &seen, 1e-5);

    let odd = Network::vit(&SHAPE, &config().with_image_size(30), &device).unwrap_err();
    assert!(
        odd.to_string().starts_with("size = 30: `vit` cuts images"),
        "{odd}"
    );
    let odd = NetworkConfig::new("vit_small_patch14_dinov2", 10, 3).with_image_size(224 + 1);
    let odd = Network::new(&odd, &device).unwrap_err();
    assert!(odd.to_string().ends_with("such as 224"), "{odd}");
}

#[test]
fn parts_are_what_they_are_called() {
    let (network, ..) = restless(&SHAPE);
    let input = images(32, &Device::flex());
    let all = network.forward(input.clone(), &Taps::all());
    for part in [
        Part::Attentions,
        Part::Scores,
        Part::Queries,
        Part::Keys,
        Part::Values,
    ] {
        assert_eq!(all.levels(part), 3, "{}", part.name());
    }
    let part = |part| -> Tensor<4> { all.get(part, 1).unwrap() };
    let [queries, keys] = [Part::Queries, Part::Keys].map(part);
    assert_eq!(queries.dims(), [2, 4, 17, 12]);
    let scores = queries.matmul(keys.transpose()) / 12f64.sqrt();
    let off: f32 = (scores - part(Part::Scores)).abs().max().into_scalar();
    assert!(off < 1e-5, "{off}");
    let sums = part(Part::Attentions).sum_dim(3);
    let off: f32 = (sums - 1.0).abs().max().into_scalar();
    assert!(off < 1e-5, "{off}");
    let tokens = all.tokens(2).unwrap().narrow(1, 1, 16);
    let map: Tensor<3> = all.map(2).unwrap().flatten::<3>(2, 3).swap_dims(1, 2);
    assert_eq!(tokens.into_data(), map.into_data());

    // The fused operation says the same, and only the levels asked for are kept.
    let taps = Taps::levels(Part::Scores, Levels::one(2));
    let one = network.forward(input, &taps);
    let kept: Vec<_> = one.kept().map(|(part, level, _)| (part, level)).collect();
    assert_eq!(kept, [(Part::Scores, 2)]);
    let [one, all] = [one.logits, all.logits].map(|x| x.into_data().iter().collect::<Vec<f32>>());
    close(&one, &all, 1e-5);
}

#[test]
fn a_distilled_network_says_the_mean_of_its_heads() {
    let (network, ..) = restless(&SHAPE.distilled());
    let output = network.forward(images(32, &Device::flex()), &Taps::all());
    assert_eq!(output.tokens(0).unwrap().dims(), [2, 18, 48]);
    assert_eq!(output.embedding().unwrap().dims(), [2, 48]);
    let head = |level| -> Tensor<2> { output.get(Part::Heads, level).unwrap() };
    let off = (head(0) + head(1)) / 2.0 - output.logits.clone();
    assert!(off.abs().max().into_scalar::<f32>() < 1e-6);
    let apart = (head(0) - head(1)).abs().max().into_scalar::<f32>();
    assert!(apart > 1e-2, "{apart}");
    let missing = output.classifier().unwrap_err().to_string();
    assert!(missing.contains("classifier"), "{missing}");
    let shape = VitConfig {
        pooling: VitPooling::Mean,
        ..SHAPE.distilled()
    };
    let wrong = Network::vit(&shape, &config(), &Device::flex()).unwrap_err();
    assert!(
        matches!(
            wrong,
            Error::Config {
                key: "distilled",
                ..
            }
        ),
        "{wrong}"
    );
}

#[test]
fn only_training_drops_and_it_drops_everything_that_it_is_told_to() {
    let none = VitDropout::default();
    let device = Device::flex().autodiff();
    let input = Tensor::<4>::random([16, 3, 32, 32], Distribution::Default, &device);
    let moves = |dropout: VitDropout| {
        let network = network(&VitConfig { dropout, ..SHAPE }, &device);
        let say = |network: &Network, input: Tensor<4>| {
            network.forward(input, &Taps::none()).logits.into_data()
        };
        let plain = network.valid();
        let still = input.clone().inner();
        assert_eq!(say(&plain, still.clone()), say(&plain, still));
        say(&network, input.clone()) != say(&network, input.clone())
    };
    assert!(!moves(none));
    assert!(moves(VitDropout {
        hidden: 0.5,
        ..none
    }));
    assert!(moves(VitDropout {
        attention: 0.5,
        ..none
    }));
    assert!(moves(VitDropout { path: 0.9, ..none }));
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
