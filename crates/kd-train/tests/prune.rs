//! Stages that lose channels, or get integer grids, before their training.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::fs;
use std::path::PathBuf;

use burn::tensor::Device;
use kd_core::draw;
use kd_models::{Network, NetworkConfig};
use kd_train::{NetworkChange, Recipe, Role, RunOptions, Silent, Summary, run};

const RECIPE: &str = r#"name = "prune"
[data]
name = "fashion_mnist_small"
train_limit = 96
test_limit = 60
validation = 0.25

[teacher]
model = "resnet8"
weights = "teacher.safetensors"

[student]
model = "resnet8"
prune = { macs = 0.5 }

[objective.cross_entropy]
weight = 0.1
[objective.kd]

[train]
epochs = 1
batch = 32
lr = { peak = 0.01 }
"#;

struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Self {
        let scratch = Self(tempfile::tempdir().unwrap());
        fs::write(scratch.path("recipe.toml"), RECIPE).unwrap();
        draw::seed(7);
        let teacher = Network::new(&config(), &Device::flex()).unwrap();
        let path = scratch.path("teacher.safetensors");
        teacher.save(path, &[]).unwrap();
        scratch
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn recipe(&self, overrides: &[&str]) -> Result<Recipe, kd_train::Error> {
        let overrides: Vec<String> = overrides.iter().map(|o| o.to_string()).collect();
        Recipe::load(&self.path("recipe.toml"), &overrides)
    }

    fn run(&self, name: &str, overrides: &[&str]) -> Result<Summary, kd_train::Error> {
        let options = RunOptions {
            out: self.path("runs").join(name),
            seeds: 1,
            device_name: "flex".into(),
            reuse: true,
            resume: true,
        };
        let recipe = self.recipe(overrides)?;
        run(&recipe, &options, &Device::flex(), &mut Silent)
    }

    fn network(&self, file: &str) -> Network {
        let path = self.path("runs").join(file);
        Network::from_file(&config(), path, &Device::flex()).unwrap()
    }

    /// The bytes of a file behind its header, whose entries have no order.
    fn values(&self, file: &str) -> Vec<u8> {
        let bytes = fs::read(self.path("runs").join(file)).unwrap();
        let header = u64::from_le_bytes(bytes[..8].try_into().unwrap());
        bytes[8 + header as usize..].to_vec()
    }
}

fn config() -> NetworkConfig {
    NetworkConfig::new("resnet8", 10, 1).with_image_size(28)
}

fn macs(network: &Network) -> u64 {
    network.cost(28).unwrap().macs
}

#[test]
fn what_is_left_is_trained_with_the_teacher_and_alone() {
    let scratch = Scratch::new();
    let whole = macs(&Network::new(&config(), &Device::flex()).unwrap());
    scratch.run("one", &[]).unwrap();
    let student = scratch.network("one/student.safetensors");
    let left = macs(&student);
    assert!(left <= whole / 2 && left > whole / 3, "{left} of {whole}");
    let alone = scratch.network("one/checkpoints/alone-seed1.safetensors");
    assert_eq!(alone.cost(28).unwrap(), student.cost(28).unwrap());
    // Another run with the same recipe has the trainings of the first, to the last bit.
    scratch.run("two", &[]).unwrap();
    let values = |run: &str| scratch.values(&format!("{run}/student.safetensors"));
    assert!(values("one") == values("two"));
}

#[test]
fn a_stage_is_distilled_pruned_and_distilled() {
    let scratch = Scratch::new();
    let whole = macs(&Network::new(&config(), &Device::flex()).unwrap());
    let stages = [
        "stages.whole.model=resnet8",
        "student.start=whole",
        "student.teachers=[\"whole\"]",
    ];
    scratch.run("stages", &stages).unwrap();
    assert!(macs(&scratch.network("stages/student.safetensors")) <= whole / 2);
}

