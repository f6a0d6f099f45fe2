//! Tensors whose values are known.

use burn::tensor::{DType, TensorData};

/// Values in row-major order. Floats of any width are held as `f32`, integers as `i64`.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Numbers.
    Float(Vec<f32>),
    /// Integers.
    Int(Vec<i64>),
    /// Truths.
    Bool(Vec<bool>),
    /// Integers of 8 bits with a sign.
    Int8(Vec<i8>),
    /// Integers of 8 bits without a sign.
    Uint8(Vec<u8>),
}

/// A tensor whose values are known.
#[derive(Clone, Debug, PartialEq)]
pub struct Constant {
    /// Sizes along each axis.
    pub shape: Vec<usize>,
    /// In row-major order.
    pub values: Values,
}

impl Constant {
    pub(crate) fn floats(values: Vec<f32>, shape: &[usize]) -> Self {
        Self::new(Values::Float(values), shape)
    }

    pub(crate) fn ints(values: Vec<i64>, shape: &[usize]) -> Self {
        Self::new(Values::Int(values), shape)
    }

    pub(crate) fn bools(values: Vec<bool>, shape: &[usize]) -> Self {
        Self::new(Values::Bool(values), shape)
    }

    pub(crate) fn new(values: Values, shape: &[usize]) -> Self {
        let shape = shape.to_vec();
        Self { shape, values }
    }

    /// What burn recorded.
    ///
    /// # Errors
    /// The name of a type that has no counterpart here.
    pub(crate) fn of(data: TensorData) -> Result<Self, String> {
        let shape: Vec<usize> = data.shape().iter().copied().collect();
        let values = match data.dtype() {
            DType::QFloat(_) => return Err("quantised values".into()),
            dtype if dtype.is_float() => Values::Float(data.convert::<f32>().iter().collect()),
            dtype if dtype.is_bool() => Values::Bool(data.iter().collect()),
            _ => Values::Int(data.convert::<i64>().iter().collect()),
        };
        Ok(Self { shape, values })
    }

    /// The values, when they are floats.
    pub fn as_floats(&self) -> Option<&[f32]> {
        match &self.values {
            Values::Float(values) => Some(values),
            _ => None,
        }
    }

    /// The values, when they are integers.
    pub fn as_ints(&self) -> Option<&[i64]> {
        match &self.values {
            Values::Int(values) => Some(values),
            _ => None,
        }
    }

    /// The only value of a float tensor of one element.
    pub fn scalar(&self) -> Option<f32> {
        match self.as_floats() {
            Some([value]) => Some(*value),
            _ => None,
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.shape.iter().product()
    }

    pub(crate) fn reshaped(mut self, shape: &[usize]) -> Self {
        self.shape = shape.to_vec();
        self
    }
}
