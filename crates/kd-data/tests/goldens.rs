//! Images against Pillow and torchvision: equal to the last bit of every byte.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod detection;

use std::sync::Arc;

use kd_data::text::WordPiece;
use kd_data::{
    Augment, Bitmap, Fit, Images, Interpolation, Loader, LoaderConfig, Operation, Sampling,
    TimmOperation,
};
use kd_goldens::{Comparison, Report};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The image that a golden file means by a kind and a size: `tests/goldens/images.py` has the same formulas.
fn formula(kind: &str, width: usize, height: usize, channels: usize) -> Bitmap {
    let byte = |x: usize, y: usize, c: usize| match kind {
        "noise" => {
            let mut z = ((y * width + x) * channels + c) as u32;
            z = (z ^ (z >> 16)).wrapping_mul(0x7feb_352d);
            z = (z ^ (z >> 15)).wrapping_mul(0x846c_a68b);
            (z ^ (z >> 16)) >> 24
        }
        "smooth" => ((x * x * 3 + y * 5 * (c + 1) + x * y) / 64 % 200 + 20) as u32,
        "edges" => match (x / 5 + y / 7 + c) % 3 {
            0 => 255,
            1 => 0,
            _ => 128,
        },
        "dark" => ((x * 7 + y * 3 + c) % 4 * 9) as u32,
        _ => panic!("no image {kind}"),
    };
    let mut bytes = Vec::new();
    for y in 0..height {
        for x in 0..width {
            bytes.extend((0..channels).map(|c| byte(x, y, c) as u8));
        }
    }
    Bitmap {
        width,
        height,
        channels,
        bytes,
    }
}

fn whole(value: &Value) -> usize {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("no whole number: {value}")) as usize
}

fn interpolation(case: &Value) -> Interpolation {
    serde_json::from_value(case["interpolation"].clone()).unwrap()
}

fn result(image: &Bitmap, case: &Value, found: &mut Comparison) -> Bitmap {
    match case["do"].as_str().unwrap() {
        "resize" => {
            let to = (whole(&case["to"][0]), whole(&case["to"][1]));
            image.resize(to, interpolation(case))
        }
        "fit" => Fit {
            resize: whole(&case["resize"]),
            size: whole(&case["size"]),
            interpolation: interpolation(case),
        }
        .apply(image),
        name => {
            let operation = Operation::ALL
                .into_iter()
                .find(|o| format!("{o:?}") == name);
            let operation = operation.unwrap_or_else(|| panic!("no operation {name}"));
            let (magnitude, bins) = (whole(&case["magnitude"]), whole(&case["bins"]));
            let size = (image.width, image.height);
            let strength = match case["wide"].as_bool() {
                Some(true) => operation.wide_strength(magnitude, bins),
                _ => operation.strength(magnitude, bins, size),
            };
            let want = case["strength"].as_f64().unwrap();
            // At single precision, whose last bit depends on the vector instructions of the reference.
            found.close("strength", strength, want.abs(), 1e-6, 1.0);
            let sampling: Sampling = serde_json::from_value(case["interpolation"].clone()).unwrap();
            if want < 0.0 && !operation.is_signed() {
                found.fail("the operation has no direction");
            }
            operation.apply(image, strength.copysign(want), sampling)
        }
    }
}

/// The image that a case is of, and a check of what it becomes.
fn image_of(case: &Value) -> Bitmap {
    let of = &case["image"];
    let [width, height, channels] = [1, 2, 3].map(|i| whole(&of[i]));
    formula(of[0].as_str().unwrap(), width, height, channels)
}

fn check(got: &Bitmap, case: &Value, found: &mut Comparison) {
    let size = [got.width, got.height].map(|side| side as f64);
    let want = [0, 1].map(|i| whole(&case["becomes"][i]) as f64);
    found.close_all("size", &size, &want, 1e-9, 1.0);
    let hash = Sha256::digest(&got.bytes);
    let hash: String = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    if case["sha256"] != hash.as_str() {
        found.fail(format!("another image: its SHA-256 begins with {hash}"));
    }
}

/// What a case is called: all but its result.
fn name(case: &Value) -> String {
    let mut name = case.clone();
    for key in ["sha256", "becomes", "order"] {
        name.as_object_mut().unwrap().shift_remove(key);
    }
    name.to_string()
}

