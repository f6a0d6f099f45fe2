//! A whole run: its folder, its selection, and what ends it early.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use kd_models::{Network, NetworkConfig};
use kd_train::{
    Error, Event, Observer, Recipe, Record, Role, RunOptions, Silent, StepRecord, Summary, run,
};

const RECIPE: &str = r#"name = "tiny"

[data]
name = "fashion_mnist_small"
train_limit = 96
test_limit = 60
validation = 0.02

[student]
model = "resnet8"

[teacher]
model = "resnet8"

[teacher.train]
epochs = 1
batches_per_epoch = 2
batch = 16
lr = { peak = 0.05 }

[objective.cross_entropy]
weight = 0.1

[objective.kd]

[objective.fitnet]
weight = 1.0

[train]
epochs = 2
batch = 16
batches_per_epoch = 3
log_every = 2
lr = { peak = 0.05 }
"#;

fn recipe(overrides: &[&str]) -> Recipe {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tiny.toml");
    std::fs::write(&file, RECIPE).unwrap();
    let overrides: Vec<String> = overrides.iter().map(|o| o.to_string()).collect();
    Recipe::load(&file, &overrides).unwrap()
}

fn options(out: &Path, seeds: usize) -> RunOptions {
    RunOptions {
        reuse: true,
        resume: false,
        out: out.into(),
        seeds,
        device_name: "flex".into(),
    }
}

fn start(overrides: &[&str], out: &Path, observer: &mut dyn Observer) -> Result<Summary, Error> {
    run(
        &recipe(overrides),
        &options(out, 2),
        &Device::flex(),
        observer,
    )
}

fn records(out: &Path) -> Vec<Record> {
    let text = std::fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    text.lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect()
}

#[test]
fn a_run_leaves_a_folder_that_explains_itself() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let summary = start(&[], &out, &mut Silent).unwrap();

    let networks: Vec<_> = summary
        .networks
        .iter()
        .map(|a| (a.role.clone(), a.seed))
        .collect();
    assert_eq!(
        networks,
        [
            (Role::Teacher, Some(1)),
            (Role::Baseline, Some(1)),
            (Role::Distilled, Some(1)),
            (Role::Baseline, Some(2)),
            (Role::Distilled, Some(2)),
        ]
    );
    let gain = summary.gain.as_ref().unwrap();
    assert_eq!(gain.per_seed.len(), 2);
    assert!(gain.std.is_some());
    assert_eq!(summary.data.test, 60);
    assert_eq!(summary.networks[0].agreement, None);
    assert!(summary.networks[2].agreement.is_some());
    assert!(summary.networks[2].adapter_parameters > 0);
    assert_eq!(summary.networks[1].adapter_parameters, 0);
    assert!(
        !summary
            .temperature
            .as_ref()
            .unwrap()
            .temperatures
            .is_empty()
    );

    let text = std::fs::read_to_string(out.join("summary.json")).unwrap();
    let written: Summary = serde_json::from_str(&text).unwrap();
    let results = |s: &Summary| -> Vec<_> {
        let networks = s.networks.iter();
        networks
            .map(|a| {
                (
                    a.role.clone(),
                    a.seed,
                    a.bytes,
                    format!("{:.6}", a.test.get("top1").unwrap()),
                )
            })
            .collect()
    };
    assert_eq!(results(&written), results(&summary));
    assert_eq!(written.data, summary.data);
    let again = Recipe::load(&out.join("recipe.toml"), &[]).unwrap();
    assert_eq!(again, recipe(&[]));
    let report = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(report.contains("</html>") && report.contains("tiny"));

    // Of several seeds the file says whose it is.
    let student = summary.student.as_ref().unwrap();
    assert_eq!(
        (&student.role, student.seed, student.seeds),
        (&Role::Distilled, 1, 2)
    );
    let readme = std::fs::read_to_string(out.join("README.md")).unwrap();
    let says = "student.safetensors is the student distilled, seed 1: the recipe's own of 2 seeds";
    assert!(readme.contains(says), "{readme}");
    assert!(report.replace("&#x27;", "'").contains(says));

    // The student alone, without adapters, is what a user takes away.
    let config = NetworkConfig::new("resnet8", 10, 1);
    Network::from_file(&config, out.join("student.safetensors"), &Device::flex()).unwrap();

    let records = records(&out);
    let of_distilled: Vec<_> = records
        .iter()
        .filter_map(|r| match r {
            Record::Step(s) if s.role == Role::Distilled && s.seed == 1 => Some(s),
            _ => None,
        })
        .collect();
    // Six steps: every second one, and the last of each epoch.
    let steps: Vec<_> = of_distilled.iter().map(|s| s.step).collect();
    assert_eq!(steps, [1, 2, 3, 5]);
    for record in of_distilled {
        let names: Vec<_> = record.components.keys().map(String::as_str).collect();
        assert_eq!(names, ["cross_entropy", "fitnet", "kd"]);
        let sum: f64 = record.components.values().map(|c| c.value * c.weight).sum();
        assert!((sum - record.loss).abs() < 1e-4 * sum.abs());
    }

    let refused = start(&[], &out, &mut Silent).unwrap_err().to_string();
    assert!(refused.contains("already holds a run"), "{refused}");
}

