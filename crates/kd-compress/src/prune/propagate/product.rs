//! Products of matrices.

use kd_export::trace::Node;

use super::super::Role;
use super::super::axes::Axes;
use super::super::classes::ANY;
use super::super::label_map::{LabelMap, each_place};
use super::{Labels, Propagation};

impl Propagation<'_> {
    pub(super) fn matmul(&mut self, node: &Node, known: Vec<Labels>) -> Option<Labels> {
        let mut known = known.into_iter();
        match (known.next()?, known.next()?) {
            (Labels::Map(x), Labels::Axes(weight)) if weight.sizes.len() == 2 => {
                Some(self.linear(node, &x, &weight))
            }
            (Labels::Map(one), Labels::Map(other)) => Some(self.of_two(node, one, other)),
            (one, other) => Some(self.unknown(node, vec![one, other])),
        }
    }

    fn linear(&mut self, node: &Node, x: &LabelMap, weight: &Axes) -> Labels {
        self.role(weight.weight, Role::Linear);
        let last = x.shape.len() - 1;
        match &weight.labels[0] {
            Some(within) => {
                let classes = &mut self.classes;
                each_place(&x.spread(|axis| axis == last).shape, |place| {
                    classes.join(within[place[last]], x.at(place));
                });
            }
            None => x.fix(&mut self.classes),
        }
        let sizes = self.sizes(node.output);
        let axis = sizes.len() - 1;
        Labels::Map(match &weight.labels[1] {
            Some(labels) => LabelMap::along(&sizes, axis, labels.clone()),
            None => LabelMap::uniform(&sizes, super::FIXED),
        })
    }

    /// `[.., rows, inner]` with `[.., inner, columns]`: inner channels go together, and so do those of equal places before
    /// them, such as heads.
    fn of_two(&mut self, node: &Node, one: LabelMap, other: LabelMap) -> Labels {
        let (one, other) = (one.shrunk(&self.classes), other.shrunk(&self.classes));
        let rank = one.shape.len();
        let (rows, inner) = (rank - 2, rank - 1);
        let varies = |map: &LabelMap, axis: usize| map.varies(axis, &self.classes);
        let twice = [&one, &other].map(|map| varies(map, rows) && varies(map, inner));
        if other.shape.len() != rank || twice.contains(&true) {
            return self.unknown(node, vec![Labels::Map(one), Labels::Map(other)]);
        }
        let [along_inner, of_rows] = [inner, rows].map(|axis| varies(&one, axis));
        let [other_inner, of_columns] = [rows, inner].map(|axis| varies(&other, axis));
        if along_inner || other_inner {
            let shape = one.spread(|axis| axis == inner).shape;
            let mut shape: Vec<usize> = shape;
            for (axis, size) in shape.iter_mut().enumerate().take(rows) {
                *size = (*size).max(other.shape[axis]);
            }
            shape[rows] = 1;
            let classes = &mut self.classes;
            each_place(&shape, |place| {
                let mut turned = place.to_vec();
                turned.swap(rows, inner);
                let (a, b) = (one.at(place), other.at(&turned));
                if a == ANY || b == ANY {
                    // A number of channels on one side only.
                    classes.fix(a);
                    classes.fix(b);
                }
                classes.join(a, b);
            });
        }
        let sizes = self.sizes(node.output);
        let mut shape: Vec<usize> = (0..rank)
            .map(|axis| one.shape[axis].max(other.shape[axis]))
            .collect();
        shape[rows] = if of_rows { one.shape[rows] } else { 1 };
        shape[inner] = if of_columns { other.shape[inner] } else { 1 };
        // What differs along the inner axis only is summed over.
        let (summed_one, summed_other) = (along_inner, other_inner);
        let classes = &mut self.classes;
        let result = LabelMap::make(&sizes, shape, |place| {
            let (mut left, mut right) = (place.to_vec(), place.to_vec());
            left[inner] = 0;
            right[rows] = 0;
            let a = if summed_one { ANY } else { one.at(&left) };
            let b = if summed_other { ANY } else { other.at(&right) };
            match (a, b) {
                (ANY, label) | (label, ANY) => label,
                (a, b) => {
                    // One is of rows and the other of columns, or both are of what stands before them.
                    if !of_rows && !of_columns {
                        classes.join(a, b);
                        a
                    } else if of_rows {
                        a
                    } else {
                        b
                    }
                }
            }
        });
        Labels::Map(result.shrunk(&self.classes))
    }
}
