//! A run that was stopped goes on as if nothing had happened, and says what keeps it from that.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use kd_train::{
    Error, Event, Left, Observer, Recipe, Record, RunOptions, Silent, Summary, left_in, run,
};

const RECIPE: &str = r#"name = "tiny"
compare = false

[data]
name = "fashion_mnist_small"
train_limit = 64
test_limit = 40
validation = 0.25

[student]
model = "resnet8"

[teacher]
model = "resnet8"
train = { epochs = 1, batch = 16, lr = { peak = 0.02 } }

[objective.cross_entropy]
weight = 0.1

[objective.kd]

[objective.fitnet]
weight = 1.0

[train]
epochs = 3
batch = 16
log_every = 1
lr = { peak = 0.02 }
"#;

fn recipe(overrides: &[&str]) -> Recipe {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tiny.toml");
    fs::write(&file, RECIPE).unwrap();
    let overrides: Vec<String> = overrides.iter().map(|o| o.to_string()).collect();
    Recipe::load(&file, &overrides).unwrap()
}

fn options(out: &Path) -> RunOptions {
    RunOptions {
        out: out.into(),
        seeds: 1,
        device_name: "flex".into(),
        reuse: false,
        resume: true,
    }
}

fn start(overrides: &[&str], out: &Path, observer: &mut dyn Observer) -> Result<Summary, Error> {
    run(&recipe(overrides), &options(out), &Device::flex(), observer)
}

/// Stops after so many steps, and keeps the notes.
#[derive(Default)]
struct Watch {
    stop_after: Option<usize>,
    steps: usize,
    notes: Vec<String>,
}

impl Watch {
    fn stopping(after: usize) -> Self {
        Self {
            stop_after: Some(after),
            ..Self::default()
        }
    }

    fn said(&self, part: &str) -> bool {
        self.notes.iter().any(|note| note.contains(part))
    }
}

impl Observer for Watch {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Step(_) => self.steps += 1,
            Event::Note(text) => self.notes.push(text.into()),
            _ => {}
        }
    }

    fn stop(&self) -> bool {
        self.stop_after.is_some_and(|after| self.steps >= after)
    }
}

/// Records and weights without the times that they took.
fn results(out: &Path) -> (Vec<Record>, Vec<u8>) {
    let text = fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    let records = text.lines().map(|line| {
        let mut record: Record = serde_json::from_str(line).unwrap();
        match &mut record {
            Record::Step(step) => step.images_per_second = 0.0,
            Record::Epoch(epoch) => (epoch.seconds, epoch.images_per_second) = (0.0, 0.0),
            _ => {}
        }
        record
    });
    let file = fs::read(out.join("student.safetensors")).unwrap();
    // The header has no fixed order.
    let header = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    (records.collect(), file[8 + header..].to_vec())
}

fn state(out: &Path) -> PathBuf {
    out.join("checkpoints/distilled-seed1.state")
}

/// Four steps of the teacher, then twelve of the student.
#[test]
fn groups_and_frozen_parts_go_on_as_they_were() {
    let groups = [
        "student.model=vit_p4_d6_w192_mlp2",
        "train.groups={ decay = \"matrices\", layer_rate = 0.5, freeze = [\"blocks.0\", \"patch_embed\"] }",
        "train.optimizer={ name = \"adam\", weight_decay = 0.01 }",
        "train.lr={ peak = 0.001, warmup_epochs = 1, warmup_from_zero = true, shape = { name = \"linear\" } }",
        "train.ema=0.9",
        "train.epochs=2",
        "objective.fitnet.level=6",
    ];
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    start(&groups, &whole, &mut Silent).unwrap();
    let out = folder.path().join("stopped");
    // Three steps of the teacher, and one and a half epochs of the student.
    let error = start(&groups, &out, &mut Watch::stopping(7)).unwrap_err();
    assert!(matches!(error, Error::Stopped { .. }), "{error}");
    start(&groups, &out, &mut Silent).unwrap();
    assert_eq!(results(&out), results(&whole));
}

