//! A run on sentences: files, a folder of weights to begin with, a student that begins as half of its teacher.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::fs;
use std::path::Path;

use burn::tensor::{Device, Int, Tensor};
use kd_core::{Taps, draw};
use kd_models::{Backbone, TextConfig, TextNetwork, TokenBatch};
use kd_train::task::{Shown, Task, TaskSpec, TextClassification, TextStudent};
use kd_train::{Recipe, RunOptions, Silent, run};

const WORDS: [&str; 9] = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad", "film", "plot", "very",
];

/// Sentences whose class is that of one of their words, a vocabulary, and weights of four blocks.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| fs::write(folder.path().join(name), text).unwrap();
    let sentence = |i: usize| {
        let word = ["good", "bad"][i % 2];
        let around = ["film ", "very ", "plot "]
            .iter()
            .cycle()
            .skip(i)
            .take(i % 5);
        format!(
            "{}{word},{}\n",
            around.copied().collect::<String>(),
            ["yes", "no"][i % 2]
        )
    };
    let sentences = |from: usize, to: usize| -> String {
        let rows: String = (from..to).map(sentence).collect();
        format!("text,label\n{rows}")
    };
    write("train.csv", sentences(0, 96));
    write("test.csv", sentences(100, 124));
    write("vocab.txt", WORDS.join("\n"));
    let shape = TextConfig {
        vocabulary: WORDS.len(),
        ..TextConfig::bert(256, 4, 4)
    };
    draw::seed(1);
    let network = TextNetwork::new(&shape, &Device::flex()).unwrap();
    let nothing: [&Path; 0] = [];
    network
        .export(folder.path().join("bert"), &[], &nothing)
        .unwrap();
    fs::write(folder.path().join("recipe.toml"), RECIPE).unwrap();
    folder
}

const RECIPE: &str = r#"
name = "words"

[text]
train = "train.csv"
test = "test.csv"
tokenizer = "vocab.txt"
length = 12
start = { bert_mini = "bert" }

[teacher]
model = "bert_mini"

[student]
model = "bert_tiny"

[objective]
cross_entropy.weight = 0.5
kd = { weight = 0.5, temperature = 2.0 }

[train]
epochs = 3
batch = 16
optimizer = { name = "adamw" }
lr.peak = 1e-3
groups = { decay = "matrices", freeze = ["embeddings.positions"] }
"#;

#[test]
fn sentences_of_ones_own_are_distilled() {
    let folder = folder();
    let recipe = Recipe::load(&folder.path().join("recipe.toml"), &[]).unwrap();
    let out = folder.path().join("out");
    let options = RunOptions {
        out: out.clone(),
        seeds: 1,
        device_name: "flex".into(),
        reuse: false,
        resume: false,
    };
    let summary = run(&recipe, &options, &Device::flex(), &mut Silent).unwrap();
    assert_eq!(summary.data.classes, ["no", "yes"]);
    assert_eq!(
        [
            summary.data.train,
            summary.data.validation,
            summary.data.test
        ],
        [86, 10, 24]
    );
    // One word says the class.
    let text = fs::read_to_string(out.join("summary.json")).unwrap();
    assert!(text.contains("bert_tiny"), "{text}");

    let task = TextClassification::load(recipe.text.as_ref().unwrap()).unwrap();
    let device = Device::flex();
    let exported = TextStudent::of_run(&out, &device).unwrap().unwrap();
    assert_eq!(exported.classes, ["no", "yes"]);
    let folder_of_it = folder.path().join("hf");
    let files = exported.tokenizer.files();
    exported
        .network
        .export(&folder_of_it, &exported.classes, files)
        .unwrap();
    let config = fs::read_to_string(folder_of_it.join("config.json")).unwrap();
    assert!(
        config.contains("BertForSequenceClassification") && config.contains("\"yes\""),
        "{config}"
    );
    assert!(folder_of_it.join("vocab.txt").is_file());
    let student = task
        .load("bert_tiny", &out.join("student.safetensors"), &device)
        .unwrap();
    let right = task.evaluate(&student, &*task.test(8).unwrap(), &device);
    let found = right.scores.first().unwrap().value;
    assert!(found > 90.0, "{found} % of the sentences");
    assert!(matches!(task.show(0).unwrap(), Shown::Text(text) if !text.is_empty()));
}

#[test]
fn a_network_begins_with_the_weights_of_its_folder_and_a_student_as_half_of_it() {
    let folder = folder();
    let recipe = Recipe::load(&folder.path().join("recipe.toml"), &[]).unwrap();
    let task = TextClassification::load(recipe.text.as_ref().unwrap()).unwrap();
    let device = Device::flex();
    let teacher = task.build("bert_mini", &device).unwrap();
    let ids = Tensor::<2, Int>::from_ints([[2, 4, 6, 3]], &device);
    let batch = TokenBatch::new(ids.clone(), ids.greater_elem(0));
    let level = |network: &TextNetwork, level| {
        let output = network.forward(batch.clone(), &Taps::all());
        output.tokens(level).unwrap().into_data()
    };
    let again = task.build("bert_mini", &device).unwrap();
    assert_eq!(level(&teacher, 4), level(&again, 4));
    let shape = TextConfig {
        depth: 2,
        ..teacher.config().clone()
    };
    let half = TextNetwork::new(&shape, &device).unwrap();
    let half = task.with_layers_of(half, &teacher, &[0, 1]).unwrap();
    assert_eq!(level(&half, 2), level(&teacher, 2));
    let refused = task
        .with_layers_of(half, &teacher, &[0, 4])
        .unwrap_err()
        .to_string();
    assert!(refused.contains("each below 4"), "{refused}");
}

#[test]
fn what_is_wrong_with_sentences_is_told_before_anything_trains() {
    let folder = folder();
    let path = folder.path().join("recipe.toml");
    let message = |overrides: &[&str]| {
        let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
        let recipe = Recipe::load(&path, &overrides);
        let options = RunOptions {
            out: folder.path().join("none"),
            seeds: 1,
            device_name: "flex".into(),
            reuse: false,
            resume: false,
        };
        let ran = recipe.and_then(|recipe| run(&recipe, &options, &Device::flex(), &mut Silent));
        ran.map(|_| ()).unwrap_err().to_string()
    };
    for (change, part) in [
        ("text.train=nowhere.csv", "nowhere.csv"),
        ("text.length=2", "text.length = 2: at least 3"),
        ("text.length=600", "reads at most 512 words"),
        ("student.model=bert_tinny", "bert_tiny"),
        ("text.label=class", "no columns `text` and `class`"),
    ] {
        let message = message(&[change]);
        assert!(message.contains(part), "{change}: {message}");
    }
}
