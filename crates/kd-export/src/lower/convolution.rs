//! Convolutions.

use burn_ir::{Conv1dOpIr, Conv2dOpIr, Conv3dOpIr, ConvTranspose2dOpIr, TensorIr};

use super::module::pads;
use super::{Lowered, Lowering, longs};
use crate::graph::{Attribute, Attributes};

/// What convolutions of any number of axes have in common.
struct Options<const N: usize> {
    stride: [usize; N],
    padding: [(usize, usize); N],
    dilation: [usize; N],
    groups: usize,
}

impl<const N: usize> Options<N> {
    fn attributes(self, weight: &TensorIr) -> Attributes {
        let kernel = weight.shape.iter().copied().skip(2);
        vec![
            ("kernel_shape", Attribute::Ints(longs(kernel))),
            ("strides", Attribute::Ints(longs(self.stride))),
            ("pads", pads(self.padding)),
            ("dilations", Attribute::Ints(longs(self.dilation))),
            ("group", Attribute::Int(self.groups as i64)),
        ]
    }
}

impl Lowering {
    fn conv(
        &mut self,
        op: &'static str,
        [x, weight]: [&TensorIr; 2],
        bias: &Option<TensorIr>,
        attributes: Attributes,
        out: &TensorIr,
    ) -> Lowered {
        let mut inputs = vec![self.read(x), self.read(weight)];
        inputs.extend(bias.as_ref().map(|bias| self.read(bias)));
        self.emit(op, &inputs, attributes, out);
        Ok(())
    }

    pub(super) fn conv1d(&mut self, op: &Conv1dOpIr) -> Lowered {
        let options = Options {
            stride: op.options.stride,
            padding: op.options.padding,
            dilation: op.options.dilation,
            groups: op.options.groups,
        };
        let attributes = options.attributes(&op.weight);
        self.conv("Conv", [&op.x, &op.weight], &op.bias, attributes, &op.out)
    }

    pub(super) fn conv2d(&mut self, op: &Conv2dOpIr) -> Lowered {
        let options = Options {
            stride: op.options.stride,
            padding: op.options.padding,
            dilation: op.options.dilation,
            groups: op.options.groups,
        };
        let attributes = options.attributes(&op.weight);
        self.conv("Conv", [&op.x, &op.weight], &op.bias, attributes, &op.out)
    }

    pub(super) fn conv3d(&mut self, op: &Conv3dOpIr) -> Lowered {
        let options = Options {
            stride: op.options.stride,
            padding: op.options.padding.map(|padding| (padding, padding)),
            dilation: op.options.dilation,
            groups: op.options.groups,
        };
        let attributes = options.attributes(&op.weight);
        self.conv("Conv", [&op.x, &op.weight], &op.bias, attributes, &op.out)
    }

    pub(super) fn conv_transpose2d(&mut self, op: &ConvTranspose2dOpIr) -> Lowered {
        let options = Options {
            stride: op.options.stride,
            padding: op.options.padding.map(|padding| (padding, padding)),
            dilation: op.options.dilation,
            groups: op.options.groups,
        };
        let mut attributes = options.attributes(&op.weight);
        let added = longs(op.options.padding_out);
        attributes.push(("output_padding", Attribute::Ints(added)));
        let inputs = [&op.x, &op.weight];
        self.conv("ConvTranspose", inputs, &op.bias, attributes, &op.out)
    }
}
