//! Weights in and out: round trips, PyTorch files, and what is said of files that do not fit.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Distribution, Tensor, TensorData};
use kd_core::Taps;
use kd_models::{Backbone, Error, Network, NetworkConfig, WeightsHeader};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

fn config(model: &str) -> NetworkConfig {
    NetworkConfig::new(model, 10, 3)
}

fn network(model: &str) -> Network {
    Network::new(&config(model), &Device::flex()).unwrap()
}

fn logits(network: &Network) -> TensorData {
    let device = Device::flex();
    let input = Tensor::<1>::from_floats(
        kd_goldens::uniform("input", 2 * 3 * 32 * 32)
            .iter()
            .map(|v| *v as f32)
            .collect::<Vec<_>>()
            .as_slice(),
        &device,
    );
    let network = network.valid();
    network
        .forward(input.reshape([2, 3, 32, 32]), &Taps::none())
        .logits
        .into_data()
}

fn error(config: &NetworkConfig, path: &Path) -> String {
    Network::from_file(config, path, &Device::flex())
        .unwrap_err()
        .to_string()
}

#[test]
fn a_saved_network_is_the_same_when_loaded() {
    let folder = tempfile::tempdir().unwrap();
    for model in [
        "resnet8",
        "resnet20_a",
        "wrn_16_1",
        "vgg8",
        "mobilenet_v2",
        "shufflenet_v2",
    ] {
        let path = folder.path().join(format!("{model}.safetensors"));
        let original = network(model);
        original
            .save(&path, &[("epoch".into(), "3".into())])
            .unwrap();
        let loaded = Network::from_file(&config(model), &path, &Device::flex()).unwrap();
        assert_eq!(logits(&original), logits(&loaded), "{model}");
        let again = network(model).load(&path).unwrap();
        assert_eq!(logits(&original), logits(&again), "{model}");
        let header = std::fs::read(&path).unwrap();
        let (_, metadata) = SafeTensors::read_metadata(&header).unwrap();
        let metadata = metadata.metadata().clone().unwrap();
        assert_eq!(metadata["epoch"], "3");
        assert_eq!(metadata["format"], "pt");
    }
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        6,
        "no temporary files stay"
    );
}

#[test]
fn saving_in_training_includes_the_latest_batch() {
    let device = Device::flex().autodiff();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trained.safetensors");
    let trained = Network::new(&config("resnet8"), &device).unwrap();
    let input = Tensor::<4>::random([4, 3, 32, 32], Distribution::Normal(1.0, 2.0), &device);
    trained.forward(input, &Taps::none());
    trained.save(&path, &[]).unwrap();
    let loaded = Network::from_file(&config("resnet8"), &path, &Device::flex()).unwrap();
    assert_eq!(logits(&trained), logits(&loaded));
    let fresh = network("resnet8").load(&path).unwrap();
    assert_eq!(logits(&trained), logits(&fresh));
}

#[test]
fn loading_leaves_clones_and_trainability_alone() {
    let device = Device::flex().autodiff();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.safetensors");
    let other = Network::new(&config("resnet8"), &device).unwrap();
    let input = Tensor::<4>::random([4, 3, 32, 32], Distribution::Normal(1.0, 2.0), &device);
    other.forward(input.clone(), &Taps::none());
    other.save(&path, &[]).unwrap();

    let original = Network::new(&config("resnet8"), &device).unwrap();
    let before = logits(&original);
    let loaded = original.clone().load(&path).unwrap();
    assert_eq!(logits(&original), before);
    assert_eq!(logits(&loaded), logits(&other));
    // A pending update of the original must not reach the loaded one.
    let pending = original.clone();
    pending.forward(input.clone(), &Taps::none());
    assert_eq!(logits(&pending.load(&path).unwrap()), logits(&other));

    let loss = loaded.forward(input, &Taps::none()).logits.square().sum();
    let gradients = burn::optim::GradientsParams::from_grads(loss.backward(), &loaded);
    assert!(gradients.len() > 20, "{}", gradients.len());
}

#[test]
fn the_wrong_class_count_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ten.safetensors");
    network("resnet8").save(&path, &[]).unwrap();
    let message = error(&NetworkConfig::new("resnet8", 100, 3), &path);
    assert!(message.contains("do not fit `resnet8`"), "{message}");
    assert!(
        message.contains("fc.weight is [10, 64] instead of [100, 64]"),
        "{message}"
    );
    assert!(
        message.contains(
            "weights for 10 classes, and the network is built for 100: choose weights for 100"
        ),
        "{message}"
    );
    // Recipes have no such key.
    assert!(!message.contains("`classes"), "{message}");
}

#[test]
fn the_wrong_channel_count_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("colour.safetensors");
    network("vgg8").save(&path, &[]).unwrap();
    let message = error(&NetworkConfig::new("vgg8", 10, 1), &path);
    assert!(message.contains("images of 3 channels"), "{message}");
}

