//! A graph as a network reads it.

use burn::tensor::{Device, IndexingUpdateOp, Int, Tensor, TensorData};

use crate::{Error, Input};

/// Features of nodes.
#[allow(clippy::large_enum_variant, reason = "a graph has one")]
#[derive(Clone, Debug)]
pub enum Features {
    /// `[nodes, features]`.
    Dense(Tensor<2>),
    /// Those that are not 0, such as the words of a text.
    Sparse {
        /// The node of each, `[entries]`.
        nodes: Tensor<1, Int>,
        /// Which feature each is, `[entries]`.
        places: Tensor<1, Int>,
        /// Their values, `[entries]`.
        values: Tensor<1>,
        /// Numbers of nodes and of features.
        shape: [usize; 2],
    },
}

impl Features {
    /// Numbers of nodes and of features.
    pub fn shape(&self) -> [usize; 2] {
        match self {
            Self::Dense(features) => features.dims(),
            Self::Sparse { shape, .. } => *shape,
        }
    }

    /// The same with the values changed; zeros stay zeros.
    pub(super) fn map(self, change: impl Fn(Tensor<2>) -> Tensor<2>) -> Self {
        match self {
            Self::Dense(features) => Self::Dense(change(features)),
            Self::Sparse {
                nodes,
                places,
                values,
                shape,
            } => Self::Sparse {
                nodes,
                places,
                values: change(values.unsqueeze_dim(1)).squeeze_dim(1),
                shape,
            },
        }
    }

    /// The product with a weight `[features, width]`.
    pub(super) fn times(self, weight: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Dense(features) => features.matmul(weight),
            Self::Sparse {
                nodes,
                places,
                values,
                shape: [count, _],
            } => {
                let [_, width] = weight.dims();
                let rows = weight.select(0, places) * values.unsqueeze_dim(1);
                let sums = Tensor::zeros([count, width], (&rows.device(), rows.dtype()));
                sums.select_assign(0, nodes, rows, IndexingUpdateOp::Add)
            }
        }
    }
}

/// A graph: features of its nodes, and directed edges. Self-loops are not among the edges; layers add them.
#[derive(Clone, Debug)]
pub struct Graph {
    features: Features,
    /// Where edges begin, `[edges]`.
    sources: Tensor<1, Int>,
    /// Where they end, `[edges]`.
    targets: Tensor<1, Int>,
}

impl Graph {
    /// A graph of directed edges, each from a node to a node; an undirected one has each edge both ways.
    ///
    /// # Errors
    /// [`Error::Config`] for a node that is not there, and for a self-loop.
    pub fn new(features: Features, edges: &[[usize; 2]], device: &Device) -> Result<Self, Error> {
        let [nodes, _] = features.shape();
        for edge in edges {
            if let Some(&node) = edge.iter().find(|node| **node >= nodes) {
                return Err(Error::Config {
                    key: "edges",
                    value: node,
                    expected: format!("nodes are numbered from 0 to {}", nodes.saturating_sub(1)),
                });
            }
            if edge[0] == edge[1] {
                return Err(Error::Config {
                    key: "edges",
                    value: edge[0],
                    expected: "an edge from a node to itself; leave it out, layers add those"
                        .into(),
                });
            }
        }
        let ends = |end: usize| {
            let ends: Vec<i64> = edges.iter().map(|edge| edge[end] as i64).collect();
            let count = ends.len();
            Tensor::from_data(TensorData::new(ends, [count]), device)
        };
        Ok(Self {
            features,
            sources: ends(0),
            targets: ends(1),
        })
    }

    /// Features of the nodes.
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// Number of nodes.
    pub fn nodes(&self) -> usize {
        self.features.shape()[0]
    }

    /// Sources, then targets, `[2, edges]`.
    pub fn edges(&self) -> Tensor<2, Int> {
        Tensor::stack(vec![self.sources.clone(), self.targets.clone()], 0)
    }

