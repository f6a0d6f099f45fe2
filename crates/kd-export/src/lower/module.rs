//! Operations of layers.

use burn_ir::{
    AttentionOpIr, BatchNormOpIr, InterpolateModeIr, InterpolateOpIr, LayerNormOpIr, LinearOpIr,
    ModuleOperationIr,
};

use super::{Lowered, Lowering, longs, missing};
use crate::graph::{Attribute, Dim, Value};

impl Lowering {
    pub(super) fn module(&mut self, operation: &ModuleOperationIr) -> Lowered {
        use ModuleOperationIr as Op;
        match operation {
            Op::Conv1d(op) => self.conv1d(op),
            Op::Conv2d(op) => self.conv2d(op),
            Op::Conv3d(op) => self.conv3d(op),
            Op::ConvTranspose2d(op) => self.conv_transpose2d(op),
            Op::Linear(op) => self.linear(op),
            Op::BatchNorm(op) => self.batch_norm(op),
            Op::LayerNorm(op) => self.layer_norm(op),
            Op::Embedding(op) => {
                let inputs = [self.read(&op.weights), self.read(&op.indices)];
                let axis = vec![("axis", Attribute::Int(0))];
                self.emit("Gather", &inputs, axis, &op.out);
                Ok(())
            }
            Op::AvgPool2d(op) => self.avg_pool2d(op),
            Op::AdaptiveAvgPool2d(op) => self.adaptive_avg_pool2d(op),
            Op::MaxPool2d(op) => self.max_pool2d(op),
            Op::Interpolate(op) => self.interpolate(op),
            Op::Attention(op) => self.attention(op),
            _ => missing(),
        }
    }

    /// Two axes are a `Gemm`, which computes the bias as well; more are a product and a sum.
    fn linear(&mut self, op: &LinearOpIr) -> Lowered {
        let (x, weight) = (self.read(&op.x), self.read(&op.weight));
        let bias = op.bias.as_ref().map(|bias| self.read(bias));
        let out = self.dims(&op.out);
        let Some(bias) = bias else {
            self.emit("MatMul", &[x, weight], vec![], &op.out);
            return Ok(());
        };
        let product = self.node("MatMul", &[x, weight], vec![], out);
        self.emit("Add", &[product, bias], vec![], &op.out);
        Ok(())
    }

    /// As a factor and a summand of each channel, which then go into the convolution before.
    fn batch_norm(&mut self, op: &BatchNormOpIr) -> Lowered {
        let rank = op.x.shape.len();
        let channels = op.gamma.shape.to_vec()[0];
        let vector = vec![Dim::Fixed(channels)];
        let mut along = vec![Dim::Fixed(1); rank];
        along[1] = Dim::Fixed(channels);
        let [gamma, beta, mean, variance] =
            [&op.gamma, &op.beta, &op.mean, &op.variance].map(|tensor| self.read(tensor));
        let epsilon = self.scalar(op.epsilon.elem());
        let sum = self.node("Add", &[variance, epsilon], vec![], vector.clone());
        let deviation = self.node("Sqrt", &[sum], vec![], vector.clone());
        let scale = self.node("Div", &[gamma, deviation], vec![], vector.clone());
        let moved = self.node("Mul", &[mean, scale], vec![], vector.clone());
        let shift = self.node("Sub", &[beta, moved], vec![], vector);
        let [scale, shift] = [scale, shift].map(|value| self.reshape(value, &along));
        let (x, dims) = (self.read(&op.x), self.dims(&op.out));
        let product = self.node("Mul", &[x, scale?], vec![], dims);
        self.emit("Add", &[product, shift?], vec![], &op.out);
        Ok(())
    }

    fn layer_norm(&mut self, op: &LayerNormOpIr) -> Lowered {
        let mut inputs = vec![self.read(&op.input), self.read(&op.gamma)];
        inputs.extend(op.beta.as_ref().map(|beta| self.read(beta)));
        let attributes = vec![
            ("axis", Attribute::Int(-1)),
            ("epsilon", Attribute::Float(op.epsilon.elem())),
        ];
        self.emit("LayerNormalization", &inputs, attributes, &op.out);
        Ok(())
    }

