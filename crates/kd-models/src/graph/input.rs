//! A graph as a network reads it.

use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor, TensorData};
use kd_kernels::RowSums;

use crate::{Error, Input};

/// Features of nodes.
#[derive(Clone, Debug)]
pub enum Features {
    /// `[nodes, features]`.
    Dense(Tensor<2>),
    /// Those that are not 0, such as the words of a text.
    Sparse(SparseFeatures),
}

/// The features that are not 0.
#[derive(Clone, Debug)]
pub struct SparseFeatures {
    /// The node and the feature of each.
    entries: Arc<[[usize; 2]]>,
    /// Their values.
    values: Tensor<1>,
    /// Numbers of nodes and of features.
    shape: [usize; 2],
    /// What the product with a weight adds up.
    sums: RowSums,
}

impl SparseFeatures {
    /// Values, of each its node and its feature, and the numbers of nodes and of features.
    ///
    /// # Errors
    /// [`Error::Config`] when an entry is not of that shape, and when there is not a value for each.
    pub fn new(
        entries: Vec<[usize; 2]>,
        values: &[f32],
        shape: [usize; 2],
        device: &Device,
    ) -> Result<Self, Error> {
        if entries.len() != values.len() {
            return Err(Error::Config {
                key: "values",
                value: values.len(),
                expected: format!("one for each of {} entries", entries.len()),
            });
        }
        for (axis, key) in ["node", "feature"].into_iter().enumerate() {
            let most = shape[axis];
            if let Some(entry) = entries.iter().find(|entry| entry[axis] >= most) {
                return Err(Error::Config {
                    key,
                    value: entry[axis],
                    expected: format!("there are {most}, numbered from 0"),
                });
            }
        }
        Ok(Self::of(
            entries,
            Tensor::from_floats(values, device),
            shape,
        ))
    }

    fn of(entries: Vec<[usize; 2]>, values: Tensor<1>, shape: [usize; 2]) -> Self {
        let sums = RowSums::new(entries.iter().copied(), shape);
        let entries = entries.into();
        Self {
            entries,
            values,
            shape,
            sums,
        }
    }

    /// Those of some nodes, of which `places` has the new number.
    fn select(self, places: &[Option<usize>], count: usize) -> Self {
        let kept = self.entries.iter().zip(0..);
        let kept =
            kept.filter_map(|([node, feature], entry)| Some((entry, [places[*node]?, *feature])));
        let (numbers, entries): (Vec<i64>, Vec<[usize; 2]>) = kept.unzip();
        let numbers = TensorData::new(numbers, [entries.len()]);
        let numbers = Tensor::<1, Int>::from_data(numbers, &self.values.device());
        Self::of(
            entries,
            self.values.select(0, numbers),
            [count, self.shape[1]],
        )
    }
}

impl Features {
    /// Numbers of nodes and of features.
    pub fn shape(&self) -> [usize; 2] {
        match self {
            Self::Dense(features) => features.dims(),
            Self::Sparse(features) => features.shape,
        }
    }

    /// The same with the values changed; zeros stay zeros.
    pub(super) fn map(self, change: impl Fn(Tensor<2>) -> Tensor<2>) -> Self {
        match self {
            Self::Dense(features) => Self::Dense(change(features)),
            Self::Sparse(features) => Self::Sparse(SparseFeatures {
                values: change(features.values.unsqueeze_dim(0)).squeeze_dim(0),
                ..features
            }),
        }
    }

    /// The product with a weight `[features, width]`.
    pub(super) fn times(self, weight: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Dense(features) => features.matmul(weight),
            Self::Sparse(features) => features.sums.weighted(weight, features.values),
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
    /// What a node's in-edges add up.
    neighbours: RowSums,
    /// The same with a self-loop of every node.
    with_loops: RowSums,
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
        Ok(Self::of(features, edges, device))
    }

    fn of(features: Features, edges: &[[usize; 2]], device: &Device) -> Self {
        let [nodes, _] = features.shape();
        let ends = |end: usize| {
            let ends: Vec<i64> = edges.iter().map(|edge| edge[end] as i64).collect();
            let count = ends.len();
            Tensor::from_data(TensorData::new(ends, [count]), device)
        };
        let sums = |loops: usize| {
            let edges = edges.iter().map(|[source, target]| [*target, *source]);
            let edges: Vec<[usize; 2]> = edges.chain((0..loops).map(|node| [node; 2])).collect();
            RowSums::new(edges.iter().copied(), [nodes; 2])
        };
        Self {
            features,
            sources: ends(0),
            targets: ends(1),
            neighbours: sums(0),
            with_loops: sums(nodes),
        }
    }

    /// For values of nodes, `[nodes, width]`, the sum of those of each node's neighbours.
    pub(super) fn sum_of_neighbours(&self, values: Tensor<2>) -> Tensor<2> {
        added(&self.neighbours, values)
    }

    /// The same and the node's own.
    pub(super) fn sum_with_own(&self, values: Tensor<2>) -> Tensor<2> {
        added(&self.with_loops, values)
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
            ..self
        }
    }
}

fn added(sums: &RowSums, values: Tensor<2>) -> Tensor<2> {
    let ones = Tensor::ones([sums.entries()], (&values.device(), values.dtype()));
    sums.weighted(values, ones)
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
            Features::Sparse(features) => Features::Sparse(SparseFeatures {
                values: Tensor::from_inner(features.values),
                ..features
            }),
        })
    }

    fn lower(self) -> Self {
        self.map(Tensor::without_autodiff, |features| match features {
            Features::Dense(features) => Features::Dense(features.without_autodiff()),
            Features::Sparse(features) => Features::Sparse(SparseFeatures {
                values: features.values.without_autodiff(),
                ..features
            }),
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
            Features::Sparse(features) => Features::Sparse(features.select(&places, kept.len())),
        };
        Self::of(features, &edges, &device)
    }
}