/// What the report calls adapters is what is trained: not CRD's banks, a row a training image.
#[test]
fn memory_is_not_counted_as_adapters() {
    let folder = tempfile::tempdir().unwrap();
    let overrides = [
        "compare=false",
        "train.epochs=1",
        "objective={crd = {dim = 8, negatives = 4}}",
    ];
    let summary = start(&overrides, &folder.path().join("crd"), &mut Silent).unwrap();
    let distilled = summary.networks.iter().find(|a| a.role == Role::Distilled);
    // An embedding of 64 channels in 8 dimensions for each network.
    assert_eq!(distilled.unwrap().adapter_parameters, 2 * (64 * 8 + 8));
}

/// Measuring the gradient of every component changes no bit, and finds the gradient of the step.
#[test]
fn gradients_are_measured_beside_the_training() {
    let folder = tempfile::tempdir().unwrap();
    let losses = |name: &str, overrides: &[&str]| -> Vec<StepRecord> {
        let out = folder.path().join(name);
        let mut all = vec![
            "compare=false",
            "train.log_every=1",
            "objective.crd={dim = 8, negatives = 4}",
        ];
        all.extend(overrides);
        start(&all, &out, &mut Silent).unwrap();
        let records = records(&out).into_iter();
        records
            .filter_map(|r| match r {
                Record::Step(s) if s.role == Role::Distilled && s.seed == 1 => Some(s),
                _ => None,
            })
            .collect()
    };
    let plain = losses("plain", &[]);
    let measured = losses("measured", &["train.gradient_norms_every=2"]);
    let values = |records: &[StepRecord]| -> Vec<(f64, f64)> {
        records.iter().map(|r| (r.loss, r.gradient_norm)).collect()
    };
    assert_eq!(values(&plain), values(&measured));
    for record in &measured {
        let norms = record.components.values().map(|c| c.gradient_norm);
        let norms: Vec<f64> = norms.flatten().collect();
        match record.step % 2 {
            0 => assert!(
                norms.len() == 4 && norms.iter().all(|n| *n > 0.0),
                "{norms:?}"
            ),
            _ => assert!(norms.is_empty()),
        }
    }
    // The only component's gradient is the step's.
    let alone = [
        "objective={cross_entropy = {}}",
        "teacher=",
        "train.gradient_norms_every=1",
    ];
    let out = folder.path().join("alone");
    start(&alone, &out, &mut Silent).unwrap();
    for record in records(&out) {
        if let Record::Step(step) = record {
            let norm = step.components["cross_entropy"].gradient_norm.unwrap();
            assert!((norm - step.gradient_norm).abs() < 1e-5 * norm, "{step:?}");
        }
    }
    let page = std::fs::read_to_string(folder.path().join("measured/report.html")).unwrap();
    assert!(page.contains("gradient norm of each component"));
}

