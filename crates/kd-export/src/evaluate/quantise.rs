//! Numbers on integer grids.

use super::Inputs;
use crate::constant::{Constant, Values};
use crate::graph::Node;

/// `QuantizeLinear` and `DequantizeLinear`, with one scale or one along an axis.
pub(super) fn quantise(node: &Node, inputs: &Inputs) -> Result<Constant, String> {
    let (x, scales, zeros) = (inputs.at(0)?, inputs.floats(1)?, inputs.at(2)?);
    let zeros = levels(zeros)?;
    let inner: usize = match scales.len() {
        1 => 1,
        _ => x.shape[node.int("axis", 1) as usize + 1..].iter().product(),
    };
    let of = |at: usize| at / inner % scales.len();
    if node.op == "DequantizeLinear" {
        let numbers = levels(x)?.into_iter().enumerate();
        let numbers = numbers.map(|(at, level)| (level - zeros[of(at)]) as f32 * scales[of(at)]);
        return Ok(Constant::floats(numbers.collect(), &x.shape));
    }
    let numbers = x.as_floats().ok_or("of no floats")?.iter().enumerate();
    let placed = numbers.map(|(at, x)| {
        // `as` saturates.
        let level = (x / scales[of(at)]).round_ties_even() as i32;
        level.saturating_add(zeros[of(at)])
    });
    let values = match inputs.at(2)?.values {
        Values::Uint8(_) => Values::Uint8(placed.map(|level| level.clamp(0, 255) as u8).collect()),
        _ => Values::Int8(placed.map(|level| level.clamp(-128, 127) as i8).collect()),
    };
    Ok(Constant::new(values, &x.shape))
}

fn levels(of: &Constant) -> Result<Vec<i32>, String> {
    match &of.values {
        Values::Int8(levels) => Ok(levels.iter().map(|level| i32::from(*level)).collect()),
        Values::Uint8(levels) => Ok(levels.iter().map(|level| i32::from(*level)).collect()),
        _ => Err("of no 8-bit integers".into()),
    }
}
