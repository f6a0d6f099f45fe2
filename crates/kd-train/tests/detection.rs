//! A detector teaches another: losses, scores, a run that is interrupted, and what is said of a wrong recipe.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::fs;
use std::path::Path;

use burn::tensor::Device;
use image::{Rgb, RgbImage};
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

[objective.fine_grained]
weight = 1e-3

[objective.fbkd]

[train]
epochs = 3
batch = 2
log_every = 1
lr = { peak = 1e-3 }
optimizer = { name = "adamw", weight_decay = 0.01 }
clip_norm = 35.0
"#;

/// Two networks whose heads are of one kind.
const DENSE: &str = r#"name = "tiny"
compare = false

[detection]
name = "shapes"
size = 96
train_limit = 6
test_limit = 2

[teacher]
model = "retinanet_resnet18_fpn_small"
train = { epochs = 1, batch = 3, lr = { peak = 0.005 }, clip_norm = 35.0 }

[student]
model = "retinanet_resnet18_quarter_fpn_small"

[objective.detection_loss]

[objective.crosskd]

[objective.pkd]
weight = 0.1

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
    start_recipe(&load(text, &[]).unwrap(), out, observer)
}

fn start_recipe(
    recipe: &Recipe,
    out: &Path,
    observer: &mut dyn Observer,
) -> Result<Summary, Error> {
    let options = RunOptions {
        out: out.into(),
        seeds: 1,
        device_name: "flex".into(),
        reuse: false,
        resume: true,
    };
    run(recipe, &options, &Device::flex(), observer)
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
    let names = ["detection_loss", "box_head", "pkd", "fgd", "fine_grained"];
    for name in names {
        let values = of_epochs(&records, name);
        assert!(values[2] < values[0], "{name}: {values:?}");
    }
    // Its weights are small, and it grows with the student's maps.
    assert!(of_epochs(&records, "fbkd").iter().all(|value| *value > 0.0));
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

/// A component of the distilled student's loss, epoch by epoch.
fn of_epochs(records: &[Record], name: &str) -> Vec<f64> {
    let of_student = records.iter().filter_map(|record| match record {
        Record::Epoch(epoch) if epoch.role == Role::Distilled => Some(epoch.components[name]),
        _ => None,
    });
    let values: Vec<f64> = of_student.collect();
    assert!(
        values.len() == 3 && values.iter().all(|v| v.is_finite()),
        "{name}: {values:?}"
    );
    values
}

#[test]
fn heads_of_one_kind_cross() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole/run");
    start(DENSE, &whole, &mut Silent).unwrap();
    let (records, _) = results(&whole);
    for name in ["detection_loss", "pkd"] {
        let values = of_epochs(&records, name);
        assert!(values[2] < values[0], "{name}: {values:?}");
    }
    // A teacher of two steps says next to nothing.
    assert!(
        of_epochs(&records, "crosskd")
            .iter()
            .all(|value| *value > 0.0)
    );
    let out = folder.path().join("stopped/run");
    let error = start(DENSE, &out, &mut Stopping(5)).unwrap_err();
    assert!(matches!(error, Error::Stopped { .. }), "{error}");
    start(DENSE, &out, &mut Silent).unwrap();
    assert_eq!(results(&out), results(&whole));

    let fails = |text: &str| {
        let out = folder.path().join("none");
        let said = start(text, &out, &mut Silent).unwrap_err().to_string();
        assert!(!out.exists());
        said
    };
    let other = DENSE.replace(
        "retinanet_resnet18_quarter_fpn_small",
        "ssd300_vgg16_eighth",
    );
    let said = fails(&other);
    assert!(
        said.contains("detection.size = 96") && said.contains("268 pixels"),
        "{said}"
    );
    let said = fails(&other.replace("size = 96", "size = 268"));
    assert!(
        said.contains("crosskd") && said.contains("head over a pyramid"),
        "{said}"
    );
    let said = fails(&DENSE.replace("retinanet_resnet18_fpn_small", "retinanet_resnet18_fpn"));
    assert!(said.contains("both need one width"), "{said}");
    let said = fails(&DENSE.replace("crosskd", "box_head"));
    assert!(said.contains("box head"), "{said}");
    let said = fails(&DENSE.replace("crosskd", "box_head").replace(
        "retinanet_resnet18_fpn_small",
        "fasterrcnn_resnet18_fpn_small",
    ));
    assert!(said.contains("each of its classes is a sigmoid"), "{said}");
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

/// A folder like that of COCO 2017: its numbers of classes, one object in every image.
fn coco(folder: &Path) {
    fs::create_dir_all(folder.join("annotations")).unwrap();
    for (split, count) in [("train2017", 6), ("val2017", 2)] {
        fs::create_dir_all(folder.join(split)).unwrap();
        let (mut images, mut annotations) = (Vec::new(), Vec::new());
        for id in 1..=count {
            let name = format!("{id:012}.png");
            let inside = |x, y| (20..60).contains(&x) && (10..50).contains(&y);
            let picture = RgbImage::from_fn(96, 64, |x, y| match inside(x, y) {
                true => Rgb([220, 30 * id as u8, 10]),
                false => Rgb([(x * 2) as u8, (y * 3) as u8, 90]),
            });
            picture.save(folder.join(split).join(&name)).unwrap();
            images
                .push(serde_json::json!({"id": id, "file_name": name, "width": 96, "height": 64}));
            let class = [1, 90][id % 2];
            annotations.push(serde_json::json!({
                "id": id, "image_id": id, "category_id": class, "bbox": [20, 10, 40, 40],
                "area": 1600, "iscrowd": 0,
            }));
        }
        let classes =
            serde_json::json!([{"id": 1, "name": "person"}, {"id": 90, "name": "toothbrush"}]);
        let file = serde_json::json!({"images": images, "annotations": annotations, "categories": classes});
        let to = folder.join(format!("annotations/instances_{split}.json"));
        fs::write(to, file.to_string()).unwrap();
    }
}

#[test]
fn a_set_without_objects_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("coco");
    coco(&data);
    let file = data.join("annotations/instances_val2017.json");
    let text = fs::read_to_string(&file).unwrap();
    let mut parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
    parsed["annotations"] = serde_json::json!([]);
    fs::write(&file, parsed.to_string()).unwrap();
    let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes/detection/coco.toml");
    let overrides = [
        format!("detection.dir={:?}", data.display().to_string()),
        "detection.holdout=0.3".into(),
    ];
    let recipe = Recipe::load(&recipe, &overrides).unwrap();
    let out = folder.path().join("run");
    let said = start_recipe(&recipe, &out, &mut Silent)
        .unwrap_err()
        .to_string();
    let wanted = "the test set has 2 images and no object";
    assert!(
        said.contains(wanted) && said.contains("detection.test"),
        "{said}"
    );
    assert!(!out.exists());
}

