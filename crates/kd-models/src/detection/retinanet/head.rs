//! The two branches of RetinaNet's head.

use burn::module::{Initializer, Module};
use burn::nn::conv::Conv2d;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use kd_core::detection::{HeadBranch, rows_of_map};
use kd_core::draw;

use super::super::pyramid::blank;
use crate::fused::{conv, conv_relu};
use crate::macs::MacCounter;

/// Deviation of the weights at the start.
const DEVIATION: f64 = 0.01;
/// Convolutions before the last.
const HIDDEN: usize = 4;

/// Convolutions with a ReLU, and one that says the rows; all maps go through the same ones.
#[derive(Module, Debug)]
pub(super) struct Branch {
    conv: Vec<Conv2d>,
    last: Conv2d,
    row: usize,
}

impl Branch {
    /// For so many boxes a cell, of each of which `row` numbers are said, at the start all `bias`.
    pub fn new(width: usize, boxes: usize, row: usize, bias: f64, device: &Device) -> Self {
        let normal = |to: usize| {
            let mut conv = blank([width, to], 3, device);
            conv.weight = draw::normal([to, width, 3, 3], DEVIATION, device);
            conv
        };
        let mut last = normal(boxes * row);
        last.bias = Some(Initializer::Constant { value: bias }.init([boxes * row], device));
        Self {
            conv: (0..HIDDEN).map(|_| normal(width)).collect(),
            last,
            row,
        }
    }

    /// Rows `[batch, boxes, row]` of all maps.
    pub fn forward(&self, maps: &[Tensor<4>]) -> Tensor<3> {
        let rows = maps.iter().map(|map| {
            let layers = self.conv.iter();
            let x = layers.fold(map.clone(), |x, layer| conv_relu(layer, x));
            rows_of_map(conv(&self.last, x), self.row)
        });
        Tensor::cat(rows.collect(), 1)
    }

    /// The same, and what its convolutions gave on the way.
    pub fn shown(&self, maps: &[Tensor<4>]) -> (Tensor<3>, HeadBranch) {
        let mut hidden = vec![Vec::new(); self.conv.len()];
        let mut rows = Vec::new();
        for map in maps {
            let mut x = map.clone();
            for (layer, kept) in self.conv.iter().zip(&mut hidden) {
                let before = conv(layer, x);
                kept.push(before.clone());
                x = relu(before);
            }
            rows.push(rows_of_map(conv(&self.last, x), self.row));
        }
        let layers = self.conv.iter().chain([&self.last]);
        let branch = HeadBranch {
            hidden,
            layers: layers
                .map(|layer| {
                    let [outputs, ..] = layer.weight.dims();
                    let weight = layer.weight.val();
                    let none = || Tensor::zeros([outputs], &weight.device());
                    let bias = layer.bias.as_ref().map_or_else(none, |bias| bias.val());
                    (weight, bias)
                })
                .collect(),
            row: self.row,
        };
        (Tensor::cat(rows, 1), branch)
    }

    /// Counts multiply-accumulates for maps of these sizes.
    pub fn count(&self, macs: &mut MacCounter, sizes: &[[usize; 2]]) {
        for size in sizes {
            for layer in self.conv.iter().chain([&self.last]) {
                macs.branch(*size, layer);
            }
        }
    }
}