    /// Sources and targets of the edges.
    pub(super) fn ends(&self) -> [Tensor<1, Int>; 2] {
        [self.sources.clone(), self.targets.clone()]
    }

    /// Sources and targets of the edges, then of a self-loop of every node.
    pub(super) fn ends_with_loops(&self) -> [Tensor<1, Int>; 2] {
        let loops = Tensor::arange(0..self.nodes() as i64, &self.sources.device());
        self.ends()
            .map(|ends| Tensor::cat(vec![ends, loops.clone()], 0))
    }

    fn map(
        self,
        numbers: impl Fn(Tensor<1, Int>) -> Tensor<1, Int>,
        features: impl Fn(Features) -> Features,
    ) -> Self {
        Self {
            features: features(self.features),
            sources: numbers(self.sources),
            targets: numbers(self.targets),
        }
    }
}

/// Samples are nodes. Some of them are the graph of these nodes and the edges between them.
impl Input for Graph {
    fn samples(&self) -> usize {
        self.nodes()
    }

    fn device(&self) -> Device {
        self.sources.device()
    }

    fn lift(self) -> Self {
        if self.sources.device().is_autodiff() {
            return self;
        }
        self.map(Tensor::from_inner, |features| match features {
            Features::Dense(features) => Features::Dense(Tensor::from_inner(features)),
            Features::Sparse {
                nodes,
                places,
                values,
                shape,
            } => Features::Sparse {
                nodes: Tensor::from_inner(nodes),
                places: Tensor::from_inner(places),
                values: Tensor::from_inner(values),
                shape,
            },
        })
    }

    fn lower(self) -> Self {
        self.map(Tensor::without_autodiff, |features| match features {
            Features::Dense(features) => Features::Dense(features.without_autodiff()),
            Features::Sparse {
                nodes,
                places,
                values,
                shape,
            } => Features::Sparse {
                nodes: nodes.without_autodiff(),
                places: places.without_autodiff(),
                values: values.without_autodiff(),
                shape,
            },
        })
    }

    fn select(self, samples: Tensor<1, Int>) -> Self {
        let device = self.sources.device();
        let list = |numbers: Tensor<1, Int>| -> Vec<usize> {
            let numbers = numbers.into_data();
            numbers
                .iter::<i64>()
                .map(|number| number as usize)
                .collect()
        };
        let kept = list(samples.clone());
        let mut places = vec![None; self.nodes()];
        for (place, node) in kept.iter().enumerate() {
            places[*node] = Some(place);
        }
        let ends = self.ends().map(list);
        let edges = ends[0].iter().zip(&ends[1]);
        let edges = edges.filter_map(|(from, to)| Some([places[*from]?, places[*to]?]));
        let edges: Vec<[usize; 2]> = edges.collect();
        let features = match self.features {
            Features::Dense(features) => Features::Dense(features.select(0, samples)),
            Features::Sparse {
                nodes,
                places: columns,
                values,
                shape: [_, width],
            } => {
                let of = list(nodes).into_iter().enumerate();
                let of = of.filter_map(|(entry, node)| Some((entry as i64, places[node]? as i64)));
                let (entries, nodes): (Vec<i64>, Vec<i64>) = of.unzip();
                let numbers = |list: Vec<i64>| -> Tensor<1, Int> {
                    let count = list.len();
                    Tensor::from_data(TensorData::new(list, [count]), &device)
                };
                let entries = numbers(entries);
                Features::Sparse {
                    nodes: numbers(nodes),
                    places: columns.select(0, entries.clone()),
                    values: values.select(0, entries),
                    shape: [kept.len(), width],
                }
            }
        };
        let end = |end: usize| -> Tensor<1, Int> {
            let ends: Vec<i64> = edges.iter().map(|edge| edge[end] as i64).collect();
            let count = ends.len();
            Tensor::from_data(TensorData::new(ends, [count]), &device)
        };
        Self {
            features,
            sources: end(0),
            targets: end(1),
        }
    }
}
