//! Gradients of the losses on maps.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend};

use super::{mark, plus, shape4, take};
use crate::flex::maps::{MapGrads, MapOps};
use crate::flex::{KernelGrads, Maybe};
use crate::loss::distance::Rule;
use crate::loss::divergence::Softmax;
use crate::loss::power_iteration::{Iterations, Trace};
use crate::loss::products::Along;
use crate::loss::standardised;

/// Defines an operation with one parent, whose gradient is `$gradient` of the output's and the state.
macro_rules! of_one_parent {
    ($name:ident, $state:ty, |$grad:ident, $saved:pat_param| $gradient:expr) => {
        #[derive(Debug)]
        struct $name;

        impl<B: KernelGrads + MapGrads> Backward<B, 1> for $name {
            type State = $state;

            fn backward(
                self,
                ops: Ops<Self::State, 1>,
                grads: &mut Gradients,
                _: &mut Checkpointer,
            ) {
                let [node] = ops.parents;
                let $grad = grads.consume::<B>(&ops.node);
                let $saved = ops.state;
                register!(grads, node, |earlier| plus::<B>($gradient, earlier));
            }
        }
    };
}

/// Records an operation: its parents, what it keeps, and its output.
macro_rules! record {
    ($operation:ident, $nodes:expr, $state:expr, $output:expr) => {
        match $operation.prepare::<C>($nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish($state, $output),
            OpsKind::UnTracked(prep) => prep.finish($output),
        }
    };
}

/// Student and target.
type Maps<B> = [FloatTensor<B>; 2];

of_one_parent!(Distance, (Maps<B>, Option<FloatTensor<B>>, Rule), |grad,
                                                                   (
    maps,
    margin,
    rule,
)| {
    B::distance_grad(maps, margin, rule, grad)
});

of_one_parent!(
    Pearson,
    (Maps<B>, standardised::Saved),
    |grad, (maps, saved)| B::pearson_grad(maps, saved, grad)
);

of_one_parent!(Divergence, (Maps<B>, f64, [Softmax; 2]), |grad,
                                                          (
    maps,
    temperature,
    saved,
)| {
    B::divergence_grad(maps, temperature, saved, grad)
});

of_one_parent!(Energy, FloatTensor<B>, |grad, x| B::energy_grad(x, grad));

of_one_parent!(Gram, (FloatTensor<B>, Along), |grad, (x, along)| {
    B::gram_grad(x, along, grad)
});

// The state is the input's shape.
of_one_parent!(AveragePool, [usize; 4], |grad, input| {
    B::average_pool_grad(grad, input)
});

// The state is the output, whose sign is that of the input, and the slope.
of_one_parent!(LeakyRelu, (FloatTensor<B>, f64), |grad, (output, slope)| {
    B::leaky_relu_grad(output, grad, slope)
});

#[derive(Debug)]
struct UnitRows;

impl<B: MapGrads> Backward<B, 1> for UnitRows {
    /// The output, and what each row was multiplied by.
    type State = (FloatTensor<B>, Vec<f32>);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [node] = ops.parents;
        let grad = grads.consume::<B>(&ops.node);
        let (unit, factors) = ops.state;
        if let Some(node) = node {
            // The operations that take gradients over know maps only.
            grads.register::<B>(node.id, B::unit_rows_grad(unit, &factors, grad));
        }
    }
}

#[derive(Debug)]
struct LeadingVectors;

impl<B: MapGrads> Backward<B, 1> for LeadingVectors {
    type State = (FloatTensor<B>, Vec<Trace>);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [node] = ops.parents;
        let grad = grads.consume::<B>(&ops.node);
        let (matrices, traces) = ops.state;
        if let Some(node) = node {
            let gradient = B::leading_vectors_grad(matrices, &traces, grad);
            grads.register::<B>(node.id, gradient);
        }
    }
}

#[derive(Debug)]
struct Products;

impl<B: KernelGrads + MapGrads> Backward<B, 2> for Products {
    type State = [FloatTensor<B>; 2];

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [a_node, b_node] = ops.parents;
        let grad = grads.consume::<B>(&ops.node);
        let [a, b] = ops.state;
        register!(grads, a_node, |earlier| {
            let grad = B::float_swap_dims(grad.clone(), 1, 2);
            plus::<B>(B::products_grad(b, grad), earlier)
        });
        register!(grads, b_node, |earlier| plus::<B>(
            B::products_grad(a, grad),
            earlier
        ));
    }
}

