//! What is exported: a run's student, or a network and its weights.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use kd_models::{Network, NetworkConfig, WeightsHeader};
use kd_train::{EvalOptions, fetch_weights};

use crate::failure::BadInput;
use crate::{interrupt::Interrupt, progress::Watch};

#[derive(Args)]
#[group(skip)]
pub struct Arguments {
    /// Folder of a run, whose student is exported.
    #[arg(value_name = "RUN", required_unless_present = "weights")]
    pub run: Option<PathBuf>,
    /// Name of the network (`kd models` lists them) [default: the run's student, else as the weights say].
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Its weights: a file, a folder of the Hugging Face hub or of timm, or hf://organisation/name [default: the
    /// run's student].
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Classes that it tells apart [default: as the weights say].
    #[arg(long, value_name = "N")]
    classes: Option<usize>,
    /// Channels of its images [default: as the weights say, else 3].
    #[arg(long, value_name = "N")]
    channels: Option<usize>,
    /// Height and width of its images [default: as the weights say, else what the network is made for].
    #[arg(long, value_name = "PIXELS")]
    size: Option<usize>,
    /// Mean of each channel that images are normalised with, such as 0.485,0.456,0.406 [default: as the weights
    /// say].
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', requires = "std")]
    mean: Option<Vec<f32>>,
    /// Standard deviation of each channel, likewise.
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', requires = "mean")]
    std: Option<Vec<f32>>,
}

/// A trained network, and what is known of its weights.
pub struct Source {
    pub network: Network,
    pub header: WeightsHeader,
}

impl Arguments {
    /// Weights that are given.
    pub fn weights(&self) -> Option<&Path> {
        self.weights.as_deref()
    }

    /// Reads the weights.
    pub fn open(&self) -> Result<Source> {
        let device = crate::device::preferred()?.open()?;
        let (weights, model) = match (&self.run, &self.weights) {
            (Some(run), weights) => {
                let options = EvalOptions::of_run(run, weights.as_deref())?;
                (options.weights, Some(options.model))
            }
            (None, weights) => (weights.clone().unwrap_or_default(), None),
        };
        // Nothing is half written when Ctrl-C ends this.
        let weights = fetch_weights(&weights, &mut Watch::new(false, Interrupt::default()))?;
        let mut header = WeightsHeader::read(&weights)?;
        let config = self.config(model, &weights, &header)?;
        let network = Network::from_file(&config, &weights, &device)?;
        if let (Some(mean), Some(std)) = (&self.mean, &self.std) {
            (header.mean, header.std) = (Some(mean.clone()), Some(std.clone()));
        }
        Ok(Source { network, header })
    }

    /// What the network is built for, by the options, else by the weights.
    fn config(
        &self,
        of_run: Option<String>,
        weights: &Path,
        header: &WeightsHeader,
    ) -> Result<NetworkConfig> {
        let mut said = header.clone();
        said.model = self.model.clone().or(of_run).or(said.model);
        said.classes = self.classes.or(said.classes);
        said.channels = self.channels.or(said.channels);
        said.size = self.size.or(said.size);
        let config = crate::commands::network_of(&said);
        let unsaid = || BadInput(crate::commands::unsaid(weights, header));
        Ok(config.ok_or_else(unsaid)?)
    }
}