#[test]
fn images_are_those_of_pillow_and_torchvision() {
    let golden = kd_goldens::read("images.json");
    let mut report = Report::new("images.json", &[]);
    for case in golden["cases"].as_array().unwrap() {
        report.case(&name(case), |found| {
            let got = result(&image_of(case), case, found);
            check(&got, case, found);
        });
    }
    report.finish();
}

/// An operation of timm on an image, and the order in which its sampler repeats images.
#[test]
fn augmentation_is_that_of_timm() {
    let golden = kd_goldens::read("timm_augment.json");
    let mut report = Report::new("timm_augment.json", &[]);
    for case in golden["cases"].as_array().unwrap() {
        report.case(&name(case), |found| {
            let operation = TimmOperation::ALL[whole(&case["operation"])];
            let spelled = format!("{operation:?}");
            if !case["do"].as_str().unwrap().starts_with(&spelled) {
                found.fail(format!("operation {} is {spelled}", case["operation"]));
            }
            let level = case["level"].as_f64().unwrap();
            let [increasing, negative] =
                ["increasing", "negative"].map(|key| case[key].as_bool().unwrap());
            let argument = operation.argument(level, increasing, negative);
            let want = case["argument"].as_f64().unwrap();
            found.close("argument", argument, want, 1e-15, 1.0);
            let outside: Vec<u8> = serde_json::from_value(case["outside"].clone()).unwrap();
            let sampling: Sampling = serde_json::from_value(case["interpolation"].clone()).unwrap();
            let got = operation.apply(&image_of(case), argument, sampling, &outside);
            check(&got, case, found);
        });
    }
    for case in golden["orders"].as_array().unwrap() {
        report.case(&name(case), |found| {
            let (count, repeats) = (whole(&case["images"]), whole(&case["repeats"]));
            let order: Vec<f64> = order(count, repeats).map(|index| index as f64).collect();
            let want: Vec<f64> = serde_json::from_value(case["order"].clone()).unwrap();
            found.close_all("order", &order, &want, 1e-9, 1.0);
        });
    }
    report.finish();
}

/// Words and pieces against Hugging Face's tokenizers, with capitals and without.
#[test]
fn texts_are_split_as_by_hugging_faces_tokenizers() {
    let golden = kd_goldens::read("wordpiece.json");
    let listed = |value: &Value| -> Vec<String> { serde_json::from_value(value.clone()).unwrap() };
    let folder = tempfile::tempdir().unwrap();
    let vocabulary = listed(&golden["vocabulary"]).join("\n");
    std::fs::write(folder.path().join("vocab.txt"), vocabulary).unwrap();
    let mut report = Report::new("wordpiece.json", &[]);
    for case in golden["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        report.case(name, |found| {
            let config = serde_json::json!({ "do_lower_case": case["lowercase"] });
            let path = folder.path().join("tokenizer_config.json");
            std::fs::write(path, config.to_string()).unwrap();
            let tokenizer = WordPiece::read(folder.path()).unwrap();
            let ids: Vec<Vec<u32>> = serde_json::from_value(case["ids"].clone()).unwrap();
            let texts = listed(&case["texts"]);
            let mut alike = 0;
            for (text, want) in texts.iter().zip(&ids) {
                let got = tokenizer.encode(text, 512);
                match got == *want {
                    true => alike += 1,
                    false => found.fail(format!("{text:?}: {got:?} instead of {want:?}")),
                }
            }
            let (alike, all) = (f64::from(alike), ids.len() as f64);
            found.close("texts that are split alike", alike, all, 1e-12, 0.0);
        });
    }
    report.finish();
}

/// What an epoch shows of so many images when they are not shuffled.
fn order(count: usize, repeats: usize) -> impl Iterator<Item = usize> {
    let images = Images {
        pixels: vec![0; count],
        labels: vec![0; count],
        ..Images::empty(1, 1, 1)
    };
    let config = LoaderConfig {
        batch: 4,
        augment: Augment {
            repeats,
            ..Augment::none()
        },
        mean: vec![0.5],
        std: vec![0.5],
        seed: 1,
        shuffle: false,
        drop_last: false,
    };
    let loader = Loader::new(Arc::new(images), (0..count).collect(), config).unwrap();
    loader.epoch(1).flat_map(|batch| batch.indices)
}
