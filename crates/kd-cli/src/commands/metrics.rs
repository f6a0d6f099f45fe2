//! `kd metrics`.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use kd_train::track;
use serde_json::{Value, json};

/// Write the metrics of a run as a table: a line a value
#[derive(Args)]
#[command(after_help = "\
Examples:
  kd metrics runs/quickstart > metrics.csv
  kd metrics runs/quickstart --json --only eval/

Columns: training, step, name, value. The names are those of the trackers (`kd track`).")]
pub struct Arguments {
    /// Folder that `kd train` wrote.
    #[arg(value_name = "RUN")]
    folder: PathBuf,
    /// Comma-separated values, with a header (the default).
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// A JSON object a line; a value that is no number is null.
    #[arg(long)]
    json: bool,
    /// Only names that begin so.
    #[arg(long, value_name = "NAME", default_value = "")]
    only: String,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut text = String::new();
    if !arguments.json {
        text += "training,step,name,value\n";
    }
    for point in track::points(&arguments.folder)? {
        let (training, step) = (&point.training, point.step);
        let wanted = |(name, _): &&(String, f64)| name.starts_with(&arguments.only);
        for (name, value) in point.values.iter().filter(wanted) {
            let line = match arguments.json {
                true => json!({ "training": training, "step": step, "name": name, "value": value })
                    .to_string(),
                false => format!(
                    "{},{step},{},{}",
                    quoted(training),
                    quoted(name),
                    Value::from(*value)
                ),
            };
            let _ = writeln!(text, "{line}");
        }
    }
    super::print(text.trim_end())
}

/// A cell, in quotes where it would end early.
fn quoted(cell: &str) -> String {
    match cell.contains([',', '"', '\n']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn cells_stay_whole() {
        assert_eq!(quoted("train/loss/kd"), "train/loss/kd");
        assert_eq!(quoted("a,\"b\""), "\"a,\"\"b\"\"\"");
    }
}
