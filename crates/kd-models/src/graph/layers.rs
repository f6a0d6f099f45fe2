//! One layer of each kind of graph network.

use burn::module::{Initializer, Module, Param};
use burn::nn::{Dropout, Linear};
use burn::tensor::activation::leaky_relu;
use burn::tensor::{Device, IndexingUpdateOp, Int, Tensor};
use kd_core::draw;
use kd_kernels::layers;

use super::input::{Features, Graph};
use crate::Input;

/// What a layer reads.
#[allow(
    clippy::large_enum_variant,
    reason = "it is made for one call and taken apart by it"
)]
pub(super) enum Read {
    /// The features of the nodes.
    Features(Features),
    /// Rows of the layer before, `[nodes, width]`.
    Rows(Tensor<2>),
}

impl Read {
    fn times(self, weight: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Features(features) => features.times(weight),
            Self::Rows(rows) => rows.matmul(weight),
        }
    }

    fn both(self) -> [Self; 2] {
        match self {
            Self::Features(features) => {
                [Self::Features(features.clone()), Self::Features(features)]
            }
            Self::Rows(rows) => [Self::Rows(rows.clone()), Self::Rows(rows)],
        }
    }
}

#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "a network has few")]
pub(super) enum Layer {
    Gcn(Gcn),
    Gat(Gat),
    Sage(Sage),
    SageGcn(SageGcn),
    Dense(Linear),
}

/// `Â x W + b`.
#[derive(Module, Debug)]
pub(super) struct Gcn {
    lin: Linear,
    bias: Param<Tensor<1>>,
    /// Whether rows of `Â` add up to 1, instead of being divided by both degrees' roots.
    by_row: bool,
}

/// `Σ_j a_ij · W x_j + b` with `a` the softmax over in-edges of `leaky(att_src · W x_j + att_dst · W x_i)`.
#[derive(Module, Debug)]
pub(super) struct Gat {
    lin: Linear,
    att_src: Param<Tensor<3>>,
    att_dst: Param<Tensor<3>>,
    bias: Param<Tensor<1>>,
    /// Whether the heads stand beside each other; else their mean is taken.
    joins: bool,
}

/// `W_l · mean of neighbours + b + W_r · x`.
#[derive(Module, Debug)]
pub(super) struct Sage {
    lin_l: Linear,
    lin_r: Linear,
}

/// `W · (sum of neighbours + x) / (degree + 1) + b`.
#[derive(Module, Debug)]
pub(super) struct SageGcn {
    fc_neigh: Linear,
    bias: Param<Tensor<1>>,
}

/// Values from a node to a node, added up at their targets: `[edges, width]` to `[nodes, width]`.
fn gathered(values: Tensor<2>, targets: Tensor<1, Int>, nodes: usize) -> Tensor<2> {
    let [_, width] = values.dims();
    let sums = Tensor::zeros([nodes, width], (&values.device(), values.dtype()));
    sums.select_assign(0, targets, values, IndexingUpdateOp::Add)
}

fn glorot(inputs: usize, outputs: usize, device: &Device) -> Linear {
    Linear {
        weight: draw::uniform(
            [inputs, outputs],
            (6.0 / (inputs + outputs) as f64).sqrt(),
            device,
        ),
        bias: None,
    }
}

/// A linear layer as PyTorch draws it.
fn linear(inputs: usize, outputs: usize, device: &Device) -> Linear {
    let bound = 1.0 / (inputs as f64).sqrt();
    Linear {
        weight: draw::uniform([inputs, outputs], bound, device),
        bias: Some(draw::uniform([outputs], bound, device)),
    }
}

fn zeros(width: usize, device: &Device) -> Param<Tensor<1>> {
    Initializer::Zeros.init([width], device)
}

impl Layer {
    pub fn gcn([inputs, outputs]: [usize; 2], by_row: bool, device: &Device) -> Self {
        Self::Gcn(Gcn {
            lin: glorot(inputs, outputs, device),
            bias: zeros(outputs, device),
            by_row,
        })
    }

    pub fn gat([inputs, each]: [usize; 2], heads: usize, joins: bool, device: &Device) -> Self {
        let bound = (6.0 / (heads + each) as f64).sqrt();
        let attention = || draw::uniform([1, heads, each], bound, device);
        Self::Gat(Gat {
            lin: glorot(inputs, heads * each, device),
            att_src: attention(),
            att_dst: attention(),
            bias: zeros(if joins { heads * each } else { each }, device),
            joins,
        })
    }

    pub fn sage([inputs, outputs]: [usize; 2], device: &Device) -> Self {
        let mut lin_r = linear(inputs, outputs, device);
        lin_r.bias = None;
        Self::Sage(Sage {
            lin_l: linear(inputs, outputs, device),
            lin_r,
        })
    }

