//! `kd pairs`.

mod page;
mod trial;

use std::{path::PathBuf, time::Instant};

use anyhow::{Result, bail};
use clap::Args;

use self::page::{Matrix, Row};
use self::trial::{Trial, Verdict};
use super::{DeviceArgument, losses_with, print};
use crate::{files, format::duration};

/// Try every loss on pairs of networks: a step each, which must stay finite and teach the student
#[derive(Args)]
#[command(after_help = "\
Each loss is tried with its default settings on a small batch of random images, 3x32x32, of 100
classes. A tick says that the loss alone gives the student or its adapters a gradient, and that two
steps of SGD with cross-entropy beside it stay finite. The exit code is 1 when a loss fails that
should work.

Examples:
  kd pairs                                  the pairs of the literature, and some harder ones
  kd pairs resnet50 vgg8                    one pair: teacher, then student
  kd pairs resnet50 vgg8 --only rkd         the losses whose name has it")]
pub struct Arguments {
    /// The teacher of a single pair.
    #[arg(requires = "student")]
    teacher: Option<String>,
    /// The student of a single pair.
    student: Option<String>,
    /// Try only the losses whose name contains this.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Images in a batch; some losses compare their distances, so there are three at least.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(3..=4096))]
    batch: u32,
    /// Write the result as a page of the book.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgument,
}

/// Teacher and student. First the ten on which the reference implementations can be compared, then
/// those that strain a loss: very deep or narrow teachers, students of other families.
const PAIRS: [(&str, &str); 16] = [
    ("resnet32x4", "resnet8x4"),
    ("wrn_40_2", "wrn_16_2"),
    ("vgg13", "vgg8"),
    ("resnet32x4", "shufflenet_v2"),
    ("resnet32x4", "shufflenet_v1"),
    ("wrn_40_2", "shufflenet_v1"),
    ("vgg13", "mobilenet_v2"),
    ("resnet50", "mobilenet_v2"),
    ("resnet50", "vgg8"),
    ("resnet50", "resnet8x4"),
    ("resnet152", "shufflenet_v1"),
    ("resnet152", "shufflenet_v2"),
    ("mobilenet_v2", "resnet8x4"),
    ("resnet32x4", "mobilenet_v2"),
    ("resnet32x4", "vgg8"),
    ("vgg19", "vgg11"),
];

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let names = losses_with(&arguments.only)?;
    if let Some(path) = &arguments.write {
        files::check_place(path)?;
    }
    let pairs = match (&arguments.teacher, &arguments.student) {
        (Some(teacher), Some(student)) => vec![(teacher.as_str(), student.as_str())],
        _ => PAIRS.to_vec(),
    };
    for name in pairs
        .iter()
        .flat_map(|(teacher, student)| [teacher, student])
    {
        kd_models::find(name)?;
    }
    let selection = arguments.device.selection()?;
    let device = selection.open()?;
    let start = Instant::now();
    let mut rows: Vec<Row> = names.iter().map(|name| Row::new(name)).collect();
    for (at, (teacher, student)) in pairs.iter().enumerate() {
        eprintln!("pair {} of {}: {teacher} -> {student}", at + 1, pairs.len());
        let trial = Trial::new(teacher, student, arguments.batch as usize, &device)?;
        for row in &mut rows {
            let verdict = trial.of(row.name);
            if let Verdict::Fails(why) = &verdict {
                eprintln!("  {} fails: {why}", row.name);
            }
            row.verdicts.push(verdict);
        }
    }
    let matrix = Matrix { pairs, rows };
    let took = format!(
        "{} on {} took {} on {selection}.",
        counted(matrix.rows.len(), "loss", "losses"),
        counted(matrix.pairs.len(), "pair", "pairs"),
        duration(start.elapsed().as_secs_f64())
    );
    print(format_args!("{}\n{took}", matrix.text()))?;
    if let Some(path) = &arguments.write {
        files::write(path, &matrix.page(&took))?;
        eprintln!("wrote {}", path.display());
    }
    match matrix.failures() {
        0 => Ok(()),
        count => bail!(
            "{} where it should work",
            counted(count, "loss fails", "losses fail")
        ),
    }
}

fn counted(count: usize, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_exists_once() {
        for (at, pair) in PAIRS.iter().enumerate() {
            assert!(!PAIRS[..at].contains(pair), "{pair:?}");
            for name in [pair.0, pair.1] {
                assert_eq!(kd_models::find(name).unwrap().name, name);
            }
        }
    }
}
