//! Gradients of the kernels.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, TensorMetadata};

use crate::ConvOptions;
use crate::flex::{KernelGrads, KernelOps, Maybe, NormGrads, NormState};

/// Nodes whose gradient one of these operations has registered. The operation that registers the
/// next one takes the first back and adds both in its own pass; left to itself, burn would add
/// them value by value and out of the channels-last order.
static REGISTERED: Mutex<Option<HashSet<NodeId>>> = Mutex::new(None);
/// Entries of nodes that had one consumer only stay behind; dropping them costs speed, not truth.
const MOST_REGISTERED: usize = 4096;

/// Notes that a node has a gradient.
fn mark(node: NodeId) {
    let mut registered = REGISTERED.lock().unwrap_or_else(PoisonError::into_inner);
    let nodes = registered.get_or_insert_default();
    if nodes.len() >= MOST_REGISTERED {
        nodes.clear();
    }
    nodes.insert(node);
}

/// Whether a node has a gradient, which the caller takes over.
fn take(node: NodeId) -> bool {
    let mut registered = REGISTERED.lock().unwrap_or_else(PoisonError::into_inner);
    registered.as_mut().is_some_and(|nodes| nodes.remove(&node))
}

/// Registers what `$gradient` gives for a parent, if the parent wants it. `$earlier` is the
/// gradient that the parent has already, to be added. (The type of a node has no public name, so
/// this is no function.)
macro_rules! register {
    ($grads:ident, $parent:expr, |$earlier:ident| $gradient:expr) => {
        if let Some(node) = $parent {
            // The gradient of a leaf is copied by `consume`, not taken out.
            let inner = !node.parents.is_empty();
            let $earlier = (inner && take(node.id)).then(|| $grads.consume::<B>(&node));
            let gradient = $gradient;
            $grads.register::<B>(node.id, gradient);
            if inner {
                mark(node.id);
            }
        }
    };
}

mod maps;
mod relations;
mod samples;

/// `new`, plus what was there.
fn plus<B: KernelGrads>(new: FloatTensor<B>, earlier: Option<FloatTensor<B>>) -> FloatTensor<B> {
    match earlier {
        Some(earlier) => B::sum(new, earlier),
        None => new,
    }
}

/// The gradient before a ReLU, if there was one: it passes where its output is positive.
fn gated<B: KernelGrads>(grad: FloatTensor<B>, output: Option<FloatTensor<B>>) -> FloatTensor<B> {
    match output {
        Some(output) => B::relu_grad(grad, output),
        None => grad,
    }
}

fn shape4<B: Backend>(tensor: &FloatTensor<B>) -> [usize; 4] {
    let shape = tensor.shape();
    [shape[0], shape[1], shape[2], shape[3]]
}

#[derive(Debug)]
struct Conv2d;

/// What a convolution keeps for its backward pass.
#[derive(Clone, Debug)]
struct ConvState<B: Backend> {
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    /// Output, when a ReLU made it.
    gate: Option<FloatTensor<B>>,
    biased: bool,
    options: ConvOptions,
}

/// Input, weight, the bias where there is one, and the shortcut where there is one.
impl<B: KernelGrads, const N: usize> Backward<B, N> for Conv2d {
    type State = ConvState<B>;

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let ConvState {
            x,
            weight,
            gate,
            biased,
            options,
        } = ops.state;
        let grad = gated::<B>(grad, gate);
        let (input, shape) = (shape4::<B>(&x), shape4::<B>(&weight));
        let mut parents = ops.parents.into_iter();
        let x_node = parents.next().flatten();
        if let Some(Some(node)) = parents.next() {
            let gradient = B::conv2d_weight_grad(x, grad.clone(), shape, options);
            grads.register::<B>(node.id, gradient);
        }
        if biased && let Some(Some(node)) = parents.next() {
            grads.register::<B>(node.id, B::bias_grad(grad.clone()));
        }
        let shortcut = parents.next().flatten();
        register!(grads, shortcut, |earlier| plus::<B>(grad.clone(), earlier));
        register!(grads, x_node, |earlier| B::conv2d_input_grad(
            grad, weight, input, options, earlier
        ));
    }
}

