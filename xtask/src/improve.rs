//! `cargo xtask improve`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};
use clap::Args;

use crate::{RunArguments, kd, kd::Kd};

/// Options of the job.
#[derive(Args)]
pub struct Arguments {
    /// The recipe [default: recipes/improve.toml, on the embedded data].
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,
    /// What it may cost: a time such as 2h, or a number of trainings.
    #[arg(long, value_name = "TIME|N", default_value = "50")]
    budget: String,
    #[command(flatten)]
    run: RunArguments,
}

/// Runs the job.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    call(arguments)?.build_and_start()
}

fn call(arguments: &Arguments) -> Result<Kd> {
    let recipe = match &arguments.recipe {
        Some(recipe) => std::path::absolute(recipe).context("resolve --recipe")?,
        None => "recipes/improve.toml".into(),
    };
    let mut kd = arguments.run.start("improve", &recipe.to_string_lossy())?;
    kd.arguments(["--budget", &arguments.budget]);
    if arguments.run.out.is_none() && arguments.recipe.is_none() {
        let out = kd::repository()?.join("runs/improve");
        kd.argument("--out").path(&out)?;
    }
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
    fn a_call_has_its_budget_and_a_place() {
        let line = |words: &[&str]| {
            let line = Line::parse_from([&["improve"], words].concat());
            call(&line.arguments).unwrap().line()
        };
        let plain = line(&[]);
        for part in [
            "improve recipes/improve.toml",
            "--budget 50",
            "runs/improve",
        ] {
            assert!(plain.contains(part), "{plain}");
        }
        let own = line(&["--recipe", "r.toml", "--budget", "2h", "--seeds", "3"]);
        assert!(
            own.contains("/r.toml") && own.contains("--budget 2h"),
            "{own}"
        );
        assert!(own.contains("--seeds 3") && !own.contains("--out"), "{own}");
    }
}
