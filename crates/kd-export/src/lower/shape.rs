//! Shapes as inputs of nodes.

use super::{Lowered, Lowering};
use crate::graph::{Attribute, Dim, Value};

impl Lowering {
    /// `input` in the shape `to`.
    pub fn reshape(&mut self, input: Value, to: &[Dim]) -> Result<Value, super::Missing> {
        let from = self.graph.dims[&input].clone();
        if from == to {
            return Ok(input);
        }
        let followers = to.iter().filter(|dim| matches!(dim, Dim::Batch(_))).count();
        let copied = |place: usize| from.get(place) == Some(&to[place]);
        let mut inferred = false;
        let mut shape = Vec::new();
        for (place, dim) in to.iter().enumerate() {
            shape.push(match dim {
                Dim::Fixed(size) => *size as i64,
                // 0 copies the size of the same place.
                Dim::Batch(_) if copied(place) && followers > 1 => 0,
                Dim::Batch(_) if inferred => {
                    let problem = "two sizes of the new shape follow it";
                    return Err(super::Missing::Images(problem.into()));
                }
                Dim::Batch(_) => {
                    inferred = true;
                    -1
                }
            });
        }
        if !to.is_empty() && from.first() == to.first() && matches!(to[0], Dim::Batch(_)) {
            shape[0] = 0;
        }
        let shape = self.ints(shape);
        Ok(self.node("Reshape", &[input, shape], vec![], to.to_vec()))
    }

    /// `input` repeated along axes of size 1 (or new ones in front) to the shape `to`.
    pub fn expand(&mut self, input: Value, to: &[Dim]) -> Value {
        let from = self.graph.dims[&input].clone();
        if from == to {
            return input;
        }
        let added = to.len() - from.len().min(to.len());
        let kept = |place: usize| place >= added && from[place - added] == to[place];
        let sizes: Vec<Dim> = to
            .iter()
            .enumerate()
            .map(|(place, dim)| if kept(place) { Dim::Fixed(1) } else { *dim })
            .collect();
        let shape = self.sizes_of(&sizes);
        self.node("Expand", &[input, shape], vec![], to.to_vec())
    }

    /// These sizes as a vector.
    fn sizes_of(&mut self, dims: &[Dim]) -> Value {
        let fixed: Option<Vec<i64>> = dims
            .iter()
            .map(|dim| match dim {
                Dim::Fixed(size) => Some(*size as i64),
                Dim::Batch(_) => None,
            })
            .collect();
        if let Some(fixed) = fixed {
            return self.ints(fixed);
        }
        let parts: Vec<Value> = dims
            .iter()
            .map(|dim| match dim {
                Dim::Fixed(size) => self.ints(vec![*size as i64]),
                Dim::Batch(1) => self.batch(),
                Dim::Batch(times) => {
                    let (batch, times) = (self.batch(), self.ints(vec![*times as i64]));
                    self.node("Mul", &[batch, times], vec![], vec![Dim::Fixed(1)])
                }
            })
            .collect();
        if let [one] = parts[..] {
            return one;
        }
        let axis = vec![("axis", Attribute::Int(0))];
        self.node("Concat", &parts, axis, vec![Dim::Fixed(parts.len())])
    }

    /// `input` with its axes in another order.
    pub fn transpose(&mut self, input: Value, order: &[usize]) -> Value {
        let from = self.graph.dims[&input].clone();
        let dims = order.iter().map(|&axis| from[axis]).collect();
        let order = super::longs(order.iter().copied());
        self.node(
            "Transpose",
            &[input],
            vec![("perm", Attribute::Ints(order))],
            dims,
        )
    }

    /// Sizes that must not follow the number of images.
    pub fn fixed(dims: &[Dim], what: &str) -> Result<Vec<usize>, super::Missing> {
        let sizes = dims.iter().map(|dim| match dim {
            Dim::Fixed(size) => Ok(*size),
            Dim::Batch(_) => Err(super::Missing::Images(format!("{what} along the images"))),
        });
        sizes.collect()
    }

    /// Refuses what mixes images.
    pub fn not_along_images(&self, dims: &[Dim], axis: usize) -> Lowered {
        match dims.get(axis) {
            Some(Dim::Batch(_)) => Err(super::Missing::Images("it goes along the images".into())),
            _ => Ok(()),
        }
    }
}
