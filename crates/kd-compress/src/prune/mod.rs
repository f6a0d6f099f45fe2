//! Whole channels removed, of any network.
//!
//! The forward pass says which channels go together: [`Structure::of`] follows a label for every channel of every
//! parameter through the operations that burn records. What is added, multiplied or normalised together joins; what a
//! reshape moves keeps its label, so that shuffles, slices, concatenations, flattening and heads need no rules of their
//! own. A class of labels is what can be removed: it fills whole slices of every tensor.
//!
//! Source: G. Fang, X. Ma, M. Song, M. B. Mi, X. Wang, "DepGraph: Towards Any Structural Pruning", CVPR 2023, channel
//! by channel.

mod axes;
mod classes;
mod config;
mod cost;
mod cut;
mod label_map;
mod module;
mod network;
mod normalise;
mod parameters;
mod picture;
mod plan;
mod propagate;
mod rank;
mod recalibrate;
mod score;
mod structure;

pub use config::{By, PruneConfig};
pub use cost::Cost;
pub use cut::Cuts;
pub use module::{cut, filled, frozen, gradients, masked, parameters};
pub use network::{NetworkPruning, Pruned};
pub use normalise::Normalise;
pub use parameters::{Array, Parameters};
pub use plan::{Goal, Plan, plan, plan_for};
pub use rank::{Ranking, Scope};
pub use recalibrate::recalibrated;
pub use score::{Criterion, Data, Reduce, Score};
pub use structure::{Group, Member, Options, Structure};

use serde::{Deserialize, Serialize};

/// What of attention can go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attention {
    /// The same numbers of every head.
    #[default]
    HeadSizes,
    /// Whole heads.
    Heads,
    /// Nothing.
    Keep,
}

/// What a parameter does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The weight of a convolution, `[outputs, inputs, ..]`.
    Convolution {
        /// Each channel by itself.
        depthwise: bool,
    },
    /// The weight of a linear layer, `[inputs, outputs]`.
    Linear,
    /// The scale of a batch normalisation.
    BatchNorm,
    /// The scale of a layer normalisation.
    LayerNorm,
    /// Anything else: biases, statistics, positions.
    Other,
}

impl Role {
    /// The axis of outputs of a weight with two sides.
    pub fn output_axis(self) -> Option<usize> {
        match self {
            Self::Convolution { .. } => Some(0),
            Self::Linear => Some(1),
            _ => None,
        }
    }
}
