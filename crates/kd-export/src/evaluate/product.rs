//! Convolutions and products of matrices, by burn.

use burn::tensor::module::{conv_transpose2d, conv2d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};
use burn::tensor::{Device, Tensor, TensorData};

use super::Inputs;
use super::arithmetic::{common, places};
use crate::constant::Constant;
use crate::graph::Node;

fn tensor<const D: usize>(values: &[f32], shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

fn constant<const D: usize>(tensor: Tensor<D>) -> Constant {
    let shape = tensor.dims();
    let values = tensor.into_data().convert::<f32>().iter().collect();
    Constant::floats(values, &shape)
}

/// A convolution over one or two axes.
pub(super) fn conv(node: &Node, inputs: &Inputs, device: &Device) -> Result<Constant, String> {
    let (x, weight) = (inputs.at(0)?, inputs.at(1)?);
    // One axis is two, of which the first has one place.
    let flat = x.shape.len() == 3;
    let four = |shape: &[usize]| match *shape {
        [a, b, c, d] => Ok([a, b, c, d]),
        [a, b, d] => Ok([a, b, 1, d]),
        _ => Err(format!("over maps of the shape {shape:?}")),
    };
    let pair = |name, default: i64| {
        let values = node.ints(name, &[default; 2]);
        match values[..] {
            [one] => [default as usize, one as usize],
            _ => [values[0] as usize, values[1] as usize],
        }
    };
    let pads = node.ints("pads", &[0; 4]);
    let padding = match pads[..] {
        [begin, end] => [(0, 0), (begin as usize, end as usize)],
        _ => [0, 1].map(|axis| (pads[axis] as usize, pads[axis + 2] as usize)),
    };
    let groups = node.int("group", 1) as usize;
    let bias = inputs.get(2).and_then(Constant::as_floats);
    let bias = bias.map(|bias| tensor(bias, [bias.len()], device));
    let x = tensor(inputs.floats(0)?, four(&x.shape)?, device);
    let weight = tensor(inputs.floats(1)?, four(&weight.shape)?, device);
    let (stride, dilation) = (pair("strides", 1), pair("dilations", 1));
    let y = if node.op == "Conv" {
        let options = ConvOptions {
            stride,
            padding,
            dilation,
            groups,
        };
        conv2d(x, weight, bias, options)
    } else {
        let padding = padding.map(|(begin, _)| begin);
        let added = pair("output_padding", 0);
        let options = ConvTransposeOptions::new(stride, padding, added, dilation, groups);
        conv_transpose2d(x, weight, bias, options)
    };
    let [batch, channels, height, width] = y.dims();
    let y = constant(y);
    Ok(match flat {
        true => y.reshaped(&[batch, channels, height * width]),
        false => y,
    })
}

/// Products of the last two axes, broadcast along the others.
pub(super) fn matmul(inputs: &Inputs, device: &Device) -> Result<Constant, String> {
    let (a, b) = (inputs.at(0)?, inputs.at(1)?);
    let (Some((rows, a_outer)), Some((columns, b_outer))) = (split(a), split(b)) else {
        return Err("of a vector".into());
    };
    let outer = common(&[a_outer, b_outer])?;
    let count: usize = outer.iter().product();
    let spread = |of: &Constant, own: &[usize], [height, width]: [usize; 2]| {
        let values = of.as_floats().ok_or("of no floats")?;
        let each = height * width;
        let blocks = places(own, &outer);
        let blocks = blocks
            .iter()
            .flat_map(|&at| &values[at * each..(at + 1) * each]);
        let values: Vec<f32> = blocks.copied().collect();
        Ok::<_, String>(tensor(&values, [count, height, width], device))
    };
    let product = spread(a, a_outer, rows)?.matmul(spread(b, b_outer, columns)?);
    let to = [&outer[..], &[rows[0], columns[1]]].concat();
    Ok(constant(product).reshaped(&to))
}

/// The last two sizes, and those before.
fn split(of: &Constant) -> Option<([usize; 2], &[usize])> {
    let (outer, &[height, width]) = of.shape.split_last_chunk()?;
    Some(([height, width], outer))
}

/// `a · b + c`.
pub(super) fn gemm(node: &Node, inputs: &Inputs, device: &Device) -> Result<Constant, String> {
    let matrix = |place: usize, transposed: bool| {
        let of = inputs.at(place)?;
        let [rows, columns] = of.shape[..] else {
            return Err("of no matrix".to_owned());
        };
        let matrix = tensor(inputs.floats(place)?, [rows, columns], device);
        Ok(if transposed {
            matrix.transpose()
        } else {
            matrix
        })
    };
    let a = matrix(0, node.int("transA", 0) == 1)?;
    let mut y = a.matmul(matrix(1, node.int("transB", 0) == 1)?);
    if let Some(bias) = inputs.get(2).and_then(Constant::as_floats) {
        y = y + tensor(bias, [1, bias.len()], device);
    }
    Ok(constant(y))
}
