//! Published weights, exported and measured on CIFAR-10's test set.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde_json::json;

use super::python::Python;
use crate::{backend::Backend, kd::Kd};

/// The networks for CIFAR-10 whose weights are published, and the accuracy that is published with them.
pub const PUBLISHED: [(&str, &str, f64); 2] = [
    ("resnet20_a", "cifar10_resnet20-", 91.73),
    ("resnet56_a", "cifar10_resnet56-", 93.39),
];

/// Test accuracy of published weights in per cent.
pub struct Accuracy {
    pub name: &'static str,
    pub published: f64,
    pub onnxruntime: f64,
    pub openvino: f64,
}

impl Accuracy {
    /// Whether both are what is published, to two digits.
    pub fn is_met(&self) -> bool {
        let same = |found: f64| (found - self.published).abs() < 0.005;
        same(self.onnxruntime) && same(self.openvino)
    }
}

impl std::fmt::Display for Accuracy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}: {:.2} % published, {:.2} % in ONNX Runtime, {:.2} % in OpenVINO",
            self.name, self.published, self.onnxruntime, self.openvino
        )
    }
}

/// Exports the weights with the normalisation inside, and measures them.
pub fn accuracy(
    python: &mut Python,
    scratch: &Path,
    data: &Path,
    (name, weights, published): (&'static str, &str, f64),
) -> Result<Accuracy> {
    let data = std::path::absolute(data)?;
    let weights = starting_with(&data.join("weights"), weights)?;
    let file = scratch.join("published.onnx");
    let mut kd = Kd::new(Backend::default())?;
    kd.arguments(["export", "--model", name, "--classes", "10", "--normalise"])
        .arguments(["--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225"])
        .argument("--weights")
        .argument(&weights)
        .argument("--onnx")
        .argument(&file);
    kd.build_and_read()?;
    let test = data.join("cifar-10-batches-bin/test_batch.bin");
    let found = python.ask(&json!({"do": "accuracy", "file": file, "test": test}))?;
    let of = |runtime: &str| found[runtime].as_f64().context("no accuracy");
    Ok(Accuracy {
        name,
        published,
        onnxruntime: of("onnxruntime")?,
        openvino: of("openvino")?,
    })
}

fn starting_with(folder: &Path, start: &str) -> Result<PathBuf> {
    let files = fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
    let mut paths = files.flatten().map(|file| file.path());
    let found = paths.find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(start)
    });
    found.with_context(|| format!("{} has no file {start}*", folder.display()))
}