/// A step of each of the recipe's networks at their full size; it is made for GPUs.
#[test]
fn the_recipe_of_coco_runs() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("coco");
    coco(&data);
    let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes/detection/coco.toml");
    let overrides = [
        format!("detection.dir={:?}", data.display().to_string()),
        "detection.holdout=0.3".into(),
        "teacher.train.epochs=1".into(),
        "teacher.train.batch=1".into(),
        "teacher.train.batches_per_epoch=1".into(),
        "train.epochs=1".into(),
        "train.batch=2".into(),
        "train.batches_per_epoch=1".into(),
        "compare=false".into(),
    ];
    let recipe = Recipe::load(&recipe, &overrides).unwrap();
    let out = folder.path().join("run");
    let summary = start_recipe(&recipe, &out, &mut Silent).unwrap();
    let student = summary.networks.iter().find(|n| n.role == Role::Distilled);
    let student = student.unwrap();
    assert_eq!(student.model, "ssd300_vgg16");
    assert_eq!(student.test.first().unwrap().key, "ap");
    let (records, _) = results(&out);
    let components = records.iter().find_map(|record| match record {
        Record::Epoch(epoch) if epoch.role == Role::Distilled => Some(&epoch.components),
        _ => None,
    });
    let components = components.unwrap();
    for name in ["detection_loss", "box_head", "pkd"] {
        assert!(components[name].is_finite(), "{name}");
    }
}