#[test]
fn a_stage_is_pruned_and_trained_on_grids() {
    let scratch = Scratch::new();
    let stages = [
        "stages.whole.model=resnet8",
        "student.start=whole",
        "student.teachers=[\"whole\"]",
        "student.quantise={ images = 40 }",
        "compare=false",
    ];
    scratch.run("one", &stages).unwrap();
    let student = scratch.network("one/student.safetensors");
    let grids = student.grids().unwrap();
    assert!(grids.len() == 10 && grids.iter().all(Option::is_some));
    let whole = scratch.network("one/checkpoints/stage-whole-seed1.safetensors");
    assert!(macs(&student) <= macs(&whole) / 2 && whole.grids().is_none());
    // What another run left is used, and is the same to the last bit; other bits are another training.
    scratch.run("two", &stages).unwrap();
    let values = |run: &str| scratch.values(&format!("{run}/student.safetensors"));
    assert!(values("one") == values("two"));
    let coarse = [&stages[..], &["student.quantise.weights=3"]].concat();
    scratch.run("three", &coarse).unwrap();
    assert!(values("one") != values("three"));
}

#[test]
fn bad_requests_name_the_key_and_the_cure() {
    let scratch = Scratch::new();
    let refused = |overrides: &[&str]| scratch.recipe(overrides).unwrap_err().to_string();
    for (overrides, parts) in [
        (
            vec!["student.prune={ ratio = 1.0 }"],
            vec!["student.prune.ratio: 1 of the channels", "below 1"],
        ),
        (vec!["student.prune={}"], vec!["student.prune.goal", "macs"]),
        (
            vec!["student.prune={ macs = 0.5, ratio = 0.5 }"],
            vec!["with one of `macs`"],
        ),
        (
            vec!["student.prune={ macs = 0.5, by = \"l3\" }"],
            vec!["l3"],
        ),
        (
            vec!["student.quantise={ weights = 9 }"],
            vec!["student.quantise.weights: 9 bits: from 2 to 8"],
        ),
        (
            vec!["student.model=resnet20"],
            vec!["student.prune", "is a resnet8", "resnet20"],
        ),
    ] {
        let refused = refused(&overrides);
        assert!(
            parts.iter().all(|part| refused.contains(part)),
            "{overrides:?}: {refused}"
        );
    }
}

/// The stages of a compression, each on its own.
const STAGES: [&str; 13] = [
    "compare=false",
    "stages.whole.model=resnet8",
    "stages.cut={ do = \"prune\", model = \"resnet8\", start = \"whole\", prune = { macs = 0.5, images = 40 } }",
    "stages.half.model=resnet8",
    "stages.half.start=cut",
    "stages.half.teachers=[\"whole\"]",
    "stages.file={ do = \"export\", model = \"resnet8\", start = \"student\", export = { check = \"tensorrt\" } }",
    "stages.floats={ do = \"export\", model = \"resnet8\", start = \"half\", export = { softmax = true } }",
    "student.do=quantise",
    "student.prune=",
    "student.start=half",
    "student.quantise={ images = 40, symmetric = true }",
    "objective.cross_entropy=",
];

#[test]
fn stages_that_train_nothing_are_stages_too() {
    let scratch = Scratch::new();
    let summary = scratch.run("one", &STAGES).unwrap();
    let role = |name: &str| {
        let mut all = summary.networks.iter();
        all.find(|n| n.role.to_string() == name).unwrap()
    };
    let roles: Vec<String> = summary
        .networks
        .iter()
        .map(|n| n.role.to_string())
        .collect();
    assert_eq!(
        roles,
        [
            "teacher",
            "stage:whole",
            "stage:cut",
            "stage:half",
            "distilled"
        ]
    );
    let (whole, cut, half) = (role("stage:whole"), role("stage:cut"), role("stage:half"));
    let student = role("distilled");
    // What trains nothing has no training, and the scores on its way.
    assert!(cut.training.is_none() && student.training.is_none() && half.training.is_some());
    let changes =
        |n: &kd_train::NetworkSummary| n.changed.iter().map(|c| c.change).collect::<Vec<_>>();
    assert_eq!(changes(cut), [NetworkChange::ChannelsRemoved]);
    assert!(changes(half).is_empty() && changes(student).is_empty());
    let from = |n: &kd_train::NetworkSummary| n.made_of.as_ref().unwrap().role.to_string();
    assert_eq!(
        [from(cut), from(half), from(student)],
        ["stage:whole", "stage:cut", "stage:half"]
    );
    assert!(whole.made_of.is_none());
    assert!(cut.macs.unwrap() * 2 <= whole.macs.unwrap() && half.macs == cut.macs);
    // Eight bits take a quarter of the weights, and are written as such.
    let bytes = |n: &kd_train::NetworkSummary| n.onnx.unwrap().bytes;
    assert!(
        bytes(student) * 2 < bytes(half),
        "{} {}",
        bytes(student),
        bytes(half)
    );
    assert!(bytes(half) < bytes(whole));
    let needs = [whole, half, student].map(|n| n.activations.unwrap());
    assert!(needs[1] < needs[0] && needs[2] < needs[1], "{needs:?}");
    assert!(student.made_of.as_ref().unwrap().agreement.unwrap() > 50.0);
    let files: Vec<_> = summary
        .exported
        .iter()
        .map(|f| (f.file.as_str(), f.of.as_str()))
        .collect();
    assert_eq!(files, [("file.onnx", "student"), ("floats.onnx", "half")]);
    for file in &summary.exported {
        let written = fs::metadata(scratch.path("runs/one").join(&file.file)).unwrap();
        assert_eq!(written.len(), file.size.bytes);
        assert!(file.size.gzip < file.size.bytes);
    }
    assert!(scratch.network("one/student.safetensors").grids().is_some());
    assert!(
        scratch
            .network("one/checkpoints/stage-cut-seed1.safetensors")
            .grids()
            .is_none()
    );
    let page = fs::read_to_string(scratch.path("runs/one/report.html")).unwrap();
    assert!(
        page.contains("made of the stage cut; learned from whole"),
        "{page}"
    );
    assert!(page.contains("made of the stage half; not trained"));
    // Again: the same networks to the last bit.
    scratch.run("two", &STAGES).unwrap();
    let values = |run: &str| scratch.values(&format!("{run}/student.safetensors"));
    assert!(values("one") == values("two"));
}

