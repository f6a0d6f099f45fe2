//! Runs on images of any size, with strong augmentation and mixed images: they repeat, go on, and use a cache of few
//! views; and what does not go together is refused.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use image::{Rgb, RgbImage};
use kd_train::{Error, Event, Observer, Recipe, Record, RunOptions, Silent, Summary, run};

const RECIPE: &str = r#"name = "any-size"
compare = false

[data]
name = "folder"
size = 16
resize = 18
normalize = "imagenet"
validation = 0.25

[data.augment]
random_resized_crop = { scale = [0.3, 1.0], interpolation = "bicubic" }
rand_augment = { num_ops = 1 }
color_jitter = {}
random_erasing = { mode = "pixel" }

[student]
model = "resnet8"

[teacher]
model = "resnet8"
train = { epochs = 1, batch = 8, lr = { peak = 0.02 } }

[objective.cross_entropy]
weight = 0.5
smoothing = 0.1

[objective.kd]

[train]
epochs = 4
batch = 8
log_every = 1
lr = { peak = 0.02 }
"#;

const MIX: &str = "data.mix={ mixup_alpha = 0.8, cutmix_alpha = 1.0 }";

struct Scratch(tempfile::TempDir);

impl Scratch {
    /// 32 images to train and validate with, 6 to test, of two classes and several sizes.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..38u32 {
            let part = if number < 32 { "train" } else { "val" };
            let class = folder
                .path()
                .join("images")
                .join(part)
                .join(["a", "b"][number as usize % 2]);
            fs::create_dir_all(&class).unwrap();
            let byte = |x: u32, y: u32, c: u32| {
                ((x * (3 + number % 2 * 9) + y * 5 + c * number) % 256) as u8
            };
            let pixel = |x, y| Rgb([byte(x, y, 0), byte(x, y, 1), byte(x, y, 2)]);
            let image = RgbImage::from_fn(20 + number % 7, 34 - number % 5 * 4, pixel);
            image.save(class.join(format!("{number:02}.png"))).unwrap();
        }
        Self(folder)
    }

    fn recipe(&self, overrides: &[&str]) -> Result<Recipe, Error> {
        let file = self.0.path().join("any-size.toml");
        fs::write(&file, RECIPE).unwrap();
        let images = format!(
            "data.dir={:?}",
            self.0.path().join("images").to_str().unwrap()
        );
        let given = overrides.iter().map(|o| (*o).to_owned());
        let overrides: Vec<String> = given.chain([images]).collect();
        Recipe::load(&file, &overrides)
    }

    fn out(&self, name: &str) -> PathBuf {
        self.0.path().join("runs").join(name)
    }

    fn run(
        &self,
        name: &str,
        overrides: &[&str],
        observer: &mut dyn Observer,
    ) -> Result<Run, Error> {
        let options = RunOptions {
            out: self.out(name),
            seeds: 1,
            device_name: "flex".into(),
            reuse: false,
            resume: true,
        };
        let summary = run(
            &self.recipe(overrides)?,
            &options,
            &Device::flex(),
            observer,
        )?;
        Ok(Run {
            losses: losses(&options.out),
            summary,
        })
    }
}

struct Run {
    /// The loss of every step and epoch of the student, as bits.
    losses: Vec<u64>,
    summary: Summary,
}

fn losses(out: &Path) -> Vec<u64> {
    let text = fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    let records = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let losses = records.filter_map(|record: Record| match record {
        Record::Step(step) if step.role.to_string().contains("distilled") => Some(step.loss),
        Record::Epoch(epoch) if epoch.role.to_string().contains("distilled") => Some(epoch.loss),
        _ => None,
    });
    losses.map(f64::to_bits).collect()
}

/// Stops after so many steps.
struct Stop(usize);

impl Observer for Stop {
    fn event(&mut self, event: Event<'_>) {
        if let Event::Step(_) = event {
            self.0 -= 1;
        }
    }

    fn stop(&self) -> bool {
        self.0 == 0
    }
}

