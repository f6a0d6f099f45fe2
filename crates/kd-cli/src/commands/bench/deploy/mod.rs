//! `kd bench deploy`.

mod network;
mod plot;
mod rows;
pub mod rten;
pub mod runtimes;
mod tables;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[cfg(feature = "flex")]
use anyhow::anyhow;
use anyhow::{Context, Result};
use burn::tensor::{Device, Distribution, Tensor};
use clap::Args;
use kd_core::Taps;
use kd_models::{Network, Prepared};
use rayon::{ThreadPool, ThreadPoolBuilder};
use serde_json::{Value, json};

use self::network::Deployed;
use self::rows::{Row, Setting};
use self::rten::{Rten, VERSION};
use self::runtimes::Runtimes;
use super::BURN;
use crate::commands::{DeviceArgument, print};
use crate::files;

/// Latency and throughput of networks as they are deployed, here and in other runtimes
#[derive(Args)]
#[command(after_help = "\
Each network runs one image at a time and batches of 64, random images, on one thread and on all. They are exported
as ONNX and run in rten, and in ONNX Runtime and OpenVINO where Python has them, in turns with ours, so that a slow
moment of the machine hits all alike. Everything computes in 32-bit floating point, but for layers on integer grids: there
kd rounds floats to the grids, `kd int8` computes with 8-bit integers, and the other programs do so as far as they do; `kd f32`
is the same network without grids.

Examples:
  kd bench deploy resnet8x4 resnet32x4                         with drawn weights
  kd bench deploy runs/quickstart/student.safetensors --json deploy.json --svg deploy.svg
  kd bench deploy --run runs/quickstart                        its student and teacher, into its report
  kd bench deploy student.safetensors teacher.safetensors --python env/bin/python
                                                               env has `pip install onnxruntime openvino`")]
pub struct Arguments {
    /// Networks, the student first: names (`kd models` lists them), or files of weights that say which network they
    /// are of.
    #[arg(required_unless_present = "run", value_name = "NETWORK")]
    networks: Vec<String>,
    /// Measure the student and the teacher of a finished run instead, with the stages of one that prunes or quantises, write deploy.json into its folder and show it in
    /// its report.
    #[arg(long, value_name = "RUN", conflicts_with = "networks")]
    run: Option<PathBuf>,
    /// Python with the packages onnxruntime and openvino [default: python3, if there is one].
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
    /// Images in a batch, where there are several.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(2..=65536))]
    batch: u32,
    /// Seconds that each row is measured for in a round.
    #[arg(long, value_name = "S", default_value_t = 1.0, value_parser = seconds)]
    seconds: f64,
    /// Rounds over all rows.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Write the measurements to a file.
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// Draw the latency of one image to a file.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgument,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if seconds > 0.0 && seconds <= 600.0 => Ok(seconds),
        _ => Err("a number of seconds above 0, at most 600".into()),
    }
}

/// The interpreter that is asked where none is given.
const PYTHON: &str = "python3";

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    if let Some(path) = &arguments.svg {
        files::check_place(path)?;
    }
    let selection = arguments.device.selection()?;
    let device = selection.open()?;
    let mut runtimes = match &arguments.python {
        Some(path) => Ok(Runtimes::start(path)?),
        None => Runtimes::start(Path::new(PYTHON)),
    };
    let networks = match &arguments.run {
        Some(folder) => Deployed::of_run(folder, &device)?,
        None => {
            let named = arguments.networks.iter();
            named
                .map(|name| Deployed::new(name, &device))
                .collect::<Result<Vec<_>>>()?
        }
    };
    let folder = tempfile::tempdir().context("make a folder for ONNX files")?;
    let mut exported = Vec::new();
    for (place, network) in networks.iter().enumerate() {
        let file = folder.path().join(format!("{place}.onnx"));
        network.export(&file)?;
        exported.push(Rten::load(file)?);
    }
    let others = runtimes.as_mut().ok();
    let rows = measure(arguments, &networks, &exported, &device, others)?;

    let names: Vec<String> = networks
        .iter()
        .map(|network| network.name.clone())
        .collect();
    print(tables::networks(&networks))?;
    print("")?;
    print(tables::rows(&rows, &names))?;
    let mut problems: Vec<&String> = rows.iter().filter_map(|row| row.problem.as_ref()).collect();
    problems.sort();
    problems.dedup();
    for problem in problems {
        print(format_args!("\n{problem}"))?;
    }
    for name in runtimes::NAMES {
        if let Some(missing) = missing(name, arguments.python.as_deref(), &runtimes) {
            print(format_args!("\n{name} was not measured: {missing}"))?;
        }
    }
    if let Some(path) = &arguments.svg {
        files::write(path, &plot::latency(&rows, &names)?)?;
    }
    let version = |name| runtimes.as_ref().ok().and_then(|them| them.version(name));
    let all = json!({
        "burn": BURN,
        "kd": env!("CARGO_PKG_VERSION"),
        "rten": VERSION,
        "onnxruntime": version("onnxruntime"),
        "openvino": version("openvino"),
        "backend": selection.to_string(),
        "networks": networks.iter().map(Deployed::json).collect::<Vec<_>>(),
        "rows": rows.iter().map(|row| row.json(&names[row.network])).collect::<Vec<Value>>(),
    });
    if let Some(folder) = &arguments.run {
        super::write_json(&folder.join("deploy.json"), &all)?;
        let report = kd_train::report::write(folder)?;
        print(format_args!("\nreport      {}", report.display()))?;
    }
    match &arguments.json {
        Some(path) => super::write_json(path, &all),
        None => Ok(()),
    }
}

