//! Networks whose rows are the nodes of a graph: GCN (Kipf, Welling, ICLR 2017), GAT (Veličković et al., ICLR 2018),
//! GraphSAGE (Hamilton, Ying, Leskovec, NeurIPS 2017), and a perceptron that sees no edge, which GLNN (Zhang et al.,
//! ICLR 2022) teaches.
//!
//! | file | what |
//! | --- | --- |
//! | `input` | A graph: features of nodes, dense or sparse, and edges. |
//! | `config` | The shape. |
//! | `layers` | One layer of each kind. |
//! | `network` | The module, its forward pass and its weights. |

mod config;
mod input;
mod layers;
mod network;

pub use config::{GraphConfig, GraphKind};
pub use input::{Features, Graph, SparseFeatures};
pub use network::GraphNetwork;
