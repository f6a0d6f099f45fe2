//! `cargo xtask verify-export --quantised`: networks on grids of 8 bits as ONNX files in other programs.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::json;

use super::page::between;
use super::python::Python;

/// Inputs without a sign, the same with weights of 7 bits, and inputs with a sign.
const FORMS: [&str; 3] = ["u8", "u8w7", "s8"];

/// How far a program without optimisations may be away, by what weights do here that are a millionth larger: the last bit of
/// sums decides between two numbers of a grid, and all that follows from it.
const TIMES: f64 = 1.5;

/// What the exporter says.
#[derive(Deserialize)]
#[serde(untagged)]
enum Exported {
    Refused { refused: String },
    Written { tensorrt: usize },
}

/// Mean differences of logits from the network's own, by the mean logit.
#[derive(Deserialize)]
struct Found {
    floats: f64,
    moved: f64,
    /// Of 8-bit integers from end to end here, where there are some.
    integers: Option<f64>,
    onnxruntime: f64,
    onnxruntime_plain: f64,
    openvino: f64,
    openvino_plain: f64,
}

struct Row {
    name: String,
    form: &'static str,
    tensorrt: usize,
    found: Found,
}

impl Row {
    fn is_met(&self) -> bool {
        let Found {
            moved,
            onnxruntime_plain,
            openvino_plain,
            ..
        } = self.found;
        let plain = onnxruntime_plain.max(openvino_plain);
        // TensorRT wants a sign.
        plain <= TIMES * moved && (self.form != "s8" || self.tensorrt == 0)
    }
}

/// Runs the job on networks with their sizes.
pub fn run(
    networks: impl Iterator<Item = (String, usize)>,
    exporter: &Path,
    python: &mut Python,
    scratch: &Path,
    book: Option<&Path>,
) -> Result<ExitCode> {
    let versions = python.ask(&json!({"do": "versions"}))?;
    let (mut rows, mut refused, mut failed) = (Vec::new(), Vec::new(), 0);
    for (name, size) in networks {
        for form in FORMS {
            let output = Command::new(exporter)
                .args([&name, &size.to_string(), form])
                .arg(scratch)
                .output()
                .context("start the exporter")?;
            if !output.status.success() {
                let why = String::from_utf8_lossy(&output.stderr);
                eprintln!("{name:32} {form:5} NOT EXPORTED: {}", why.trim());
                failed += 1;
                continue;
            }
            let exported: Exported =
                serde_json::from_slice(&output.stdout).with_context(|| name.clone())?;
            let tensorrt = match exported {
                Exported::Refused { refused: why } => {
                    eprintln!("{name}: {why}");
                    refused.push(name.clone());
                    break;
                }
                Exported::Written { tensorrt } => tensorrt,
            };
            let task = json!({"do": "quantised", "folder": scratch, "size": size});
            let found = python.ask(&task).with_context(|| name.clone())?;
            let row = Row {
                name: name.clone(),
                form,
                tensorrt,
                found: serde_json::from_value(found)?,
            };
            let verdict = if row.is_met() { "" } else { "  NOT MET" };
            let integers = row.found.integers.map(percent);
            let integers = integers.map_or(String::new(), |far| format!(" | integers {far}"));
            eprintln!(
                "{:32} {form:5} {}{integers}{verdict}",
                row.name,
                cells(&row.found)
            );
            rows.push(row);
        }
    }
    let met = rows.iter().filter(|row| row.is_met()).count();
    if let Some(book) = book {
        let version = |name: &str| versions[name].as_str().unwrap_or("?").to_owned();
        let mut text = format!(
            "ONNX Runtime {}, OpenVINO {}. {met} of {} files are met, {failed} were not written; {} networks have no grids.\n\n\
             | network | form | floats | a millionth | ONNX Runtime | unoptimised | OpenVINO | in 32 bits |\n\
             | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
            version("onnxruntime"),
            version("openvino"),
            rows.len(),
            refused.len(),
        );
        for row in &rows {
            writeln!(
                text,
                "| `{}` | {} | {} |",
                row.name,
                row.form,
                cells(&row.found)
            )?;
        }
        between(book, "verify-export --quantised", &text)?;
    }
    Ok(match met == rows.len() && failed == 0 {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn cells(found: &Found) -> String {
    let all = [
        found.floats,
        found.moved,
        found.onnxruntime,
        found.onnxruntime_plain,
        found.openvino,
        found.openvino_plain,
    ];
    all.map(percent).join(" | ")
}

fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}