#[derive(Debug)]
struct Blend;

impl<B: KernelGrads + MapGrads> Backward<B, 3> for Blend {
    type State = [FloatTensor<B>; 3];

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let gradients = B::blend_grad(ops.state, grad);
        for (node, gradient) in ops.parents.into_iter().zip(gradients) {
            register!(grads, node, |earlier| plus::<B>(gradient, earlier));
        }
    }
}

impl<B: MapOps + MapGrads + KernelGrads, C: CheckpointStrategy> MapOps for Autodiff<B, C> {
    fn kernel_distance(
        student: FloatTensor<Self>,
        target: FloatTensor<Self>,
        margin: Maybe<Self>,
        rule: Rule,
    ) -> FloatTensor<Self> {
        let ((student, node), (target, _)) = (student.into_parts(), target.into_parts());
        let margin = margin.into_option().map(|margin| margin.into_parts().0);
        let output =
            B::kernel_distance(student.clone(), target.clone(), margin.clone().into(), rule);
        record!(Distance, [node], ([student, target], margin, rule), output)
    }

    fn kernel_pearson(
        student: FloatTensor<Self>,
        target: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        let ((student, node), (target, _)) = (student.into_parts(), target.into_parts());
        let (output, saved) = B::pearson(student.clone(), target.clone(), epsilon);
        record!(Pearson, [node], ([student, target], saved), output)
    }

    fn kernel_divergence(
        student: FloatTensor<Self>,
        target: FloatTensor<Self>,
        temperature: f64,
    ) -> FloatTensor<Self> {
        let ((student, node), (target, _)) = (student.into_parts(), target.into_parts());
        let (output, saved) = B::divergence(student.clone(), target.clone(), temperature);
        let state = ([student, target], temperature, saved);
        record!(Divergence, [node], state, output)
    }

    fn kernel_negative_part(x: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::from_inner(B::kernel_negative_part(x.into_parts().0))
    }

    fn kernel_energy(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let output = B::kernel_energy(x.clone());
        record!(Energy, [node], x, output)
    }

    fn kernel_products(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        let ((a, a_node), (b, b_node)) = (a.into_parts(), b.into_parts());
        let output = B::kernel_products(a.clone(), b.clone());
        record!(Products, [a_node, b_node], [a, b], output)
    }

    fn kernel_gram(x: FloatTensor<Self>, along: Along) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let output = B::kernel_gram(x.clone(), along);
        record!(Gram, [node], (x, along), output)
    }

    fn kernel_average_pool(x: FloatTensor<Self>, size: [usize; 2]) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let shape = shape4::<B>(&x);
        let output = B::kernel_average_pool(x, size);
        record!(AveragePool, [node], shape, output)
    }

    fn kernel_blend(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        shares: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let ((a, a_node), (b, b_node)) = (a.into_parts(), b.into_parts());
        let (shares, shares_node) = shares.into_parts();
        let output = B::kernel_blend(a.clone(), b.clone(), shares.clone());
        record!(Blend, [a_node, b_node, shares_node], [a, b, shares], output)
    }

    fn kernel_leaky_relu(x: FloatTensor<Self>, slope: f64) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let output = B::kernel_leaky_relu(x, slope);
        record!(LeakyRelu, [node], (output.clone(), slope), output)
    }

    fn kernel_unit_rows(x: FloatTensor<Self>, zero: f64) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let (output, factors) = B::unit_rows(x, zero);
        record!(UnitRows, [node], (output.clone(), factors), output)
    }

    fn kernel_leading_vectors(
        matrices: FloatTensor<Self>,
        start: FloatTensor<Self>,
        search: usize,
        steps: usize,
        zero: f64,
    ) -> FloatTensor<Self> {
        let ((matrices, node), (start, _)) = (matrices.into_parts(), start.into_parts());
        let iterations = Iterations::new(search, steps, zero);
        let (output, traces) = B::leading_vectors(matrices.clone(), start, iterations);
        record!(LeadingVectors, [node], (matrices, traces), output)
    }
}
