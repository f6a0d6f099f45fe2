//! Recipes of several trainings: chains, ensembles, students that train together, and what is reused.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use kd_core::terms::kd::kd;
use kd_core::{Taps, draw};
use kd_data::{Loader, LoaderConfig};
use kd_models::{Backbone, Network, NetworkConfig};
use kd_train::{Event, Observer, Recipe, Record, Role, RunOptions, Summary, run};

const RECIPE: &str = r#"name = "tiny"

[data]
train_limit = 96
test_limit = 40

[student]
model = "resnet8"

[teacher]
model = "resnet14"

[objective.cross_entropy]
weight = 0.1

[objective.kd]

[train]
epochs = 1
batch = 16
batches_per_epoch = 3
log_every = 1
lr = { peak = 0.05 }
"#;

fn recipe(overrides: &[&str]) -> Result<Recipe, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tiny.toml");
    std::fs::write(&file, RECIPE).unwrap();
    let overrides: Vec<String> = overrides.iter().map(|o| o.to_string()).collect();
    Recipe::load(&file, &overrides).map_err(|e| e.to_string())
}

/// Keeps what a run says.
#[derive(Default)]
struct Notes {
    started: Vec<String>,
    notes: Vec<String>,
}

impl Observer for Notes {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Started { role, .. } => self.started.push(role.to_string()),
            Event::Note(text) => self.notes.push(text.into()),
            _ => {}
        }
    }
}

struct Ran {
    summary: Summary,
    out: PathBuf,
    notes: Notes,
}

impl Ran {
    /// Every loss with its components, of one network.
    fn losses(&self, role: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.out.join("metrics.jsonl")).unwrap();
        let records = text.lines().map(|l| serde_json::from_str(l).unwrap());
        let of_arm = records.filter_map(|record| match record {
            Record::Step(s) if s.role.to_string() == role => {
                Some(format!("{} {} {:?}", s.step, s.loss, s.components))
            }
            _ => None,
        });
        of_arm.collect()
    }

    fn networks(&self) -> Vec<String> {
        let networks = self.summary.networks.iter();
        networks.map(|a| a.role.to_string()).collect()
    }
}

fn start(folder: &Path, name: &str, overrides: &[&str], reuse: bool) -> Ran {
    let out = folder.join(name);
    let options = RunOptions {
        out: out.clone(),
        seeds: 1,
        device_name: "flex".into(),
        reuse,
        resume: false,
    };
    let mut notes = Notes::default();
    let recipe = recipe(overrides).unwrap();
    let summary = run(&recipe, &options, &Device::flex(), &mut notes).unwrap();
    Ran {
        summary,
        out,
        notes,
    }
}

/// The student of a chain is bit for bit the one that two recipes by hand give.
#[test]
fn an_assistant_stands_between_teacher_and_student() {
    let folder = tempfile::tempdir().unwrap();
    let chain = [
        "stages.assistant.model=resnet14",
        "student.teachers=[\"assistant\"]",
        "ensemble=[\"assistant\", \"student\"]",
    ];
    let chain = start(folder.path(), "chain", &chain, false);
    assert_eq!(
        chain.networks(),
        [
            "teacher",
            "stage:assistant",
            "alone",
            "distilled",
            "ensemble"
        ]
    );

    let checkpoint = |ran: &Ran, name: &str| {
        let path = ran.out.join("checkpoints").join(name);
        format!("teacher.weights={}", path.display())
    };
    let teacher = checkpoint(&chain, "teacher-seed1.safetensors");
    let first = ["student.model=resnet14", &teacher, "compare=false"];
    let first = start(folder.path(), "first", &first, false);
    assert_eq!(first.losses("distilled"), chain.losses("stage:assistant"));
    let assistant = checkpoint(&first, "distilled-seed1.safetensors");
    let second = ["teacher.model=resnet14", &assistant, "compare=false"];
    let second = start(folder.path(), "second", &second, false);
    assert!(!second.losses("distilled").is_empty());
    assert_eq!(second.losses("distilled"), chain.losses("distilled"));

    let from: Vec<_> = chain
        .summary
        .networks
        .iter()
        .map(|a| a.learned_from.join(" "))
        .collect();
    assert_eq!(from, ["", "teacher", "", "assistant", ""]);

    let cost = |role: Role| {
        let networks = &chain.summary.networks;
        let measured = networks.iter().find(|a| a.role == role).unwrap();
        (measured.parameters, measured.macs, measured.bytes)
    };
    let (a, b) = (cost(Role::Stage("assistant".into())), cost(Role::Distilled));
    assert_eq!(
        cost(Role::Ensemble),
        (a.0 + b.0, Some(a.1.unwrap() + b.1.unwrap()), a.2 + b.2)
    );
    let report = std::fs::read_to_string(chain.out.join("report.html")).unwrap();
    assert!(report.contains("Stage assistant") && report.contains("Ensemble"));
}

