//! From a graph to a program.

mod nodes;

use std::collections::{BTreeMap, BTreeSet};

use kd_export::trace::{Dim, Graph, Node, Value};
use kd_kernels::int8::{
    ByteGrid, Channels, IntegerError, IntegerSet, Map, Operation, Program, Step,
};

use super::IntegerNetwork;
use super::grids::Wanted;
use super::view::{View, ZEROS};
use crate::Error;

/// What is wrong with an operation.
#[derive(Debug)]
pub(super) struct Wrong(pub String);

impl From<IntegerError> for Wrong {
    fn from(problem: IntegerError) -> Self {
        Self(format!("it: {problem}"))
    }
}

pub(super) fn wrong<T>(problem: &str) -> Result<T, Wrong> {
    Err(Wrong(problem.into()))
}

/// # Errors
/// [`Error::Quantise`] with the operation and the layer before it.
pub(super) fn compile(graph: &Graph, set: IntegerSet) -> Result<IntegerNetwork, Error> {
    let told = |problem: Wrong, place: String| Error::Quantise {
        problem: format!("{place}: there are no integers for {}", problem.0),
    };
    let mut compiler = Compiler::new(graph, set).map_err(|p| told(p, "the graph".into()))?;
    for place in 0..graph.nodes.len() {
        let done = compiler.node(place);
        done.map_err(|problem| told(problem, compiler.place(place)))?;
    }
    compiler
        .finished()
        .map_err(|p| told(p, "the output".into()))
}

struct Compiler<'a> {
    graph: &'a Graph,
    set: IntegerSet,
    wanted: Wanted,
    makers: BTreeMap<Value, usize>,
    /// The nodes that read a value.
    readers: BTreeMap<Value, Vec<usize>>,
    maps: Vec<Map>,
    /// The layer that a map comes from.
    origins: Vec<String>,
    steps: Vec<Step>,
    views: BTreeMap<Value, View>,
    /// Values that are sizes.
    sizes: BTreeSet<Value>,
    /// Nodes that went into one before.
    done: BTreeSet<usize>,
    /// The last layer's name.
    layer: String,
    input: usize,
}

impl<'a> Compiler<'a> {
    fn new(graph: &'a Graph, set: IntegerSet) -> Result<Self, Wrong> {
        let mut readers: BTreeMap<Value, Vec<usize>> = BTreeMap::new();
        for (place, node) in graph.nodes.iter().enumerate() {
            for input in node.inputs.iter().flatten() {
                readers.entry(*input).or_default().push(place);
            }
        }
        let mut compiler = Self {
            graph,
            set,
            wanted: Wanted::of(graph)?,
            makers: graph.makers(),
            readers,
            maps: vec![],
            origins: vec![],
            steps: vec![],
            views: BTreeMap::new(),
            sizes: BTreeSet::new(),
            done: BTreeSet::new(),
            layer: "the images".into(),
            input: 0,
        };
        let map = compiler.map_for(graph.input)?;
        if map.grid.is_none() {
            return wrong("images that no layer reads on a grid");
        }
        compiler.input = compiler.add_map(map);
        compiler.sees(graph.input, compiler.input);
        Ok(compiler)
    }

    /// Where a node stands, for people.
    fn place(&self, place: usize) -> String {
        let node = &self.graph.nodes[place];
        match self.layer_name(node) {
            Some(name) => format!("layer `{name}`"),
            None => format!("`{}` after {}", node.op, self.layer),
        }
    }

    fn layer_name(&self, node: &Node) -> Option<String> {
        let name = self.graph.names.get(&node.input(1)?)?;
        matches!(node.op, "Conv" | "Gemm" | "MatMul")
            .then(|| name.trim_end_matches(".weight").to_owned())
    }

    /// Sizes of a value without that of images.
    fn dims(&self, value: Value) -> Result<Vec<usize>, Wrong> {
        match self.graph.dims.get(&value).map(|dims| &dims[..]) {
            Some([Dim::Batch(1), sizes @ ..]) => sizes
                .iter()
                .map(|dim| match dim {
                    Dim::Fixed(size) => Ok(*size),
                    Dim::Batch(_) => wrong("sizes that depend on the number of images"),
                })
                .collect(),
            _ => wrong("an output whose first axis is not that of images"),
        }
    }

    /// The map of a value: on the grid that its readers want, or floats.
    fn map_for(&self, value: Value) -> Result<Map, Wrong> {
        let [channels, height, width] = match self.dims(value)?[..] {
            [channels, height, width] => [channels, height, width],
            [channels] => [channels, 1, 1],
            _ => return wrong("an output of other than channels and pixels"),
        };
        Ok(Map {
            height,
            width,
            channels,
            border: self.wanted.borders.get(&value).copied().unwrap_or(0),
            grid: self.wanted.grids.get(&value).copied(),
        })
    }

