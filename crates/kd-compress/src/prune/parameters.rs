//! Values of parameters in double precision.

use std::collections::BTreeMap;

/// A parameter's values.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// As burn lays it out.
    pub shape: Vec<usize>,
    /// In row-major order.
    pub values: Vec<f64>,
}

/// Parameters, or their gradients, by name.
pub type Parameters = BTreeMap<String, Array>;

impl Array {
    /// Runs of the values of each index along an axis: calls `visit` with the index and the offset of each value.
    fn each(&self, axis: usize, mut visit: impl FnMut(usize, usize)) {
        let inner: usize = self.shape[axis + 1..].iter().product();
        let size = self.shape[axis];
        for offset in 0..self.values.len() {
            visit(offset / inner % size, offset);
        }
    }

    /// The sum of `of` over the values of each index.
    pub(super) fn sums(&self, axis: usize, of: impl Fn(usize) -> f64) -> Vec<f64> {
        let mut sums = vec![0.0; self.shape[axis]];
        self.each(axis, |index, offset| sums[index] += of(offset));
        sums
    }

    /// The values of each index, in order.
    pub(super) fn slices(&self, axis: usize) -> Vec<Vec<f64>> {
        let mut slices = vec![Vec::new(); self.shape[axis]];
        self.each(axis, |index, offset| {
            slices[index].push(self.values[offset])
        });
        slices
    }

    /// What is left of it with these indices of an axis.
    #[must_use]
    pub fn kept(&self, axis: usize, indices: &[usize]) -> Self {
        let inner: usize = self.shape[axis + 1..].iter().product();
        let mut shape = self.shape.clone();
        shape[axis] = indices.len();
        let mut values = Vec::with_capacity(shape.iter().product());
        for block in self.values.chunks(inner * self.shape[axis]) {
            for index in indices {
                values.extend_from_slice(&block[index * inner..(index + 1) * inner]);
            }
        }
        Self { shape, values }
    }

    /// The same with 0 at these indices of an axis.
    #[must_use]
    pub fn masked(mut self, axis: usize, indices: &[usize]) -> Self {
        let inner: usize = self.shape[axis + 1..].iter().product();
        let size = self.shape[axis];
        for block in self.values.chunks_mut(inner * size) {
            for index in indices {
                block[index * inner..(index + 1) * inner].fill(0.0);
            }
        }
        self
    }
}