#[test]
fn weights_of_another_network_are_recognised() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.safetensors");
    let other = NetworkConfig::new("wrn_16_2", 7, 3);
    Network::new(&other, &Device::flex())
        .unwrap()
        .save(&path, &[])
        .unwrap();
    let error = Network::from_file(&config("resnet20"), &path, &Device::flex()).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("missing: "), "{message}");
    assert!(message.contains("unexpected: "), "{message}");
    assert!(
        message.contains(
            "these are weights of `wrn_16_2` for 7 classes (3×3 stem): set `model = \"wrn_16_2\"`"
        ),
        "{message}"
    );
    let Error::Mismatch(mismatch) = error else {
        panic!("{message}")
    };
    assert!(
        mismatch
            .missing
            .contains(&"layer1.0.conv1.weight".to_owned())
    );
    assert!(
        mismatch
            .unexpected
            .contains(&"block1.layer.0.conv1.weight".to_owned())
    );
    assert_eq!(mismatch.model, "resnet20");
}

#[test]
fn weights_of_the_same_family_for_other_images_are_recognised() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.safetensors");
    for (small, large, stem) in [
        ("resnet18", "resnet18_224", "7×7"),
        ("mobilenet_v2", "mobilenet_v2_224", "3×3"),
        ("shufflenet_v2", "shufflenet_v2_x1_0_224", "3×3"),
    ] {
        network(large).save(&path, &[]).unwrap();
        let message = error(&config(small), &path);
        let hint = format!(
            "hint: these are weights of `{large}` for 10 classes ({stem} stem): set `model = \"{large}\"`"
        );
        assert!(message.contains(&hint), "{message}, without {hint}");
        network(small).save(&path, &[]).unwrap();
        let message = error(&config(large), &path);
        let hint = format!("these are weights of `{small}` for 10 classes");
        assert!(message.contains(&hint), "{message}, without {hint}");
    }
}

#[test]
fn one_missing_and_one_extra_key_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    network("resnet8").save(&path, &[]).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let renamed = file.iter().map(|(name, view)| {
        let name = if name == "bn1.bias" {
            "bn1.offset"
        } else {
            name
        };
        (name, view)
    });
    safetensors::serialize_to_file(renamed, None, &path).unwrap();
    let message = error(&config("resnet8"), &path);
    assert!(message.contains("1 missing: bn1.bias"), "{message}");
    assert!(message.contains("1 unexpected: bn1.offset"), "{message}");
}

#[test]
fn files_that_cannot_be_read_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let message = error(&config("resnet8"), &at("nowhere.pth"));
    assert!(message.starts_with("cannot read weights from"), "{message}");
    assert!(message.contains("nowhere.pth"), "{message}");

    std::fs::write(at("w.bin"), b"x").unwrap();
    std::fs::write(at("text.pt"), b"hello, these are no weights").unwrap();
    for name in ["w.bin", "text.pt"] {
        let message = error(&config("resnet8"), &at(name));
        assert!(
            message.contains("neither safetensors nor a file of PyTorch"),
            "{message}"
        );
    }

    network("resnet8")
        .save(at("whole.safetensors"), &[])
        .unwrap();
    let bytes = std::fs::read(at("whole.safetensors")).unwrap();
    for (name, length) in [("half", bytes.len() / 2), ("header", 100)] {
        let path = at(&format!("{name}.safetensors"));
        std::fs::write(&path, &bytes[..length]).unwrap();
        let message = error(&config("resnet8"), &path);
        assert!(
            message.contains("not a readable weights file"),
            "{name}: {message}"
        );
    }
}

#[test]
fn the_content_says_the_format_and_not_the_name() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("w.safetensors");
    let original = network("resnet8");
    original.save(&plain, &[]).unwrap();
    for name in ["w.pth", "w.pt", "w.bin", "w"] {
        let path = folder.path().join(name);
        std::fs::copy(&plain, &path).unwrap();
        let loaded = Network::from_file(&config("resnet8"), &path, &Device::flex()).unwrap();
        assert_eq!(logits(&original), logits(&loaded), "{name}");
    }
    // The reverse: a pickle, of no tensors, under the other name.
    let path = folder.path().join("pickle.safetensors");
    std::fs::write(&path, b"\x80\x02}q\x00.").unwrap();
    let message = error(&config("resnet8"), &path);
    assert!(message.contains("it holds no tensors"), "{message}");
}

#[test]
fn what_lies_in_the_place_of_weights_is_called_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 99\n";
    for (content, part) in [
        ("", "is empty"),
        (pointer, "is a Git LFS pointer to 99 bytes"),
        ("<!DOCTYPE html><html></html>", "is a web page"),
    ] {
        for name in ["w.pth", "w.safetensors"] {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            let message = error(&config("resnet8"), &path);
            assert!(message.contains(part), "{message}");
            assert!(message.contains(name), "{message}");
        }
    }
}

