//! `cargo xtask fuzz`: a million cases a parser.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use kd_fuzz::{Limits, Report, Target, fuzz, repeat, targets};

/// Give every parser mutated files, and report what panics, hangs or allocates too much
#[derive(Parser)]
#[command(name = "cargo xtask fuzz", max_term_width = 100)]
struct Arguments {
    /// Cases for each parser.
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    cases: u64,
    /// Only these parsers; can be repeated.
    #[arg(long = "target", value_name = "NAME")]
    targets: Vec<String>,
    /// Other cases.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Run this case of one parser again, and say what is wrong with it.
    #[arg(long, value_name = "NUMBER")]
    case: Option<u64>,
    /// Write the file of that case here.
    #[arg(long, value_name = "FILE", requires = "case")]
    write: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    let mut chosen = targets();
    if !arguments.targets.is_empty() {
        let names: Vec<&str> = chosen.iter().map(|target| target.name).collect();
        if let Some(unknown) = arguments
            .targets
            .iter()
            .find(|n| !names.contains(&n.as_str()))
        {
            bail!("--target {unknown}: there are {}", names.join(", "));
        }
        chosen.retain(|target| arguments.targets.iter().any(|name| name == target.name));
    }
    if let Some(case) = arguments.case {
        let [target] = chosen.as_slice() else {
            bail!("--case belongs to one parser: name it with --target");
        };
        return again(arguments, target, case);
    }
    // A panic is a line of the report.
    std::panic::set_hook(Box::new(|_| {}));
    println!(
        "{:13} {:>9} {:>9} {:>10} {:>22} {:>9}  faults",
        "parser", "cases", "accepted", "slowest", "largest allocation", "multiple"
    );
    let mut faults = 0;
    for target in &chosen {
        let stuck = |case| {
            println!(
                "{} hangs: cargo xtask fuzz --target {} --seed {} --case {case}",
                target.name, target.name, arguments.seed
            );
            std::process::exit(1);
        };
        let report = fuzz(
            target,
            arguments.cases,
            arguments.seed,
            Limits::default(),
            &stuck,
        );
        show(&report, arguments.seed);
        faults += report.faults.len();
    }
    Ok(match faults {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

fn show(report: &Report, seed: u64) {
    let (peak, length, _) = report.largest;
    println!(
        "{:13} {:>9} {:>9} {:>10.1?} {:>22} {:>9.1}  {}",
        report.name,
        report.cases,
        report.accepted,
        report.slowest.0,
        format!("{peak} of {length}"),
        report.multiple,
        report.faults.len()
    );
    for fault in &report.faults {
        println!(
            "  {}\n    cargo xtask fuzz --target {} --seed {seed} --case {}",
            fault.problem, report.name, fault.case
        );
    }
}

/// One case, with what it prints.
fn again(arguments: &Arguments, target: &Target, case: u64) -> Result<ExitCode> {
    let (bytes, problem) = repeat(target, arguments.seed, case);
    if let Some(path) = &arguments.write {
        std::fs::write(path, &bytes).with_context(|| format!("write {}", path.display()))?;
    }
    println!(
        "{}, case {case}: a file of {} bytes",
        target.name,
        bytes.len()
    );
    Ok(match problem {
        Some(problem) => {
            println!("{problem}");
            ExitCode::FAILURE
        }
        None => {
            println!("nothing is wrong with it");
            ExitCode::SUCCESS
        }
    })
}