/// Students that train in one pass learn what they learn one by one.
#[test]
fn one_teacher_teaches_many_students_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let peers = "student.peers=[\"resnet14\", \"resnet14\"]";
    let together = start(folder.path(), "together", &[peers], false);
    assert_eq!(
        together.networks(),
        [
            "teacher",
            "alone",
            "peer-alone:resnet14",
            "peer-alone:resnet14-2",
            "distilled",
            "peer:resnet14",
            "peer:resnet14-2"
        ]
    );
    let single = start(folder.path(), "single", &[], false);
    for role in ["teacher", "alone", "distilled"] {
        assert!(!single.losses(role).is_empty());
        assert_eq!(single.losses(role), together.losses(role), "{role}");
    }
    // The second of a name is drawn anew.
    let peers = ["peer:resnet14", "peer:resnet14-2"].map(|role| together.losses(role));
    assert_ne!(peers[0], peers[1]);
}

/// The first loss of mutual learning, worked out from the networks as they are drawn.
/// A term on maps that reads each of several teachers beside the logits of all.
#[test]
fn several_teachers_teach_by_their_maps() {
    let folder = tempfile::tempdir().unwrap();
    let overrides = [
        "stages.second.model=resnet8",
        "student.teachers=[\"teacher\", \"second\"]",
        "student.combine={ rule = \"confidence\" }",
        "objective.camkd={}",
        "compare=false",
    ];
    let ran = start(folder.path(), "several", &overrides, false);
    // The second learns from the teacher alone, by the same terms.
    for role in ["stage:second", "distilled"] {
        let losses = ran.losses(role);
        assert_eq!(losses.len(), 3);
        assert!(
            losses.iter().all(|step| step.contains("\"camkd\"")),
            "{losses:?}"
        );
    }
    let student = ran
        .summary
        .networks
        .iter()
        .find(|a| a.role == Role::Distilled);
    let student = student.unwrap();
    assert_eq!(student.learned_from, ["teacher", "second"]);
    // A connector a teacher: 64 channels to 64, with scale and shift. Running statistics are not
    // trained.
    assert_eq!(student.adapter_parameters, 2 * (64 * 64 + 2 * 64));
}

#[test]
fn students_learn_from_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let mutual = [
        "teacher=",
        "student.mutual=true",
        "student.peers=[\"resnet14\"]",
        "objective.kd.temperature=2",
        "data.validation=0",
        "compare=false",
    ];
    let mutual_run = start(folder.path(), "mutual", &mutual, false);
    assert_eq!(mutual_run.networks(), ["distilled", "peer:resnet14"]);
    let networks = &mutual_run.summary.networks;
    assert_eq!(networks[0].learned_from, ["resnet14"]);
    assert_eq!(networks[1].learned_from, ["student"]);

    let recipe = recipe(&mutual).unwrap();
    let dataset = kd_data::load(&recipe.data, &mut |_| {}).unwrap();
    let splits = kd_data::split(&dataset, &recipe.data).unwrap();
    let config = LoaderConfig {
        batch: 16,
        augment: recipe.data.augment,
        mean: dataset.mean.clone(),
        std: dataset.std.clone(),
        seed: 1,
        shuffle: true,
        drop_last: false,
    };
    let loader = Loader::new(dataset.train.clone(), splits.train, config).unwrap();
    let device = Device::flex().autodiff();
    let batch = loader.epoch(1).next().unwrap();
    draw::seed(1);
    let logits: Vec<Tensor<2>> = ["resnet8", "resnet14"]
        .into_iter()
        .map(|model| {
            let network = Network::new(&NetworkConfig::new(model, 10, 1), &device).unwrap();
            network.forward(batch.images(&device), &Taps::none()).logits
        })
        .collect();
    for (role, student, teacher) in [("distilled", 0, 1), ("peer:resnet14", 1, 0)] {
        let expected: f64 = kd(logits[student].clone(), logits[teacher].clone(), 2.0)
            .unwrap()
            .into_scalar::<f32>()
            .into();
        let text = std::fs::read_to_string(mutual_run.out.join("metrics.jsonl")).unwrap();
        let first = text
            .lines()
            .find_map(|line| match serde_json::from_str(line).unwrap() {
                Record::Step(s) if s.role.to_string() == role => Some(s),
                _ => None,
            });
        let found = first.unwrap().components["kd"].value;
        assert!(
            (found - expected).abs() < 1e-6 * expected,
            "{found} {expected}"
        );
    }
}

