//! SSD300 on VGG16 (Liu et al., ECCV 2016), of any width.

mod config;
mod layers;
mod output;

use std::path::Path;

use burn::module::{Module, Param};
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};
use kd_core::detection::{Corners, rows_of_map};

pub use config::SsdConfig;
pub use output::SsdOutput;

use super::state::State;
use super::{Detected, Filter};
use crate::Error;
use crate::fused::{conv, conv_relu};
use crate::keys;
use crate::macs::MacCounter;
use layers::{chain, halved, kept, scaled_to};

/// SSD with the trunk of VGG16: parameters and keys are those of torchvision's `ssd300_vgg16` at width 1.
///
/// Images are of 300 × 300 pixels in 0..1 less the mean, times 255.
#[derive(Module, Debug)]
pub struct Ssd {
    /// conv1_1 to conv4_3.
    trunk: Vec<Conv2d>,
    scale_weight: Param<Tensor<1>>,
    conv5: Vec<Conv2d>,
    fc6: Conv2d,
    fc7: Conv2d,
    extras: Vec<(Conv2d, Conv2d)>,
    classification: Vec<Conv2d>,
    regression: Vec<Conv2d>,
    #[module(skip)]
    config: SsdConfig,
}

/// Convolutions of the trunk's four stages, behind each of which is a pooling.
const STAGES: [usize; 4] = [2, 2, 3, 3];
/// Numbers of the trunk's convolutions in torchvision's sequence.
const TRUNK: [usize; 10] = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21];
/// Keeps the division by a norm finite, as in torchvision.
const EPSILON: f64 = 1e-12;

impl Ssd {
    /// Builds a network with the initialisation of its reference, drawn by this thread's generator.
    ///
    /// # Errors
    /// [`Error::Config`] for fewer than two classes or a width of less than eight channels.
    pub fn new(config: &SsdConfig, device: &Device) -> Result<Self, Error> {
        config.validate()?;
        Ok(layers::build(config, device))
    }

    /// Builds a network and fills it from a file, strictly: safetensors, or PyTorch's.
    ///
    /// # Errors
    /// As [`Ssd::new`] and [`Network::load`](crate::Network::load).
    pub fn from_file(
        config: &SsdConfig,
        path: impl AsRef<Path>,
        device: &Device,
    ) -> Result<Self, Error> {
        let mut network = Self::new(config, device)?;
        network.fill(path.as_ref())?;
        Ok(network)
    }

    /// Writes the state dict as safetensors with torchvision's names, so that PyTorch loads it as it is.
    ///
    /// # Errors
    /// [`Error::Save`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        self.write(path.as_ref())
    }

    /// What it was built from.
    pub fn config(&self) -> &SsdConfig {
        &self.config
    }

    /// Numbers that are trained.
    pub fn parameters(&self) -> usize {
        keys::trained(&self.keys())
    }

    /// Multiply-accumulates of convolutions for one image of so many pixels a side.
    pub fn macs(&self, image_size: usize) -> u64 {
        let mut macs = MacCounter::new(image_size);
        let mut sizes = Vec::new();
        let mut convs = self.trunk.iter();
        for (stage, count) in STAGES.into_iter().enumerate() {
            if stage == 3 {
                macs.halve_up();
            } else if stage > 0 {
                macs.pool(2, 2, 0);
            }
            for conv in convs.by_ref().take(count) {
                macs.conv(conv);
            }
        }
        sizes.push(macs.size());
        macs.pool(2, 2, 0);
        for conv in self.conv5.iter().chain([&self.fc6, &self.fc7]) {
            macs.conv(conv);
        }
        sizes.push(macs.size());
        for (narrow, wide) in &self.extras {
            macs.conv(narrow).conv(wide);
            sizes.push(macs.size());
        }
        for heads in [&self.classification, &self.regression] {
            for (size, head) in sizes.iter().zip(heads) {
                macs.branch(*size, head);
            }
        }
        macs.macs()
    }

    /// Runs images `[batch, 3, height, width]`.
    pub fn forward(&self, images: Tensor<4>) -> SsdOutput {
        let mut x = images;
        let mut levels = Vec::new();
        let mut convs = self.trunk.iter();
        for (stage, count) in STAGES.into_iter().enumerate() {
            // The third pooling keeps the last column: 75 pixels become 38.
            if stage > 0 {
                x = halved(x, stage == 3);
            }
            x = chain(convs.by_ref().take(count), x);
            if stage >= 2 {
                levels.push(x.clone());
            }
        }
        let mut maps = vec![scaled_to(&self.scale_weight, x.clone(), EPSILON)];
        let x = chain(self.conv5.iter(), halved(x, false));
        let mut x = conv_relu(&self.fc7, conv_relu(&self.fc6, kept(x)));
        maps.push(x.clone());
        for (narrow, wide) in &self.extras {
            x = conv_relu(wide, conv_relu(narrow, x));
            maps.push(x.clone());
        }
        levels.extend(maps[1..3].iter().cloned());
        let rows = |heads: &[Conv2d], width: usize| {
            let rows = maps.iter().zip(heads);
            let rows = rows.map(|(map, head)| rows_of_map(conv(head, map.clone()), width));
            Tensor::cat(rows.collect(), 1)
        };
        let logits = rows(&self.classification, self.config.classes);
        let offsets = rows(&self.regression, 4);
        SsdOutput {
            maps,
            levels,
            logits,
            offsets,
        }
    }

    /// The default boxes of images `[height, width]`, in pixels, in the order of an output's rows.
    pub fn default_boxes(&self, image: [usize; 2], output: &SsdOutput) -> Vec<Corners> {
        output.default_boxes(&self.config.boxes, image)
    }

    /// What is found in images of `[height, width]` pixels, best first; the reference's filter is
    /// [`SsdConfig::FILTER`].
    ///
    /// # Errors
    /// [`kd_core::Error::Shape`] for an output of another network.
    pub fn detect(
        &self,
        output: &SsdOutput,
        image: [usize; 2],
        filter: &Filter,
    ) -> Result<Vec<Vec<Detected>>, kd_core::Error> {
        output.detect(&self.config.boxes, image, filter)
    }
}

impl State for Ssd {
    fn name(&self) -> String {
        "ssd300_vgg16".into()
    }

    fn reference_key(&self, path: &str) -> String {
        let mut parts = path.trim_start_matches('.').splitn(3, '.');
        let mut part = || parts.next().unwrap_or_default();
        let (module, first, rest) = (part(), part(), part());
        let number = || first.parse::<usize>().unwrap_or_default();
        match module {
            "trunk" => format!("backbone.features.{}.{rest}", TRUNK[number()]),
            "conv5" => format!("backbone.extra.0.{}.{rest}", 2 * number() + 1),
            "fc6" => format!("backbone.extra.0.7.1.{first}"),
            "fc7" => format!("backbone.extra.0.7.3.{first}"),
            "extras" => {
                let (which, rest) = rest.split_once('.').unwrap_or((rest, ""));
                let place = if which == "0" { 0 } else { 2 };
                format!("backbone.extra.{}.{place}.{rest}", number() + 1)
            }
            "classification" | "regression" => {
                format!("head.{module}_head.module_list.{first}.{rest}")
            }
            _ => format!("backbone.{module}"),
        }
    }
}
