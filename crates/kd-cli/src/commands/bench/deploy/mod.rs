//! `kd bench deploy`.

mod network;
mod plot;
mod rows;
mod runtimes;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use burn::tensor::{Device, Distribution, Tensor};
use clap::Args;
use kd_core::Taps;
use rayon::{ThreadPool, ThreadPoolBuilder};
use serde_json::{Value, json};

use self::network::Deployed;
use self::rows::{Row, Setting, lead};
use self::runtimes::Runtimes;
use super::BURN;
use crate::commands::{DeviceArgument, print};
use crate::failure::BadInput;
use crate::{files, format, table};

/// Latency and throughput of networks as they are deployed, here and in other runtimes
#[derive(Args)]
#[command(after_help = "\
Each network runs one image at a time and batches of 64, random images, on one thread and on all. With --python and
--onnx the same networks run in ONNX Runtime and OpenVINO, too, in turns with ours, so that a slow moment of the machine
hits all alike. Everything computes in 32-bit floating point.

Examples:
  kd bench deploy resnet8x4 resnet32x4                         ours alone, with drawn weights
  kd bench deploy runs/quickstart/student.safetensors --json deploy.json --svg deploy.svg
  kd bench deploy student.safetensors teacher.safetensors --python env/bin/python \\
          --onnx student.onnx --onnx teacher.onnx              env has `pip install onnxruntime openvino`")]
pub struct Arguments {
    /// Networks, the student first: names (`kd models` lists them), or files of weights that say which network they
    /// are of.
    #[arg(required = true, value_name = "NETWORK")]
    networks: Vec<String>,
    /// ONNX file of each network, in their order.
    #[arg(long, value_name = "FILE")]
    onnx: Vec<PathBuf>,
    /// Python with the packages onnxruntime and openvino.
    #[arg(long, value_name = "PATH", requires = "onnx")]
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

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let given = (arguments.onnx.len(), arguments.networks.len());
    if given.0 != 0 && given.0 != given.1 {
        let problem = format!(
            "--onnx is given {} times for {} networks; give the file of each, in their order",
            given.0, given.1
        );
        return Err(BadInput(problem).into());
    }
    if let Some(missing) = arguments.onnx.iter().find(|file| !file.is_file()) {
        let problem = format!("--onnx {}: there is no such file", missing.display());
        return Err(BadInput(problem).into());
    }
    if let Some(path) = &arguments.svg {
        files::check_place(path)?;
    }
    let selection = arguments.device.selection()?;
    let device = selection.open()?;
    let python = arguments.python.as_deref();
    let mut runtimes = python.map(Runtimes::start).transpose()?;
    let named = arguments.networks.iter();
    let networks = named
        .map(|name| Deployed::new(name, &device))
        .collect::<Result<Vec<_>>>()?;
    let rows = measure(arguments, &networks, &device, runtimes.as_mut())?;

    let names: Vec<String> = networks
        .iter()
        .map(|network| network.name.clone())
        .collect();
    print(networks_table(&networks))?;
    print("")?;
    print(rows_table(&rows, &names))?;
    for row in rows.iter().filter(|row| row.setting.batch == 1) {
        if let Some(problem) = &row.problem {
            print(format_args!("\n{problem}"))?;
        }
    }
    for name in runtimes::NAMES {
        let there = runtimes.as_ref().and_then(|them| them.version(name));
        if there.is_none() {
            print(missing(name, arguments.python.is_some()))?;
        }
    }
    if let Some(path) = &arguments.svg {
        files::write(path, &plot::latency(&rows, &names)?)?;
    }
    let Some(path) = &arguments.json else {
        return Ok(());
    };
    let version = |name| runtimes.as_ref().and_then(|them| them.version(name));
    let all = json!({
        "burn": BURN,
        "kd": env!("CARGO_PKG_VERSION"),
        "onnxruntime": version("onnxruntime"),
        "openvino": version("openvino"),
        "backend": selection.to_string(),
        "networks": networks.iter().map(Deployed::json).collect::<Vec<_>>(),
        "rows": rows.iter().map(|row| row.json(&names[row.network])).collect::<Vec<Value>>(),
    });
    super::write_json(path, &all)
}

/// What to do for a runtime that was not measured.
fn missing(name: &str, python: bool) -> String {
    let how = match python {
        true => format!("install it for that Python: pip install {name}"),
        false => format!(
            "give --python an interpreter that has it (pip install {name}), and --onnx the file of each network"
        ),
    };
    format!("\n{name} was not measured: {how}")
}