/// Weights that follow from gradients make each as strong as its weight says.
#[test]
fn gradients_balance_the_weights() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let overrides = [
        "compare=false",
        "train.log_every=1",
        "objective.balance={rule = \"gradient_norm\", every = 1, smoothing = 0.0}",
        "objective.cross_entropy.weight=1",
        "objective.kd.weight=0.5",
        "objective.fitnet.weight=2",
    ];
    start(&overrides, &out, &mut Silent).unwrap();
    let mut seen = 0;
    for record in records(&out) {
        let Record::Step(step) = record else { continue };
        if step.role != Role::Distilled {
            continue;
        }
        let strength = |name: &str| {
            let component = step.components[name];
            component.weight * component.gradient_norm.unwrap()
        };
        for (name, weight) in [("kd", 0.5), ("fitnet", 2.0)] {
            let expected = weight * strength("cross_entropy");
            assert!(
                (strength(name) - expected).abs() < 1e-4 * expected,
                "{step:?}"
            );
        }
        seen += 1;
    }
    assert!(seen > 0);
}

#[test]
fn a_recipe_without_a_teacher_trains_the_student() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("alone.toml");
    let text = RECIPE.split("[teacher]").next().unwrap().to_string()
        + "[objective.cross_entropy]\nsmoothing = 0.1\n"
        + &RECIPE[RECIPE.find("[train]").unwrap()..];
    std::fs::write(&file, text).unwrap();
    let recipe = Recipe::load(&file, &[]).unwrap();
    let out = folder.path().join("run");
    let summary = run(&recipe, &options(&out, 1), &Device::flex(), &mut Silent).unwrap();
    assert_eq!(summary.networks.len(), 1);
    assert_eq!((summary.gain, summary.temperature), (None, None));
    assert!(out.join("student.safetensors").exists());
}

/// A term that needs no teacher is trained, and compared with the student on labels alone.
#[test]
fn a_student_can_be_its_own_teacher() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let overrides = [
        "teacher=",
        "objective={cross_entropy = {weight = 0.5}, byot = {}}",
        "train.epochs=1",
        "train.log_every=1",
    ];
    start(&overrides, &out, &mut Silent).unwrap();
    let weights = |role: Role| -> Vec<(String, f64)> {
        let records = records(&out).into_iter();
        let mut steps = records.filter_map(|record| match record {
            Record::Step(step) if step.role == role => Some(step),
            _ => None,
        });
        let components = steps.next().unwrap().components.into_iter();
        components.map(|(name, c)| (name, c.weight)).collect()
    };
    assert_eq!(weights(Role::Baseline), [("cross_entropy".into(), 1.0)]);
    assert_eq!(
        weights(Role::Distilled),
        [("byot".into(), 1.0), ("cross_entropy".into(), 0.5)]
    );
}

#[test]
fn a_loss_that_explodes_names_its_component_and_keeps_the_last_good_weights() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let error = start(&["train.lr.peak=1e30"], &out, &mut Silent).unwrap_err();
    let Error::NotFinite {
        component,
        checkpoint,
        epoch,
        ..
    } = &error
    else {
        panic!("{error}");
    };
    assert_eq!(component, "cross_entropy");
    assert_eq!(*epoch, 1);
    assert_eq!(*checkpoint, None);
    let text = error.to_string();
    assert!(
        text.contains("no epoch of this training was finished"),
        "{text}"
    );
    assert!(text.contains("Lower the learning rate"), "{text}");

    // The teacher's only epoch is finished, the student's first is, its second is not.
    let out = folder.path().join("later");
    let overrides = ["train.lr.shape={name = \"multi_step\", milestones = [1], factor = 1e30}"];
    let error = start(&overrides, &out, &mut Silent).unwrap_err();
    let Error::NotFinite {
        checkpoint: Some(checkpoint),
        epoch: 2,
        ..
    } = &error
    else {
        panic!("{error}");
    };
    let config = NetworkConfig::new("resnet8", 10, 1);
    Network::from_file(&config, checkpoint, &Device::flex()).unwrap();
}

