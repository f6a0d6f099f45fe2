//! Trained networks as ONNX files, captured from the forward pass.
//!
//! Nothing is written by hand for a network: burn records what [`Backbone::forward`](kd_models::Backbone) does, at two
//! numbers of images, and the record becomes ONNX nodes of opset 17 with a free batch. Constants are folded, so batch
//! normalisation is gone; the parameters that stay have their names of the PyTorch state dict. Before a file is
//! handed out, its graph is run and compared with the network.
//!
//! ```
//! use burn::tensor::Device;
//! use kd_export::{Options, export_network};
//! use kd_models::{Network, NetworkConfig};
//!
//! let network = Network::new(&NetworkConfig::new("resnet8", 10, 3), &Device::default())?;
//! let onnx = export_network(&network, 32, &Options::default())?;
//! assert!(onnx.operations().contains_key("GlobalAveragePool"));
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("student.onnx");
//! onnx.save(&path)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A network of your own is exported by [`export_backbone`], a network that
//! reads text by [`export_text`], any other module by [`export_module`].

mod activations;
mod batch;
mod capture;
pub mod check;
mod constant;
mod error;
mod evaluate;
mod export;
mod fold;
mod graph;
mod half;
mod lower;
mod model;
mod names;
mod nms;
mod onnx;
mod options;
mod peephole;
pub mod proto;
mod quantise;
mod replay;
mod save;
mod text;
pub mod trace;

pub use error::Error;
pub use export::{
    export_backbone, export_detections, export_detector, export_module, export_network, layers,
};
pub use model::{IR_VERSION, OPSET};
pub use onnx::Onnx;
pub use options::{Normalisation, Options, Output};
pub use text::export_text;
