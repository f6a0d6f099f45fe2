//! The module of a graph network.

use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param};
use burn::nn::{Dropout, DropoutConfig};
use burn::tensor::activation::{elu, relu};
use burn::tensor::{Device, Tensor};
use kd_core::{Output, Part, Taps};
use kd_kernels::layers;

use super::config::{GraphConfig, GraphKind};
use super::input::Graph;
use super::layers::{Layer, Read};
use crate::backbone::Backbone;
use crate::detection::State;
use crate::{Error, keys};

/// A network whose rows are the nodes of a graph.
///
/// Its embedding is what the layer before the last makes, before the activation; a network of one layer has none.
/// [`Part::Edges`] are those of its graph. Attentions of a GAT are `[edges, heads]`, one level a layer: of the edges, then
/// of a self-loop of every node.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_core::Taps;
/// use kd_models::{Backbone, Features, Graph, GraphConfig, GraphKind, GraphNetwork};
///
/// let device = Device::default();
/// let features = Features::Dense(Tensor::ones([3, 5], &device));
/// let graph = Graph::new(features, &[[0, 1], [1, 0], [1, 2], [2, 1]], &device)?;
/// let network = GraphNetwork::new(&GraphConfig::new(GraphKind::Gcn, 5, 16, 7), &device)?;
/// let output = network.forward(graph, &Taps::all());
/// assert_eq!(output.logits.dims(), [3, 7]);
/// assert_eq!(output.embedding()?.dims(), [3, 16]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Module, Debug)]
pub struct GraphNetwork {
    layers: Vec<Layer>,
    dropout: Dropout,
    #[module(skip)]
    config: GraphConfig,
}

impl GraphNetwork {
    /// Builds a network, drawn by this thread's generator ([`kd_core::draw::seed`]): as PyTorch Geometric draws its
    /// layers, and as PyTorch draws a linear one.
    ///
    /// # Errors
    /// [`Error::Config`] and [`Error::Share`] for a shape that cannot be.
    pub fn new(config: &GraphConfig, device: &Device) -> Result<Self, Error> {
        config.check()?;
        let layer = |number: usize| {
            let last = number + 1 == config.depth;
            let heads = match config.kind {
                GraphKind::Gat(heads) => heads,
                _ => 1,
            };
            let inputs = match number {
                0 => config.features,
                _ => heads * config.hidden,
            };
            let sides = [inputs, if last { config.classes } else { config.hidden }];
            match config.kind {
                GraphKind::Gcn | GraphKind::GcnRow => {
                    Layer::gcn(sides, config.kind == GraphKind::GcnRow, device)
                }
                GraphKind::Gat(_) => Layer::gat(sides, if last { 1 } else { heads }, !last, device),
                GraphKind::Sage => Layer::sage(sides, device),
                GraphKind::SageGcn => Layer::sage_gcn(sides, device),
                GraphKind::Mlp => Layer::dense(sides, device),
            }
        };
        let network = Self {
            layers: (0..config.depth).map(layer).collect(),
            dropout: DropoutConfig::new(config.dropout).init(),
            config: *config,
        };
        network.draw();
        Ok(network)
    }

    fn draw(&self) {
        struct Draw;
        impl ModuleVisitor for Draw {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                param.val();
            }
        }
        self.visit(&mut Draw);
    }

    /// What this network was built from.
    pub fn config(&self) -> &GraphConfig {
        &self.config
    }

    /// Trainable parameters.
    pub fn parameters(&self) -> u64 {
        keys::trained(&self.keys()) as u64
    }

    /// Replaces every parameter by those of a file with the names of PyTorch Geometric (`conv1.lin.weight`), or of GLNN's
    /// code (`layers.0.weight`) for a perceptron and [`GraphKind::SageGcn`].
    ///
    /// # Errors
    /// As [`Network::load`](crate::Network::load).
    pub fn load(mut self, path: impl AsRef<Path>) -> Result<Self, Error> {
        self.fill(path.as_ref())?;
        Ok(self)
    }

    /// Writes the state dict as safetensors with the same names.
    ///
    /// # Errors
    /// [`Error::Save`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        self.write(path.as_ref())
    }
}

impl State for GraphNetwork {
    fn name(&self) -> String {
        match self.config.kind {
            GraphKind::Gcn | GraphKind::GcnRow => "GCN",
            GraphKind::Gat(_) => "GAT",
            GraphKind::Sage | GraphKind::SageGcn => "GraphSAGE",
            GraphKind::Mlp => "perceptron",
        }
        .into()
    }

    /// Convolutions are counted from 1.
    fn reference_key(&self, path: &str) -> String {
        let convolutions = !matches!(self.config.kind, GraphKind::Mlp | GraphKind::SageGcn);
        let layer = path.strip_prefix("layers.").filter(|_| convolutions);
        let parts = layer.and_then(|layer| layer.split_once('.'));
        let counted = parts.and_then(|(number, rest)| Some((number.parse::<usize>().ok()?, rest)));
        match counted {
            Some((number, rest)) => format!("conv{}.{rest}", number + 1),
            None => path.to_owned(),
        }
    }
}

impl Backbone for GraphNetwork {
    type Input = Graph;

    fn forward(&self, input: Graph, taps: &Taps) -> Output {
        let mut output = Output::new(Tensor::empty([0, 0], &Device::default()));
        output.push_with(Part::Edges, taps, || input.edges());
        let sees_all = self.config.kind == GraphKind::Mlp;
        let features = input.features().clone();
        let mut read = Read::Features(match sees_all {
            true => features,
            false => features.map(|values| layers::dropout(&self.dropout, values)),
        });
        for (number, layer) in self.layers.iter().enumerate() {
            let (rows, attention) = layer.forward(read, &input, &self.dropout);
            if let Some(attention) = attention {
                output.push(Part::Attentions, &attention, taps);
            }
            if number + 1 == self.layers.len() {
                output.logits = rows;
                break;
            }
            if number + 2 == self.layers.len() {
                output.push(Part::Embedding, &rows, taps);
            }
            let rows = match self.config.kind {
                GraphKind::Gat(_) => elu(rows, 1.0),
                _ => relu(rows),
            };
            read = Read::Rows(layers::dropout(&self.dropout, rows));
        }
        output
    }
}