/// Weights of the convolutions, which, unlike running statistics, only the optimiser moves.
fn convolutions(network: &Network) -> Vec<f32> {
    struct Collect(Vec<f32>);
    impl ModuleVisitor for Collect {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if D == 4 {
                self.0.extend(param.val().into_data().iter::<f32>());
            }
        }
    }
    let mut collect = Collect(Vec::new());
    network.visit(&mut collect);
    collect.0
}

#[test]
fn a_stage_starts_from_another() {
    let folder = tempfile::tempdir().unwrap();
    let hint = [
        "stages.hint.model=resnet8",
        "stages.hint.objective={fitnet = {}}",
        "student.start=hint",
        // So small that the student stays where it started.
        "train.lr.peak=1e-30",
        "stages.hint.train={epochs = 2, batch = 16, lr = {peak = 0.05}}",
    ];
    let ran = start(folder.path(), "hint", &hint, false);
    assert_eq!(
        ran.networks(),
        ["teacher", "stage:hint", "alone", "distilled"]
    );
    let weights = |role: &str| {
        let path = ran
            .out
            .join(format!("checkpoints/{role}-seed1.safetensors"));
        let config = NetworkConfig::new("resnet8", 10, 1);
        convolutions(&Network::from_file(&config, path, &Device::flex()).unwrap())
    };
    // Its last epoch counts: it need not classify.
    let hint = ran.summary.networks[1].training.as_ref().unwrap();
    assert_eq!((hint.best_epoch, hint.best_validation), (2, None));
    assert!(weights("distilled") == weights("stage-hint"));
    assert!(weights("alone") != weights("stage-hint"));
}

#[test]
fn what_an_earlier_run_finished_is_not_done_again() {
    let folder = tempfile::tempdir().unwrap();
    let first = start(folder.path(), "first", &[], true);
    assert_eq!(first.notes.started, ["teacher", "alone", "distilled"]);

    let again = start(folder.path(), "again", &[], true);
    assert!(again.notes.started.is_empty(), "{:?}", again.notes.started);
    for role in ["teacher", "alone", "distilled"] {
        assert!(!again.losses(role).is_empty());
        assert_eq!(again.losses(role), first.losses(role));
    }
    let accuracy = |ran: &Ran| -> Vec<f64> {
        let networks = ran.summary.networks.iter();
        networks.map(|a| a.test.get("loss").unwrap()).collect()
    };
    assert_eq!(accuracy(&again), accuracy(&first));
    assert!(
        again
            .out
            .join("checkpoints/alone-seed1.safetensors")
            .exists()
    );
    assert!(again.notes.notes.iter().any(|n| n.contains("--fresh")));

    // Another objective needs another distillation, and nothing else.
    let hotter = start(
        folder.path(),
        "hotter",
        &["objective.kd.temperature=8"],
        true,
    );
    assert_eq!(hotter.notes.started, ["distilled"]);
    // A teacher under another name is the same training.
    let chain = ["stages.other.model=resnet8", "student.teachers=[\"other\"]"];
    let chain = start(folder.path(), "chain", &chain, true);
    assert_eq!(chain.notes.started, ["distilled"]);
    assert_eq!(chain.losses("stage:other"), first.losses("distilled"));
    // Data, seed and budget count.
    for change in ["seed=2", "data.train_limit=80", "train.batch=8"] {
        let name = change.replace('=', "-");
        let changed = start(folder.path(), &name, &[change], true);
        assert!(changed.notes.started.contains(&"alone".into()), "{change}");
    }
    let fresh = start(folder.path(), "fresh", &[], false);
    assert_eq!(fresh.notes.started, ["teacher", "alone", "distilled"]);
}