    /// `softmax(q·kᵀ · scale + bias) · v` of `[batch, heads, tokens, width]`.
    fn attention(&mut self, op: &AttentionOpIr) -> Lowered {
        if op.options.softcap.is_some() || op.options.is_causal {
            return Err("with a cap of scores, or causal".into());
        }
        let [query, key, value] = [&op.query, &op.key, &op.value].map(|part| self.read(part));
        let (queries, keys) = (self.dims(&op.query), self.dims(&op.key));
        let rank = queries.len();
        let width = Self::fixed(&queries[rank - 1..], "the width goes")?[0];
        let mut order: Vec<usize> = (0..rank).collect();
        order.swap(rank - 1, rank - 2);
        let key = self.transpose(key, &order);
        let mut dims = queries;
        dims[rank - 1] = keys[rank - 2];
        let product = self.node("MatMul", &[query, key], vec![], dims.clone());
        let scale = match op.options.scale {
            Some(scale) => scale.elem(),
            None => 1.0 / (width as f32).sqrt(),
        };
        let scale = self.scalar(scale);
        let mut scores = self.node("Mul", &[product, scale], vec![], dims.clone());
        if let Some(bias) = &op.attn_bias {
            let bias = self.read(bias);
            scores = self.node("Add", &[scores, bias], vec![], dims.clone());
        }
        if let Some(mask) = &op.mask {
            let (mask, least) = (self.read(mask), self.scalar(-6e4));
            scores = self.node("Where", &[mask, least, scores], vec![], dims.clone());
        }
        let axis = vec![("axis", Attribute::Int(-1))];
        let shares = self.node("Softmax", &[scores], axis, dims);
        self.emit("MatMul", &[shares, value], vec![], &op.out);
        Ok(())
    }

    fn interpolate(&mut self, op: &InterpolateOpIr) -> Lowered {
        let (x, from, to) = (self.read(&op.x), self.dims(&op.x), self.dims(&op.out));
        let from = Self::fixed(&from[2..], "the size goes")?;
        let corners = op.options.align_corners;
        let (mode, nearest) = match op.options.mode {
            InterpolateModeIr::Nearest => ("nearest", "floor"),
            InterpolateModeIr::Bilinear => ("linear", ""),
            InterpolateModeIr::Bicubic => ("cubic", ""),
            _ => return Err("of this mode".into()),
        };
        let coordinates = match mode {
            "nearest" => "asymmetric",
            _ if corners => "align_corners",
            _ => "half_pixel",
        };
        let mut attributes = vec![
            ("mode", Attribute::Text(mode)),
            (
                "coordinate_transformation_mode",
                Attribute::Text(coordinates),
            ),
        ];
        match mode {
            "nearest" => attributes.push(("nearest_mode", Attribute::Text(nearest))),
            "cubic" => attributes.push(("cubic_coeff_a", Attribute::Float(-0.75))),
            _ => {}
        }
        let scales = self.scales(&from, &op.output_size);
        let value = self.node_with("Resize", vec![Some(x), None, Some(scales)], attributes, to);
        self.is(&op.out, value);
        Ok(())
    }

    fn scales(&mut self, from: &[usize], to: &[usize]) -> Value {
        let each = from
            .iter()
            .zip(to)
            .map(|(from, to)| *to as f32 / *from as f32);
        let scales = [1.0, 1.0].into_iter().chain(each).collect();
        self.vector(scales)
    }
}

/// Paddings as ONNX orders them: all begins, then all ends.
pub(super) fn pads<const N: usize>(padding: [(usize, usize); N]) -> Attribute {
    let begins = padding.iter().map(|(begin, _)| *begin);
    let ends = padding.iter().map(|(_, end)| *end);
    Attribute::Ints(longs(begins.chain(ends)))
}