#[test]
fn values_that_are_not_finite_are_refused_with_file_and_tensor() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain.safetensors");
    network("resnet8").save(&plain, &[]).unwrap();
    let key = "layer2.0.bn1.running_var";
    for (value, shown) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf")] {
        let mut bytes = std::fs::read(&plain).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let at = file.tensor(key).unwrap().data().as_ptr() as usize - bytes.as_ptr() as usize;
        bytes[at + 4..at + 8].copy_from_slice(&value.to_le_bytes());
        let path = folder.path().join("diverged.safetensors");
        std::fs::write(&path, bytes).unwrap();
        let message = error(&config("resnet8"), &path);
        for part in ["diverged.safetensors", key, "1 values of 32", shown] {
            assert!(message.contains(part), "{message}, without {part}");
        }
        let again = network("resnet8").load(&path).unwrap_err();
        assert!(matches!(again, Error::NotFinite { .. }), "{again}");
    }
}

#[test]
fn a_file_with_several_networks_says_which_and_how_to_choose() {
    let folder = tempfile::tempdir().unwrap();
    let parts = ["student", "teacher"].map(|name| {
        let path = folder.path().join(name);
        let part = network("resnet8");
        part.save(&path, &[]).unwrap();
        (name, part, std::fs::read(path).unwrap())
    });
    let files = parts.each_ref().map(|(name, _, bytes)| {
        let file = SafeTensors::deserialize(bytes).unwrap();
        (*name, file)
    });
    let tensors = files.iter().flat_map(|(part, file)| {
        let named = file.iter();
        named.map(move |(name, view)| (format!("model.{part}.module.{name}"), view))
    });
    let path = folder.path().join("both.safetensors");
    safetensors::serialize_to_file(tensors.collect::<Vec<_>>(), None, &path).unwrap();

    let message = error(&config("resnet8"), &path);
    for part in [
        "several networks",
        "`model.student.module`, `model.teacher.module`",
        "`weights_prefix`",
        "`--prefix`",
    ] {
        assert!(message.contains(part), "{message}, without {part}");
    }
    let device = Device::flex();
    for (name, original, _) in &parts {
        // With or without what stands behind it.
        for prefix in [format!("model.{name}"), format!("model.{name}.module.")] {
            let loaded =
                Network::from_file_behind(&config("resnet8"), &path, &prefix, &device).unwrap();
            assert_eq!(logits(original), logits(&loaded), "{prefix}");
        }
    }
    let wrong = Network::from_file_behind(&config("resnet8"), &path, "pupil", &device);
    let message = wrong.unwrap_err().to_string();
    assert!(
        message.contains("`pupil`; its names begin with `model`"),
        "{message}"
    );
    // Of another network: which ones these are.
    let message = error(&config("vgg8"), &path);
    assert!(
        message.contains("`resnet8` for 10 classes behind the prefix `model.student.module`"),
        "{message}"
    );
}

#[test]
fn a_header_says_what_weights_were_trained_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let mut header = WeightsHeader::default();
    header.model = Some("resnet8".into());
    header.classes = Some(10);
    header.size = Some(32);
    header.mean = Some(vec![0.5, 0.25, 0.1]);
    header.std = Some(vec![0.2, 0.3, 0.4]);
    header.class_names = Some(vec!["a \"b\"".into(), "ü".into()]);
    header.data = Some("cifar10".into());
    network("resnet8").save(&path, &header.entries()).unwrap();
    assert_eq!(WeightsHeader::read(&path).unwrap(), header);

    network("resnet8").save(&path, &[]).unwrap();
    assert_eq!(
        WeightsHeader::read(&path).unwrap(),
        WeightsHeader::default()
    );
    let pickle = folder.path().join("w.pth");
    std::fs::write(&pickle, b"\x80\x02}q\x00.").unwrap();
    assert_eq!(
        WeightsHeader::read(&pickle).unwrap(),
        WeightsHeader::default()
    );
    let wrong = [("mean".into(), "half".into())];
    network("resnet8").save(&path, &wrong).unwrap();
    let message = WeightsHeader::read(&path).unwrap_err().to_string();
    assert!(
        message.contains("header's `mean` cannot be read"),
        "{message}"
    );
    // A header of no bytes, with the brace of one behind it.
    std::fs::write(&pickle, b"\0\0\0\0\0\0\0\0{}").unwrap();
    assert_eq!(
        WeightsHeader::read(&pickle).unwrap(),
        WeightsHeader::default()
    );
    assert!(WeightsHeader::read(folder.path().join("no")).is_err());
}

