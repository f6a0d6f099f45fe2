//! Labels of what is made of parameters alone, axis by axis.

use kd_export::trace::Value;

use super::classes::{ANY, Classes, Label};
use super::label_map::LabelMap;

/// Labels along each axis of a parameter, or of what is computed from parameters. An axis without labels has size 1, or
/// is of a constant that has any size.
#[derive(Clone, Debug)]
pub(super) struct Axes {
    pub sizes: Vec<usize>,
    pub labels: Vec<Option<Vec<Label>>>,
    /// The parameter of the same number of axes that it comes from.
    pub weight: Option<Value>,
}

impl Axes {
    /// Of a tensor filled with one number.
    pub fn any(sizes: &[usize]) -> Self {
        Self {
            sizes: sizes.to_vec(),
            labels: vec![None; sizes.len()],
            weight: None,
        }
    }

    /// The same labels in another shape, where the axes larger than 1 are the same.
    pub fn reshaped(&self, sizes: &[usize]) -> Option<Self> {
        let wide = |sizes: &[usize]| -> Vec<usize> {
            sizes.iter().copied().filter(|size| *size > 1).collect()
        };
        if wide(&self.sizes) != wide(sizes) {
            return None;
        }
        let own = self.sizes.iter().zip(&self.labels);
        let mut labels = own
            .filter(|(size, _)| **size > 1)
            .map(|(_, labels)| labels.clone());
        let labels = sizes.iter().map(|size| match size {
            1 => None,
            _ => labels.next().flatten(),
        });
        Some(Self {
            sizes: sizes.to_vec(),
            labels: labels.collect(),
            weight: None,
        })
    }

    pub fn fix(&self, classes: &mut Classes) {
        let labels = self.labels.iter().flatten().flatten();
        labels.for_each(|label| classes.fix(*label));
    }

    /// As a map that joins an activation of `sizes`, whose labels differ along the axes that `varies` says: along one axis,
    /// the last of them; the others stay.
    pub fn map(
        &self,
        sizes: &[usize],
        varies: impl Fn(usize) -> bool,
        classes: &mut Classes,
    ) -> LabelMap {
        let missing = sizes.len() - self.sizes.len();
        let own: Vec<usize> = [vec![1; missing], self.sizes.clone()].concat();
        let labelled = |axis: &usize| self.labels[*axis].is_some();
        let axes: Vec<usize> = (0..self.labels.len()).filter(labelled).collect();
        let chosen = axes.iter().rfind(|axis| varies(**axis + missing));
        let Some(chosen) = chosen.or(axes.last()).copied() else {
            return LabelMap::uniform(&own, ANY);
        };
        for axis in axes.into_iter().filter(|axis| *axis != chosen) {
            let others = self.labels[axis].iter().flatten();
            others.for_each(|label| classes.fix(*label));
        }
        let labels = self.labels[chosen].clone().unwrap_or_default();
        LabelMap::along(&own, chosen + missing, labels)
    }
}