    fn add_map(&mut self, map: Map) -> usize {
        self.maps.push(map);
        self.origins.push(self.layer.clone());
        self.maps.len() - 1
    }

    /// Says that a value is all of a map.
    fn sees(&mut self, value: Value, map: usize) {
        let Map {
            channels,
            height,
            width,
            ..
        } = self.maps[map];
        let spatial = self.graph.dims[&value].len() > 2;
        let view = View::of(map, channels, [height, width], spatial);
        self.views.insert(value, view);
    }

    fn step(&mut self, operation: Operation, inputs: Vec<usize>, map: Map, value: Value) {
        let output = self.add_map(map);
        self.steps.push(Step {
            operation,
            inputs,
            output,
        });
        self.sees(value, output);
    }

    fn view(&self, value: Value) -> Result<&View, Wrong> {
        let view = self.views.get(&value);
        view.map_or_else(|| wrong("a constant in its place"), Ok)
    }

    fn whole(&self, value: Value) -> Result<Option<usize>, Wrong> {
        Ok(self.view(value)?.whole(|map| self.maps[map].channels))
    }

    /// A map of a value on this grid, with such a border at least.
    fn map_on(
        &mut self,
        value: Value,
        grid: Option<ByteGrid>,
        border: usize,
    ) -> Result<usize, Wrong> {
        let whole = self.whole(value)?;
        let fits = |map: &Map| map.grid == grid && map.border >= border;
        if let Some(map) = whole.filter(|map| fits(&self.maps[*map])) {
            return Ok(map);
        }
        let view = self.view(value)?.clone();
        let sources = view.sources();
        if sources.is_empty() {
            return wrong("a map of zeros");
        }
        // A channel of zeros is any other times 0.
        let place = |map: usize| sources.binary_search(&map).unwrap_or(0);
        let taken: Vec<_> = view
            .taken
            .iter()
            .map(|(map, c)| (place(*map), *c))
            .collect();
        let nothing = view.taken.iter().map(|(map, _)| *map == ZEROS);
        let nothing: Vec<bool> = nothing.collect();
        let mut affine = view.affine.clone();
        if nothing.contains(&true) {
            let ones = || [vec![1.0; taken.len()], vec![0.0; taken.len()]];
            for numbers in affine.get_or_insert_with(ones) {
                for (number, nothing) in numbers.iter_mut().zip(&nothing) {
                    *number = if *nothing { 0.0 } else { *number };
                }
            }
        }
        let maps: Vec<Map> = sources.iter().map(|map| self.maps[*map]).collect();
        let [height, width] = view.size;
        let map = Map {
            height,
            width,
            channels: taken.len(),
            border,
            grid,
        };
        let affine = affine.as_ref().map(|[a, b]| [&a[..], &b[..]]);
        let channels = Channels::new(self.set, &maps, map, &taken, affine, view.clip)?;
        let output = self.add_map(map);
        self.steps.push(Step {
            operation: Operation::Channels(channels),
            inputs: sources,
            output,
        });
        // From now on it is read there, where that loses nothing for others.
        if !view.is_plain() || whole.is_none() && grid == self.wanted.grids.get(&value).copied() {
            let mut there = View::of(output, taken.len(), view.size, view.spatial);
            there.axes = view.axes;
            self.views.insert(value, there);
        }
        Ok(output)
    }

    /// Any map of a value: as it is, or on the grid that its readers want, or that its numbers are on.
    fn map_of(&mut self, value: Value) -> Result<usize, Wrong> {
        if let Some(map) = self.whole(value)? {
            return Ok(map);
        }
        let view = self.view(value)?;
        let mut grids = view.sources().into_iter().map(|map| self.maps[map].grid);
        let first = grids.next().flatten().filter(|_| view.is_plain());
        let same = first.filter(|first| grids.all(|grid| grid == Some(*first)));
        let grid = self.wanted.grids.get(&value).copied().or(same);
        self.map_on(value, grid, 0)
    }

    fn finished(mut self) -> Result<IntegerNetwork, Wrong> {
        let output = self.map_on(self.graph.output, None, 0)?;
        let floats = self.maps.iter().zip(&self.origins);
        let floats = floats.filter(|(map, _)| map.grid.is_none());
        let mut floats: Vec<String> = floats.map(|(_, origin)| origin.clone()).collect();
        floats.dedup();
        let Map {
            channels,
            height,
            width,
            ..
        } = self.maps[self.input];
        let program = Program::new(self.set, self.maps, self.input, self.steps, output)?;
        Ok(IntegerNetwork {
            program,
            shape: [channels, height, width],
            floats,
        })
    }
}
