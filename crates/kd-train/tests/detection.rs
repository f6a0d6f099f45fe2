//! A detector teaches another: losses, scores, a run that is interrupted, and what is said of a wrong recipe.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::fs;
use std::path::Path;

use burn::tensor::Device;
use kd_train::{Error, Event, Observer, Recipe, Record, Role, RunOptions, Silent, Summary, run};

const RECIPE: &str = r#"name = "tiny"
compare = false

[detection]
name = "shapes"
train_limit = 6
test_limit = 4
augment = { flip_vertical = 0.5 }

[teacher]
model = "fasterrcnn_resnet18_fpn_small"
train = { epochs = 1, batch = 3, lr = { peak = 0.005 }, clip_norm = 35.0 }

[student]
model = "ssd300_vgg16_eighth"

[objective.detection_loss]

[objective.box_head]

[objective.pkd]
weight = 0.1

[objective.fgd]
weight = 1e-3

[train]
epochs = 3
batch = 2
log_every = 1
lr = { peak = 1e-3 }
optimizer = { name = "adamw", weight_decay = 0.01 }
clip_norm = 35.0
"#;

/// The first stage of a network of two stages draws which boxes count.
const TWO_STAGES: &str = r#"name = "tiny"
compare = false

[detection]
name = "shapes"
size = 96
train_limit = 4
test_limit = 2

[student]
model = "fasterrcnn_resnet18_fpn_small"

[objective.detection_loss]
boxes = 2.0

[train]
epochs = 2
batch = 2
log_every = 1
lr = { peak = 0.005 }
clip_norm = 35.0
"#;

fn load(text: &str, overrides: &[&str]) -> Result<Recipe, Error> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tiny.toml");
    fs::write(&file, text).unwrap();
    let overrides: Vec<String> = overrides.iter().map(|o| o.to_string()).collect();
    Recipe::load(&file, &overrides)
}

fn start(text: &str, out: &Path, observer: &mut dyn Observer) -> Result<Summary, Error> {
    let options = RunOptions {
        out: out.into(),
        seeds: 1,
        device_name: "flex".into(),
        reuse: false,
        resume: true,
    };
    run(
        &load(text, &[]).unwrap(),
        &options,
        &Device::flex(),
        observer,
    )
}

/// Stops after so many steps.
struct Stopping(usize);

impl Observer for Stopping {
    fn event(&mut self, event: Event<'_>) {
        if let Event::Step(_) = event {
            self.0 = self.0.saturating_sub(1);
        }
    }

    fn stop(&self) -> bool {
        self.0 == 0
    }
}

/// Records without the times that they took, and weights.
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
    let header = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    (records.collect(), file[8 + header..].to_vec())
}

#[test]
fn every_loss_of_a_distillation_is_reported_and_falls() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole/run");
    let summary = start(RECIPE, &whole, &mut Silent).unwrap();
    let (records, _) = results(&whole);
    let of_student = records.iter().filter_map(|record| match record {
        Record::Epoch(epoch) if epoch.role == Role::Distilled => Some(epoch),
        _ => None,
    });
    let epochs: Vec<_> = of_student.collect();
    assert_eq!(epochs.len(), 3);
    for name in ["detection_loss", "box_head", "pkd", "fgd"] {
        let value = |epoch: usize| epochs[epoch].components[name];
        assert!(
            value(2) < value(0),
            "{name}: {} after {}",
            value(2),
            value(0)
        );
    }
    let student = summary.networks.iter().find(|n| n.role == Role::Distilled);
    let student = student.unwrap();
    assert_eq!(student.test.first().unwrap().key, "ap");
    assert!(student.test.get("ap50").is_some() && student.agreement.is_none());
    assert_eq!(student.test.per_class.len(), 3);
    assert!(student.adapter_parameters > 0);

    let out = folder.path().join("stopped/run");
    // In the teacher's training, and twice in the student's.
    for after in [1, 3, 4] {
        let error = start(RECIPE, &out, &mut Stopping(after)).unwrap_err();
        assert!(matches!(error, Error::Stopped { .. }), "{error}");
    }
    start(RECIPE, &out, &mut Silent).unwrap();
    assert_eq!(results(&out), results(&whole));
}

#[test]
fn a_network_of_two_stages_goes_on_with_the_boxes_that_it_would_have_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole/run");
    start(TWO_STAGES, &whole, &mut Silent).unwrap();
    let out = folder.path().join("stopped/run");
    let error = start(TWO_STAGES, &out, &mut Stopping(3)).unwrap_err();
    assert!(matches!(error, Error::Stopped { .. }), "{error}");
    start(TWO_STAGES, &out, &mut Silent).unwrap();
    assert_eq!(results(&out), results(&whole));
}

#[test]
fn mistakes_name_the_key_and_the_cure() {
    let wrong = |text: &str, overrides: &[&str]| load(text, overrides).unwrap_err().to_string();
    let without = RECIPE.replace("[detection]", "[other]");
    assert!(wrong(&without, &[]).contains("other"));
    for (overrides, part) in [
        (
            &["data.name=mnist"][..],
            "[data] and [detection]: a run has images with classes or",
        ),
        (
            &["teacher.cache.views=2"],
            "[teacher.cache]: a detector is asked",
        ),
        (
            &["detection.name=coco"],
            "detection.train = (not set): the file of this split",
        ),
        (&["detection.size=8"], "detection.size = 8"),
        (&["detection.augment.flipp=1"], "flipp"),
    ] {
        let said = wrong(RECIPE, overrides);
        assert!(said.contains(part), "{said}");
    }
    let said = wrong(
        "name = \"x\"\n[student]\nmodel = \"resnet8\"\n[objective.kd]\n[train]\nepochs = 1\nlr = { peak = 0.1 }\n",
        &[],
    );
    assert!(said.contains("missing field `data`: add [data]"), "{said}");

    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let fails = |text: &str| start(text, &out, &mut Silent).unwrap_err().to_string();
    let said = fails(&RECIPE.replace("ssd300_vgg16_eighth", "ssd300_vgg16_eigth"));
    assert!(
        said.contains("did you mean `ssd300_vgg16_eighth`"),
        "{said}"
    );
    let said = fails(&RECIPE.replace("[objective.detection_loss]", "[objective.cross_entropy]"));
    assert!(said.contains("detection_loss"), "{said}");
    let said = fails(&RECIPE.replace("fasterrcnn_resnet18_fpn_small", "ssd300_vgg16_quarter"));
    assert!(
        said.contains("box_head") && said.contains("box head"),
        "{said}"
    );
    assert!(!out.exists());
}
