//! What every kernel operation of the crate is to burn: one trait, one backend extension, one node of the graph.
//!
//! The file of an operation implements [`Operation`] and calls [`run`]; nothing else has to know it.

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, AutodiffBackend, Backend, Dispatch, DispatchTensor, ExtensionType, Flex,
    backend_extension,
};
use burn::tensor::Tensor;
use burn_flex::FlexTensor;

use crate::nn::add;

/// How the gradient of an input meets the gradients that other operations have given to the same tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// The input has no gradient: to the graph it is a constant.
    Constant,
    /// burn adds the gradients. This is for parameters, rows and vectors; a convolution's weight is one of them,
    /// although it has four axes like a map.
    Plain,
    /// A map `[batch, channels, height, width]`: a kernel adds the gradients, so that the sum stays channels last.
    Map,
}

/// A function of `N` tensors with a kernel for its value and one for its gradients. At most four tensors.
pub(crate) trait Operation<const N: usize>: Clone + Debug + Send + Sync + 'static {
    /// What the backward pass needs of the forward pass.
    type Saved: Clone + Debug + Send + 'static;

    /// What each input is to the backward pass.
    fn inputs(&self) -> [Input; N];

    /// The value.
    fn forward(&self, inputs: [FlexTensor; N]) -> (FlexTensor, Self::Saved);

    /// The value and the results beside it, where there will be no backward pass.
    fn infer(&self, inputs: [FlexTensor; N]) -> (FlexTensor, Vec<FlexTensor>) {
        let (value, saved) = self.forward(inputs);
        (value, Self::aside(&saved))
    }

    /// Results beside the value, without a gradient. They are a part of what is saved.
    fn aside(_saved: &Self::Saved) -> Vec<FlexTensor> {
        vec![]
    }

    /// The gradient of each input, given that of the value. It must be there for every input of which `wants` is
    /// true. `earlier` has the gradients that maps have already: an operation whose kernel adds one on the way takes
    /// it out, and what it leaves is added afterwards.
    fn backward(
        &self,
        saved: Self::Saved,
        grad: FlexTensor,
        wants: [bool; N],
        earlier: &mut [Option<FlexTensor>; N],
    ) -> [Option<FlexTensor>; N];
}

/// Runs an operation.
pub(crate) fn run<const N: usize, const D: usize>(
    operation: impl Operation<N>,
    inputs: [DispatchTensor; N],
) -> Tensor<D> {
    Tensor::from_dispatch(run_with_aside(operation, inputs).0)
}

/// Runs an operation that has results beside its value.
pub(crate) fn run_with_aside<O: Operation<N>, const N: usize>(
    operation: O,
    inputs: [DispatchTensor; N],
) -> (DispatchTensor, Vec<DispatchTensor>) {
    Dispatch::operate::<O, N>(Inputs::new(inputs), operation)
}

/// The inputs of an operation. (burn's extensions know no arrays.)
#[derive(ExtensionType)]
pub(crate) enum Inputs<B: Backend> {
    One(FloatTensor<B>),
    Two(FloatTensor<B>, FloatTensor<B>),
    Three(FloatTensor<B>, FloatTensor<B>, FloatTensor<B>),
    Four(
        FloatTensor<B>,
        FloatTensor<B>,
        FloatTensor<B>,
        FloatTensor<B>,
    ),
}

impl<B: Backend> Inputs<B> {
    fn new<const N: usize>(inputs: [FloatTensor<B>; N]) -> Self {
        const { assert!(N >= 1 && N <= 4, "an operation has one to four inputs") };
        let mut inputs = inputs.into_iter();
        let mut next = || inputs.next().expect("there are N inputs");
        match N {
            1 => Self::One(next()),
            2 => Self::Two(next(), next()),
            3 => Self::Three(next(), next(), next()),
            _ => Self::Four(next(), next(), next(), next()),
        }
    }

    fn into_array<const N: usize>(self) -> [FloatTensor<B>; N] {
        let inputs = match self {
            Self::One(a) => [Some(a), None, None, None],
            Self::Two(a, b) => [Some(a), Some(b), None, None],
            Self::Three(a, b, c) => [Some(a), Some(b), Some(c), None],
            Self::Four(a, b, c, d) => [Some(a), Some(b), Some(c), Some(d)],
        };
        let mut inputs = inputs.into_iter().flatten();
        std::array::from_fn(|_| inputs.next().expect("made of N inputs"))
    }
}

