//! What becomes of each operation.

use kd_export::trace::{Constant, Node, Value};
use kd_kernels::int8::{Add, Operation, Pool, PoolKind, PoolSpec};

use super::super::grids::source;
use super::super::layer::Layer;
use super::super::view::{ALL, View};
use super::{Compiler, Wrong, wrong};

impl<'a> Compiler<'a> {
    pub(super) fn node(&mut self, place: usize) -> Result<(), Wrong> {
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
}
