//! Arithmetic, value by value and along axes.

use burn_ir::{
    BinaryOpIr, FloatOperationIr, MatmulOpIr, NumericOperationIr, PadModeIr, PadOpIr,
    ReduceDimOpIr, ReduceOpIr, ScalarIr, ScalarOpIr, UnaryOpIr,
};

use super::{Lowered, Lowering, longs, missing};
use crate::constant::Constant;
use crate::graph::Attribute;

impl Lowering {
    pub(super) fn unary(&mut self, op: &'static str, unary: &UnaryOpIr) -> Lowered {
        self.emit(op, &[self.read(&unary.input)], vec![], &unary.out);
        Ok(())
    }

    pub(super) fn binary(&mut self, op: &'static str, binary: &BinaryOpIr) -> Lowered {
        let inputs = [self.read(&binary.lhs), self.read(&binary.rhs)];
        self.emit(op, &inputs, vec![], &binary.out);
        Ok(())
    }

    /// A tensor and a number.
    fn with_number(&mut self, op: &'static str, scalar: &ScalarOpIr) -> Lowered {
        let number = self.number(scalar.rhs, scalar.lhs.dtype.is_float());
        self.emit(op, &[self.read(&scalar.lhs), number], vec![], &scalar.out);
        Ok(())
    }

    pub(super) fn numeric(&mut self, operation: &NumericOperationIr, float: bool) -> Lowered {
        use NumericOperationIr as Op;
        match operation {
            Op::Add(op) => self.binary("Add", op),
            Op::Sub(op) => self.binary("Sub", op),
            Op::Mul(op) => self.binary("Mul", op),
            Op::Div(op) => self.binary("Div", op),
            Op::AddScalar(op) => self.with_number("Add", op),
            Op::SubScalar(op) => self.with_number("Sub", op),
            Op::MulScalar(op) => self.with_number("Mul", op),
            Op::DivScalar(op) => self.with_number("Div", op),
            Op::Powi(op) => self.binary("Pow", op),
            Op::PowiScalar(op) => self.with_number("Pow", op),
            Op::Greater(op) => self.binary("Greater", op),
            Op::GreaterEqual(op) => self.binary("GreaterOrEqual", op),
            Op::Lower(op) => self.binary("Less", op),
            Op::LowerEqual(op) => self.binary("LessOrEqual", op),
            Op::GreaterElem(op) => self.with_number("Greater", op),
            Op::GreaterEqualElem(op) => self.with_number("GreaterOrEqual", op),
            Op::LowerElem(op) => self.with_number("Less", op),
            Op::LowerEqualElem(op) => self.with_number("LessOrEqual", op),
            Op::Abs(op) => self.unary("Abs", op),
            Op::Neg(op) => self.unary("Neg", op),
            Op::Sign(op) => self.unary("Sign", op),
            Op::Full(op) => {
                self.filled(&op.out, op.value);
                Ok(())
            }
            Op::MeanDim(op) => self.along("ReduceMean", op),
            Op::SumDim(op) => self.sum(op),
            Op::MaxDim(op) => self.along("ReduceMax", op),
            Op::MinDim(op) => self.along("ReduceMin", op),
            Op::Mean(op) => self.of_all("ReduceMean", op),
            Op::Clamp(op) if float => {
                let input = self.read(&op.tensor);
                self.clip(input, op.min, op.max, &op.out)
            }
            Op::ClampMin(op) if float => {
                let input = self.read(&op.lhs);
                self.clip(input, op.rhs, ScalarIr::Float(f64::from(f32::MAX)), &op.out)
            }
            Op::ClampMax(op) if float => {
                let input = self.read(&op.lhs);
                self.clip(input, ScalarIr::Float(f64::from(f32::MIN)), op.rhs, &op.out)
            }
            Op::Pad(op) => self.pad(op),
            _ => missing(),
        }
    }

    /// Bounds as constants, which TensorRT asks for.
    fn clip(
        &mut self,
        input: usize,
        min: ScalarIr,
        max: ScalarIr,
        out: &burn_ir::TensorIr,
    ) -> Lowered {
        let inputs = [input, self.scalar(min.elem()), self.scalar(max.elem())];
        self.emit("Clip", &inputs, vec![], out);
        Ok(())
    }