/// Every operation, as one operation of the backend.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait Operations: Backend {
    fn operate<O: Operation<N>, const N: usize>(
        #[extension_type] inputs: Inputs<Self>,
        operation: O,
    ) -> (FloatTensor<Self>, Vec<FloatTensor<Self>>);
}

impl Operations for Flex {
    fn operate<O: Operation<N>, const N: usize>(
        inputs: Inputs<Self>,
        operation: O,
    ) -> (FlexTensor, Vec<FlexTensor>) {
        operation.infer(inputs.into_array())
    }
}

impl<C: CheckpointStrategy> Operations for Autodiff<Flex, C> {
    fn operate<O: Operation<N>, const N: usize>(
        inputs: Inputs<Self>,
        operation: O,
    ) -> (FloatTensor<Self>, Vec<FloatTensor<Self>>) {
        let mut kinds = operation.inputs().into_iter();
        let inputs: [_; N] = inputs.into_array().map(|input| match kinds.next() {
            Some(Input::Constant) => Self::from_inner(input.into_primitive()),
            _ => input,
        });
        let nodes = inputs.each_ref().map(|input| input.node());
        let inputs = inputs.map(|input| input.into_primitive());
        let (output, saved) = operation.forward(inputs);
        let aside = O::aside(&saved).into_iter().map(Self::from_inner).collect();
        let node = Node(operation).prepare::<C>(nodes).compute_bound();
        let output = match node.stateful() {
            OpsKind::Tracked(node) => node.finish(saved, output),
            OpsKind::UnTracked(node) => node.finish(output),
        };
        (output, aside)
    }
}

/// Maps whose gradient a node of this file has registered. The node that registers the next one takes the first back
/// and adds both by a kernel; left to itself, burn would add them value by value and out of the channels-last order.
static REGISTERED: Mutex<Option<HashSet<NodeId>>> = Mutex::new(None);
/// Entries of maps that had one consumer only stay behind; dropping them costs speed, not truth.
const MOST_REGISTERED: usize = 4096;

/// Notes that a map has a gradient.
fn mark(node: NodeId) {
    let mut registered = REGISTERED.lock().unwrap_or_else(PoisonError::into_inner);
    let nodes = registered.get_or_insert_default();
    if nodes.len() >= MOST_REGISTERED {
        nodes.clear();
    }
    nodes.insert(node);
}

/// Whether a map has a gradient, which the caller takes over.
fn take(node: NodeId) -> bool {
    let mut registered = REGISTERED.lock().unwrap_or_else(PoisonError::into_inner);
    registered.as_mut().is_some_and(|nodes| nodes.remove(&node))
}

/// An operation in burn's graph.
#[derive(Debug)]
struct Node<O>(O);

impl<O: Operation<N>, const N: usize> Backward<Flex, N> for Node<O> {
    type State = O::Saved;

    fn backward(self, ops: Ops<O::Saved, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<Flex>(&ops.node);
        let kinds = self.0.inputs();
        let wants = ops.parents.each_ref().map(Option::is_some);
        // The gradient of a leaf is copied by `consume`, not taken out.
        let takes: [bool; N] = std::array::from_fn(|input| {
            let inner = ops.parents[input].as_ref().map(|node| &node.parents);
            kinds[input] == Input::Map && inner.is_some_and(|parents| !parents.is_empty())
        });
        let mut earlier: [Option<FlexTensor>; N] = std::array::from_fn(|input| {
            let node = ops.parents[input].as_ref().filter(|_| takes[input])?;
            take(node.id).then(|| grads.consume::<Flex>(node))
        });
        let gradients = self.0.backward(ops.state, grad, wants, &mut earlier);
        let inputs = ops.parents.into_iter().zip(takes);
        for ((parent, takes), (gradient, earlier)) in inputs.zip(gradients.into_iter().zip(earlier))
        {
            let Some(node) = parent else { continue };
            let mut gradient = gradient.expect("a gradient for every input that wants one");
            if let Some(earlier) = earlier {
                gradient = add::maps(gradient, earlier);
            }
            if takes {
                // Registered a moment ago, where one map is two of the inputs.
                if take(node.id) {
                    gradient = add::maps(gradient, grads.consume::<Flex>(&node));
                }
                mark(node.id);
            }
            grads.register::<Flex>(node.id, gradient);
        }
    }
}
