//! From a graph to a program.

use std::collections::{BTreeMap, BTreeSet};

use kd_export::trace::{Constant, Dim, Graph, Node, Value};
use kd_kernels::int8::{
    Add, ByteGrid, Channels, IntegerError, IntegerSet, Map, Operation, Pool, PoolKind, PoolSpec,
    Program, Step,
};

use super::IntegerNetwork;
use super::grids::{Wanted, source};
use super::layer::Layer;
use super::view::{ALL, View, ZEROS};
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

    fn node(&mut self, place: usize) -> Result<(), Wrong> {
        if self.done.contains(&place) {
            return Ok(());
        }
        let graph = self.graph;
        let node = &graph.nodes[place];
        let x = node.input(0).map_or_else(|| wrong("no input"), Ok)?;
        let y = node.output;
        let moved = match node.op {
            // Layers look for them.
            "QuantizeLinear" | "DequantizeLinear" => return Ok(()),
            "Conv" | "Gemm" | "MatMul" => return self.layer(node),
            "MaxPool" | "AveragePool" | "GlobalAveragePool" => return self.pool(node, x),
            "Relu" | "Clip" => self.view(x)?.clone().clipped(self.bounds(node)?),
            "Reshape" | "Flatten" => self.plain(x)?.reshaped(&self.dims(y)?)?,
            "Transpose" => self.plain(x)?.transposed(&node.ints("perm", &[]))?,
            "Slice" => self.slice(node, x)?,
            // Sizes of a map of zeros.
            "Shape" | "Gather" | "Concat" if self.is_of_sizes(node) => {
                self.sizes.insert(y);
                return Ok(());
            }
            "Expand" => match (self.graph.constants.get(&x), &self.dims(y)?[..]) {
                (Some(zero), &[channels, height, width]) if zero.scalar() == Some(0.0) => {
                    View::zeros(channels, [height, width])
                }
                _ => return wrong("`Expand` of other than zeros"),
            },
            "Concat" => {
                let parts = node.inputs.iter().flatten();
                let parts = parts.map(|part| self.plain(*part));
                let parts: Vec<View> = parts.collect::<Result<_, _>>()?;
                View::joined(&parts, node.int("axis", 1) as usize)?
            }
            "Add" | "Mul" | "Sub" => match self.with_constant(node) {
                Some((x, by)) => {
                    let view = self.view(x)?.clone();
                    view.scaled(node.op, &by.shape, by.as_floats().unwrap_or_default())?
                }
                None => return self.add(node),
            },
            op => return wrong(&format!("`{op}`")),
        };
        self.views.insert(y, moved);
        Ok(())
    }

    fn is_of_sizes(&self, node: &Node) -> bool {
        let mut inputs = node.inputs.iter().flatten();
        node.op == "Shape" || inputs.any(|input| self.sizes.contains(input))
    }

    /// A view with nothing left to be done to its numbers.
    fn plain(&mut self, value: Value) -> Result<View, Wrong> {
        if !self.view(value)?.is_plain() {
            self.map_of(value)?;
        }
        self.view(value).cloned()
    }

    fn bounds(&self, node: &Node) -> Result<[f32; 2], Wrong> {
        if node.op == "Relu" {
            return Ok([0.0, f32::INFINITY]);
        }
        let bound = |place: usize, none: f32| match node.input(place) {
            None => Ok(none),
            Some(value) => {
                let constant = self.graph.constants.get(&value);
                let bound = constant.and_then(|constant| constant.scalar());
                bound.map_or_else(|| wrong("bounds that are no constants"), Ok)
            }
        };
        Ok([bound(1, ALL[0])?, bound(2, ALL[1])?])
    }

    /// The other input of a node with a constant, and that.
    fn with_constant(&self, node: &Node) -> Option<(Value, &'a Constant)> {
        let (a, b) = (node.input(0)?, node.input(1)?);
        let graph = self.graph;
        match (graph.constants.get(&a), graph.constants.get(&b)) {
            (None, Some(by)) => Some((a, by)),
            (Some(by), None) if node.op != "Sub" => Some((b, by)),
            _ => None,
        }
    }

    fn slice(&mut self, node: &Node, x: Value) -> Result<View, Wrong> {
        let list = |place: usize| {
            let value = node.input(place)?;
            self.graph
                .constants
                .get(&value)?
                .as_ints()
                .map(<[i64]>::to_vec)
        };
        let (Some(starts), Some(ends)) = (list(1), list(2)) else {
            return wrong("a slice whose ends are no constants");
        };
        let axes = list(3).unwrap_or_else(|| (0..starts.len() as i64).collect());
        let steps = list(4).unwrap_or_else(|| vec![1; starts.len()]);
        let rank = self.graph.dims[&x].len() as i64;
        let mut view = self.plain(x)?;
        let mut every = [1, 1];
        for (((start, end), axis), step) in starts.into_iter().zip(ends).zip(axes).zip(steps) {
            let axis = if axis < 0 { axis + rank } else { axis };
            let all = start == 0 && end >= i64::from(i32::MAX) && step == 1;
            let pixels = (axis as usize).checked_sub(1 + view.axes.len());
            match pixels.filter(|axis| view.spatial && *axis < 2) {
                Some(axis) if start == 0 && end >= view.size[axis] as i64 && step > 0 => {
                    every[axis] = step as usize;
                }
                _ if axis == 0 && all => {}
                _ => view = view.sliced(axis as usize, [start, end, step])?,
            }
        }
        if every == [1, 1] {
            return Ok(view);
        }
        if view.taken != self.view(x)?.taken {
            return wrong("a slice of channels and pixels");
        }
        // The largest of one pixel is that pixel.
        let input = self.map_of(x)?;
        let from = self.maps[input];
        let mut output = self.map_for(node.output)?;
        output.grid = from.grid;
        let spec = PoolSpec {
            input: from,
            output,
            kind: PoolKind::Max,
            kernel: [1; 2],
            stride: every,
            padding: [0; 2],
        };
        let pool = Pool::new(self.set, spec)?;
        self.step(Operation::Pool(pool), vec![input], output, node.output);
        self.view(node.output).cloned()
    }

    fn add(&mut self, node: &Node) -> Result<(), Wrong> {
        let (Some(a), Some(b), "Add") = (node.input(0), node.input(1), node.op) else {
            return wrong(&format!("`{}` of two maps", node.op));
        };
        let inputs = [self.map_of(a)?, self.map_of(b)?];
        let (y, clip) = self.bounded(node.output)?;
        let map = self.map_for(y)?;
        let add = Add::new(self.set, inputs.map(|input| self.maps[input]), map, clip)?;
        self.step(Operation::Add(add), inputs.to_vec(), map, y);
        Ok(())
    }

    /// The only reader of a value.
    fn only_reader(&self, value: Value) -> Option<usize> {
        match self.readers.get(&value).map(|readers| &readers[..]) {
            Some(&[reader]) if value != self.graph.output => Some(reader),
            _ => None,
        }
    }

    /// The value behind the bound that alone reads this one, and the bound.
    fn bounded(&mut self, value: Value) -> Result<(Value, [f32; 2]), Wrong> {
        if let Some(reader) = self.only_reader(value) {
            let node = &self.graph.nodes[reader];
            if matches!(node.op, "Relu" | "Clip") {
                let bounds = self.bounds(node)?;
                self.done.insert(reader);
                return Ok((node.output, bounds));
            }
        }
        Ok((value, ALL))
    }

    fn pool(&mut self, node: &Node, x: Value) -> Result<(), Wrong> {
        let input = self.map_of(x)?;
        let from = self.maps[input];
        let mut output = self.map_for(node.output)?;
        let pair = |name: &str, default: [usize; 2]| {
            let values = node.ints(name, &[]);
            match values[..] {
                [a, b, ..] => [a as usize, b as usize],
                _ => default,
            }
        };
        let (kind, kernel) = match node.op {
            "MaxPool" => (PoolKind::Max, pair("kernel_shape", [1; 2])),
            "AveragePool" => {
                let count_padding = node.int("count_include_pad", 0) == 1;
                let kind = PoolKind::Average { count_padding };
                (kind, pair("kernel_shape", [1; 2]))
            }
            _ => {
                let count_padding = false;
                (
                    PoolKind::Average { count_padding },
                    [from.height, from.width],
                )
            }
        };
        if kind == PoolKind::Max {
            output.grid = from.grid;
        }
        if pair("dilations", [1; 2]) != [1; 2] {
            return wrong("a window with gaps");
        }
        let spec = PoolSpec {
            input: from,
            output,
            kind,
            kernel,
            stride: pair("strides", [1; 2]),
            padding: pair("pads", [0; 2]),
        };
        let pool = Pool::new(self.set, spec)?;
        self.step(Operation::Pool(pool), vec![input], output, node.output);
        Ok(())
    }

    fn layer(&mut self, node: &Node) -> Result<(), Wrong> {
        let graph = self.graph;
        let read = node.input(0).and_then(|x| source(graph, &self.makers, x));
        let weight = node.input(1).and_then(|weight| self.makers.get(&weight));
        let (Some((x, grid)), Some(weight)) = (read, weight) else {
            return wrong("floats: put the layer on a grid, too (`keep` is for files)");
        };
        let layer = Layer::read(graph, node, &graph.nodes[*weight])?;
        let input = self.map_on(x, Some(grid?), layer.border())?;
        if self.maps[input].channels != layer.inputs() {
            return wrong("pixels as inputs of a linear layer");
        }
        if let Some(name) = self.layer_name(node) {
            self.layer = format!("layer `{name}`");
        }
        // A sum with what is there already, and a bound, are the end of the layer.
        let mut y = node.output;
        let mut residual = None;
        if let Some(reader) = self.only_reader(y) {
            let sum = &graph.nodes[reader];
            let other = sum.inputs.iter().flatten().find(|input| **input != y);
            if let ("Add", Some(other)) = (sum.op, other.copied())
                && self.views.contains_key(&other)
                && graph.dims.get(&other) == graph.dims.get(&y)
            {
                residual = Some(self.map_of(other)?);
                self.done.insert(reader);
                y = sum.output;
            }
        }
        let (y, clip) = self.bounded(y)?;
        let map = self.map_for(y)?;
        let other = residual.map(|residual| self.maps[residual]);
        let built = layer.built(self.set, self.maps[input], map, other, clip)?;
        let inputs = [Some(input), residual].into_iter().flatten().collect();
        self.step(Operation::Convolution(built), inputs, map, y);
        Ok(())
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
