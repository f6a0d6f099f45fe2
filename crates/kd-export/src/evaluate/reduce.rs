//! Sums, means and extremes along axes.

use super::Inputs;
use super::arithmetic::places;
use super::shape::axis;
use crate::constant::Constant;
use crate::graph::Node;

/// Runs the node.
pub(super) fn reduce(node: &Node, inputs: &Inputs) -> Result<Constant, String> {
    let (from, values) = (inputs.at(0)?, inputs.floats(0)?);
    let rank = from.shape.len();
    let axes = match inputs.get(1) {
        Some(axes) => axes.as_ints().ok_or("axes are no integers")?.to_vec(),
        None => node.ints("axes", &[]),
    };
    let axes: Result<Vec<usize>, String> = axes.iter().map(|&along| axis(along, rank)).collect();
    let axes = axes?;
    let mut kept = from.shape.clone();
    for &along in &axes {
        kept[along] = 1;
    }
    let count: usize = kept.iter().product();
    let start = match node.op {
        "ReduceMax" => f64::NEG_INFINITY,
        "ReduceMin" => f64::INFINITY,
        _ => 0.0,
    };
    let mut sums = vec![start; count];
    for (value, place) in values.iter().zip(places(&kept, &from.shape)) {
        let value = f64::from(*value);
        let sum = &mut sums[place];
        *sum = match node.op {
            "ReduceMax" => sum.max(value),
            "ReduceMin" => sum.min(value),
            _ => *sum + value,
        };
    }
    if node.op == "ReduceMean" {
        let each = (from.count() / count.max(1)) as f64;
        sums.iter_mut().for_each(|sum| *sum /= each);
    }
    let values = sums.into_iter().map(|sum| sum as f32).collect();
    let reduced = Constant::floats(values, &kept);
    if node.int("keepdims", 1) == 1 {
        return Ok(reduced);
    }
    let left = from.shape.iter().enumerate();
    let left: Vec<usize> = left
        .filter(|(along, _)| !axes.contains(along))
        .map(|(_, &size)| size)
        .collect();
    Ok(reduced.reshaped(&left))
}
