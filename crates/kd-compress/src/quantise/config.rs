//! A network on integer grids, as a recipe or a command line says it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use kd_core::Taps;
use kd_export::trace::trace_layers;
use kd_kernels::layers::{LayerGrid, watched};
use kd_models::{Backbone, Network};
use serde::{Deserialize, Serialize};

use super::{Grid, Levels, rounding};
use crate::Error;
use crate::observe::{MinMax, NormSearch, SymmetricHistogram};

/// Bins of histograms, and the share of values that a percentile holds.
const BINS: usize = 2048;
const PERCENT: f64 = 99.99;

/// How the range of an input is found in calibration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Range {
    /// All values.
    #[default]
    MinMax,
    /// 99.99 % of the values.
    Percentile,
    /// The least squared error.
    LeastSquares,
}

/// Which number of its grid a weight becomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// The nearest.
    #[default]
    Nearest,
    /// That below or above it, so that the outputs of its layer move least on the images that ranges are found in.
    Learned,
}

/// How the layers of a network get their grids. Weights have one for each output, symmetric, whose ends are the largest
/// weights; inputs one for all, found in calibration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuantiseConfig {
    /// Bits of a weight, 2 to 8. Seven are exact on processors whose instructions add products in 16 bits.
    #[serde(default = "eight")]
    pub weights: u32,
    /// Bits of an input, 2 to 8.
    #[serde(default = "eight")]
    pub inputs: u32,
    /// Inputs with a sign and the zero point 0, which TensorRT wants; else without a sign, which other runtimes are faster
    /// with.
    #[serde(default)]
    pub symmetric: bool,
    /// How ranges are found.
    #[serde(default)]
    pub range: Range,
    /// Which numbers weights become. Training on grids moves them again, to the nearest.
    #[serde(default)]
    pub rounding: Rounding,
    /// Training images that ranges are found in.
    #[serde(default = "images")]
    pub images: usize,
    /// Layers that compute with floats, by name, such as `conv1`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keep: Vec<String>,
}

fn eight() -> u32 {
    8
}

fn images() -> usize {
    256
}

impl Default for QuantiseConfig {
    fn default() -> Self {
        Self {
            weights: eight(),
            inputs: eight(),
            symmetric: false,
            range: Range::default(),
            rounding: Rounding::default(),
            images: images(),
            keep: Vec::new(),
        }
    }
}

impl QuantiseConfig {
    /// Refuses what no network can be quantised by.
    ///
    /// # Errors
    /// [`Error::Option`].
    pub fn check(&self) -> Result<(), Error> {
        for (option, bits) in [("weights", self.weights), ("inputs", self.inputs)] {
            if !(2..=8).contains(&bits) {
                return Err(Error::Option {
                    option,
                    problem: format!("{bits} bits: from 2 to 8"),
                });
            }
        }
        if self.images == 0 {
            return Err(Error::Option {
                option: "images",
                problem: "0 images have no range: at least 1, and 256 are usual".into(),
            });
        }
        Ok(())
    }

    fn levels(&self) -> Result<Levels, Error> {
        match self.symmetric {
            true => Levels::signed(self.inputs),
            false => Levels::unsigned(self.inputs),
        }
    }

    /// The network on grids, whose ranges are those of `batches`, normalised as the network wants them.
    ///
    /// # Errors
    /// [`Error::Option`] for a layer in `keep` that is not there, [`Error::Calibration`] without images or with values that
    /// are not finite, [`Error::Quantise`] for a network with layers that cannot be quantised, or that is quantised
    /// already, and [`Error::Capture`] for one that cannot be recorded.
    pub fn quantise(
        &self,
        network: &Network,
        batches: impl IntoIterator<Item = Tensor<4>>,
    ) -> Result<Network, Error> {
        self.check()?;
        if network.grids().is_some() {
            return Err(Error::Quantise {
                problem: "the network is on grids already: quantise the one it was made of".into(),
            });
        }
        let nodes = trace_layers(network)?;
        let names: Vec<String> = nodes.iter().map(|(name, _)| name.clone()).collect();
        let kept = self.kept(&names)?;
        let levels = self.levels()?;
        let mut ranges = Ranges::new(self.range, levels);
        let mut seen = 0;
        // On the plain device, where nothing is learned.
        let plain = network.valid();
        let mut looked_at = Vec::new();
        for images in batches {
            let left = self.images - seen;
            let count = images.dims()[0].min(left);
            let images = images.narrow(0, 0, count);
            if self.rounding == Rounding::Learned {
                looked_at.push(images.clone());
            }
            ranges = ranges.watch(&plain, images)?;
            seen += count;
            if seen == self.images {
                break;
            }
        }
        let ranges = ranges.found(&names)?;
        let grids = ranges.into_iter().zip(kept).map(|([low, high], kept)| {
            let grid = match self.symmetric {
                true => Grid::symmetric(low, high, levels),
                false => Grid::affine(low, high, levels),
            };
            (!kept).then_some(LayerGrid {
                scale: grid.scale,
                zero_point: grid.zero_point,
                levels: [levels.low, levels.high],
                weight_high: (1 << (self.weights - 1)) - 1,
            })
        });
        let grids: Vec<_> = grids.collect();
        let network = match self.rounding {
            Rounding::Nearest => network.clone(),
            Rounding::Learned => rounding::learned(network, &grids, &nodes, &looked_at),
        };
        Ok(network.on_grids(grids))
    }