/// Asks to stop after a number of steps.
struct StopAfter {
    steps: usize,
    seen: usize,
}

impl Observer for StopAfter {
    fn event(&mut self, event: Event<'_>) {
        self.seen += usize::from(matches!(event, Event::Step(_)));
    }

    fn stop(&self) -> bool {
        self.seen >= self.steps
    }
}

#[test]
fn an_observer_can_stop_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut observer = StopAfter { steps: 4, seen: 0 };
    let error = start(&[], &out, &mut observer).unwrap_err();
    let Error::Stopped {
        checkpoint,
        epoch,
        step,
    } = &error
    else {
        panic!("{error}");
    };
    // Two steps of the teacher, then two of the student alone were taken.
    assert_eq!((*epoch, *step), (1, 2));
    assert_eq!(*checkpoint, None);
    assert!(out.join("metrics.jsonl").exists());
    assert!(!out.join("summary.json").exists());
}

#[test]
fn patience_ends_a_training_that_does_not_improve() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let overrides = [
        "train.epochs=40",
        "train.patience=1",
        "train.batches_per_epoch=1",
        "train.lr.peak=3.0",
        "compare=false",
    ];
    let summary = start(&overrides, &out, &mut Silent).unwrap();
    let training = summary.networks[1].training.as_ref().unwrap();
    assert!(training.epochs < 40, "{training:?}");
    assert_eq!(training.epochs, training.best_epoch + 1);
}

/// Every line that a run tells, with the trainings that begin.
#[derive(Default)]
struct Told(Vec<String>);

impl Observer for Told {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Note(text) => self.0.push(text.into()),
            Event::Started { role, .. } => self.0.push(format!("begins: {role}")),
            Event::Measuring { role, .. } => self.0.push(format!("measures: {role}")),
            _ => {}
        }
    }
}

impl Told {
    fn place(&self, part: &str) -> usize {
        let place = self.0.iter().position(|line| line.contains(part));
        place.unwrap_or_else(|| panic!("{part} is not in {:#?}", self.0))
    }

    fn times(&self, part: &str) -> usize {
        self.0.iter().filter(|line| line.contains(part)).count()
    }
}

/// A teacher of weights that were never trained is named before a student learns from it.
#[test]
fn a_bad_teacher_is_told_before_the_first_step() {
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("untrained.safetensors");
    let config = NetworkConfig::new("resnet8", 10, 1);
    let network = Network::new(&config, &Device::flex()).unwrap();
    network.save(&weights, &[]).unwrap();
    let weights = format!("teacher.weights={}", weights.display());
    let overrides = [
        "teacher.train=",
        &weights,
        "data.validation=0.3",
        "train.epochs=1",
    ];
    let mut told = Told::default();
    let out = folder.path().join("run");
    let summary = start(&overrides, &out, &mut told).unwrap();
    let has = told.place("the teacher has ");
    let warned = told.place("near chance (10.00 % with 10 classes)");
    assert!(
        has < warned && warned < told.place("begins: alone"),
        "{told:#?}",
        told = told.0
    );
    // Two seeds are warned of it once.
    assert_eq!(told.times("near chance"), 1);
    let teacher = &summary.networks[0];
    let validation = teacher.validation.as_ref().unwrap();
    assert!(told.0[has].contains(&validation.show(validation.value)));
    assert!(told.0[has].contains("validation top-1"));
    assert!(!summary.why().is_empty());
    let report = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(report.contains(":</strong> the teacher has "));

    // Without a validation split the test split says it.
    let mut told = Told::default();
    let overrides = [&overrides[..2], &["data.validation=0", "train.epochs=1"]].concat();
    let summary = start(&overrides, &folder.path().join("test"), &mut told).unwrap();
    let test = summary.networks[0].test.list[0].clone();
    let line = format!("the teacher has {} test top-1", test.show(test.value));
    assert!(told.place(&line) < told.place("begins: alone"));
}