#[test]
fn a_network_for_other_statistics_answers_as_on_its_own() {
    let device = Device::flex();
    let original = network("resnet8").valid();
    let (given, own) = (
        ([0.5_f32, 0.4, 0.3], [0.2_f32, 0.25, 0.5]),
        ([0.485_f32, 0.456, 0.406], [0.229_f32, 0.224, 0.225]),
    );
    let pixels = kd_goldens::uniform("pixels", 2 * 3 * 32 * 32);
    let images = |(mean, std): ([f32; 3], [f32; 3])| {
        let value = |(i, p): (usize, &f64)| (*p as f32 - mean[i / 1024 % 3]) / std[i / 1024 % 3];
        let values: Vec<f32> = pixels.iter().enumerate().map(value).collect();
        Tensor::<4>::from_data(TensorData::new(values, [2, 3, 32, 32]), &device)
    };
    let wanted = original.forward(images(own), &Taps::none()).logits;
    let changed = original
        .clone()
        .for_statistics((&given.0, &given.1), (&own.0, &own.1))
        .unwrap()
        .valid();
    let found = changed.forward(images(given), &Taps::none()).logits;
    let off: f32 = (found - wanted).abs().max().into_scalar();
    assert!(off < 1e-4, "{off}");
    let message = original.for_statistics((&[0.5], &[0.5]), (&own.0, &own.1));
    assert!(matches!(message.unwrap_err(), Error::Statistics { .. }));
}

#[test]
fn an_unwritable_place_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing").join("w.safetensors");
    let message = network("resnet8").save(&path, &[]).unwrap_err().to_string();
    assert!(message.starts_with("cannot write weights to"), "{message}");
}

/// Writes the tensors of a file again, with other names and values.
fn rewrite(
    from: &Path,
    to: &Path,
    dtype: Dtype,
    name: impl Fn(&str) -> String,
    value: impl Fn(f32) -> Vec<u8>,
) {
    let bytes = std::fs::read(from).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = file
        .iter()
        .map(|(key, view)| {
            let values = view.data().chunks_exact(4);
            let values = values.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            (
                name(key),
                view.shape().to_vec(),
                values.flat_map(&value).collect(),
            )
        })
        .collect();
    let unrelated = vec![0; value(0.0).len()];
    tensors.push((
        "optimizer.state.0.momentum_buffer".into(),
        vec![1],
        unrelated,
    ));
    let views = tensors.iter().map(|(key, shape, bytes)| {
        let view = TensorView::new(dtype, shape.clone(), bytes).unwrap();
        (key.as_str(), view)
    });
    safetensors::serialize_to_file(views, None, to).unwrap();
}

#[test]
fn checkpoints_of_training_scripts_are_unwrapped() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain.safetensors");
    let wrapped = folder.path().join("wrapped.safetensors");
    let original = network("resnet8");
    original.save(&plain, &[]).unwrap();
    for prefix in [
        "state_dict.",
        "model.module.",
        "net.",
        "_orig_mod.module.",
        "module._orig_mod.",
        "state_dict.model.",
        "model_ema.",
        "anything.at.all.",
    ] {
        let name = |key: &str| format!("{prefix}{key}");
        rewrite(&plain, &wrapped, Dtype::F32, name, |v| {
            v.to_le_bytes().to_vec()
        });
        let loaded = Network::from_file(&config("resnet8"), &wrapped, &Device::flex()).unwrap();
        assert_eq!(logits(&original), logits(&loaded), "{prefix}");
    }
}

#[test]
fn averaged_weights_are_read_without_their_counter() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain.safetensors");
    let averaged = folder.path().join("averaged.safetensors");
    let original = network("resnet8");
    original.save(&plain, &[]).unwrap();
    let bytes = std::fs::read(&plain).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let five = 5_i64.to_le_bytes();
    let counter = TensorView::new(Dtype::I64, vec![], &five).unwrap();
    let tensors = file
        .iter()
        .map(|(name, view)| (format!("module.{name}"), view))
        .chain([("n_averaged".into(), counter)]);
    safetensors::serialize_to_file(tensors, None, &averaged).unwrap();
    let loaded = Network::from_file(&config("resnet8"), &averaged, &Device::flex()).unwrap();
    assert_eq!(logits(&original), logits(&loaded));
}

#[test]
fn values_are_converted_to_the_device_s_float() {
    let folder = tempfile::tempdir().unwrap();
    let single = folder.path().join("single.safetensors");
    let double = folder.path().join("double.safetensors");
    let original = network("resnet8");
    original.save(&single, &[]).unwrap();
    let name = |key: &str| format!("net.{key}");
    rewrite(&single, &double, Dtype::F64, name, |v| {
        f64::from(v).to_le_bytes().to_vec()
    });
    let loaded = Network::from_file(&config("resnet8"), &double, &Device::flex()).unwrap();
    assert_eq!(logits(&original), logits(&loaded));
}
