//! Which numbers are on which grid, and how much border they need.

use std::collections::BTreeMap;

use kd_export::trace::{Graph, Node, Value, Values};
use kd_kernels::int8::ByteGrid;

use super::compile::{Wrong, wrong};

/// What the readers of values want.
#[derive(Default)]
pub(super) struct Wanted {
    /// The grid that layers read a value on, or what is made of it by moving numbers.
    pub grids: BTreeMap<Value, ByteGrid>,
    /// Pixels around a map that convolutions read.
    pub borders: BTreeMap<Value, usize>,
}

/// Operations that move numbers and change none. The largest of some is one of them.
const MOVES: [&str; 6] = [
    "Reshape",
    "Flatten",
    "Transpose",
    "Concat",
    "Slice",
    "MaxPool",
];

impl Wanted {
    pub fn of(graph: &Graph) -> Result<Self, Wrong> {
        let mut wanted = Self::default();
        let mut direct = BTreeMap::new();
        let makers = graph.makers();
        for node in &graph.nodes {
            if let ("QuantizeLinear", Some(x)) = (node.op, node.input(0)) {
                widen(&mut direct, x, grid(graph, node)?);
            }
            if let ("Conv", Some(x)) = (node.op, node.input(0)) {
                let padding = node.ints("pads", &[0]).into_iter().max().unwrap_or(0) as usize;
                let x = source(graph, &makers, x).map_or(x, |(x, _)| x);
                let border = wanted.borders.entry(x).or_insert(0);
                *border = padding.max(*border);
            }
        }
        // What moves numbers on a grid has them from there: the widest grid of several.
        let mut moved = BTreeMap::new();
        for node in graph.nodes.iter().rev() {
            let here = direct.get(&node.output).or_else(|| moved.get(&node.output));
            if let (true, Some(grid)) = (MOVES.contains(&node.op), here.copied()) {
                for input in node.inputs.iter().flatten() {
                    widen(&mut moved, *input, grid);
                }
            }
        }
        moved.append(&mut direct);
        wanted.grids = moved;
        Ok(wanted)
    }
}

fn widen(grids: &mut BTreeMap<Value, ByteGrid>, value: Value, grid: ByteGrid) {
    let known = grids.entry(value).or_insert(grid);
    if grid.scale() > known.scale() {
        *known = grid;
    }
}

/// The grid of a `QuantizeLinear`.
fn grid(graph: &Graph, node: &Node) -> Result<ByteGrid, Wrong> {
    let constant = |place: usize| {
        node.input(place)
            .and_then(|value| graph.constants.get(&value))
    };
    let scale = constant(1).and_then(|scale| scale.scalar());
    let zero = constant(2).map(|zero| &zero.values);
    match (scale, zero) {
        (Some(scale), Some(Values::Uint8(zero))) if zero.len() == 1 => {
            Ok(ByteGrid::new(scale, i32::from(zero[0]), [0, 255])?)
        }
        (Some(scale), Some(Values::Int8(zero))) if zero.len() == 1 => {
            Ok(ByteGrid::new(scale, i32::from(zero[0]), [-128, 127])?)
        }
        _ => wrong("a grid whose scale and zero point are not one number each"),
    }
}

/// What a layer reads: the value before `QuantizeLinear` and `DequantizeLinear`, and the grid.
pub(super) fn source(
    graph: &Graph,
    makers: &BTreeMap<Value, usize>,
    x: Value,
) -> Option<(Value, Result<ByteGrid, Wrong>)> {
    let maker = |value: Value, op: &str| {
        let node = &graph.nodes[*makers.get(&value)?];
        (node.op == op).then_some(node)
    };
    let quantised = maker(x, "DequantizeLinear")?.input(0)?;
    let node = maker(quantised, "QuantizeLinear")?;
    Some((node.input(0)?, grid(graph, node)))
}
