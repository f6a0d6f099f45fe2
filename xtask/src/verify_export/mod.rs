//! `cargo xtask verify-export`: every network of the registry as an ONNX file in other programs.

mod page;
mod published;
mod python;
mod quantised;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::json;

use crate::kd;
use page::Page;
use python::Python;

/// What the job takes.
#[derive(Args)]
pub struct Arguments {
    /// Python with onnx, onnxruntime and openvino [default: a virtual environment in target/, made by this job].
    #[arg(long, value_name = "FILE")]
    python: Option<PathBuf>,
    /// Only networks whose name contains this; the book is then left as it is.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Images of 64×64 for networks that are made for larger ones.
    #[arg(long)]
    small: bool,
    /// What is written.
    #[arg(long, value_enum, default_value_t = Form::Float32)]
    form: Form,
    /// Networks on grids of 8 bits instead, in three forms, with their own table in the book.
    #[arg(long, conflicts_with_all = ["cifar10", "form"])]
    quantised: bool,
    /// Folder with CIFAR-10's test set and the published weights of ResNet-20 and 56: their accuracy is measured, too.
    #[arg(long, value_name = "DIR")]
    cifar10: Option<PathBuf>,
}

/// How weights are written.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum Form {
    /// In the file, as floats of 32 bits.
    Float32,
    /// In the file, as floats of 16 bits.
    Float16,
    /// In a file beside it.
    External,
}

impl Form {
    /// As the option and the exporter spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Float16 => "float16",
            Self::External => "external",
        }
    }

    /// The most that a logit may differ, relative to the largest where that is below 1. Floats of 16 bits have 11 bits of
    /// a number.
    fn tolerance(self) -> f64 {
        match self {
            Self::Float32 | Self::External => 1e-4,
            Self::Float16 => 1e-2,
        }
    }

    /// The marks of its table in the book; none where it would be that of another.
    fn marks(self) -> Option<&'static str> {
        match self {
            Self::Float32 => Some("verify-export"),
            Self::Float16 => Some("verify-export --form float16"),
            Self::External => None,
        }
    }
}

/// What the exporter says of a file.
#[derive(Deserialize)]
pub struct Exported {
    pub family: String,
    pub nodes: usize,
    pub weights: usize,
    pub rten: [f64; 2],
    pub tensorrt: Vec<String>,
}

/// What other programs say of it.
#[derive(Deserialize)]
pub struct Found {
    pub largest: f64,
    pub onnxruntime: [f64; 2],
    pub openvino: [f64; 2],
}

/// A network in all runtimes.
pub struct Row {
    pub name: String,
    pub size: usize,
    pub form: Form,
    pub exported: Exported,
    pub found: Found,
}

impl Row {
    /// Largest difference of a logit, for one image or five.
    fn differences(&self) -> impl Iterator<Item = f64> {
        let runtimes = [
            self.exported.rten,
            self.found.onnxruntime,
            self.found.openvino,
        ];
        runtimes.into_iter().flatten()
    }

    /// Whether all are as near to the network's logits as the form allows.
    pub fn is_met(&self) -> bool {
        let tolerance = self.form.tolerance() * self.found.largest.min(1.0);
        self.differences().all(|d| d <= tolerance) && self.exported.tensorrt.is_empty()
    }
}

