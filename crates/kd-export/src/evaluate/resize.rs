//! Resizing, an axis after the other.

use super::Inputs;
use crate::constant::Constant;
use crate::graph::Node;

/// Runs the node on `[batch, channels, height, width]`.
pub(super) fn resize(node: &Node, inputs: &Inputs) -> Result<Constant, String> {
    let (from, scales) = (inputs.at(0)?, inputs.floats(2)?);
    let [batch, channels, height, width] = from.shape[..] else {
        return Err("only of maps with two axes".into());
    };
    let to =
        [height as f32 * scales[2], width as f32 * scales[3]].map(|size| size.round() as usize);
    let rows = shares(node, height, to[0])?;
    let columns = shares(node, width, to[1])?;
    let mut resized = Vec::with_capacity(batch * channels * to[0] * to[1]);
    for map in inputs.floats(0)?.chunks(height * width) {
        for row in &rows {
            for column in &columns {
                let each = row.iter().flat_map(|&(y, share)| {
                    column
                        .iter()
                        .map(move |&(x, other)| share * other * map[y * width + x])
                });
                resized.push(each.sum());
            }
        }
    }
    Ok(Constant::floats(resized, &[batch, channels, to[0], to[1]]))
}

/// What each new position is made of: positions and their shares.
fn shares(node: &Node, from: usize, to: usize) -> Result<Vec<Vec<(usize, f32)>>, String> {
    let scale = from as f32 / to as f32;
    let place = |index: usize| match node.text("coordinate_transformation_mode") {
        "asymmetric" => index as f32 * scale,
        "align_corners" if to > 1 => index as f32 * (from - 1) as f32 / (to - 1) as f32,
        "align_corners" => 0.0,
        _ => (index as f32 + 0.5) * scale - 0.5,
    };
    let inside = |at: f32| at.clamp(0.0, (from - 1) as f32) as usize;
    let each = (0..to).map(|index| {
        let at = place(index);
        let (below, rest) = (at.floor(), at - at.floor());
        match node.text("mode") {
            "nearest" => Ok(vec![(inside(below), 1.0)]),
            "linear" => {
                let at = at.clamp(0.0, (from - 1) as f32);
                let (below, rest) = (at.floor(), at - at.floor());
                Ok(vec![
                    (inside(below), 1.0 - rest),
                    (inside(below + 1.0), rest),
                ])
            }
            "cubic" => {
                let a = node.float("cubic_coeff_a", -0.75);
                let taps = (-1..=2).map(|step| {
                    let step = step as f32;
                    (inside(below + step), cubic(a, (rest - step).abs()))
                });
                Ok(taps.collect())
            }
            mode => Err(format!("of the mode {mode}")),
        }
    });
    each.collect()
}

/// The cubic convolution kernel (Keys, IEEE TASSP 1981).
fn cubic(a: f32, x: f32) -> f32 {
    match x {
        x if x <= 1.0 => ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0,
        x if x < 2.0 => ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a,
        _ => 0.0,
    }
}