/// What to do for a package that Python has not.
fn missing(name: &str, python: Option<&Path>, runtimes: &Result<Runtimes>) -> Option<String> {
    let other = format!("give --python an interpreter that has it (pip install {name})");
    match (runtimes, python) {
        (Ok(runtimes), _) if runtimes.version(name).is_some() => None,
        (Ok(_), Some(python)) => {
            let python = python.display();
            Some(format!("install it: {python} -m pip install {name}"))
        }
        (Ok(_), None) => Some(format!("{PYTHON} does not have it; {other}")),
        (Err(problem), _) => Some(format!("{problem:#}; {other}")),
    }
}

/// Measures every network in every runtime, in turns.
fn measure(
    arguments: &Arguments,
    networks: &[Deployed],
    exported: &[Rten],
    device: &Device,
    mut runtimes: Option<&mut Runtimes>,
) -> Result<Vec<Row>> {
    let single = ThreadPoolBuilder::new().num_threads(1).build();
    let single = single.context("start a computing thread")?;
    let all = rayon::current_num_threads();
    let mut numbers = vec![1, all];
    numbers.dedup();
    let mut there = vec!["kd", "rten"];
    if let Some(runtimes) = &runtimes {
        let others = runtimes::NAMES.into_iter();
        there.extend(others.filter(|name| runtimes.version(name).is_some()));
    }
    let mut rows = Vec::new();
    for (network, deployed) in networks.iter().enumerate() {
        let mut there = there.clone();
        if deployed.has_integers() {
            there.splice(1..1, ["kd f32", "kd int8"]);
        }
        for batch in [1, arguments.batch as usize] {
            for &threads in &numbers {
                rows.extend(there.iter().map(|&runtime| Row {
                    network,
                    runtime,
                    setting: Setting { threads, batch },
                    times: Vec::new(),
                    problem: None,
                }));
            }
        }
    }
    for _ in 0..arguments.rounds {
        for row in rows.iter_mut().filter(|row| row.problem.is_none()) {
            let network = &networks[row.network];
            let (setting, seconds) = (row.setting, arguments.seconds);
            let exported = &exported[row.network];
            let times = match (row.runtime, runtimes.as_deref_mut()) {
                (ours, _) if ours.starts_with("kd") => {
                    let pool = (setting.threads == 1).then_some(&single);
                    time_ours(ours, network, setting.batch, seconds, device, pool)
                }
                (name, Some(runtimes)) if runtimes::NAMES.contains(&name) => {
                    runtimes.time(name, exported.file(), setting, network.shape, seconds)
                }
                _ => exported.time(setting, network.shape, seconds),
            };
            let runtime = row.runtime;
            match times.with_context(|| format!("{runtime} on {}", network.name)) {
                Ok(times) => row.times.extend(times),
                Err(problem) => row.problem = Some(format!("{problem:#}")),
            }
        }
    }
    Ok(rows)
}

/// Milliseconds of single batches in one of our ways, in a pool or on the threads that are there.
fn time_ours(
    way: &str,
    network: &Deployed,
    batch: usize,
    seconds: f64,
    device: &Device,
    pool: Option<&ThreadPool>,
) -> Result<Vec<f64>> {
    #[cfg(feature = "flex")]
    match (way, &network.on_grids) {
        ("kd f32", Some(other)) => {
            return time(&other.floats, network.shape, batch, seconds, device, pool);
        }
        ("kd int8", Some(other)) => {
            let integers = other.integers.as_ref();
            let integers = integers.map_err(|problem| anyhow!("{problem}"))?;
            let count = batch * network.shape.iter().product::<usize>();
            let pixels: Vec<f32> = (0..count).map(|i| (i as f32 * 0.731).sin()).collect();
            let all = || {
                repeat(seconds, || {
                    integers.run(&pixels)?;
                    Ok(())
                })
            };
            return match pool {
                Some(pool) => pool.install(all),
                None => all(),
            };
        }
        _ => {}
    }
    #[cfg(not(feature = "flex"))]
    let _ = way;
    time(
        &network.network,
        network.shape,
        batch,
        seconds,
        device,
        pool,
    )
}

/// Milliseconds of single forward passes of a prepared network, in a pool or on the threads that are there.
fn time(
    network: &Prepared<Network>,
    [channels, height, width]: [usize; 3],
    batch: usize,
    seconds: f64,
    device: &Device,
    pool: Option<&ThreadPool>,
) -> Result<Vec<f64>> {
    let shape = [batch, channels, height, width];
    let images: Tensor<4> = Tensor::random(shape, Distribution::Default, device);
    let all = || {
        repeat(seconds, || {
            // Reading the logits waits for the device.
            let output = network.forward(images.clone(), &Taps::none());
            let _ = output.logits.into_data();
            Ok(())
        })
    };
    match pool {
        Some(pool) => pool.install(all),
        None => all(),
    }
}

/// Milliseconds of each call, in at least so many seconds.
fn repeat(seconds: f64, call: impl Fn() -> Result<()>) -> Result<Vec<f64>> {
    const WARM_UP: usize = 3;
    const LEAST: usize = 5;
    for _ in 0..WARM_UP {
        call()?;
    }
    let (start, limit) = (Instant::now(), Duration::from_secs_f64(seconds));
    let mut times = Vec::new();
    while times.len() < LEAST || start.elapsed() < limit {
        let start = Instant::now();
        call()?;
        times.push(1e3 * start.elapsed().as_secs_f64());
    }
    Ok(times)
}
