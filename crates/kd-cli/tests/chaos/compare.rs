//! What a run gives, without the times that it took.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use serde_json::Value;

/// Files that say how a run ended.
const FILES: [&str; 5] = [
    "metrics.jsonl",
    "student.safetensors",
    "study.json",
    "summary.json",
    "table.md",
];

/// Keys of what differs from one time to the next, and of places.
const FREE: [&str; 4] = ["seconds", "images_per_second", "latency", "file"];

/// The contents of a folder's files, by their paths, in a form that can be compared.
pub struct Results(BTreeMap<PathBuf, Vec<String>>);

impl Results {
    /// Reads a run folder or that of a study.
    pub fn read(folder: &Path) -> Self {
        let mut files = BTreeMap::new();
        let variants = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        for folder in variants.filter(|path| path.is_dir()).chain([folder.into()]) {
            for name in FILES {
                let path = folder.join(name);
                if path.exists() {
                    let inside = path.file_name().unwrap();
                    let below = Path::new(folder.file_name().unwrap()).join(inside);
                    files.insert(below, contents(&path));
                }
            }
        }
        Self(files)
    }
}

fn contents(path: &Path) -> Vec<String> {
    let bytes = fs::read(path).unwrap();
    match path.extension().and_then(|e| e.to_str()) {
        Some("safetensors") => {
            let file = SafeTensors::deserialize(&bytes).unwrap();
            let mut tensors: Vec<_> = file
                .iter()
                .map(|(name, view)| format!("{name} {:?} {:?}", view.shape(), view.data()))
                .collect();
            tensors.sort();
            tensors
        }
        Some("jsonl") => String::from_utf8(bytes)
            .unwrap()
            .lines()
            .map(timeless)
            .collect(),
        Some("json") => vec![timeless(std::str::from_utf8(&bytes).unwrap())],
        _ => {
            let text = String::from_utf8(bytes).unwrap();
            text.lines().map(without_last_cell).collect()
        }
    }
}

/// A row of a table of Markdown without its last cell, which is a time.
fn without_last_cell(line: &str) -> String {
    let cells: Vec<&str> = line.split('|').collect();
    match cells.len() {
        0..3 => line.into(),
        count => cells[..count - 2].join("|"),
    }
}

fn timeless(text: &str) -> String {
    let mut value: Value = serde_json::from_str(text).unwrap();
    strip(&mut value);
    value.to_string()
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(keys) => {
            keys.retain(|key, _| !FREE.contains(&key.as_str()));
            keys.values_mut().for_each(strip);
        }
        Value::Array(values) => values.iter_mut().for_each(strip),
        _ => {}
    }
}

/// Where two results differ, in words.
pub fn differences(expected: &Results, got: &Results) -> Vec<String> {
    let (expected, got) = (&expected.0, &got.0);
    let mut found = Vec::new();
    for (path, lines) in expected {
        let Some(other) = got.get(path) else {
            found.push(format!("{} is missing", path.display()));
            continue;
        };
        let mut pairs = lines.iter().zip(other).enumerate();
        let first = pairs.find(|(_, (a, b))| a != b);
        if let Some((at, (a, b))) = first {
            let cut = |text: &str| text.chars().take(600).collect::<String>();
            found.push(format!(
                "{}:{}:\n{}\n{}",
                path.display(),
                at + 1,
                cut(a),
                cut(b)
            ));
        } else if lines.len() != other.len() {
            let (path, ours, theirs) = (path.display(), lines.len(), other.len());
            found.push(format!("{path}: {theirs} lines instead of {ours}"));
        }
    }
    let more = got.keys().filter(|path| !expected.contains_key(*path));
    found.extend(more.map(|path| format!("{} is more", path.display())));
    found
}
