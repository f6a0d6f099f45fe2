//! `cargo xtask bert`.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Result;
use clap::Args;

use crate::{RunArguments, kd::Kd};

/// Options of the job.
#[derive(Args)]
pub struct Arguments {
    /// Compare five objectives, over three seeds, instead of one run with KD.
    #[arg(long)]
    study: bool,
    /// Folder with sst2/train.tsv, dev.tsv and test.tsv: a sentence, a tab and its class a line.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Hugging Face folder of a BERT with six layers and a width of 384, such as all-MiniLM-L6-v2: `config.json`,
    /// `model.safetensors`, and `tokenizer.json` or `vocab.txt`.
    #[arg(long, value_name = "FOLDER")]
    weights: PathBuf,
    #[command(flatten)]
    run: RunArguments,
}

/// Runs the job.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    call(arguments)?.build_and_start()
}

fn call(arguments: &Arguments) -> Result<Kd> {
    let (command, file) = match arguments.study {
        true => ("study", "recipes/studies/sst2.toml"),
        false => ("train", "recipes/text/sst2.toml"),
    };
    let mut kd = arguments.run.start(command, file)?;
    let folder = arguments.data.join("sst2");
    for (key, name) in [
        ("text.train", "train.tsv"),
        ("text.validation", "dev.tsv"),
        ("text.test", "test.tsv"),
    ] {
        kd.set_path(key, &folder.join(name))?;
    }
    let weights: &Path = &arguments.weights;
    kd.set_path("text.tokenizer", weights)?;
    kd.set_path("text.start.minilm_l6_h384", weights)?;
    kd.overrides(&arguments.run.overrides);
    Ok(kd)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    #[test]
    fn paths_are_those_of_the_user() {
        let line = [
            "bert",
            "--data",
            "/d",
            "--weights",
            "/w",
            "--study",
            "--seeds",
            "2",
        ];
        let line = call(&Line::parse_from(line).arguments).unwrap().line();
        assert!(
            line.starts_with("study recipes/studies/sst2.toml"),
            "{line}"
        );
        for part in [
            "--seeds 2",
            "text.train=/d/sst2/train.tsv",
            "text.validation=/d/sst2/dev.tsv",
            "text.test=/d/sst2/test.tsv",
            "text.tokenizer=/w",
            "text.start.minilm_l6_h384=/w",
        ] {
            assert!(line.contains(part), "{part} is not in {line}");
        }
    }
}
