//! Operations value by value: what meets goes together.

use kd_export::trace::Node;

use super::super::axes::Axes;
use super::super::classes::{ANY, Label};
use super::super::label_map::LabelMap;
use super::{Labels, Propagation};

impl Propagation<'_> {
    pub(super) fn elementwise(&mut self, node: &Node, known: Vec<Labels>) -> Labels {
        let sizes = self.sizes(node.output);
        let axes: Option<Vec<Axes>> = known
            .iter()
            .map(|labels| match labels {
                Labels::Axes(axes) => Some(axes.clone()),
                Labels::Map(_) => None,
            })
            .collect();
        match axes {
            Some(axes) => Labels::Axes(self.of_parameters(&sizes, &axes)),
            None => Labels::Map(self.of_activations(&sizes, known)),
        }
    }

    /// Axis by axis.
    fn of_parameters(&mut self, sizes: &[usize], operands: &[Axes]) -> Axes {
        let mut result = Axes::any(sizes);
        for operand in operands {
            let missing = sizes.len() - operand.sizes.len();
            for (axis, labels) in operand.labels.iter().enumerate() {
                let Some(labels) = labels else { continue };
                match &result.labels[axis + missing] {
                    Some(known) => {
                        for (one, other) in known.iter().zip(labels) {
                            self.classes.join(*one, *other);
                        }
                    }
                    None => result.labels[axis + missing] = Some(labels.clone()),
                }
            }
            if operand.sizes.len() == sizes.len() && operand.weight.is_some() {
                result.weight = result.weight.or(operand.weight);
            }
        }
        result
    }

    fn of_activations(&mut self, sizes: &[usize], known: Vec<Labels>) -> LabelMap {
        let ranked = |map: &LabelMap| {
            let missing = sizes.len() - map.sizes.len();
            LabelMap {
                sizes: [vec![1; missing], map.sizes.clone()].concat(),
                shape: [vec![1; missing], map.shape.clone()].concat(),
                labels: map.labels.clone(),
            }
        };
        let activations = known.iter().filter_map(|labels| match labels {
            Labels::Map(map) => Some(ranked(map)),
            Labels::Axes(_) => None,
        });
        let mut maps: Vec<LabelMap> = activations.collect();
        let varies: Vec<bool> = (0..sizes.len())
            .map(|axis| maps.iter().any(|map| map.varies(axis, &self.classes)))
            .collect();
        for labels in &known {
            if let Labels::Axes(axes) = labels {
                maps.push(axes.map(sizes, |axis| varies[axis], &mut self.classes));
            }
        }
        let shape = (0..sizes.len())
            .map(|axis| maps.iter().map(|map| map.shape[axis]).max().unwrap_or(1))
            .collect();
        let joins: Vec<bool> = maps
            .iter()
            .map(|map| self.joins(map, &maps, sizes))
            .collect();
        let operands: Vec<&LabelMap> = maps
            .iter()
            .zip(&joins)
            .filter_map(|(map, joins)| joins.then_some(map))
            .collect();
        let classes = &mut self.classes;
        let result = LabelMap::make(sizes, shape, |place| {
            let labels = operands.iter().map(|map| map.at(place));
            let mut labels = labels.filter(|label| *label != ANY);
            let first: Option<Label> = labels.next();
            labels.for_each(|label| classes.join(first.unwrap_or(label), label));
            first.unwrap_or(ANY)
        });
        for (map, joins) in maps.iter().zip(joins) {
            if !joins {
                map.fix(&mut self.classes);
            }
        }
        result.shrunk(&self.classes)
    }

    /// One number for channels that differ, such as a mean, is no channel itself.
    fn joins(&self, map: &LabelMap, all: &[LabelMap], sizes: &[usize]) -> bool {
        (0..sizes.len()).all(|axis| {
            let broadcast = map.sizes[axis] == 1 && sizes[axis] > 1;
            !broadcast || !all.iter().any(|other| other.varies(axis, &self.classes))
        })
    }
}