/// Measures every network in every runtime, in turns.
fn measure(
    arguments: &Arguments,
    networks: &[Deployed],
    device: &Device,
    mut runtimes: Option<&mut Runtimes>,
) -> Result<Vec<Row>> {
    let single = ThreadPoolBuilder::new().num_threads(1).build();
    let single = single.context("start a computing thread")?;
    let all = rayon::current_num_threads();
    let mut numbers = vec![1, all];
    numbers.dedup();
    let mut there = vec!["kd"];
    if let Some(runtimes) = &runtimes {
        let others = runtimes::NAMES.into_iter();
        there.extend(others.filter(|name| runtimes.version(name).is_some()));
    }
    let mut rows = Vec::new();
    for network in 0..networks.len() {
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
            match (row.runtime, runtimes.as_deref_mut()) {
                ("kd", _) => {
                    let pool = (row.setting.threads == 1).then_some(&single);
                    let times = time(network, row.setting.batch, arguments.seconds, device, pool)?;
                    row.times.extend(times);
                }
                (name, Some(runtimes)) => {
                    let file = &arguments.onnx[row.network];
                    let (setting, shape) = (row.setting, network.shape);
                    match runtimes.time(name, file, setting, shape, arguments.seconds) {
                        Ok(times) => row.times.extend(times),
                        Err(problem) => row.problem = Some(format!("{problem:#}")),
                    }
                }
                _ => {}
            }
        }
    }
    Ok(rows)
}

/// Milliseconds of single forward passes of a prepared network, in a pool or on the threads that are there.
fn time(
    network: &Deployed,
    batch: usize,
    seconds: f64,
    device: &Device,
    pool: Option<&ThreadPool>,
) -> Result<Vec<f64>> {
    const WARM_UP: usize = 3;
    const LEAST: usize = 5;
    let [channels, height, width] = network.shape;
    let shape = [batch, channels, height, width];
    let images: Tensor<4> = Tensor::random(shape, Distribution::Default, device);
    let all = || {
        let once = || -> Result<f64> {
            let start = Instant::now();
            // Reading the logits waits for the device.
            let output = network.network.forward(images.clone(), &Taps::none());
            let _ = output.logits.into_data();
            Ok(1e3 * start.elapsed().as_secs_f64())
        };
        for _ in 0..WARM_UP {
            once()?;
        }
        let (start, limit) = (Instant::now(), Duration::from_secs_f64(seconds));
        let mut times = Vec::new();
        while times.len() < LEAST || start.elapsed() < limit {
            times.push(once()?);
        }
        Ok(times)
    };
    match pool {
        Some(pool) => pool.install(all),
        None => all(),
    }
}

fn networks_table(networks: &[Deployed]) -> impl std::fmt::Display {
    let rows = networks.iter().map(|network| {
        let peak = network.peak.map_or("-".to_owned(), format::bytes);
        [
            network.name.clone(),
            format::count(network.cost.parameters),
            format::count(network.cost.macs),
            format::bytes(network.cost.bytes),
            peak,
        ]
    });
    table::table(
        ["network", "parameters", "MACs", "file", "peak memory"],
        1..5,
        rows,
    )
}

fn rows_table(rows: &[Row], names: &[String]) -> impl std::fmt::Display {
    let lines = rows.iter().map(|row| {
        let Setting { threads, batch } = row.setting;
        let ms = |value: f64| format::short(value);
        let [median, p95, p99, rate] = match row.times() {
            Some(times) => [
                ms(times.median),
                ms(times.p95),
                ms(times.p99),
                format!("{:.0}", times.images_per_second),
            ],
            None => ["failed", "-", "-", "-"].map(str::to_owned),
        };
        let lead = (row.runtime == "kd").then(|| lead(rows, row)).flatten();
        let lead = lead.map_or(String::new(), |lead| format!("{lead:.2}"));
        [
            names[row.network].clone(),
            batch.to_string(),
            threads.to_string(),
            row.runtime.to_owned(),
            median,
            p95,
            p99,
            rate,
            lead,
        ]
    });
    let header = [
        "network",
        "batch",
        "threads",
        "runtime",
        "median ms",
        "p95",
        "p99",
        "images/s",
        "x the best other",
    ];
    table::table(header, 1..9, lines)
}