    fn along(&mut self, op: &'static str, reduce: &ReduceDimOpIr) -> Lowered {
        self.not_along_images(&self.dims(&reduce.input), reduce.axis)?;
        let attributes = vec![
            ("axes", Attribute::Ints(vec![reduce.axis as i64])),
            ("keepdims", Attribute::Int(1)),
        ];
        self.emit(op, &[self.read(&reduce.input)], attributes, &reduce.out);
        Ok(())
    }

    /// Since opset 13 the axes of a sum are an input.
    fn sum(&mut self, reduce: &ReduceDimOpIr) -> Lowered {
        self.not_along_images(&self.dims(&reduce.input), reduce.axis)?;
        let axes = self.ints(vec![reduce.axis as i64]);
        let inputs = [self.read(&reduce.input), axes];
        let keep = vec![("keepdims", Attribute::Int(1))];
        self.emit("ReduceSum", &inputs, keep, &reduce.out);
        Ok(())
    }

    /// Of every value, constants only: of a batch it would mix the images.
    fn of_all(&mut self, op: &'static str, reduce: &ReduceOpIr) -> Lowered {
        let dims = self.dims(&reduce.input);
        (0..dims.len()).try_for_each(|axis| self.not_along_images(&dims, axis))?;
        let axes = longs(0..dims.len());
        let attributes = vec![
            ("axes", Attribute::Ints(axes)),
            ("keepdims", Attribute::Int(0)),
        ];
        let value = self.node(op, &[self.read(&reduce.input)], attributes, vec![]);
        let to = self.dims(&reduce.out);
        let value = self.reshape(value, &to)?;
        self.is(&reduce.out, value);
        Ok(())
    }

    fn pad(&mut self, op: &PadOpIr) -> Lowered {
        let begins = op.padding.iter().map(|(begin, _)| *begin);
        let ends = op.padding.iter().map(|(_, end)| *end);
        let pads = self.ints(longs(begins.chain(ends)));
        let mut inputs = vec![self.read(&op.input), pads];
        let mode = match op.mode {
            PadModeIr::Constant(value) => {
                inputs.push(self.number(value, op.input.dtype.is_float()));
                "constant"
            }
            PadModeIr::Reflect => "reflect",
            PadModeIr::Edge => "edge",
        };
        self.emit(
            "Pad",
            &inputs,
            vec![("mode", Attribute::Text(mode))],
            &op.out,
        );
        Ok(())
    }

    pub(super) fn float(&mut self, operation: &FloatOperationIr) -> Lowered {
        use FloatOperationIr as Op;
        match operation {
            Op::Exp(op) => self.unary("Exp", op),
            Op::Log(op) => self.unary("Log", op),
            Op::Erf(op) => self.unary("Erf", op),
            Op::Sqrt(op) => self.unary("Sqrt", op),
            Op::Recip(op) => self.unary("Reciprocal", op),
            Op::Tanh(op) => self.unary("Tanh", op),
            Op::Sin(op) => self.unary("Sin", op),
            Op::Cos(op) => self.unary("Cos", op),
            Op::Floor(op) => self.unary("Floor", op),
            Op::Ceil(op) => self.unary("Ceil", op),
            // Both round halves to even.
            Op::Round(op) => self.unary("Round", op),
            Op::Powf(op) => self.binary("Pow", op),
            Op::PowfScalar(op) => self.with_number("Pow", op),
            Op::Log1p(op) => {
                let one = self.scalar(1.0);
                let dims = self.dims(&op.input);
                let sum = self.node("Add", &[self.read(&op.input), one], vec![], dims);
                self.emit("Log", &[sum], vec![], &op.out);
                Ok(())
            }
            Op::IntoInt(op) => {
                self.cast(&op.input, &op.out);
                Ok(())
            }
            Op::Matmul(op) => self.matmul(op),
            _ => missing(),
        }
    }

    fn matmul(&mut self, op: &MatmulOpIr) -> Lowered {
        let inputs = [self.read(&op.lhs), self.read(&op.rhs)];
        self.emit("MatMul", &inputs, vec![], &op.out);
        Ok(())
    }

    /// A constant vector along the last axis, as `[1, ..., n]` is written by burn.
    pub(super) fn vector(&mut self, values: Vec<f32>) -> usize {
        let count = values.len();
        self.graph.constant(Constant::floats(values, &[count]))
    }
}
