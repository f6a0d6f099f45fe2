//! An exported network.

use std::collections::BTreeMap;
use std::path::Path;

use prost::Message;

use crate::proto::Model;
use crate::{Error, check, save};

/// An exported network, which was compared with the original.
#[derive(Clone, Debug)]
pub struct Onnx {
    pub(crate) model: Model,
    pub(crate) difference: f32,
    pub(crate) activations: u64,
    pub(crate) external_above: u64,
}

impl Onnx {
    /// The messages of the file.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The file, weights included.
    pub fn bytes(&self) -> Vec<u8> {
        self.model.encode_to_vec()
    }

    /// Largest absolute difference of an output between the graph, run here, and the network. For a file of float16
    /// it is that of a graph whose weights are rounded, with arithmetic in float32.
    pub fn difference(&self) -> f32 {
        self.difference
    }

    /// The most bytes of activations that are needed at once for one example, when nodes run in their order: an input until
    /// its last reader ran, an output from its node on. Reshaping needs nothing, element-wise operations write over an input
    /// that nobody reads later, and what only `QuantizeLinear` reads is made as integers. Weights are not in it, nor what an
    /// operation needs for itself. Numbers count as float32, also in a file of float16.
    pub fn activations(&self) -> u64 {
        self.activations
    }

    /// How many nodes there are of each operation.
    pub fn operations(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for node in self.model.graph.iter().flat_map(|graph| &graph.node) {
            *counts.entry(node.op_type()).or_insert(0) += 1;
        }
        counts
    }

    /// Number of weights.
    pub fn weights(&self) -> usize {
        let tensors = self.model.graph.iter().flat_map(|graph| &graph.initializer);
        let counts = tensors.map(|tensor| tensor.dims.iter().product::<i64>() as usize);
        counts.sum()
    }

    /// What TensorRT would refuse; see [`check::tensorrt::check`].
    pub fn tensorrt(&self) -> Vec<String> {
        check::tensorrt::check(&self.model)
    }

    /// Writes the file, whole or not at all. Weights of more than [`Options::external_above`](crate::Options) bytes
    /// go into a second file with the ending `.data`, which must stay beside it.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        save::save(&self.model, path.as_ref(), self.external_above)
    }
}
