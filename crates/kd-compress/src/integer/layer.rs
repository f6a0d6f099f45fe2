//! Convolutions and linear layers with their weights.

use kd_export::trace::{Graph, Node, Values};
use kd_kernels::int8::{Convolution, ConvolutionSpec, IntegerError, IntegerSet, Map};

use super::compile::{Wrong, wrong};
use crate::geometry::Geometry;

/// The largest integer of a bias, which leaves as much for the sum.
const MOST: f32 = (1 << 30) as f32;

/// A layer as the graph has it.
pub(super) struct Layer {
    /// `[outputs, inputs / groups, height, width]`.
    pub shape: [usize; 4],
    levels: Vec<i8>,
    scales: Vec<f32>,
    bias: Vec<f32>,
    geometry: Geometry,
}

impl Layer {
    /// Reads a `Conv`, `Gemm` or `MatMul`; `weight` is the `DequantizeLinear` of its weight.
    pub fn read(graph: &Graph, node: &Node, weight: &Node) -> Result<Self, Wrong> {
        let constant = |of: &Node, at: usize| of.input(at).and_then(|v| graph.constants.get(&v));
        let (levels, scales) = (constant(weight, 0), constant(weight, 1));
        let (Some(levels), Some(scales)) = (levels, scales.and_then(|s| s.as_floats())) else {
            return wrong("weights without a grid");
        };
        let Values::Int8(values) = &levels.values else {
            return wrong("weights of other than 8 bits");
        };
        let mut layer = match (node.op, &levels.shape[..]) {
            ("Conv", &[outputs, inputs, height, width]) => Self {
                shape: [outputs, inputs, height, width],
                levels: values.clone(),
                ..Self::convolution(node)?
            },
            ("Gemm" | "MatMul", &[rows, columns]) => {
                let turned = node.op == "Gemm" && node.int("transB", 0) == 1;
                let plain = node.float("alpha", 1.0) == 1.0 && node.float("beta", 1.0) == 1.0;
                if !plain || node.int("transA", 0) == 1 {
                    return wrong("a product with factors, or of a transposed input");
                }
                let (outputs, inputs) = if turned {
                    (rows, columns)
                } else {
                    (columns, rows)
                };
                let level = |output: usize, input: usize| match turned {
                    true => values[output * inputs + input],
                    false => values[input * outputs + output],
                };
                let all = (0..outputs).flat_map(|o| (0..inputs).map(move |i| (o, i)));
                Self {
                    shape: [outputs, inputs, 1, 1],
                    levels: all.map(|(output, input)| level(output, input)).collect(),
                    ..Self::linear()
                }
            }
            _ => return wrong("weights along other than two axes of pixels"),
        };
        let outputs = layer.shape[0];
        layer.scales = match scales {
            [one] => vec![*one; outputs],
            scales => scales.to_vec(),
        };
        layer.bias = match node.input(2) {
            None => vec![0.0; outputs],
            Some(_) => match constant(node, 2).and_then(|bias| bias.as_floats()) {
                Some([one]) => vec![*one; outputs],
                Some(bias) => bias.to_vec(),
                None => return wrong("a bias that is no constant"),
            },
        };
        if layer.scales.len() != outputs || layer.bias.len() != outputs {
            return wrong("scales or biases that are not one for each output");
        }
        Ok(layer)
    }

    fn linear() -> Self {
        Self {
            shape: [0; 4],
            levels: vec![],
            scales: vec![],
            bias: vec![],
            geometry: Geometry::LINEAR,
        }
    }

    fn convolution(node: &Node) -> Result<Self, Wrong> {
        Ok(Self {
            geometry: Geometry::of(node).or_else(wrong)?,
            ..Self::linear()
        })
    }

    /// Pixels of the number 0 that it reads on a side.
    pub fn border(&self) -> usize {
        self.geometry.padding[0].max(self.geometry.padding[1])
    }

    /// Inputs of all groups.
    pub fn inputs(&self) -> usize {
        self.shape[1] * self.geometry.groups
    }

    /// The layer with packed weights.
    pub fn built(
        &self,
        set: IntegerSet,
        input: Map,
        output: Map,
        residual: Option<Map>,
        clip: [f32; 2],
    ) -> Result<Convolution, IntegerError> {
        let scale = input.grid.map_or(1.0, |grid| grid.scale());
        let (mut levels, mut scales) = (self.levels.clone(), self.scales.clone());
        let each = levels.len() / scales.len().max(1);
        let mut bias = Vec::new();
        for (output, &number) in self.bias.iter().enumerate() {
            let least = number.abs() / (scale * MOST);
            if scales[output] < least {
                let shrink = scales[output] / least;
                for level in &mut levels[output * each..][..each] {
                    *level = (f32::from(*level) * shrink).round_ties_even() as i8;
                }
                scales[output] = least;
            }
            // `as` saturates.
            bias.push((number / (scale * scales[output])).round_ties_even() as i32);
        }
        let [_, _, height, width] = self.shape;
        Convolution::new(
            set,
            &ConvolutionSpec {
                input,
                output,
                residual,
                weight: &levels,
                weight_scales: &scales,
                bias: &bias,
                kernel: [height, width],
                stride: self.geometry.stride,
                padding: self.geometry.padding,
                dilation: self.geometry.dilation,
                groups: self.geometry.groups,
                clip,
            },
        )
    }
}
