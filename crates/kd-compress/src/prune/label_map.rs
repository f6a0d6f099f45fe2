//! A label for every element of a tensor.

use super::classes::{Classes, Label};

/// Labels of a tensor's elements, for one image. Along an axis where all are equal there may be one.
#[derive(Clone, Debug)]
pub(super) struct LabelMap {
    /// Sizes of the tensor.
    pub sizes: Vec<usize>,
    /// Sizes of `labels`: those of the tensor, or 1.
    pub shape: Vec<usize>,
    pub labels: Vec<Label>,
}

impl LabelMap {
    /// The same label everywhere.
    pub fn uniform(sizes: &[usize], label: Label) -> Self {
        Self {
            sizes: sizes.to_vec(),
            shape: vec![1; sizes.len()],
            labels: vec![label],
        }
    }

    /// Labels along one axis.
    pub fn along(sizes: &[usize], axis: usize, labels: Vec<Label>) -> Self {
        let mut shape = vec![1; sizes.len()];
        shape[axis] = labels.len();
        Self {
            sizes: sizes.to_vec(),
            shape,
            labels,
        }
    }

    /// The label at a place, where an axis of size 1 is the same everywhere.
    pub fn at(&self, place: &[usize]) -> Label {
        let axes = self.shape.iter().zip(place);
        let offset = axes.fold(0, |offset, (size, place)| {
            offset * size + if *size == 1 { 0 } else { *place }
        });
        self.labels[offset]
    }

    /// A map made place by place.
    pub fn make(
        sizes: &[usize],
        shape: Vec<usize>,
        mut label: impl FnMut(&[usize]) -> Label,
    ) -> Self {
        let mut labels = Vec::with_capacity(shape.iter().product());
        each_place(&shape, |place| labels.push(label(place)));
        Self {
            sizes: sizes.to_vec(),
            shape,
            labels,
        }
    }

    /// The same with a label for each place along these axes.
    pub fn spread(&self, along: impl Fn(usize) -> bool) -> Self {
        let axes = self.shape.iter().zip(&self.sizes).enumerate();
        let shape = axes
            .map(|(axis, (shape, size))| if along(axis) { *size } else { *shape })
            .collect();
        Self::make(&self.sizes, shape, |place| self.at(place))
    }

    /// Whether labels differ along an axis.
    pub fn varies(&self, axis: usize, classes: &Classes) -> bool {
        if self.shape[axis] == 1 {
            return false;
        }
        let inner: usize = self.shape[axis + 1..].iter().product();
        let block = inner * self.shape[axis];
        self.labels.chunks(block).any(|block| {
            let (first, rest) = block.split_at(inner);
            rest.chunks(inner).any(|slab| {
                let mut pairs = slab.iter().zip(first);
                pairs.any(|(one, other)| classes.find(*one) != classes.find(*other))
            })
        })
    }

    /// The same with one label along each axis where they do not differ.
    pub fn shrunk(self, classes: &Classes) -> Self {
        let axes = 0..self.shape.len();
        let shape: Vec<usize> = axes
            .map(|axis| {
                if self.varies(axis, classes) {
                    self.shape[axis]
                } else {
                    1
                }
            })
            .collect();
        if shape == self.shape {
            return self;
        }
        Self::make(&self.sizes, shape, |place| self.at(place))
    }

    /// Keeps everything.
    pub fn fix(&self, classes: &mut Classes) {
        self.labels.iter().for_each(|label| classes.fix(*label));
    }
}

/// Calls `visit` for every place of a shape, in row-major order.
pub(super) fn each_place(shape: &[usize], mut visit: impl FnMut(&[usize])) {
    let count: usize = shape.iter().product();
    let mut place = vec![0; shape.len()];
    for _ in 0..count {
        visit(&place);
        for axis in (0..shape.len()).rev() {
            place[axis] += 1;
            if place[axis] < shape[axis] {
                break;
            }
            place[axis] = 0;
        }
    }
}