#[derive(Debug)]
struct Affine;

/// What an affine map keeps for its backward pass.
#[derive(Clone, Debug)]
struct AffineState<B: Backend> {
    x: FloatTensor<B>,
    scale: FloatTensor<B>,
    /// Output, when a ReLU made it.
    gate: Option<FloatTensor<B>>,
}

/// Input, scale, shift and, last, the shortcut where there is one.
impl<B: KernelGrads, const N: usize> Backward<B, N> for Affine {
    type State = AffineState<B>;

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let AffineState { x, scale, gate } = ops.state;
        let grad = gated::<B>(grad, gate);
        let mut parents = ops.parents.into_iter();
        let x_node = parents.next().flatten();
        if let Some(Some(node)) = parents.next() {
            grads.register::<B>(node.id, B::scale_grad(grad.clone(), x));
        }
        if let Some(Some(node)) = parents.next() {
            grads.register::<B>(node.id, B::bias_grad(grad.clone()));
        }
        let shortcut = parents.next().flatten();
        register!(grads, shortcut, |earlier| plus::<B>(grad.clone(), earlier));
        register!(grads, x_node, |earlier| plus::<B>(
            B::scaled(grad, scale),
            earlier
        ));
    }
}

#[derive(Debug)]
struct BatchNorm;

/// Scale, shift, input and, last, the shortcut where there is one.
impl<B: KernelGrads, const N: usize> Backward<B, N> for BatchNorm {
    type State = NormState<B>;

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let NormGrads {
            x,
            gamma,
            beta,
            shortcut,
        } = B::batch_norm_grad(ops.state, grad);
        let mut parents = ops.parents.into_iter();
        for gradient in [gamma, beta] {
            if let Some(Some(node)) = parents.next() {
                grads.register::<B>(node.id, gradient);
            }
        }
        for (parent, gradient) in parents.zip([Some(x), shortcut]) {
            if let Some(gradient) = gradient {
                register!(grads, parent, |earlier| plus::<B>(gradient, earlier));
            }
        }
    }
}

#[derive(Debug)]
struct Channels;

impl<B: KernelGrads> Backward<B, 1> for Channels {
    /// Channels of the whole, and the first one taken.
    type State = (usize, usize);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [node] = ops.parents;
        let grad = grads.consume::<B>(&ops.node);
        let (channels, first) = ops.state;
        register!(grads, node, |earlier| B::channels_grad(
            grad, channels, first, earlier
        ));
    }
}

#[derive(Debug)]
struct Interleave;

impl<B: KernelGrads> Backward<B, 2> for Interleave {
    type State = ();

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        for (second, node) in ops.parents.into_iter().enumerate() {
            register!(grads, node, |earlier| {
                plus::<B>(B::interleave_grad(grad.clone(), second == 1), earlier)
            });
        }
    }
}

#[derive(Debug)]
struct Add;

impl<B: KernelGrads> Backward<B, 2> for Add {
    type State = ();

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        for node in ops.parents {
            register!(grads, node, |earlier| plus::<B>(grad.clone(), earlier));
        }
    }
}

#[derive(Debug)]
struct GlobalAverage;

impl<B: KernelGrads> Backward<B, 1> for GlobalAverage {
    /// Shape of the input.
    type State = [usize; 4];

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [node] = ops.parents;
        let grad = grads.consume::<B>(&ops.node);
        register!(grads, node, |earlier| plus::<B>(
            B::global_average_grad(grad, ops.state),
            earlier
        ));
    }
}

/// Tensor and node of an optional argument. (A node's type has no public name.)
macro_rules! parts {
    ($maybe:ident) => {
        $maybe
            .into_option()
            .map(|tensor| tensor.into_parts())
            .unzip()
    };
}

/// The output with its node, if a parent is tracked.
macro_rules! finish {
    ($operation:ident, $parents:expr, $state:ident, $output:ident) => {
        match $operation.prepare::<C>($parents).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish($state, $output),
            OpsKind::UnTracked(prep) => prep.finish($output),
        }
    };
}

