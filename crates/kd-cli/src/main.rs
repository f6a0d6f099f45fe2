//! The `kd` command: arguments in, calls of `kd-train` out.

mod commands;
mod device;
mod estimate;
mod failure;
mod files;
mod format;
mod interrupt;
mod progress;
mod table;

use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};

/// Train small networks from big ones: knowledge distillation of image classifiers.
///
/// A run is a recipe, a TOML file that names the data, the teacher, the student and the loss.
/// `kd train` trains the student twice, alone and with the teacher's help, and shows what the
/// help was worth.
#[derive(Parser)]
#[command(name = "kd", version, max_term_width = 100, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  kd train recipes/quickstart.toml                  a first run: no download, a minute
  kd train recipes/quickstart.toml --set train.epochs=2 --set student.model=resnet8
  kd study recipes/studies/methods.toml             methods side by side, over several seeds
  kd search recipes/search/quick.toml               settings tried, with reports that decide
  kd improve recipes/quickstart.toml --budget 2h    what helps a student that does not improve
  kd models                                         networks a recipe can name
  kd methods kd                                     what a method computes, and its settings
  kd report runs/quickstart                         write report.html again

Exit codes:
  0    done
  1    the run failed
  2    the command line is wrong
  3    a recipe, data or weights are wrong; the message says which and what would be right
  130  interrupted: Ctrl-C ends a run after its current step, a second one at once
  143  the same by SIGTERM";

#[derive(Subcommand)]
enum Command {
    Train(commands::train::Arguments),
    Study(commands::study::Arguments),
    Search(commands::search::Arguments),
    Cluster(commands::cluster::Arguments),
    Probe(commands::probe::Arguments),
    Teacher(commands::teacher::Arguments),
    Eval(commands::eval::Arguments),
    Predict(commands::predict::Arguments),
    Compare(commands::compare::Arguments),
    Diagnose(commands::diagnose::Arguments),
    Improve(commands::improve::Arguments),
    Report(commands::report::Arguments),
    Watch(commands::watch::Arguments),
    Track(commands::track::Arguments),
    Metrics(commands::metrics::Arguments),
    Explain(commands::explain::Arguments),
    Models(commands::models::Arguments),
    Methods(commands::methods::Arguments),
    Pairs(commands::pairs::Arguments),
    Convert(commands::convert::Arguments),
    Prune(commands::prune::Arguments),
    Quantise(commands::quantise::Arguments),
    Export(commands::export::Arguments),
    Devices(commands::devices::Arguments),
    #[command(subcommand)]
    Bench(commands::bench::Bench),
}

impl Command {
    /// Threads that compute on the CPU, when an argument says so.
    fn threads(&self) -> Option<usize> {
        match self {
            Self::Bench(bench) => bench.threads(),
            _ => None,
        }
    }

    fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Train(arguments) => commands::train::run(&arguments),
            Self::Study(arguments) => commands::study::run(&arguments),
            Self::Search(arguments) => commands::search::run(&arguments),
            Self::Cluster(arguments) => commands::cluster::run(&arguments),
            Self::Probe(arguments) => commands::probe::run(&arguments),
            Self::Teacher(arguments) => commands::teacher::run(&arguments),
            Self::Eval(arguments) => commands::eval::run(&arguments),
            Self::Predict(arguments) => commands::predict::run(&arguments),
            Self::Explain(arguments) => commands::explain::run(&arguments),
            Self::Compare(arguments) => commands::compare::run(&arguments),
            Self::Diagnose(arguments) => commands::diagnose::run(&arguments),
            Self::Improve(arguments) => commands::improve::run(&arguments),
            Self::Report(arguments) => commands::report::run(&arguments),
            Self::Watch(arguments) => commands::watch::run(&arguments),
            Self::Track(arguments) => commands::track::run(&arguments),
            Self::Metrics(arguments) => commands::metrics::run(&arguments),
            Self::Models(arguments) => commands::models::run(&arguments),
            Self::Methods(arguments) => commands::methods::run(&arguments),
            Self::Pairs(arguments) => commands::pairs::run(&arguments),
            Self::Convert(arguments) => commands::convert::run(&arguments),
            Self::Prune(arguments) => commands::prune::run(&arguments),
            Self::Quantise(arguments) => commands::quantise::run(&arguments),
            Self::Export(arguments) => commands::export::run(&arguments),
            Self::Devices(arguments) => commands::devices::run(&arguments),
            Self::Bench(bench) => commands::bench::run(&bench),
        }
    }
}

/// Stack of a computing thread: what Linux gives a main thread.
const STACK: usize = 8 << 20;

/// Settings of the process that every command runs with.
fn prepare(threads: Option<usize>) -> anyhow::Result<()> {
    kd_kernels::mode().map_err(|bad| failure::BadInput(bad.to_string()))?;
    // Who sets the allocator through the environment knows better.
    let set = ["GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_"];
    if set.iter().all(|name| std::env::var_os(name).is_none()) {
        kd_kernels::keep_freed_memory();
    }
    // None leaves the number to RAYON_NUM_THREADS, else to the machine.
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads.unwrap_or(0))
        .stack_size(STACK)
        .build_global()
        .context("start the computing threads")
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    // On one of the threads that compute, because each operation of a thread outside them is handed
    // over, and the thread sleeps until it is done: 15 % of a small network's training step.
    let result = prepare(command.threads()).and_then(|()| rayon::scope(|_| command.run()));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Display, not Debug: Debug adds a backtrace when RUST_BACKTRACE is set.
            eprintln!("error: {}", failure::text(&error));
            ExitCode::from(failure::code(&error))
        }
    }
}
