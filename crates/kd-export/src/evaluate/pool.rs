//! Pooling.

use super::Inputs;
use crate::constant::Constant;
use crate::graph::Node;

/// Runs the node on `[batch, channels, height, width]`.
pub(super) fn pool(node: &Node, inputs: &Inputs) -> Result<Constant, String> {
    let (from, values) = (inputs.at(0)?, inputs.floats(0)?);
    let [batch, channels, height, width] = from.shape[..] else {
        return Err("only of maps with two axes".into());
    };
    let (size, global) = ([height, width], node.op == "GlobalAveragePool");
    let list = |name, default: [usize; 2]| -> [usize; 2] {
        let values = node.ints(name, &default.map(|value| value as i64));
        [values[0] as usize, values[1] as usize]
    };
    let kernel = if global {
        size
    } else {
        list("kernel_shape", [1, 1])
    };
    let stride = list("strides", [1, 1]);
    let dilation = list("dilations", [1, 1]);
    let pads = node.ints("pads", &[0; 4]);
    let up = node.int("ceil_mode", 0) == 1;
    let [tall, wide] = [0, 1].map(|axis| {
        let padded = size[axis] + (pads[axis] + pads[axis + 2]) as usize;
        let room = padded - ((kernel[axis] - 1) * dilation[axis] + 1).min(padded);
        let steps = if up {
            room.div_ceil(stride[axis])
        } else {
            room / stride[axis]
        };
        steps + 1
    });
    let counts_all = node.int("count_include_pad", 0) == 1;
    let mut pooled = Vec::with_capacity(batch * channels * tall * wide);
    for map in values.chunks(height * width) {
        for y in 0..tall {
            for x in 0..wide {
                let at = |step: usize, within: usize, axis: usize| {
                    let place = step * stride[axis] + within * dilation[axis];
                    let place = place.checked_sub(pads[axis] as usize)?;
                    (place < size[axis]).then_some(place)
                };
                let rows = (0..kernel[0]).filter_map(|within| at(y, within, 0));
                let seen = rows.flat_map(|row| {
                    let columns = (0..kernel[1]).filter_map(move |within| at(x, within, 1));
                    columns.map(move |column| map[row * width + column])
                });
                pooled.push(if node.op == "MaxPool" {
                    seen.fold(f32::NEG_INFINITY, f32::max)
                } else {
                    let (sum, count) = seen.fold((0.0, 0), |(sum, count), value| {
                        (sum + f64::from(value), count + 1)
                    });
                    let all = if counts_all {
                        kernel[0] * kernel[1]
                    } else {
                        count
                    };
                    (sum / all as f64) as f32
                });
            }
        }
    }
    Ok(Constant::floats(pooled, &[batch, channels, tall, wide]))
}