impl<B: KernelOps + KernelGrads, C: CheckpointStrategy> KernelOps for Autodiff<B, C> {
    fn kernel_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Maybe<Self>,
        residual: Maybe<Self>,
        relu: bool,
        options: ConvOptions,
    ) -> FloatTensor<Self> {
        let ((x, x_node), (weight, weight_node)) = (x.into_parts(), weight.into_parts());
        let (bias, bias_node) = parts!(bias);
        let (residual, residual_node) = parts!(residual);
        let biased = bias.is_some();
        let output =
            B::conv2d_for_training(x.clone(), weight.clone(), bias, residual, relu, options);
        let state = ConvState {
            x,
            weight,
            gate: relu.then(|| output.clone()),
            biased,
            options,
        };
        match (bias_node, residual_node) {
            (None, None) => finish!(Conv2d, [x_node, weight_node], state, output),
            (Some(node), None) | (None, Some(node)) => {
                finish!(Conv2d, [x_node, weight_node, node], state, output)
            }
            (Some(bias), Some(residual)) => {
                finish!(Conv2d, [x_node, weight_node, bias, residual], state, output)
            }
        }
    }

    fn kernel_affine(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        residual: Maybe<Self>,
        relu: bool,
    ) -> FloatTensor<Self> {
        let (x, x_node) = x.into_parts();
        let ((scale, scale_node), (shift, shift_node)) = (scale.into_parts(), shift.into_parts());
        let (residual, residual_node) = parts!(residual);
        let output = B::kernel_affine(x.clone(), scale.clone(), shift, residual.into(), relu);
        let state = AffineState {
            x,
            scale,
            gate: relu.then(|| output.clone()),
        };
        match residual_node {
            None => finish!(Affine, [x_node, scale_node, shift_node], state, output),
            Some(residual) => finish!(
                Affine,
                [x_node, scale_node, shift_node, residual],
                state,
                output
            ),
        }
    }

    fn kernel_batch_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        residual: Maybe<Self>,
        epsilon: f64,
        relu: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let (x, x_node) = x.into_parts();
        let (gamma, gamma_node) = gamma.into_parts();
        let (beta, beta_node) = beta.into_parts();
        let (residual, residual_node) = parts!(residual);
        let shortcut = residual.is_some();
        let (output, mean, variance) = B::kernel_batch_norm(
            x.clone(),
            gamma.clone(),
            beta.clone(),
            residual.into(),
            epsilon,
            relu,
        );
        let state = NormState {
            x,
            gamma,
            mean: mean.clone(),
            variance: variance.clone(),
            beta,
            relu,
            output: shortcut.then(|| output.clone()),
            epsilon,
        };
        let output = match residual_node {
            Some(residual) => finish!(
                BatchNorm,
                [gamma_node, beta_node, x_node, residual],
                state,
                output
            ),
            None => finish!(BatchNorm, [gamma_node, beta_node, x_node], state, output),
        };
        let [mean, variance] = [mean, variance].map(Self::from_inner);
        (output, mean, variance)
    }

    fn kernel_channels(x: FloatTensor<Self>, first: usize, count: usize) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let channels = x.shape()[1];
        let output = B::kernel_channels(x, first, count);
        match Channels.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((channels, first), output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn kernel_interleave(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        let ((a, a_node), (b, b_node)) = (a.into_parts(), b.into_parts());
        let output = B::kernel_interleave(a, b);
        match Interleave
            .prepare::<C>([a_node, b_node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish((), output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn kernel_add(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        let ((a, a_node), (b, b_node)) = (a.into_parts(), b.into_parts());
        let output = B::kernel_add(a, b);
        match Add
            .prepare::<C>([a_node, b_node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish((), output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn kernel_global_average(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let shape = shape4::<B>(&x);
        let output = B::kernel_global_average(x);
        match GlobalAverage
            .prepare::<C>([node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish(shape, output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }
}
