//! Why a network could not be exported.

use std::path::PathBuf;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// burn could not record the forward pass.
    #[error("the forward pass could not be recorded: {problem}")]
    Capture {
        /// What burn says.
        problem: String,
    },
    /// An operation that ONNX has no counterpart for.
    #[error(
        "ONNX has no operation for `{operation}` ({place}){}",
        because(problem)
    )]
    Unsupported {
        /// The operation as burn calls it.
        operation: String,
        /// Where it stands in the network.
        place: String,
        /// What about it cannot be written; empty when it is the operation as such.
        problem: String,
    },
    /// The network computes another function for another number of images.
    #[error(
        "`{operation}` ({place}) depends on the number of images: {problem}. One file serves every batch, so \
         the network must treat each image by itself"
    )]
    Batch {
        /// The operation as burn calls it.
        operation: String,
        /// Where it stands in the network.
        place: String,
        /// What depends on it.
        problem: String,
    },
    /// The graph could not be run for the comparison with the network.
    #[error("the graph could not be run: `{operation}`: {problem}")]
    Replay {
        /// The ONNX operation and its name.
        operation: String,
        /// What is wrong.
        problem: String,
    },
    /// The graph computes something else than the network.
    #[error(
        "the graph's output differs from the network's by {difference:e}, more than {tolerance:e}: nothing was \
         written"
    )]
    Differs {
        /// Largest absolute difference of an output.
        difference: f32,
        /// What would have been accepted.
        tolerance: f32,
    },
    /// A value that float16 cannot hold.
    #[error("float16 ends at 65504, and {name} has the value {value:e}: export it as float32")]
    Float16 {
        /// The tensor.
        name: String,
        /// The value.
        value: f32,
    },
    /// An option does not suit the network.
    #[error("{option}: {problem}")]
    Option {
        /// The option.
        option: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// The file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

fn because(problem: &str) -> String {
    match problem {
        "" => String::new(),
        problem => format!(": {problem}"),
    }
}
