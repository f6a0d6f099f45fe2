//! Distances between how two networks go from one map to another, sample by sample.

#[cfg(feature = "flex")]
pub(crate) mod kernel;

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use self::kernel::{Flow, Maps};
use super::channel_relations::mean_squares;
use super::products;
#[cfg(feature = "flex")]
use crate::flex::{Dense, FlexTensor, Input, Map, Operation, build, dense, fast, run};
#[cfg(feature = "flex")]
use crate::isa;

/// Mean over all pairs of channels of `(F_s − F_t)²`, `[batch]`, where `F` `[channels of f, channels of g]` are the
/// [`products`](fn@crate::products) of the two maps `f` and `g` of a network, `[batch, channels, height, width]`. Both of a network have
/// one size.
///
/// Differentiable in the student alone.
pub fn fsp_distance(student: [Tensor<4>; 2], target: [Tensor<4>; 2]) -> Tensor<1> {
    #[cfg(feature = "flex")]
    if fast(&student[0]) {
        return compare(student, target, Flow::Products);
    }
    let [student, target] =
        [student, target.map(Tensor::detach)].map(|[from, to]| products(from, to));
    mean_squares(student - target)
}

/// Mean over all pairs of entries of `(R_s − R_t)²`, `[batch]`, where `R[i, j] = exp(−(v_j − u_i)² / 8)` for the two
/// vectors `u` and `v` of a network, `[batch, width]`.
///
/// Differentiable in the student alone.
pub fn singular_vector_distance(student: [Tensor<2>; 2], target: [Tensor<2>; 2]) -> Tensor<1> {
    #[cfg(feature = "flex")]
    if fast(&student[0]) {
        let as_maps = |vectors: Tensor<2>| {
            let [batch, width] = vectors.dims();
            vectors.reshape([batch, width, 1, 1])
        };
        return compare(
            student.map(as_maps),
            target.map(as_maps),
            Flow::SingularVectors,
        );
    }
    let [student, target] = [student, target.map(Tensor::detach)].map(|[from, to]| {
        let difference = to.unsqueeze_dim::<3>(1) - from.unsqueeze_dim::<3>(2);
        (difference.square() * -0.125).exp()
    });
    mean_squares(student - target)
}

#[cfg(feature = "flex")]
fn compare(student: [Tensor<4>; 2], target: [Tensor<4>; 2], flow: Flow) -> Tensor<1> {
    let ([from, to], [target_from, target_to]) = (student, target);
    let maps = [from, to, target_from, target_to].map(Tensor::into_dispatch);
    run(FlowDistance(flow), maps)
}

/// The inputs are the earlier and the later map of the student, then those of the target.
#[cfg(feature = "flex")]
#[derive(Clone, Debug)]
struct FlowDistance(Flow);

#[cfg(feature = "flex")]
impl Operation<4> for FlowDistance {
    /// The student's maps, and what was computed on the way.
    type Saved = ([FlexTensor; 2], Vec<f32>);

    fn inputs(&self) -> [Input; 4] {
        [Input::Map, Input::Map, Input::Constant, Input::Constant]
    }

    fn forward(&self, maps: [FlexTensor; 4]) -> (FlexTensor, Self::Saved) {
        let [from, to, ..] = maps.clone();
        let maps = maps.map(Map::new);
        let [s_from, s_to, t_from, t_to] = maps.each_ref().map(Map::images);
        let maps = Maps {
            student: [s_from, s_to],
            target: [t_from, t_to],
        };
        let (distance, saved) = kernel::distance(isa(), maps, self.0);
        let batch = distance.len();
        (dense(distance, [batch]), ([from, to], saved))
    }

    fn backward(
        &self,
        (student, saved): Self::Saved,
        grad: FlexTensor,
        _: [bool; 4],
        _: &mut [Option<FlexTensor>; 4],
    ) -> [Option<FlexTensor>; 4] {
        let (student, grad) = (student.map(Map::new), Dense::new(grad));
        let student = student.each_ref().map(Map::images);
        let [from, to] = student;
        let mut of_to = None;
        let of_from = build(from.size, |from| {
            of_to = Some(build(to.size, |to| {
                kernel::grad(isa(), student, self.0, &saved, grad.values(), [from, to]);
            }));
        });
        [Some(of_from), of_to, None, None]
    }
}
