//! A run on sentences, and what its student is exported to.

use std::fs;

use super::{
    call_with, fails,
    run::{finish, kd},
};

const RECIPE: &str = r#"
name = "words"

[text]
train = "train.csv"
test = "train.csv"
tokenizer = "vocab.txt"
length = 8

[teacher]
model = "bert_tiny"

[student]
model = "bert_tiny"

[objective]
cross_entropy.weight = 0.5
kd = { weight = 0.5, temperature = 2.0 }

[train]
epochs = 1
batch = 16
optimizer = { name = "adamw" }
lr.peak = 1e-3
"#;

#[test]
fn a_student_that_reads_text_is_exported_to_onnx_and_to_a_folder() {
    // Only to have the folder: the files of the recipe come next.
    let (folder, refused) = call_with(RECIPE, &["train", "tiny.toml", "--out", "run"]);
    fails(&refused, 3, &["vocab.txt"]);
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\ngood\nbad\nfilm");
    let rows = "a good film,yes\na bad film,no\n".repeat(20);
    write("train.csv", &format!("text,label\n{rows}"));
    let ask = |arguments: &[&str]| finish(kd(folder.path(), arguments));
    let trained = ask(&["train", "tiny.toml", "--out", "run"]);
    assert_eq!(trained.code, Some(0), "{}", trained.stderr);

    let told = ask(&["export", "run", "--onnx", "student.onnx"]);
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    assert!(
        told.stdout.contains("largest difference"),
        "{}",
        told.stdout
    );
    let file = fs::read(folder.path().join("student.onnx")).unwrap();
    let holds = |part: &[u8]| file.windows(part.len()).any(|window| window == part);
    for part in ["input_ids", "logits", "[\"no\",\"yes\"]", "bert_tiny"] {
        assert!(holds(part.as_bytes()), "{part} is not in the file");
    }
    let normalised = ask(&["export", "run", "--onnx", "other.onnx", "--normalise"]);
    fails(&normalised, 3, &["--normalise", "leave them out"]);
    assert!(!folder.path().join("other.onnx").exists());

    let told = ask(&["export", "run", "--format", "hf", "--out", "student"]);
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    assert!(folder.path().join("student/vocab.txt").is_file());
}
