//! Operations of losses on what goes together in maps.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Flex, backend_extension};
use burn_flex::FlexTensor;

use super::tensor::{Dense, Map, build, dense};
use crate::isa;
use crate::loss::channel_relations::{self, Relation};
use crate::loss::flow::{self, Flow};

/// Operations that have gradients. No gradient reaches a target.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait RelationOps: Backend {
    /// A distance of each sample, `[batch]`.
    fn kernel_relation(
        student: FloatTensor<Self>,
        target: FloatTensor<Self>,
        relation: Relation,
    ) -> FloatTensor<Self>;

    /// A distance of each sample, `[batch]`, between the ways from one map to another.
    fn kernel_flow(
        from: FloatTensor<Self>,
        to: FloatTensor<Self>,
        target_from: FloatTensor<Self>,
        target_to: FloatTensor<Self>,
        flow: Flow,
    ) -> FloatTensor<Self>;
}

/// The operations with what their gradients need, and the gradients, given that and `grad` `[batch]`.
pub(crate) trait RelationGrads: Backend {
    fn relation(maps: [FloatTensor<Self>; 2], relation: Relation) -> (FloatTensor<Self>, Vec<f32>);

    fn relation_grad(
        maps: [FloatTensor<Self>; 2],
        relation: Relation,
        saved: &[f32],
        grad: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    fn flow(
        student: [FloatTensor<Self>; 2],
        target: [FloatTensor<Self>; 2],
        flow: Flow,
    ) -> (FloatTensor<Self>, Vec<f32>);

    /// The gradients of both of the student's maps.
    fn flow_grad(
        student: [FloatTensor<Self>; 2],
        flow: Flow,
        saved: &[f32],
        grad: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 2];
}

impl RelationOps for Flex {
    fn kernel_relation(student: FlexTensor, target: FlexTensor, relation: Relation) -> FlexTensor {
        Self::relation([student, target], relation).0
    }

    fn kernel_flow(
        from: FlexTensor,
        to: FlexTensor,
        target_from: FlexTensor,
        target_to: FlexTensor,
        flow: Flow,
    ) -> FlexTensor {
        Self::flow([from, to], [target_from, target_to], flow).0
    }
}

impl RelationGrads for Flex {
    fn relation(maps: [FlexTensor; 2], relation: Relation) -> (FlexTensor, Vec<f32>) {
        let [student, target] = maps.map(Map::new);
        let maps = channel_relations::Maps {
            student: student.images(),
            target: target.images(),
        };
        let (distance, saved) = channel_relations::distance(isa(), maps, relation);
        let batch = distance.len();
        (dense(distance, [batch]), saved)
    }

    fn relation_grad(
        maps: [FlexTensor; 2],
        relation: Relation,
        saved: &[f32],
        grad: FlexTensor,
    ) -> FlexTensor {
        let ([student, target], grad) = (maps.map(Map::new), Dense::new(grad));
        let maps = channel_relations::Maps {
            student: student.images(),
            target: target.images(),
        };
        build(maps.student.size, |dx| {
            channel_relations::grad(isa(), maps, relation, saved, grad.values(), dx);
        })
    }

    fn flow(
        student: [FlexTensor; 2],
        target: [FlexTensor; 2],
        flow: Flow,
    ) -> (FlexTensor, Vec<f32>) {
        let [student, target] = [student, target].map(|maps| maps.map(Map::new));
        let [student, target] = [&student, &target].map(|maps| maps.each_ref().map(Map::images));
        let (distance, saved) = flow::distance(isa(), flow::Maps { student, target }, flow);
        let batch = distance.len();
        (dense(distance, [batch]), saved)
    }

    fn flow_grad(
        student: [FlexTensor; 2],
        flow: Flow,
        saved: &[f32],
        grad: FlexTensor,
    ) -> [FlexTensor; 2] {
        let (student, grad) = (student.map(Map::new), Dense::new(grad));
        let student = student.each_ref().map(Map::images);
        let [from, to] = student;
        let mut of_to = None;
        let of_from = build(from.size, |from| {
            of_to = Some(build(to.size, |to| {
                flow::grad(isa(), student, flow, saved, grad.values(), [from, to]);
            }));
        });
        [Some(of_from), of_to].map(|grad| grad.expect("each was built"))
    }
}
