//! Operations that move values.

use burn_ir::{BaseOperationIr, BoolOperationIr, IntOperationIr, ScalarIr, SliceOpIr, TensorIr};

use super::{Lowered, Lowering, Missing, longs, missing};
use crate::batch::{BATCHES, is_whole};
use crate::constant::Constant;
use crate::graph::{Attribute, Dim, Value};

/// ONNX's numbers of types.
pub(crate) const FLOAT: i64 = 1;
pub(crate) const INT64: i64 = 7;
pub(crate) const BOOL: i64 = 9;

fn axis(axis: usize) -> Vec<(&'static str, Attribute)> {
    vec![("axis", Attribute::Int(axis as i64))]
}

impl Lowering {
    pub(super) fn base(&mut self, operation: &BaseOperationIr) -> Lowered {
        use BaseOperationIr as Op;
        match operation {
            Op::Reshape(op) => {
                let to = self.dims(&op.out);
                let value = self.reshape(self.read(&op.input), &to)?;
                self.is(&op.out, value);
            }
            Op::SwapDims(op) => {
                let mut order: Vec<usize> = (0..op.input.shape.len()).collect();
                order.swap(op.dim1, op.dim2);
                let value = self.transpose(self.read(&op.input), &order);
                self.is(&op.out, value);
            }
            Op::Permute(op) => {
                let value = self.transpose(self.read(&op.input), &op.axes);
                self.is(&op.out, value);
            }
            Op::Expand(op) => {
                let to = self.dims(&op.out);
                let value = self.expand(self.read(&op.input), &to);
                self.is(&op.out, value);
            }
            Op::Slice(op) => self.slice(op)?,
            Op::Flip(op) => self.flip(&op.input, &op.axes, &op.out),
            Op::Select(op) => {
                let inputs = [self.read(&op.tensor), self.read(&op.indices)];
                self.emit("Gather", &inputs, axis(op.dim), &op.out);
            }
            Op::Gather(op) => {
                let inputs = [self.read(&op.tensor), self.read(&op.indices)];
                self.emit("GatherElements", &inputs, axis(op.dim), &op.out);
            }
            Op::Cat(op) => {
                let inputs: Vec<Value> =
                    op.tensors.iter().map(|tensor| self.read(tensor)).collect();
                self.emit("Concat", &inputs, axis(op.dim), &op.out);
            }
            Op::RepeatDim(op) => {
                let mut times = vec![1; op.tensor.shape.len()];
                times[op.dim] = op.times as i64;
                let inputs = [self.read(&op.tensor), self.ints(times)];
                self.emit("Tile", &inputs, vec![], &op.out);
            }
            Op::MaskWhere(op) => {
                let inputs = [&op.mask, &op.value, &op.tensor].map(|tensor| self.read(tensor));
                self.emit("Where", &inputs, vec![], &op.out);
            }
            Op::MaskFill(op) => {
                let value = self.number(op.value, op.tensor.dtype.is_float());
                let inputs = [self.read(&op.mask), value, self.read(&op.tensor)];
                self.emit("Where", &inputs, vec![], &op.out);
            }
            Op::Cast(op) => self.cast(&op.input, &op.out),
            Op::Zeros(op) | Op::Empty(op) => self.filled(&op.out, ScalarIr::Int(0)),
            Op::Ones(op) => self.filled(&op.out, ScalarIr::Int(1)),
            Op::Equal(op) => {
                let inputs = [self.read(&op.lhs), self.read(&op.rhs)];
                self.emit("Equal", &inputs, vec![], &op.out);
            }
            Op::EqualElem(op) => {
                let value = self.number(op.rhs, op.lhs.dtype.is_float());
                self.emit("Equal", &[self.read(&op.lhs), value], vec![], &op.out);
            }
            Op::NotEqual(op) => {
                let inputs = [self.read(&op.lhs), self.read(&op.rhs)];
                self.not_equal(inputs, &op.out);
            }
            Op::NotEqualElem(op) => {
                let value = self.number(op.rhs, op.lhs.dtype.is_float());
                self.not_equal([self.read(&op.lhs), value], &op.out);
            }
            _ => return missing(),
        }
        Ok(())
    }