#[test]
fn a_stopped_run_of_mixed_images_goes_on_to_the_last_bit() {
    let scratch = Scratch::new();
    let whole = scratch.run("whole", &[MIX], &mut Silent).unwrap();
    // Three batches of 24 images an epoch.
    assert_eq!(whole.losses.len(), 4 * 3 + 4);
    for after in [2, 3, 4] {
        let stopped = scratch.run("stopped", &[MIX], &mut Stop(after));
        assert!(matches!(stopped, Err(Error::Stopped { .. })));
    }
    let resumed = scratch.run("stopped", &[MIX], &mut Silent).unwrap();
    assert_eq!(resumed.losses, whole.losses);
    let plain = scratch.run("plain", &[], &mut Silent).unwrap();
    assert_ne!(plain.losses, whole.losses);
    // The written recipe says the same.
    let written = scratch.out("whole").join("recipe.toml");
    let text = fs::read_to_string(&written).unwrap();
    assert!(text.contains("interpolation = \"bilinear\""), "{text}");
    let again = Recipe::load(&written, &[]).unwrap();
    assert_eq!(again.data, scratch.recipe(&[MIX]).unwrap().data);
}

#[test]
fn a_cache_of_few_views_asks_the_teacher_once_for_each() {
    let scratch = Scratch::new();
    let uncached = scratch
        .run("uncached", &["train.epochs=2"], &mut Silent)
        .unwrap();
    let two = ["train.epochs=2", "teacher.cache={ views = 2 }"];
    // As many epochs as views: every view is the one that would have been drawn.
    let same = scratch.run("same", &two, &mut Silent).unwrap();
    assert_eq!(same.losses, uncached.losses);
    let four = ["teacher.cache={ views = 2, place = \"file\" }"];
    let stats = |run: &Run| {
        let cache = run.summary.cache.as_ref().unwrap();
        (cache.hits, cache.misses)
    };
    let first = scratch.run("first", &four, &mut Silent).unwrap();
    assert_eq!(stats(&first), (48, 48));
    // Another run of the same seed has nothing to ask; of another seed, the views are others.
    let second = scratch.run("second", &four, &mut Silent).unwrap();
    assert_eq!(stats(&second), (96, 0));
    assert_eq!(second.losses, first.losses);
    let other = scratch
        .run("other", &[four[0], "seed=2"], &mut Silent)
        .unwrap();
    assert_eq!(stats(&other), (48, 48));
}

#[test]
fn a_file_that_is_gone_ends_the_run_and_is_named() {
    struct Remove(PathBuf);
    impl Observer for Remove {
        fn event(&mut self, event: Event<'_>) {
            if let Event::Step(step) = event
                && step.epoch == 1
            {
                let _ = fs::remove_file(&self.0);
            }
        }
    }
    for part in ["train/a/04.png", "val/b/33.png"] {
        let scratch = Scratch::new();
        let path = scratch.0.path().join("images").join(part);
        let result = scratch.run("gone", &[], &mut Remove(path));
        let error = result.err().unwrap().to_string();
        assert!(error.contains(&part[part.len() - 6..]), "{error}");
    }
}

#[test]
fn what_does_not_go_with_mixed_images_or_endless_views_is_refused() {
    let scratch = Scratch::new();
    for (overrides, parts) in [
        (
            &[MIX, "teacher.cache={ views = 2 }"][..],
            ["[teacher.cache] and [data.mix]", "remove one of the two"],
        ),
        (
            &["teacher.cache={}"],
            ["teacher.cache.views = \"all\"", "to a number of views"],
        ),
        (
            &[MIX, "objective.dkd={}"],
            [
                "[objective.dkd]: dkd needs the one class",
                "remove [data.mix], or the term",
            ],
        ),
        (
            &[MIX, "objective.own={ term = \"crd\" }"],
            ["[objective.own]: crd needs", "[data.mix]"],
        ),
        (
            &["data.augment.repeats=3", "objective.own={ term = \"crd\" }"],
            [
                "[objective.own]: crd keeps one answer",
                "remove `repeats`, or the term",
            ],
        ),
        (
            &[MIX, "student.combine={ rule = \"confidence\" }"],
            [
                "student.combine.rule = \"confidence\"",
                "combine by \"average\"",
            ],
        ),
        (
            &[MIX, "train.batch=1"],
            ["train.batch = 1", "use a larger batch"],
        ),
        (
            &["data.mix={ mixup_alpha = -0.5 }"],
            ["data.mix.mixup_alpha = -0.5", "0 for none"],
        ),
        (
            &["data.mix={ mixup = 0.8 }"],
            ["unknown field `mixup`", "mixup_alpha"],
        ),
        (
            &["data.augment.crop=4"],
            ["data.augment.crop = 4", "leave `crop` out"],
        ),
        (&["data.resize=10"], ["data.resize = 10", "at least 16"]),
    ] {
        let error = scratch.recipe(overrides).unwrap_err().to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
    scratch
        .recipe(&[MIX, "objective.rkd={}", "objective.at={}"])
        .unwrap();
}