#[test]
fn what_is_damaged_is_told_of_and_trained_again() {
    let folder = tempfile::tempdir().unwrap();
    let first = start(folder.path(), "first", &[], true);
    for entry in std::fs::read_dir(folder.path().join("finished")).unwrap() {
        std::fs::write(entry.unwrap().path().join("network-0.safetensors"), "cut").unwrap();
    }
    let again = start(folder.path(), "again", &[], true);
    assert_eq!(again.notes.started, ["teacher", "alone", "distilled"]);
    assert_eq!(again.losses("distilled"), first.losses("distilled"));
    let told = |text: &&String| text.contains("trained anew") && text.contains("network-0");
    assert_eq!(again.notes.notes.iter().filter(told).count(), 3);
    let healed = start(folder.path(), "healed", &[], true);
    assert!(healed.notes.started.is_empty());
}

#[test]
fn mistakes_in_a_graph_name_their_key() {
    let assistant = "stages.assistant.model=resnet14";
    let cases: [(&[&str], &[&str]); 14] = [
        (
            &[assistant, "student.teachers=[\"asistant\"]"],
            &["student.teachers", "`asistant`", "did you mean `assistant`"],
        ),
        (
            &[
                "stages.a.model=resnet8",
                "stages.a.teachers=[\"b\"]",
                "stages.b.model=resnet8",
                "stages.b.teachers=[\"a\"]",
            ],
            &["[stages.a]", "waits for itself"],
        ),
        (
            &["stages.teacher.model=resnet8"],
            &["[stages.teacher]", "[teacher]"],
        ),
        (&["stages.\"a/b\".model=resnet8"], &["letters"]),
        (
            &["student.mutual=true"],
            &["student.mutual", "student.peers"],
        ),
        (
            &["teacher=", "student.teachers=[\"teacher\"]"],
            &["student.teachers", "no [teacher]"],
        ),
        (
            &[assistant, "student.start=assistant"],
            &["student.start", "resnet14", "resnet8"],
        ),
        (&["student.start=nobody"], &["student.start", "`nobody`"]),
        (
            &["student.combine.temperature=0"],
            &["student.combine.temperature = 0"],
        ),
        (
            &["student.combine.rule=mean"],
            &["`mean`", "`average`", "`confidence`"],
        ),
        (&["ensemble=[\"student\"]"], &["ensemble", "two"]),
        (&["ensemble=[\"student\", \"x\"]"], &["ensemble", "`x`"]),
        (
            &["student.objective={kd = {}}"],
            &["student.objective", "[objective]"],
        ),
        (
            &["student.teachers=[\"teacher\", \"teacher\"]"],
            &["student.teachers", "twice"],
        ),
    ];
    for (overrides, parts) in cases {
        let error = recipe(overrides).unwrap_err();
        for part in parts {
            assert!(error.contains(part), "{overrides:?}: {error}");
        }
    }
}

#[test]
fn a_graph_survives_a_round_trip() {
    let overrides = [
        "stages.first.model=resnet8",
        "stages.first.teachers=[]",
        "stages.first.weights=first.safetensors",
        "stages.second.model=resnet8",
        "stages.second.start=first",
        "stages.second.peers=[\"resnet14\"]",
        "stages.second.combine={rule = \"confidence\", temperature = 2.0}",
        "stages.second.objective={cross_entropy = {}, dkd = {}}",
        "stages.second.train={epochs = 3, lr = {peak = 0.1}}",
        "student.teachers=[\"first\", \"second\"]",
        "student.peers=[\"resnet20\"]",
        "student.mutual=true",
        "ensemble=[\"first\", \"student\"]",
        "train.gradient_norms_every=5",
    ];
    let written = recipe(&overrides).unwrap();
    assert!(
        written.stages["first"]
            .weights
            .as_ref()
            .unwrap()
            .is_absolute()
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("written.toml");
    std::fs::write(&file, written.to_toml().unwrap()).unwrap();
    assert_eq!(Recipe::load(&file, &[]).unwrap(), written);
}

/// A term that cannot work in a stage is found before the first training.
#[test]
fn a_stage_is_checked_before_anything_is_trained() {
    let folder = tempfile::tempdir().unwrap();
    let overrides = [
        "stages.a.model=resnet8",
        "stages.b.model=resnet8",
        "student.teachers=[\"a\", \"b\"]",
        "objective.fitnet.weight=1",
    ];
    let options = RunOptions {
        out: folder.path().join("run"),
        seeds: 1,
        device_name: "flex".into(),
        reuse: false,
        resume: false,
    };
    let mut notes = Notes::default();
    let recipe = recipe(&overrides).unwrap();
    let error = run(&recipe, &options, &Device::flex(), &mut notes).unwrap_err();
    assert!(error.to_string().contains("objective.fitnet"), "{error}");
    assert!(notes.started.is_empty());
    assert!(!options.out.exists());
}
