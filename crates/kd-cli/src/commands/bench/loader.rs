//! `kd bench loader`.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Result;
use clap::Args;
use kd_data::{Augment, DataConfig, Images, Loader, LoaderConfig, load, measure_throughput};

/// Training images per second that the loader prepares: crop, flip, normalise
#[derive(Args)]
pub struct Arguments {
    /// Data set to load [default: made-up images of CIFAR's size].
    #[arg(long, value_name = "NAME")]
    data: Option<String>,
    /// Folder of the data set.
    #[arg(long, value_name = "DIR", requires = "data")]
    data_dir: Option<PathBuf>,
    /// Images in a batch.
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=65536))]
    batch: u32,
    /// Seconds to measure for, at least.
    #[arg(long, value_name = "S", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let (name, images, mean, std) = match &arguments.data {
        None => {
            let images = Arc::new(made_up(50_000, 3, 32));
            let (mean, std) = (vec![0.5; 3], vec![0.25; 3]);
            ("made-up images".to_owned(), images, mean, std)
        }
        Some(name) => {
            let config = DataConfig {
                name: name.clone(),
                dir: arguments.data_dir.clone(),
                ..DataConfig::default()
            };
            config.validate()?;
            let dataset = load(&config, &mut |_| {})?;
            (name.clone(), dataset.train, dataset.mean, dataset.std)
        }
    };
    let shape = format!("{}x{}x{}", images.channels, images.height, images.width);
    let everything = (0..images.len()).collect();
    let count = images.len();
    let config = LoaderConfig {
        batch: arguments.batch as usize,
        augment: Augment::default(),
        mean,
        std,
        seed: 0,
        shuffle: true,
        drop_last: false,
    };
    let loader = Loader::new(images, everything, config)?;
    let rate = measure_throughput(&loader, Duration::from_secs(arguments.seconds));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    crate::commands::print(format_args!(
        "{rate:.0} images/s ({name}: {count} of {shape}, batches of {}, crop + flip + normalise, \
         {threads} threads)",
        arguments.batch
    ))
}

/// Square images of ten classes; their content does not matter to a loader.
fn made_up(count: usize, channels: usize, side: usize) -> Images {
    let bytes = count * channels * side * side;
    Images {
        pixels: (0..bytes).map(|i| (i * 31 % 251) as u8).collect(),
        labels: (0..count).map(|i| (i % 10) as u32).collect(),
        ..Images::empty(channels, side, side)
    }
}