#[test]
fn a_stopped_run_goes_on_in_the_middle_of_an_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole/run");
    start(&[], &whole, &mut Silent).unwrap();
    assert_eq!(left_in(&whole).unwrap(), Left::Finished);

    let out = folder.path().join("stopped/run");
    for (place, after) in [2, 3, 1, 4].into_iter().enumerate() {
        let mut watch = Watch::stopping(after);
        let error = start(&[], &out, &mut watch).unwrap_err();
        assert!(matches!(error, Error::Stopped { .. }), "{error}");
        assert_eq!(watch.said("goes on with the interrupted run"), place > 0);
        assert!(matches!(
            left_in(&out).unwrap(),
            Left::Interrupted { seeds: 1, .. }
        ));
    }
    let mut watch = Watch::default();
    start(&[], &out, &mut watch).unwrap();
    // Ten steps were taken before.
    assert_eq!(watch.steps, 6, "{:?}", watch.notes);
    assert!(
        watch.said("goes on in epoch 2 of 3, after step 6"),
        "{:?}",
        watch.notes
    );
    assert_eq!(results(&out), results(&whole));
    assert_eq!(left_in(&out).unwrap(), Left::Finished);
    let left: Vec<_> = fs::read_dir(out.join("checkpoints"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e != "safetensors"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// When states are saved changes nothing, and a run may change it when it goes on.
#[test]
fn states_can_be_saved_more_often() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let more = ["train.checkpoint.every_steps=1"];
    start(&more, &out, &mut Watch::stopping(5)).unwrap_err();
    let mut watch = Watch::default();
    start(&["train.checkpoint.every_minutes=9"], &out, &mut watch).unwrap();
    assert_eq!(watch.steps, 11);
    let whole = folder.path().join("whole/run");
    start(&[], &whole, &mut Silent).unwrap();
    assert_eq!(results(&out), results(&whole));
}

#[test]
fn a_damaged_state_is_told_of_and_the_one_before_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole/run");
    start(&[], &whole, &mut Silent).unwrap();
    type Damage = fn(&Path);
    let damages: [(&str, Damage, usize); 4] = [
        ("checksum", |path| cut(path, 1000), 8),
        ("checksum", |path| flip(path, 4000), 8),
        (
            "not a saved state",
            |path| fs::write(path, "<html>").unwrap(),
            8,
        ),
        // Both: the training begins again.
        (
            "checksum",
            |path| {
                flip(path, 4000);
                flip(&path.with_extension("state.before"), 4000);
            },
            12,
        ),
    ];
    for (place, (problem, damage, steps)) in damages.into_iter().enumerate() {
        let out = folder.path().join(format!("{place}/run"));
        // In the second epoch of the student; the first left a state too.
        start(&[], &out, &mut Watch::stopping(4 + 6)).unwrap_err();
        damage(&state(&out));
        let mut watch = Watch::default();
        start(&[], &out, &mut watch).unwrap();
        assert!(watch.said(problem), "{problem}: {:?}", watch.notes);
        assert_eq!(watch.steps, steps, "{problem}");
        assert_eq!(results(&out), results(&whole), "{problem}");
    }
}

fn cut(path: &Path, length: u64) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(length).unwrap();
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn another_recipe_does_not_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    start(&[], &out, &mut Watch::stopping(5)).unwrap_err();
    let before = fs::read(out.join("metrics.jsonl")).unwrap();
    let refused = |overrides: &[&str], options: &RunOptions, part: &str| {
        let recipe = recipe(overrides);
        let error = run(&recipe, options, &Device::flex(), &mut Silent).unwrap_err();
        assert!(matches!(error, Error::Taken { busy: false, .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains(part) && text.contains("--out"), "{text}");
    };
    let same = options(&out);
    refused(
        &["train.lr.peak=0.1"],
        &same,
        "train.lr.peak (0.02 instead of 0.1)",
    );
    let seeds = RunOptions {
        seeds: 2,
        ..same.clone()
    };
    refused(&[], &seeds, "--seeds 1, not 2");
    let device = RunOptions {
        device_name: "ndarray".into(),
        ..same.clone()
    };
    refused(&[], &device, "--device flex, not ndarray");
    let anew = RunOptions {
        resume: false,
        ..same
    };
    refused(&[], &anew, "was interrupted");
    assert_eq!(fs::read(out.join("metrics.jsonl")).unwrap(), before);
}

/// A run of another process.
#[test]
fn a_folder_is_one_runs_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    start(&[], &out, &mut Watch::stopping(1)).unwrap_err();
    let metrics = fs::File::open(out.join("metrics.jsonl")).unwrap();
    metrics.lock().unwrap();
    let error = start(&[], &out, &mut Silent).unwrap_err();
    assert!(matches!(error, Error::Taken { busy: true, .. }), "{error}");
    drop(metrics);
    start(&[], &out, &mut Silent).unwrap();
}

/// What a kill leaves before a run could say what it is.
#[test]
fn a_run_that_ended_at_its_beginning_leaves_its_folder_free() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    fs::create_dir_all(out.join("checkpoints")).unwrap();
    fs::write(out.join("metrics.jsonl"), "").unwrap();
    start(&[], &out, &mut Silent).unwrap();
}

#[test]
fn metrics_that_were_cut_in_a_line_are_mended() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole/run");
    start(&[], &whole, &mut Silent).unwrap();
    let out = folder.path().join("cut/run");
    start(&[], &out, &mut Watch::stopping(8)).unwrap_err();
    let metrics = out.join("metrics.jsonl");
    let length = metrics.metadata().unwrap().len();
    cut(&metrics, length - 20);
    let mut watch = Watch::default();
    start(&[], &out, &mut watch).unwrap();
    assert!(
        watch.said("shorter than the saved state says"),
        "{:?}",
        watch.notes
    );
    assert_eq!(results(&out), results(&whole));
}
