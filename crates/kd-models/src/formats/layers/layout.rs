//! Arrays of Keras as PyTorch has them.

use super::config::Described;
use super::{Kind, Layer};

/// Numbers in the order of a shape.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Array {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

/// The parameters of a layer by PyTorch's names, in PyTorch's layout. Without a name in the file they are told by their
/// place, for which `described` says which of them there are.
pub(super) fn parameters(
    layer: &Layer,
    described: Option<&Described>,
) -> Result<Vec<(&'static str, Array)>, String> {
    let named = layer.arrays.iter().enumerate();
    let named = named.map(|(place, (name, array))| {
        let name = match name.as_str() {
            _ if name.parse::<usize>().is_err() => name.as_str(),
            _ => by_place(layer, described, place)?,
        };
        one(layer, name, array)
    });
    let mut found = named.collect::<Result<Vec<_>, String>>()?;
    // A normalisation without scale or centre is one with 1 and 0.
    let mean = found.iter().find(|(name, _)| *name == "running_mean");
    if let Some(mean) = mean.map(|(_, array)| array.clone()) {
        for (name, value) in [("weight", 1.0), ("bias", 0.0)] {
            if !found.iter().any(|(known, _)| *known == name) {
                let values = vec![value; mean.values.len()];
                let shape = mean.shape.clone();
                found.push((name, Array { shape, values }));
            }
        }
    }
    Ok(found)
}

/// What Keras calls the array at a place of a layer.
fn by_place(
    layer: &Layer,
    described: Option<&Described>,
    place: usize,
) -> Result<&'static str, String> {
    let names: Vec<&str> = match layer.kind {
        Kind::BatchNormalization => {
            let (scale, centre) = match (described, layer.arrays.len()) {
                (Some(described), _) => (described.scale, described.center),
                (None, 2) => (false, false),
                (None, 4) => (true, true),
                (None, count) => {
                    return Err(format!(
                        "`{}` has {count} arrays and nothing says which; save the model as .keras",
                        layer.name
                    ));
                }
            };
            let all = [
                ("gamma", scale),
                ("beta", centre),
                ("moving_mean", true),
                ("moving_variance", true),
            ];
            let there = all.into_iter().filter(|(_, there)| *there);
            there.map(|(name, _)| name).collect()
        }
        Kind::Depthwise => vec!["depthwise_kernel", "bias"],
        Kind::Other => vec!["kernel", "bias"],
    };
    let name = names.get(place).copied();
    name.ok_or_else(|| format!("`{}` has more arrays than a layer of its kind", layer.name))
}

fn one(layer: &Layer, name: &str, array: &Array) -> Result<(&'static str, Array), String> {
    let depthwise = layer.kind == Kind::Depthwise || name == "depthwise_kernel";
    // Without its kind: a convolution of several channels to a single one is in no network here.
    let depthwise = depthwise || matches!(array.shape[..], [_, _, channels, 1] if channels > 1);
    Ok(match (name, &array.shape[..]) {
        ("kernel" | "depthwise_kernel", [height, width, channels, multiplier]) if depthwise => {
            let shape = vec![channels * multiplier, 1, *height, *width];
            let array = array.transposed([2, 3, 0, 1]);
            ("weight", Array { shape, ..array })
        }
        ("kernel", [_, _, _, _]) => ("weight", array.transposed([3, 2, 0, 1])),
        ("kernel", [_, _]) => ("weight", array.transposed([1, 0])),
        ("bias" | "beta", [_]) => ("bias", array.clone()),
        ("gamma", [_]) => ("weight", array.clone()),
        ("moving_mean", [_]) => ("running_mean", array.clone()),
        ("moving_variance", [_]) => ("running_var", array.clone()),
        (name, shape) => {
            return Err(format!(
                "`{}` has an array `{name}` of shape {shape:?}, which no layer here has",
                layer.name
            ));
        }
    })
}

impl Array {
    /// With its axes in another order: axis `i` is axis `order[i]` of this.
    pub fn transposed<const D: usize>(&self, order: [usize; D]) -> Self {
        let mut strides = [1; D];
        for axis in (1..D).rev() {
            strides[axis - 1] = strides[axis] * self.shape[axis];
        }
        let shape: Vec<usize> = order.iter().map(|&axis| self.shape[axis]).collect();
        let steps = order.map(|axis| strides[axis]);
        let mut values = Vec::with_capacity(self.values.len());
        let mut index = [0; D];
        for _ in 0..self.values.len() {
            let place: usize = index.iter().zip(steps).map(|(i, step)| i * step).sum();
            values.push(self.values[place]);
            for axis in (0..D).rev() {
                index[axis] += 1;
                if index[axis] < shape[axis] {
                    break;
                }
                index[axis] = 0;
            }
        }
        Self { shape, values }
    }

    /// The weight `[outputs, inputs]` of a layer that reads a flattened map of so many positions, which Keras flattens
    /// with the channels of a position beside each other, and PyTorch with the positions of a channel.
    pub fn rows_from_channels_last(self, positions: usize) -> Result<Self, String> {
        let [outputs, inputs] = self.shape[..] else {
            return Ok(self);
        };
        if positions == 0 || !inputs.is_multiple_of(positions) {
            return Err(format!(
                "a layer reads {inputs} numbers, which are no map of {positions} positions"
            ));
        }
        let shape = vec![outputs, positions, inputs / positions];
        let spread = Self {
            shape,
            values: self.values,
        };
        Ok(Self {
            shape: vec![outputs, inputs],
            ..spread.transposed([0, 2, 1])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(shape: &[usize]) -> Array {
        let count = shape.iter().product();
        Array {
            shape: shape.to_vec(),
            values: (0..count).map(|v: usize| v as f32).collect(),
        }
    }

    #[test]
    fn axes_change_their_order() {
        let kernel = array(&[1, 2, 3, 2]).transposed([3, 2, 0, 1]);
        assert_eq!(kernel.shape, [2, 3, 1, 2]);
        assert_eq!(
            kernel.values,
            [0.0, 6.0, 2.0, 8.0, 4.0, 10.0, 1.0, 7.0, 3.0, 9.0, 5.0, 11.0]
        );
    }

    #[test]
    fn a_flattened_map_has_its_channels_first() {
        let weight = array(&[1, 6]).rows_from_channels_last(2).unwrap();
        assert_eq!(weight.values, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert!(array(&[1, 6]).rows_from_channels_last(4).is_err());
    }
}