    fn not_equal(&mut self, inputs: [Value; 2], out: &TensorIr) {
        let dims = self.dims(out);
        let equal = self.node("Equal", &inputs, vec![], dims);
        self.emit("Not", &[equal], vec![], out);
    }

    /// A tensor of one value.
    pub(super) fn filled(&mut self, out: &TensorIr, value: ScalarIr) {
        let to = self.dims(out);
        let one = vec![1; to.len()];
        let constant = if out.dtype.is_float() {
            Constant::floats(vec![value.elem()], &one)
        } else if out.dtype.is_bool() {
            Constant::bools(vec![value.elem::<i64>() != 0], &one)
        } else {
            Constant::ints(vec![value.elem()], &one)
        };
        let constant = self.graph.constant(constant);
        let value = self.expand(constant, &to);
        self.is(out, value);
    }

    fn slice(&mut self, op: &SliceOpIr) -> Lowered {
        let dims = self.dims(&op.tensor);
        let (mut starts, mut ends, mut steps, mut axes) = (vec![], vec![], vec![], vec![]);
        for (axis, range) in op.ranges.iter().enumerate() {
            if is_whole(range, dims[axis].at(BATCHES[0])) {
                continue;
            }
            match dims[axis] {
                Dim::Batch(_) => return Err(Missing::Images("it takes some of the images".into())),
                Dim::Fixed(size) => {
                    let (within, step) = range.to_range_and_step(size);
                    let (from, to) = (within.start as i64, within.end as i64);
                    // Backwards from the last, down to before the first.
                    let (from, to) = if step > 0 {
                        (from, to)
                    } else if from == 0 {
                        (to - 1, i64::MIN + 1)
                    } else {
                        (to - 1, from - 1)
                    };
                    starts.push(from);
                    ends.push(to);
                    steps.push(step as i64);
                    axes.push(axis as i64);
                }
            }
        }
        let input = self.read(&op.tensor);
        if axes.is_empty() {
            self.is(&op.out, input);
            return Ok(());
        }
        let [starts, ends, axes, steps] =
            [starts, ends, axes, steps].map(|values| self.ints(values));
        self.emit(
            "Slice",
            &[input, starts, ends, axes, steps],
            vec![],
            &op.out,
        );
        Ok(())
    }

    fn flip(&mut self, input: &TensorIr, axes: &[usize], out: &TensorIr) {
        let input = self.read(input);
        let count = axes.len();
        let starts = self.ints(vec![-1; count]);
        let ends = self.ints(vec![i64::MIN + 1; count]);
        let steps = self.ints(vec![-1; count]);
        let axes = self.ints(longs(axes.iter().copied()));
        self.emit("Slice", &[input, starts, ends, axes, steps], vec![], out);
    }

    pub(super) fn cast(&mut self, input: &TensorIr, out: &TensorIr) {
        let value = self.read(input);
        let of = |tensor: &TensorIr| match tensor.dtype {
            dtype if dtype.is_float() => FLOAT,
            dtype if dtype.is_bool() => BOOL,
            _ => INT64,
        };
        // Floats of any width are one type here.
        match (of(input), of(out)) {
            (from, to) if from == to => self.is(out, value),
            (_, to) => self.emit("Cast", &[value], vec![("to", Attribute::Int(to))], out),
        }
    }

    pub(super) fn boolean(&mut self, operation: &BoolOperationIr) -> Lowered {
        use BoolOperationIr as Op;
        match operation {
            Op::IntoFloat(op) | Op::IntoInt(op) => self.cast(&op.input, &op.out),
            Op::Not(op) => self.emit("Not", &[self.read(&op.input)], vec![], &op.out),
            Op::And(op) => {
                let inputs = [self.read(&op.lhs), self.read(&op.rhs)];
                self.emit("And", &inputs, vec![], &op.out);
            }
            Op::Or(op) => {
                let inputs = [self.read(&op.lhs), self.read(&op.rhs)];
                self.emit("Or", &inputs, vec![], &op.out);
            }
            _ => return missing(),
        }
        Ok(())
    }

    pub(super) fn integer(&mut self, operation: &IntOperationIr) -> Lowered {
        match operation {
            IntOperationIr::IntoFloat(op) => self.cast(&op.input, &op.out),
            _ => return missing(),
        }
        Ok(())
    }
}