/// Runs the job.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let root = kd::repository()?;
    let interpreter = python::find(arguments.python.as_deref(), &root)?;
    let mut python = Python::start(&interpreter)?;
    let versions = python.ask(&json!({"do": "versions"}))?;
    let registry = kd::example("registry")?;
    let scratch = root.join("target/verify-export");
    fs::create_dir_all(&scratch).with_context(|| format!("make {}", scratch.display()))?;
    let wanted = |name: &str| {
        arguments
            .only
            .as_ref()
            .is_none_or(|text| name.contains(text))
    };
    let networks = networks(&registry)?.into_iter();
    let networks = networks
        .filter(|(name, _)| wanted(name))
        .map(|(name, own)| {
            let size = match arguments.small && own > 64 {
                true => small(&name),
                false => own,
            };
            (name, size)
        });
    if arguments.quantised {
        let book = arguments
            .only
            .is_none()
            .then(|| root.join("docs/src/export.md"));
        let exporter = kd::example("quantised_registry")?;
        return quantised::run(networks, &exporter, &mut python, &scratch, book.as_deref());
    }
    let mut rows = Vec::new();
    for (name, size) in networks {
        let form = arguments.form;
        let row = row(&registry, &mut python, &scratch, name, (size, form))?;
        let worst = row.differences().fold(0.0, f64::max);
        let verdict = if row.is_met() { "" } else { "  NOT MET" };
        eprintln!("{:32} {:>4}  {worst:.1e}{verdict}", row.name, row.size);
        row.exported
            .tensorrt
            .iter()
            .for_each(|finding| eprintln!("    {finding}"));
        rows.push(row);
    }
    let mut all = rows.iter().all(Row::is_met);
    serve(&root, &interpreter, &scratch.join("network.onnx"))?;
    let mut accuracies = Vec::new();
    if let Some(data) = &arguments.cifar10 {
        for published in published::PUBLISHED {
            let measured = published::accuracy(&mut python, &scratch, data, published)?;
            all &= measured.is_met();
            eprintln!("{measured}");
            accuracies.push(measured);
        }
    }
    if let (None, Some(marks)) = (&arguments.only, arguments.form.marks()) {
        let page = Page {
            versions: &versions,
            rows: &rows,
            accuracies: &accuracies,
            marks,
        };
        page.write(&root.join("docs/src/export.md"))?;
    }
    Ok(if all {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Runs the examples that serve a file: all must name the same class.
fn serve(root: &Path, python: &Path, file: &Path) -> Result<()> {
    let examples = root.join("crates/kd-export/examples");
    let mut said = Vec::new();
    for script in ["serve_onnxruntime.py", "serve_openvino.py"] {
        said.push(output(
            Command::new(python).arg(examples.join(script)).arg(file),
        )?);
    }
    said.push(output(Command::new(kd::example("serve_rten")?).arg(file))?);
    let class = |line: &str| line.split(" with ").next().map(str::to_owned);
    if said.iter().any(|line| class(line) != class(&said[0])) {
        bail!(
            "the examples that serve {} differ: {said:?}",
            file.display()
        );
    }
    eprintln!("serving examples: {}", said[0].trim());
    Ok(())
}

fn output(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("start {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The smallest images: 64 pixels, or as many as patches of 14 fill.
fn small(name: &str) -> usize {
    if name.contains("patch14") { 70 } else { 64 }
}

/// Names, and the images that each is made for.
fn networks(registry: &Path) -> Result<Vec<(String, usize)>> {
    let output = Command::new(registry)
        .output()
        .context("list the networks")?;
    let text = String::from_utf8(output.stdout)?;
    let lines = text.lines().map(|line| {
        let (name, size) = line.split_once(' ').context("a line without a size")?;
        Ok((name.to_owned(), size.parse()?))
    });
    lines.collect()
}

fn row(
    registry: &Path,
    python: &mut Python,
    scratch: &Path,
    name: String,
    (size, form): (usize, Form),
) -> Result<Row> {
    let output = Command::new(registry)
        .args([&name, &size.to_string(), form.name()])
        .arg(scratch)
        .output()
        .context("start the exporter")?;
    if !output.status.success() {
        bail!("{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let exported = serde_json::from_slice(&output.stdout).with_context(|| name.clone())?;
    let task = json!({"do": "compare", "folder": scratch, "size": size});
    let found = python.ask(&task).with_context(|| name.clone())?;
    Ok(Row {
        name,
        size,
        form,
        exported,
        found: serde_json::from_value(found)?,
    })
}
