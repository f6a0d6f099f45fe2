//! The shape of a graph network.

use crate::Error;

/// What a layer makes of a node and its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GraphKind {
    /// `Â x W + b` with `Â = D^-½ (A + I) D^-½` (Kipf, Welling, ICLR 2017), with the names of PyTorch Geometric.
    Gcn,
    /// The same with `Â = D^-1 (A + I)`, as in the authors' PyTorch code.
    GcnRow,
    /// Attention over in-edges (Veličković et al., ICLR 2018) of so many heads, and of one in the last layer, with the
    /// names of PyTorch Geometric.
    Gat(usize),
    /// `W_l · mean of neighbours + b + W_r · x` (Hamilton, Ying, Leskovec, NeurIPS 2017), as in PyTorch Geometric.
    Sage,
    /// `W · (sum of neighbours + x) / (degree + 1) + b`: GraphSAGE's aggregator `gcn`, as in DGL and in GLNN's teachers.
    SageGcn,
    /// `W x + b`: a perceptron, which sees no edge.
    Mlp,
}

/// The shape of a [`GraphNetwork`](crate::GraphNetwork).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GraphConfig {
    /// Which layers it has.
    pub kind: GraphKind,
    /// Features of a node.
    pub features: usize,
    /// Width of the layers but the last; of a GAT, that of one head.
    pub hidden: usize,
    /// Classes of nodes.
    pub classes: usize,
    /// Number of layers, at least 1.
    pub depth: usize,
    /// Share of what each layer reads that training drops; a perceptron's first layer reads everything, and a GAT also
    /// drops attention.
    pub dropout: f64,
}

impl GraphConfig {
    /// Two layers and a dropout of one half.
    pub const fn new(kind: GraphKind, features: usize, hidden: usize, classes: usize) -> Self {
        Self {
            kind,
            features,
            hidden,
            classes,
            depth: 2,
            dropout: 0.5,
        }
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let heads = match self.kind {
            GraphKind::Gat(heads) => heads,
            _ => 1,
        };
        for (key, value) in [
            ("features", self.features),
            ("hidden", self.hidden),
            ("classes", self.classes),
            ("depth", self.depth),
            ("heads", heads),
        ] {
            if value == 0 {
                return Err(Error::Config {
                    key,
                    value,
                    expected: "at least 1".into(),
                });
            }
        }
        match (0.0..1.0).contains(&self.dropout) {
            true => Ok(()),
            false => Err(Error::Share {
                key: "dropout",
                value: self.dropout,
            }),
        }
    }
}
