//! torchvision's ResNet-18 and a folder of images, distilled to a MobileNetV3.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::fs;
use std::path::Path;

use burn::tensor::Device;
use image::{Rgb, RgbImage};
use kd_train::{Error, Event, Observer, Recipe, RunOptions, Silent, Summary, run};

/// The shipped recipe, for images of 64×64 and a training of two steps.
fn recipe(folder: &Path) -> Recipe {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../recipes/imagenet/resnet18-mobilenet_v3_small/kd.toml"
    );
    let overrides = [
        format!("data.dir={:?}", folder.join("images")),
        "data.size=64".into(),
        "data.validation=0".into(),
        "data.augment={ crop = 8, flip = true }".into(),
        format!("teacher.weights={:?}", folder.join("resnet18.safetensors")),
        "train.epochs=2".into(),
        "train.batch=4".into(),
        "train.lr={ peak = 0.01 }".into(),
        "compare=false".into(),
    ];
    Recipe::load(Path::new(file), &overrides).unwrap()
}

/// Two classes of stripes, down and across.
fn images(folder: &Path) {
    for (class, across) in [("across", true), ("down", false)] {
        for (part, count) in [("train", 2), ("val", 1)] {
            let folder = folder.join("images").join(part).join(class);
            fs::create_dir_all(&folder).unwrap();
            for number in 0..count {
                let image = RgbImage::from_fn(64, 64, |x, y| {
                    let place = if across { y } else { x };
                    let value = 40 * ((place / (4 + number)) % 6) as u8;
                    Rgb([value, 255 - value, 20 * number as u8])
                });
                image.save(folder.join(format!("{number}.png"))).unwrap();
            }
        }
    }
}

/// Weights under torchvision's names, by the formula of the goldens.
fn weights(folder: &Path) {
    let path = folder.join("resnet18.safetensors");
    let golden = kd_goldens::read("models_more.json");
    let cases = golden["cases"].as_array().unwrap();
    let case = cases
        .iter()
        .find(|case| case["name"] == "resnet18")
        .unwrap();
    let mut keys = kd_goldens::keys(case);
    // Two classes instead of a thousand.
    keys.insert("fc.weight".into(), vec![2, 512]);
    keys.insert("fc.bias".into(), vec![2]);
    kd_goldens::write_weights(&path, "", &keys);
}

/// Stops after so many steps.
struct Stop {
    after: usize,
    steps: usize,
}

impl Observer for Stop {
    fn event(&mut self, event: Event<'_>) {
        if let Event::Step(_) = event {
            self.steps += 1;
        }
    }

    fn stop(&self) -> bool {
        self.steps >= self.after
    }
}

fn start(folder: &Path, out: &str, observer: &mut dyn Observer) -> Result<Summary, Error> {
    let options = RunOptions {
        out: folder.join(out).join("run"),
        seeds: 1,
        device_name: "flex".into(),
        reuse: false,
        resume: true,
    };
    run(&recipe(folder), &options, &Device::flex(), observer)
}

fn student(folder: &Path, out: &str) -> Vec<u8> {
    let file = fs::read(folder.join(out).join("run/student.safetensors")).unwrap();
    // The header has no fixed order.
    let header = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    file[8 + header..].to_vec()
}

/// One test: dropout draws from the device's generator, which is the process's.
#[test]
fn a_recipe_distils_torchvisions_weights_and_goes_on_with_the_same_dropout() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    images(folder);
    weights(folder);
    let summary = start(folder, "whole", &mut Silent).unwrap();
    let models: Vec<_> = summary.networks.iter().map(|n| n.model.as_str()).collect();
    assert!(models.contains(&"resnet18_224"), "{models:?}");
    assert!(models.contains(&"mobilenet_v3_small_224"), "{models:?}");

    let mut stop = Stop { after: 1, steps: 0 };
    let error = start(folder, "stopped", &mut stop).unwrap_err();
    assert!(matches!(error, Error::Stopped { .. }), "{error}");
    start(folder, "stopped", &mut Silent).unwrap();
    assert!(student(folder, "stopped") == student(folder, "whole"));
}
