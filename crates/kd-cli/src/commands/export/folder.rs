//! `kd export --format`: a folder for another program.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use kd_models::FolderFormat;
use kd_train::task::TextStudent;

use super::source::{Arguments as From, Source};
use crate::failure::BadInput;

#[derive(Args)]
#[group(skip)]
pub struct Arguments {
    /// The program that is to load the folder: hf (transformers), timm, torchvision, or safetensors for one with
    /// PyTorch's names.
    #[arg(long, value_parser = format, requires = "out")]
    pub format: Option<FolderFormat>,
    /// Folder to write; it must not exist yet.
    #[arg(long, value_name = "DIR", requires = "format")]
    pub out: Option<PathBuf>,
}

fn format(name: &str) -> Result<FolderFormat, String> {
    let names = FolderFormat::ALL.map(FolderFormat::name).join(", ");
    FolderFormat::named(name).ok_or_else(|| format!("there are {names}"))
}

/// Writes the folder.
pub fn run(from: &From, format: FolderFormat, out: &Path) -> Result<()> {
    if out.exists() {
        let problem = format!("{}: already exists; name another folder", out.display());
        return Err(BadInput(problem).into());
    }
    if let Some(run) = &from.run
        && let Some(student) = TextStudent::of_run(run, &crate::device::preferred()?.open()?)?
    {
        if format != FolderFormat::HuggingFace {
            let problem =
                format!("a network that reads text is exported as hf, and not as {format}");
            return Err(BadInput(problem).into());
        }
        let beside = student.tokenizer.files();
        student.network.export(out, &student.classes, beside)?;
        return crate::commands::print(out.display());
    }
    let Source { network, header } = from.open()?;
    network.export(out, format, &header)?;
    crate::commands::print(out.display())
}
