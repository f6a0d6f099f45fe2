//! Gradients of the losses on what goes together in maps.

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;

use super::{mark, plus, take};
use crate::flex::KernelGrads;
use crate::flex::relations::{RelationGrads, RelationOps};
use crate::loss::channel_relations;
use crate::loss::flow;

#[derive(Debug)]
struct Relation;

/// What the gradient of a distance needs: maps, what they were compared by, and what was computed on the way.
type State<B, C> = ([FloatTensor<B>; 2], C, Vec<f32>);

impl<B: KernelGrads + RelationGrads> Backward<B, 1> for Relation {
    type State = State<B, channel_relations::Relation>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [node] = ops.parents;
        let grad = grads.consume::<B>(&ops.node);
        let (maps, relation, saved) = ops.state;
        register!(grads, node, |earlier| {
            plus::<B>(B::relation_grad(maps, relation, &saved, grad), earlier)
        });
    }
}

#[derive(Debug)]
struct Flow;

impl<B: KernelGrads + RelationGrads> Backward<B, 2> for Flow {
    type State = State<B, flow::Flow>;

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let (maps, flow, saved) = ops.state;
        let gradients = B::flow_grad(maps, flow, &saved, grad);
        for (node, gradient) in ops.parents.into_iter().zip(gradients) {
            register!(grads, node, |earlier| plus::<B>(gradient, earlier));
        }
    }
}

impl<B: RelationOps + RelationGrads + KernelGrads, C: CheckpointStrategy> RelationOps
    for Autodiff<B, C>
{
    fn kernel_relation(
        student: FloatTensor<Self>,
        target: FloatTensor<Self>,
        relation: channel_relations::Relation,
    ) -> FloatTensor<Self> {
        let ((student, node), (target, _)) = (student.into_parts(), target.into_parts());
        let maps = [student, target];
        let (output, saved) = B::relation(maps.clone(), relation);
        match Relation.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((maps, relation, saved), output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn kernel_flow(
        from: FloatTensor<Self>,
        to: FloatTensor<Self>,
        target_from: FloatTensor<Self>,
        target_to: FloatTensor<Self>,
        flow: flow::Flow,
    ) -> FloatTensor<Self> {
        let ((from, from_node), (to, to_node)) = (from.into_parts(), to.into_parts());
        let target = [target_from, target_to].map(|map| map.into_parts().0);
        let maps = [from, to];
        let (output, saved) = B::flow(maps.clone(), target, flow);
        match Flow
            .prepare::<C>([from_node, to_node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish((maps, flow, saved), output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }
}
