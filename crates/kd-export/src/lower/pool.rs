//! Pooling.

use burn_ir::{AdaptiveAvgPool2dOpIr, AvgPool2dOpIr, MaxPool2dOpIr};

use super::module::pads;
use super::{Lowered, Lowering, longs};
use crate::constant::Constant;
use crate::graph::{Attribute, Dim};

impl Lowering {
    pub(super) fn max_pool2d(&mut self, op: &MaxPool2dOpIr) -> Lowered {
        let attributes = vec![
            ("kernel_shape", Attribute::Ints(longs(op.kernel_size))),
            ("strides", Attribute::Ints(longs(op.stride))),
            ("pads", pads(op.padding.map(|padding| (padding, padding)))),
            ("dilations", Attribute::Ints(longs(op.dilation))),
            ("ceil_mode", Attribute::Int(op.ceil_mode.into())),
        ];
        self.emit("MaxPool", &[self.read(&op.x)], attributes, &op.out);
        Ok(())
    }

    pub(super) fn avg_pool2d(&mut self, op: &AvgPool2dOpIr) -> Lowered {
        if op.ceil_mode {
            return Err("with `ceil_mode`, which runtimes count differently".into());
        }
        let attributes = vec![
            ("kernel_shape", Attribute::Ints(longs(op.kernel_size))),
            ("strides", Attribute::Ints(longs(op.stride))),
            ("pads", pads(op.padding.map(|padding| (padding, padding)))),
            (
                "count_include_pad",
                Attribute::Int(op.count_include_pad.into()),
            ),
        ];
        self.emit("AveragePool", &[self.read(&op.x)], attributes, &op.out);
        Ok(())
    }

    /// To one pixel it is `GlobalAveragePool`; to a divisor of the size `AveragePool`; else a product with a
    /// matrix of shares for each axis.
    pub(super) fn adaptive_avg_pool2d(&mut self, op: &AdaptiveAvgPool2dOpIr) -> Lowered {
        let (x, dims) = (self.read(&op.x), self.dims(&op.x));
        let size = Self::fixed(&dims[2..], "the size goes")?;
        let to = op.output_size;
        if to == size[..] {
            self.is(&op.out, x);
        } else if to == [1, 1] {
            self.emit("GlobalAveragePool", &[x], vec![], &op.out);
        } else if size.iter().zip(to).all(|(from, to)| from % to == 0) {
            let kernel = longs(size.iter().zip(to).map(|(from, to)| from / to));
            let attributes = vec![
                ("kernel_shape", Attribute::Ints(kernel.clone())),
                ("strides", Attribute::Ints(kernel)),
            ];
            self.emit("AveragePool", &[x], attributes, &op.out);
        } else {
            let [rows, columns] = [0, 1].map(|axis| shares(size[axis], to[axis]));
            let mut narrow = dims;
            narrow[3] = Dim::Fixed(to[1]);
            let columns = columns.transposed();
            let columns = self.graph.constant(columns);
            let narrowed = self.node("MatMul", &[x, columns], vec![], narrow);
            let rows = self.graph.constant(rows);
            self.emit("MatMul", &[rows, narrowed], vec![], &op.out);
        }
        Ok(())
    }
}

/// The share of every position in every mean, `[to, from]`. A mean goes from `⌊i · from / to⌋` to before
/// `⌈(i + 1) · from / to⌉`, as in PyTorch.
fn shares(from: usize, to: usize) -> Constant {
    let mut values = vec![0.0; to * from];
    for (index, row) in values.chunks_mut(from).enumerate() {
        let (start, end) = (index * from / to, ((index + 1) * from).div_ceil(to));
        row[start..end].fill(1.0 / (end - start) as f32);
    }
    Constant::floats(values, &[to, from])
}

impl Constant {
    /// A matrix with its axes exchanged.
    pub(crate) fn transposed(&self) -> Self {
        let [rows, columns] = self.shape[..] else {
            return self.clone();
        };
        let values = self.as_floats().unwrap_or_default();
        let each = (0..columns).flat_map(|column| (0..rows).map(move |row| (row, column)));
        let moved = each.map(|(row, column)| values[row * columns + column]);
        Self::floats(moved.collect(), &[columns, rows])
    }
}
