//! Networks of the registry, pruned.

use std::collections::BTreeMap;

use burn::tensor::{Device, Distribution, Tensor};
use kd_core::Taps;
use kd_export::trace::trace_network;
use kd_models::{Backbone, Network};

use super::{Attention, Cuts, Options, Parameters, Plan, Structure, filled, masked, parameters};
use crate::Error;

/// How far outputs may differ from those of the network with the same channels switched off, by the largest of them.
const TOLERANCE: f32 = 1e-3;

/// A network of the registry with its structure.
#[derive(Debug)]
pub struct NetworkPruning<'a> {
    network: &'a Network,
    options: Options,
    /// What can go.
    pub structure: Structure,
    /// Values of all parameters, by their names in the state dict.
    pub parameters: Parameters,
}

/// A pruned network.
#[derive(Debug)]
pub struct Pruned {
    /// It is saved, loaded, trained and exported like any other.
    pub network: Network,
    /// The largest difference of an output from the network with the same channels switched off, by the largest output;
    /// none where a layer normalisation saw the channels together, so that the two compute different means.
    pub difference: Option<f32>,
}

impl<'a> NetworkPruning<'a> {
    /// Records the forward pass of an image of the network's own size and finds what can go.
    ///
    /// # Errors
    /// [`Error::Capture`] for a network that cannot be recorded.
    pub fn new(network: &'a Network, options: &Options) -> Result<Self, Error> {
        if network.grids().is_some() {
            return Err(Error::Prune {
                problem: "the network is quantised: prune the one it was made of, and quantise what is left".into(),
            });
        }
        let graph = trace_network(network, network.config().image_size()?)?;
        let rename = |path: &str| network.pytorch_name(path);
        Ok(Self {
            network,
            options: options.clone(),
            structure: Structure::of(&graph, options),
            parameters: parameters(network, &rename),
        })
    }

    /// The network that a plan leaves, compared with the one whose channels are switched off.
    ///
    /// # Errors
    /// [`Error::Prune`] for a plan that does not fit, and when the two networks differ; [`Error::Network`].
    pub fn prune(&self, plan: &Plan) -> Result<Pruned, Error> {
        let removed = plan.removed(&self.structure)?;
        let network = self.cut(&removed)?;
        let difference = match self.is_exact(&removed) {
            true => Some(self.difference(&network, &removed)?),
            false => None,
        };
        Ok(Pruned {
            network,
            difference,
        })
    }

    fn is_exact(&self, removed: &[Vec<usize>]) -> bool {
        let groups = self.structure.groups.iter().zip(removed);
        !groups
            .into_iter()
            .any(|(group, removed)| group.normalised && !removed.is_empty())
    }

    fn cut(&self, removed: &[Vec<usize>]) -> Result<Network, Error> {
        let cuts = Cuts::of(&self.structure, removed);
        let mut changed = self.parameters.clone();
        changed.retain(|name, _| cuts.0.contains_key(name));
        let mut values = cuts.apply(&changed);
        let heads = self.heads(&cuts);
        if self.options.attention == Attention::HeadSizes {
            self.keep_scale(&cuts, &mut values);
        }
        let rename = |path: &str| self.network.pytorch_name(path);
        let shapes = values.iter().map(|(name, array)| {
            let mut shape = array.shape.clone();
            // PyTorch's linear layers lie the other way.
            if self.structure.is_linear(name) {
                shape.reverse();
            }
            (name.clone(), shape)
        });
        let shapes: BTreeMap<String, Vec<usize>> = shapes.collect();
        let shaped = self.network.clone().with_shapes(shapes, &heads)?;
        Ok(filled(&shaped, &values, &rename))
    }

    /// Rows of queries, keys and values that are kept and that there were, by the name of the weight.
    fn attention<'b>(&self, cuts: &'b Cuts) -> impl Iterator<Item = (&'b str, [usize; 2])> {
        let rows = cuts.0.iter().filter_map(|(name, axes)| {
            let kept = name.ends_with(".qkv.weight").then(|| axes.get(&1))??;
            Some((name.as_str(), kept.len()))
        });
        let before = self.structure.shapes.clone();
        rows.map(move |(name, kept)| (name, [kept, before[name][1]]))
    }

    /// Heads that are left in each layer of attention; empty where none goes.
    fn heads(&self, cuts: &Cuts) -> Vec<usize> {
        let before = self.network.heads();
        if self.options.attention != Attention::Heads {
            return Vec::new();
        }
        let layers = self
            .structure
            .shapes
            .keys()
            .filter(|name| name.ends_with(".qkv.weight"));
        let mut layers: Vec<&String> = layers.collect();
        layers.sort_by_key(|name| number(name));
        let cut: BTreeMap<&str, [usize; 2]> = self.attention(cuts).collect();
        let left = layers
            .iter()
            .zip(&before)
            .map(|(name, heads)| match cut.get(name.as_str()) {
                Some([kept, all]) => heads * kept / all,
                None => *heads,
            });
        let left: Vec<usize> = left.collect();
        if left == before { Vec::new() } else { left }
    }

    /// Attention divides by the root of a head's size. Queries are scaled, so that what is left is divided as it was.
    fn keep_scale(&self, cuts: &Cuts, values: &mut Parameters) {
        for (name, [kept, all]) in self.attention(cuts) {
            let factor = (kept as f64 / all as f64).sqrt();
            let layer = name.trim_end_matches("weight");
            for part in ["weight", "bias"] {
                if let Some(array) = values.get_mut(&format!("{layer}{part}")) {
                    for (at, value) in array.values.iter_mut().enumerate() {
                        // Queries are the first third of the last axis.
                        if at % kept < kept / 3 {
                            *value *= factor;
                        }
                    }
                }
            }
        }
    }

    /// The largest difference from the network with the same channels switched off, of random images.
    fn difference(&self, network: &Network, removed: &[Vec<usize>]) -> Result<f32, Error> {
        let rename = |path: &str| self.network.pytorch_name(path);
        let off = masked(self.network, &self.structure, removed, &rename);
        let config = self.network.config();
        let (channels, size) = (config.channels()?, config.image_size()?);
        let shape = [2, channels, size, size];
        let images = Tensor::<4>::random(shape, Distribution::Normal(0.0, 1.0), &Device::default());
        let logits = |network: &Network| -> Vec<f32> {
            let network = burn::module::Module::valid(network);
            let devices = burn::module::Module::collect_devices(&network, Vec::new());
            let device = devices.into_iter().next().unwrap_or_default();
            let output = network.forward(images.clone().to_device(&device), &Taps::none());
            output.logits.into_data().iter().collect()
        };
        let (one, other) = (logits(network), logits(&off));
        let largest = other
            .iter()
            .fold(f32::MIN_POSITIVE, |most, value| most.max(value.abs()));
        let pairs = one.iter().zip(&other);
        let difference = pairs.fold(0.0, |most: f32, (a, b)| most.max((a - b).abs())) / largest;
        match difference <= TOLERANCE {
            true => Ok(difference),
            false => Err(Error::Prune {
                problem: format!(
                    "the network without the channels differs from the one with them switched off by {difference:e} of \
                     its largest output: its code takes channels by number"
                ),
            }),
        }
    }
}

/// The first number in a name, which orders layers.
fn number(name: &str) -> usize {
    let digits = name.split('.').find_map(|part| part.parse().ok());
    digits.unwrap_or(0)
}