    pub fn sage_gcn([inputs, outputs]: [usize; 2], device: &Device) -> Self {
        let mut fc_neigh = glorot(inputs, outputs, device);
        fc_neigh.bias = None;
        Self::SageGcn(SageGcn {
            fc_neigh,
            bias: zeros(outputs, device),
        })
    }

    pub fn dense([inputs, outputs]: [usize; 2], device: &Device) -> Self {
        Self::Dense(linear(inputs, outputs, device))
    }

    /// Rows `[nodes, width]`, and of a GAT the attention of every edge, then of every self-loop, `[edges, heads]`.
    /// `dropout` is of attention.
    pub fn forward(
        &self,
        x: Read,
        graph: &Graph,
        dropout: &Dropout,
    ) -> (Tensor<2>, Option<Tensor<2>>) {
        let ones = Tensor::ones([graph.nodes(), 1], &graph.device());
        let rows = match self {
            Self::Gcn(layer) => layer.forward(x, graph, ones),
            Self::Gat(layer) => {
                let (rows, attention) = layer.forward(x, graph, dropout);
                return (rows, Some(attention));
            }
            Self::Sage(layer) => {
                let [own, others] = x.both();
                // The mean of products is the product of the mean, and narrower.
                let others = others.times(layer.lin_l.weight.val());
                let count = graph.sum_of_neighbours(ones).clamp_min(1.0);
                let mean = graph.sum_of_neighbours(others) / count;
                let mean = match &layer.lin_l.bias {
                    Some(bias) => mean + bias.val().unsqueeze(),
                    None => mean,
                };
                mean + own.times(layer.lin_r.weight.val())
            }
            Self::SageGcn(layer) => {
                let own = x.times(layer.fc_neigh.weight.val());
                let mean = graph.sum_with_own(own) / graph.sum_with_own(ones);
                mean + layer.bias.val().unsqueeze()
            }
            Self::Dense(layer) => {
                let product = x.times(layer.weight.val());
                match &layer.bias {
                    Some(bias) => product + bias.val().unsqueeze(),
                    None => product,
                }
            }
        };
        (rows, None)
    }
}

impl Gcn {
    fn forward(&self, x: Read, graph: &Graph, ones: Tensor<2>) -> Tensor<2> {
        let product = x.times(self.lin.weight.val());
        let degrees = graph.sum_with_own(ones);
        let sum = match self.by_row {
            true => graph.sum_with_own(product) / degrees,
            false => {
                let root = degrees.sqrt();
                graph.sum_with_own(product / root.clone()) / root
            }
        };
        sum + self.bias.val().unsqueeze()
    }
}

impl Gat {
    fn forward(&self, x: Read, graph: &Graph, dropout: &Dropout) -> (Tensor<2>, Tensor<2>) {
        let nodes = graph.nodes();
        let [_, heads, each] = self.att_src.dims();
        let [sources, targets] = graph.ends_with_loops();
        let z = x.times(self.lin.weight.val()).reshape([nodes, heads, each]);
        let of_nodes = |attention: &Param<Tensor<3>>| -> Tensor<2> {
            (z.clone() * attention.val()).sum_dim(2).squeeze_dim(2)
        };
        let scores = of_nodes(&self.att_src).select(0, sources.clone())
            + of_nodes(&self.att_dst).select(0, targets.clone());
        let attention = softmax_at(leaky_relu(scores, 0.2), &targets, nodes);
        let [edges, _] = attention.dims();
        let weights = layers::dropout(dropout, attention.clone()).reshape([edges, heads, 1]);
        let moved = (z.select(0, sources) * weights).reshape([edges, heads * each]);
        let sum = gathered(moved, targets, nodes);
        let rows = match self.joins {
            true => sum,
            false => sum.reshape([nodes, heads, each]).mean_dim(1).squeeze_dim(1),
        };
        (rows + self.bias.val().unsqueeze(), attention)
    }
}

/// The softmax of `[edges, heads]` over the edges into each node.
fn softmax_at(scores: Tensor<2>, targets: &Tensor<1, Int>, nodes: usize) -> Tensor<2> {
    let [_, heads] = scores.dims();
    // Less the largest at each node no exponential overflows. That shift cancels and needs no gradient.
    let constant = scores.clone().detach();
    let least = constant
        .clone()
        .min()
        .unsqueeze::<2>()
        .expand([nodes, heads]);
    let largest = least.select_assign(0, targets.clone(), constant, IndexingUpdateOp::Max);
    let shares = (scores - largest.select(0, targets.clone())).exp();
    let sums = gathered(shares.clone(), targets.clone(), nodes);
    shares / sums.select(0, targets.clone())
}
