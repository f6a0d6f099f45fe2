//! Activations.

use burn_ir::{ActivationOperationIr, DimOpIr};

use super::{Lowered, Lowering, missing};
use crate::graph::{Attribute, Value};

impl Lowering {
    pub(super) fn activation(&mut self, operation: &ActivationOperationIr) -> Lowered {
        use ActivationOperationIr as Op;
        match operation {
            Op::Relu(op) => self.unary("Relu", op),
            Op::Sigmoid(op) => self.unary("Sigmoid", op),
            Op::Gelu(op) => {
                let x = self.read(&op.input);
                let y = self.gelu(x);
                self.is(&op.out, y);
                Ok(())
            }
            Op::LeakyRelu(op) => {
                let alpha = vec![("alpha", Attribute::Float(op.rhs.elem()))];
                self.emit("LeakyRelu", &[self.read(&op.lhs)], alpha, &op.out);
                Ok(())
            }
            Op::PRelu(op) => self.binary("PRelu", op),
            Op::HardSigmoid(op) => {
                let attributes = vec![
                    ("alpha", Attribute::Float(op.alpha.elem())),
                    ("beta", Attribute::Float(op.beta.elem())),
                ];
                self.emit("HardSigmoid", &[self.read(&op.tensor)], attributes, &op.out);
                Ok(())
            }
            Op::LogSigmoid(op) => {
                let dims = self.dims(&op.input);
                let sigmoid = self.node("Sigmoid", &[self.read(&op.input)], vec![], dims);
                self.emit("Log", &[sigmoid], vec![], &op.out);
                Ok(())
            }
            Op::Softmax(op) => self.softmax("Softmax", op),
            Op::LogSoftmax(op) => self.softmax("LogSoftmax", op),
            _ => missing(),
        }
    }

    fn softmax(&mut self, op: &'static str, softmax: &DimOpIr) -> Lowered {
        self.not_along_images(&self.dims(&softmax.input), softmax.axis)?;
        let axis = vec![("axis", Attribute::Int(softmax.axis as i64))];
        self.emit(op, &[self.read(&softmax.input)], axis, &softmax.out);
        Ok(())
    }

    /// `x · (1 + erf(x / √2)) / 2`, in the order that runtimes recognise; `Gelu` itself is of opset 20.
    fn gelu(&mut self, x: Value) -> Value {
        let dims = self.graph.dims[&x].clone();
        let (root, one, half) = (
            self.scalar(std::f32::consts::SQRT_2),
            self.scalar(1.0),
            self.scalar(0.5),
        );
        let scaled = self.node("Div", &[x, root], vec![], dims.clone());
        let erf = self.node("Erf", &[scaled], vec![], dims.clone());
        let sum = self.node("Add", &[erf, one], vec![], dims.clone());
        let product = self.node("Mul", &[x, sum], vec![], dims.clone());
        self.node("Mul", &[product, half], vec![], dims)
    }
}