    /// Which layers compute with floats.
    fn kept(&self, names: &[String]) -> Result<Vec<bool>, Error> {
        let layers = names.iter().map(|name| name.trim_end_matches(".weight"));
        let layers: Vec<&str> = layers.collect();
        if let Some(unknown) = self
            .keep
            .iter()
            .find(|keep| !layers.contains(&keep.as_str()))
        {
            return Err(Error::Option {
                option: "keep",
                problem: format!(
                    "there is no layer `{unknown}`; there are {}",
                    layers.join(", ")
                ),
            });
        }
        let kept = layers
            .iter()
            .map(|layer| self.keep.iter().any(|keep| keep == layer));
        Ok(kept.collect())
    }
}

/// The ranges of the inputs of layers, by their place in the forward pass.
struct Ranges {
    range: Range,
    /// Of the grids.
    levels: usize,
    found: BTreeMap<usize, Observer>,
}

enum Observer {
    Ends(MinMax),
    Shares(SymmetricHistogram),
    Search(NormSearch),
}

impl Ranges {
    fn new(range: Range, levels: Levels) -> Self {
        Self {
            range,
            levels: levels.steps() as usize + 1,
            found: BTreeMap::new(),
        }
    }

    fn watch(self, network: &Network, images: Tensor<4>) -> Result<Self, Error> {
        let state = Rc::new(RefCell::new((self, Ok(()))));
        let shared = state.clone();
        let see = move |layer: usize, data: TensorData| {
            let (ranges, result) = &mut *shared.borrow_mut();
            if result.is_ok() {
                let values: Vec<f32> = data.convert::<f32>().iter().collect();
                *result = ranges.observe(layer, &values);
            }
        };
        watched(Rc::new(see), || network.forward(images, &Taps::none()));
        let Some(state) = Rc::into_inner(state) else {
            unreachable!("the pass that shared it is over");
        };
        let (ranges, result) = state.into_inner();
        result.map(|()| ranges)
    }

    fn observe(&mut self, layer: usize, values: &[f32]) -> Result<(), Error> {
        let (range, levels) = (self.range, self.levels);
        let observer = self.found.entry(layer).or_insert_with(|| match range {
            Range::MinMax => Observer::Ends(MinMax::new()),
            Range::Percentile => Observer::Shares(SymmetricHistogram::new(BINS)),
            Range::LeastSquares => Observer::Search(NormSearch::new(BINS, levels)),
        });
        match observer {
            Observer::Ends(ends) => ends.observe(values),
            Observer::Shares(histogram) => histogram.observe(values),
            Observer::Search(search) => search.observe(values),
        }
    }

    /// The ranges of all layers.
    fn found(self, names: &[String]) -> Result<Vec<[f32; 2]>, Error> {
        if self.found.is_empty() {
            return Err(Error::Calibration {
                problem:
                    "there are no images to find ranges in: give it some of the training split"
                        .into(),
            });
        }
        if self.found.len() != names.len() {
            return Err(Error::Quantise {
                problem: format!(
                    "{} of the network's {} layers with weights can be on grids: those of transformers, and of heads of \
                     their own, cannot",
                    self.found.len(),
                    names.len()
                ),
            });
        }
        self.found.into_values().map(Observer::range).collect()
    }
}

impl Observer {
    fn range(self) -> Result<[f32; 2], Error> {
        match self {
            Self::Ends(ends) => ends.range(),
            Self::Shares(histogram) => histogram.percentile(PERCENT),
            Self::Search(search) => search.range(),
        }
    }
}
