//! The forward pass of a network as ONNX operations, with its parameters by name, before anything is folded.
//!
//! It says which parameter meets which tensor where, for what looks at a network rather than runs it.

use burn::module::Module;
use burn::tensor::Tensor;
use kd_core::Taps;
use kd_models::{Backbone, Network};

use crate::Error;
use crate::batch::BATCHES;
use crate::capture::capture;
use crate::lower::lower;

pub use crate::constant::{Constant, Values};
pub use crate::graph::{Attribute, Attributes, Dim, Graph, Node, Value};

/// The forward pass of a network of the registry for images of `size` × `size` pixels. Parameters have the names of its
/// reference's state dict, and the shapes that burn keeps them in.
///
/// # Errors
/// [`Error::Capture`], [`Error::Unsupported`], [`Error::Batch`].
pub fn trace_network(network: &Network, size: usize) -> Result<Graph, Error> {
    let channels = network.config().channels();
    let channels = channels.map_err(|problem| Error::Option {
        option: "channels",
        problem: problem.to_string(),
    })?;
    let forward = |network: &Network, images| network.forward(images, &Taps::none()).logits;
    let names = |path: &str| network.pytorch_name(path);
    traced(network, [1, channels, size, size], names, forward)
}

/// The names of the weights of a network's convolutions and linear layers ([`layers`](crate::layers)), each with the node
/// that it is in the network's file.
///
/// # Errors
/// As [`export_network`](crate::export_network).
pub fn trace_layers(network: &Network) -> Result<Vec<(String, Node)>, Error> {
    crate::export::layer_nodes(network)
}

/// What the file of a network on grids computes ([`export_network`](crate::export_network)): 8-bit weights, `QuantizeLinear`
/// and `DequantizeLinear` before the inputs of layers, constants folded.
///
/// # Errors
/// As [`export_network`](crate::export_network); [`Error::Option`] for a network without grids.
pub fn trace_quantised(network: &Network, size: usize) -> Result<Graph, Error> {
    crate::export::quantised(network, size)
}

/// What any module does with one tensor, whose first axis counts examples. Parameters have their paths in the module.
///
/// # Errors
/// As [`trace_network`].
pub fn trace_module<M: Module, const D: usize, const E: usize>(
    module: &M,
    shape: [usize; D],
    forward: impl Fn(&M, Tensor<D>) -> Tensor<E>,
) -> Result<Graph, Error> {
    traced(module, shape, str::to_owned, forward)
}

fn traced<M: Module, const D: usize, const E: usize>(
    module: &M,
    shape: [usize; D],
    names: impl Fn(&str) -> String,
    forward: impl Fn(&M, Tensor<D>) -> Tensor<E>,
) -> Result<Graph, Error> {
    let captured = BATCHES.map(|batch| {
        let mut shape = shape;
        shape[0] = batch;
        capture(module, shape, &forward)
    });
    let [first, second] = captured;
    lower([&first?, &second?], names)
}
