//! Eigenvectors of the largest eigenvalue.

#[cfg(feature = "flex")]
pub(crate) mod kernel;

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use self::kernel::{Iterations, Trace};
use super::unit_rows;
#[cfg(feature = "flex")]
use crate::flex::{Dense, FlexTensor, Input, Operation, dense, fast, run};
#[cfg(feature = "flex")]
use crate::isa;

/// Eigenvectors of the largest eigenvalue of symmetric matrices `[batch, size, size]`, of length 1,
/// `[batch, size]`: `search` power iterations `v ← G v / ‖G v‖` from the rows of `start`, without a
/// gradient, and `steps` that one passes through. Differentiable in the matrices.
///
/// A product none of whose entries is larger than `zero` has no direction and stays as it is.
pub fn leading_vectors(
    matrices: Tensor<3>,
    start: Tensor<2>,
    [search, steps]: [usize; 2],
    zero: f64,
) -> Tensor<2> {
    #[cfg(feature = "flex")]
    if fast(&matrices) {
        return run(
            LeadingVectors(Iterations::new(search, steps, zero)),
            [matrices.into_dispatch(), start.into_dispatch()],
        );
    }
    let step = |matrices: &Tensor<3>, v: Tensor<2>| {
        let product = matrices.clone().matmul(v.unsqueeze_dim::<3>(2));
        unit_rows(product.squeeze_dim(2), zero)
    };
    let fixed = matrices.clone().detach();
    let found = (0..search).fold(start.detach(), |v, _| step(&fixed, v));
    (0..steps).fold(found, |v, _| step(&matrices, v))
}

#[cfg(feature = "flex")]
#[derive(Clone, Debug)]
struct LeadingVectors(Iterations);

#[cfg(feature = "flex")]
impl Operation<2> for LeadingVectors {
    /// The matrices, and the steps of each.
    type Saved = (FlexTensor, Vec<Trace>);

    fn inputs(&self) -> [Input; 2] {
        [Input::Plain, Input::Constant]
    }

    fn forward(&self, [matrices, start]: [FlexTensor; 2]) -> (FlexTensor, Self::Saved) {
        let shape = start.layout().shape().clone();
        assert_eq!(
            matrices.layout().shape().to_vec(),
            [shape[0], shape[1], shape[1]],
            "a square matrix for each start"
        );
        let (values, start) = (Dense::new(matrices.clone()), Dense::new(start));
        let (values, start) = (values.values(), start.values());
        let traces = kernel::find(isa(), values, start, shape[1], self.0);
        let found: Vec<&[f32]> = traces.iter().map(Trace::vector).collect();
        (dense(found.concat(), shape), (matrices, traces))
    }

    fn backward(
        &self,
        (matrices, traces): Self::Saved,
        grad: FlexTensor,
        _: [bool; 2],
        _: &mut [Option<FlexTensor>; 2],
    ) -> [Option<FlexTensor>; 2] {
        let shape = matrices.layout().shape().clone();
        let (matrices, grad) = (Dense::new(matrices), Dense::new(grad));
        let gradient = kernel::grad(isa(), matrices.values(), &traces, grad.values());
        [Some(dense(gradient, shape)), None]
    }
}
