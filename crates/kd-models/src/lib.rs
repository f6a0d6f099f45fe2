//! Networks for distillation: what they show of their inside, their registry, their weights.
//!
//! A [`Network`] is built by name ([`Network::new`]) or from a file of weights
//! ([`Network::from_file`]), and run by [`Backbone::forward`], which returns an
//! [`Output`](kd_core::Output) with what [`Taps`](kd_core::Taps) asks for:
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use kd_core::Taps;
//! use kd_models::{Backbone, Network, NetworkConfig, cost};
//!
//! let device = Device::default();
//! let config = NetworkConfig::new("resnet8", 10, 3);
//! let network = Network::new(&config, &device)?;
//! let output = network.forward(Tensor::zeros([2, 3, 32, 32], &device), &Taps::all());
//! assert_eq!(output.logits.dims(), [2, 10]);
//! assert_eq!(output.map(3)?.dims(), [2, 64, 8, 8]);
//! assert_eq!(cost(&config, 32)?.parameters, 78_042);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`models`] lists the names. A network of your own takes part by implementing [`Backbone`].
//!
//! To add a family of networks to the registry:
//!
//! 1. Write its file: the module, its configuration, its [`Backbone`], and its `Architecture`,
//!    which lists its names.
//! 2. Name the file and the module in `families!` (`families.rs`), and the file below.
//! 3. Add a golden value for one of its names (`tests/goldens.rs`), and its smallest name to
//!    `SMALL` in `tests/networks.rs`.

mod activation;
mod architecture;
mod backbone;
mod bert;
mod cct;
mod classifier;
mod config;
mod cost;
mod described;
pub mod detection;
mod elsewhere;
mod enlarged;
mod error;
mod families;
mod finite;
mod fit;
mod folder;
mod formats;
mod fused;
mod graph;
mod grids;
mod head;
mod header;
mod hint;
mod input;
mod keys;
mod layers;
mod layers_of;
mod macs;
mod mismatch;
mod mobilenet;
mod network;
mod prefix;
mod prepared;
mod pruned;
mod registry;
mod residual;
mod resnet;
mod resnet_cifar;
mod saved;
mod scale;
mod shufflenet_v1;
mod shufflenet_v2;
mod spelling;
mod standardise;
mod state_dict;
mod stochastic_depth;
mod variant;
mod vgg;
mod vit;
mod weights;
mod wrn;

pub use backbone::Backbone;
pub use bert::{
    TextConfig, TextDropout, TextKind, TextNetwork, TextOutput, text_model, text_models,
};
pub use config::{InputSpec, NetworkConfig};
pub use cost::{Cost, NetworkSize, cost, stride};
pub use error::Error;
pub use finite::{NotFinite, not_finite};
pub use folder::FolderFormat;
pub use formats::foreign::Foreign;
pub use graph::{Features, Graph, GraphConfig, GraphKind, GraphNetwork, SparseFeatures};
pub use header::WeightsHeader;
pub use input::{Input, SceneBatch, TokenBatch};
pub use kd_files::Interpolation;
pub use kd_kernels::layers::{BatchNorm, LayerGrid, LayerGrids};
pub use mismatch::{Mismatch, WrongShape};
pub use network::Network;
pub use prepared::Prepared;
pub use registry::{ModelInfo, find, models};
pub use standardise::Standardise;
pub use vit::{Origin, PositionResize, VitConfig, VitDropout, VitPooling, layer_norm};
