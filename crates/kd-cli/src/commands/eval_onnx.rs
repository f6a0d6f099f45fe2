//! `kd eval RUN --onnx FILE`: what a file is worth in the programs that run it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use kd_train::{EvalOptions, EvalResult, Observer, evaluate_by};

use super::bench::deploy::{rten::Rten, runtimes, runtimes::Runtimes};
use crate::failure::BadInput;

const PYTHON: &str = "python3";

/// Measures the file in rten, and in ONNX Runtime and OpenVINO where Python has them.
pub fn run(
    options: &EvalOptions,
    file: &Path,
    python: Option<&Path>,
    observer: &mut dyn Observer,
) -> Result<Vec<(String, EvalResult)>> {
    if !file.is_file() {
        let problem = format!("--onnx {}: there is no such file", file.display());
        return Err(BadInput(problem).into());
    }
    let mut found = Vec::new();
    let rten = Rten::load(file.to_owned())?;
    let result = evaluate_by(
        options,
        |images, shape| rten.logits(images, shape),
        observer,
    )?;
    found.push(("rten".to_owned(), result.context("run the file in rten")?));
    let mut runtimes = match python {
        Some(path) => Some(Runtimes::start(path)?),
        None => Runtimes::start(Path::new(PYTHON)).ok(),
    };
    let folder = tempfile::tempdir().context("make a folder for images")?;
    for name in runtimes::NAMES {
        let Some(runtimes) = runtimes.as_mut() else {
            break;
        };
        let Some(version) = runtimes.version(name).map(str::to_owned) else {
            continue;
        };
        let answer = |images: &[f32], shape: [usize; 4]| -> Result<Vec<f32>> {
            let (input, output) = (folder.path().join("images"), folder.path().join("logits"));
            let bytes: Vec<u8> = images.iter().flat_map(|v| v.to_le_bytes()).collect();
            fs::write(&input, bytes).context("write images")?;
            runtimes.run(name, file, shape, &input, &output)?;
            let bytes = fs::read(&output).context("read logits")?;
            let values = bytes.chunks_exact(4);
            Ok(values
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect())
        };
        let result = evaluate_by(options, answer, observer)?;
        let result = result.with_context(|| format!("run the file in {name}"))?;
        found.push((format!("{name} {version}"), result));
    }
    Ok(found)
}