#[test]
fn a_stage_that_trains_tells_what_it_began_with() {
    let scratch = Scratch::new();
    let summary = scratch
        .run(
            "one",
            &[
                "student.quantise={ images = 40 }",
                "student.prune.images=40",
            ],
        )
        .unwrap();
    for student in &summary.networks[1..] {
        let changes: Vec<_> = student.changed.iter().map(|c| c.change).collect();
        let all = [
            NetworkChange::ChannelsRemoved,
            NetworkChange::StatisticsRenewed,
            NetworkChange::OnGrids,
        ];
        assert_eq!(changes, all);
        assert_eq!(student.made_of.as_ref().unwrap().role, Role::Teacher);
    }
    // Both students began with the same.
    let [_, alone, distilled] = &summary.networks[..] else {
        panic!("a teacher and two students");
    };
    assert_eq!(alone.changed, distilled.changed);
}

#[test]
fn stages_say_what_they_cannot_do() {
    let scratch = Scratch::new();
    let refused = |more: &[&str]| {
        let overrides = [&STAGES[..], more].concat();
        scratch.recipe(&overrides).unwrap_err().to_string()
    };
    let told = |more: &[&str], what: &str| {
        let said = refused(more);
        assert!(said.contains(what), "{said}");
    };
    told(
        &["stages.cut.prune="],
        "stages.cut: do = \"prune\" needs to know how far",
    );
    told(
        &["stages.cut.teachers=[\"whole\"]"],
        "stages.cut.teachers: with do = \"prune\" a stage does that alone",
    );
    told(
        &["stages.cut.quantise={}"],
        "stages.cut.quantise: with do = \"prune\"",
    );
    told(
        &["stages.file.start="],
        "stages.file: do = \"export\" needs to know what",
    );
    told(
        &["stages.file.start=studnt"],
        "there is no stage `studnt`; did you mean `student`?",
    );
    told(
        &["student.quantise="],
        "student: do = \"quantise\" needs to know how",
    );
    told(
        &["student.do=export", "student.quantise="],
        "write its file by a stage of its own",
    );
    told(
        &["student.start=file"],
        "student: stage `file` writes a file and has no network",
    );
    told(
        &["ensemble=[\"student\", \"file\"]"],
        "ensemble: stage `file` writes a file",
    );
    told(
        &["stages.half.export={}"],
        "stages.half.export says how a file is written, and this stage trains",
    );
    told(&["stages.cut.do=shrink"], "unknown variant `shrink`");
    // Before anything is trained.
    let plain = [&STAGES[..], &["student.quantise.symmetric=false"]].concat();
    let said = scratch.run("refused", &plain).unwrap_err().to_string();
    assert!(
        said.contains("stages.file") && said.contains("TensorRT 10.1 would refuse"),
        "{said}"
    );
}