/// What the teacher's training has measured is known, also when an earlier run did it.
#[test]
fn a_teacher_that_was_validated_is_not_measured_again() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["first", "again"] {
        let mut told = Told::default();
        let overrides = ["data.validation=0.3", "train.epochs=1"];
        let summary = start(&overrides, &folder.path().join(name), &mut told).unwrap();
        let teacher = &summary.networks[0];
        let known = teacher.training.as_ref().unwrap().best_validation;
        assert_eq!(teacher.validation.as_ref().map(|score| score.value), known);
        let has = told.place("the teacher has ");
        let after = told.place(if name == "first" {
            "begins: alone"
        } else {
            "measures: alone"
        });
        assert!(has < after, "{:#?}", told.0);
        // On the test split, at the end.
        assert_eq!(told.times("measures: teacher"), 1, "{:#?}", told.0);
    }
}

/// An untrained student would be measured and reported.
#[test]
fn weights_that_are_all_zero_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    for overrides in [
        vec!["objective={cross_entropy = {weight = 0}, kd = {weight = 0.0}}"],
        vec![
            "objective={kd = {weight = {schedule = \"step\", value = 0.0, milestones = [1], factor = 2.0}}}",
        ],
        vec!["teacher=", "objective={cross_entropy = {weight = 0}}"],
        vec!["stages.first={model = \"resnet8\", objective = {kd = {weight = 0}}}"],
    ] {
        let error = start(&overrides, &out, &mut Silent)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("every weight of [objective] is 0"),
            "{error}"
        );
        assert!(!out.exists());
    }
    // In one of the epochs only.
    let later = "objective={kd = {weight = {schedule = \"cosine\", from = 0.0, to = 1.0}}}";
    start(&["compare=false", later], &out, &mut Silent).unwrap();
}

#[test]
fn a_mistake_costs_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let error = start(&["student.model=resnet9"], &out, &mut Silent).unwrap_err();
    assert!(error.to_string().contains("resnet9"), "{error}");
    assert!(!out.exists());
    // Before any image is read: there are none here.
    let elsewhere = ["data.name=folder", "data.dir=nowhere", "data.size=32"];
    for wrong in [
        "student.model=resnet9",
        "student.peers=[\"resnet9\"]",
        "teacher.model=resnet9",
    ] {
        let overrides = [&elsewhere[..], &[wrong]].concat();
        let error = start(&overrides, &out, &mut Silent)
            .unwrap_err()
            .to_string();
        let key = wrong.split_once('=').unwrap().0;
        assert!(error.contains(key) && error.contains("resnet9"), "{error}");
    }

    // What the user had there stays, a recipe of the same name too.
    let mine = folder.path().join("mine");
    std::fs::create_dir(&mine).unwrap();
    std::fs::write(mine.join("recipe.toml"), "mine").unwrap();
    let error = start(&[], &mine, &mut Silent).unwrap_err().to_string();
    assert!(error.contains("has a file `recipe.toml`"), "{error}");
    assert_eq!(
        std::fs::read_to_string(mine.join("recipe.toml")).unwrap(),
        "mine"
    );
    std::fs::create_dir(&out).unwrap();
    std::fs::write(out.join("notes.txt"), "mine").unwrap();
    start(&["student.model=resnet9"], &out, &mut Silent).unwrap_err();
    let left: Vec<_> = std::fs::read_dir(&out).unwrap().collect();
    assert_eq!(left.len(), 1);
}

#[test]
fn a_run_folder_that_cannot_be_made_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let out: PathBuf = file.path().join("run");
    let error = start(&[], &out, &mut Silent).unwrap_err().to_string();
    assert!(error.contains("create the run folder"), "{error}");
    assert!(error.contains(&*out.to_string_lossy()), "{error}");
}
