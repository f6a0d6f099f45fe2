//! A head of convolutions that all maps of a pyramid go through, as others see it.

use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use kd_kernels::{ConvOptions, Epilogue, conv2d};

use super::rows_of_map;

/// The two branches of a head with what they made of a batch.
#[derive(Clone, Debug)]
pub struct DenseHead {
    /// Says the classes.
    pub classes: HeadBranch,
    /// Says the offsets.
    pub boxes: HeadBranch,
}

/// Convolutions with a ReLU between them, the last of which gives rows.
#[derive(Clone, Debug)]
pub struct HeadBranch {
    /// Of each convolution but the last: what it gives for each map before its ReLU, `[batch, channels, height, width]`.
    pub hidden: Vec<Vec<Tensor<4>>>,
    /// Weight `[outputs, inputs, 3, 3]` and bias `[outputs]` of each convolution. They keep a map's size.
    pub layers: Vec<(Tensor<4>, Tensor<1>)>,
    /// Numbers of a row: the classes, or 4.
    pub row: usize,
}

impl HeadBranch {
    /// The rows `[batch, boxes, row]` of a map that stands for what the `layer`th convolution, counted from 1, gives.
    ///
    /// No gradient reaches the convolutions, which stay as they are.
    pub fn behind(&self, layer: usize, map: Tensor<4>) -> Tensor<3> {
        let layers = self.layers.iter().skip(layer);
        let last = layers.fold(map, |x, (weight, bias)| {
            let epilogue = Epilogue::default().with_bias(bias.clone().detach());
            conv2d(relu(x), weight.clone().detach(), OPTIONS, epilogue)
        });
        rows_of_map(last, self.row)
    }

    /// The same on another device: `of4` and `of1` say where tensors go.
    pub(crate) fn map(
        self,
        of4: impl Fn(Tensor<4>) -> Tensor<4>,
        of1: impl Fn(Tensor<1>) -> Tensor<1>,
    ) -> Self {
        let hidden = self.hidden.into_iter();
        let layers = self.layers.into_iter();
        Self {
            hidden: hidden
                .map(|maps| maps.into_iter().map(&of4).collect())
                .collect(),
            layers: layers.map(|(w, b)| (of4(w), of1(b))).collect(),
            row: self.row,
        }
    }
}

const OPTIONS: ConvOptions = ConvOptions {
    stride: [1; 2],
    padding: [1; 2],
    dilation: [1; 2],
    groups: 1,
};

impl DenseHead {
    /// The same on the autodiff device, without gradients.
    pub(crate) fn lift(self) -> Self {
        let lift = |branch: HeadBranch| branch.map(Tensor::from_inner, Tensor::from_inner);
        Self {
            classes: lift(self.classes),
            boxes: lift(self.boxes),
        }
    }

    /// The same on the plain device, without its graph.
    pub(crate) fn lower(self) -> Self {
        let lower = |branch: HeadBranch| branch.map(Tensor::inner, Tensor::inner);
        Self {
            classes: lower(self.classes),
            boxes: lower(self.boxes),
        }
    }
}
