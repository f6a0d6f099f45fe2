//! Squared differences of two maps, by three rules.

#[cfg(feature = "flex")]
pub(crate) mod kernel;

use burn::tensor::Tensor;
use burn::tensor::activation::relu;

#[cfg(feature = "flex")]
use self::kernel::{DistanceArgs, Rule};
#[cfg(feature = "flex")]
use crate::flex::{Dense, FlexTensor, Input, Map, Operation, build, dense, fast, run};
#[cfg(feature = "flex")]
use crate::isa;

/// Mean over batch and positions of `(student − target)²`, from maps
/// `[batch, channels, height, width]` of one shape, `[channels]`.
///
/// Differentiable in the student alone.
pub fn squared_distance(student: Tensor<4>, target: Tensor<4>) -> Tensor<1> {
    #[cfg(feature = "flex")]
    if fast(&student) {
        return compare(student, target, None, Rule::Plain);
    }
    mean_squares(student - target.detach())
}

/// Mean over batch and positions of what the student's units lack to be on the target's side of zero
/// by `margin`, squared: `max(0, margin + s)²` where `t ≤ 0` and `max(0, margin − s)²` elsewhere, from
/// maps `[batch, channels, height, width]` of one shape, `[channels]`.
///
/// Differentiable in the student alone.
pub fn boundary_distance(student: Tensor<4>, target: Tensor<4>, margin: f64) -> Tensor<1> {
    #[cfg(feature = "flex")]
    if fast(&student) {
        let [_, channels, ..] = student.dims();
        let options = (&student.device(), student.dtype());
        let margin = Tensor::full([channels], margin, options);
        return compare(student, target, Some(margin), Rule::Boundary);
    }
    // 1 where the target is off and −1 where it is on: one expression for both sides.
    let side = target.detach().lower_equal_elem(0.0).float() * 2.0 - 1.0;
    let side = side.cast(student.dtype());
    mean_squares(relu(student * side + margin))
}

/// Mean over batch and positions of `(s − t')²` with `t' = max(t, margin)`, but where `t ≤ 0` only for
/// `s > t'`, from maps `[batch, channels, height, width]` of one shape and a `margin` `[channels]`,
/// `[channels]`.
///
/// Differentiable in the student alone.
pub fn one_sided_distance(student: Tensor<4>, target: Tensor<4>, margin: Tensor<1>) -> Tensor<1> {
    #[cfg(feature = "flex")]
    if fast(&student) {
        return compare(student, target, Some(margin), Rule::OneSided);
    }
    let [channels] = margin.dims();
    let (target, margin) = (
        target.detach(),
        margin.detach().reshape([1, channels, 1, 1]),
    );
    let off = target.clone().lower_equal_elem(0.0);
    // The larger of the target and its margin.
    let target = relu(target - margin.clone()) + margin;
    let difference = student - target;
    // Where the target is off, a student that is lower still is where it should be.
    let low = difference.clone().detach().lower_equal_elem(0.0);
    mean_squares(difference.mask_fill(off.bool_and(low), 0.0))
}

/// Mean over batch and positions, `[channels]`.
pub(super) fn by_channel(map: Tensor<4>) -> Tensor<1> {
    let [batch, channels, height, width] = map.dims();
    // An axis at a time, so that sums stay in range; each is the last of a tensor that lies in
    // order, because webgpu gave other means over inner axes of length 1.
    let rows = map.reshape([batch * channels * height, width]).mean_dim(1);
    let planes = rows.reshape([batch * channels, height]).mean_dim(1);
    let samples = planes.reshape([batch, channels]).transpose();
    samples
        .reshape([channels, batch])
        .mean_dim(1)
        .reshape([channels])
}

pub(super) fn mean_squares(difference: Tensor<4>) -> Tensor<1> {
    by_channel(difference.square())
}

#[cfg(feature = "flex")]
fn compare(
    student: Tensor<4>,
    target: Tensor<4>,
    margin: Option<Tensor<1>>,
    rule: Rule,
) -> Tensor<1> {
    let [student, target] = [student, target].map(Tensor::into_dispatch);
    match margin {
        Some(margin) => run(Distance { rule }, [student, target, margin.into_dispatch()]),
        None => run(Distance { rule }, [student, target]),
    }
}

/// The inputs are the student's map, its target, and a margin for each channel, if there are three.
#[cfg(feature = "flex")]
#[derive(Clone, Debug)]
struct Distance {
    rule: Rule,
}

#[cfg(feature = "flex")]
impl Distance {
    /// Runs `work` on the inputs.
    fn with<const N: usize, R>(
        &self,
        inputs: [FlexTensor; N],
        work: impl FnOnce(DistanceArgs) -> R,
    ) -> R {
        let mut inputs = inputs.into_iter();
        let mut map = || Map::new(inputs.next().expect("a map and its target"));
        let (student, target) = (map(), map());
        let (student, target) = (student.images(), target.images());
        let none = vec![0.0; student.size.channels];
        let margin = inputs.next().map(Dense::new);
        work(DistanceArgs {
            student,
            target,
            margin: margin.as_ref().map_or(&none, Dense::values),
            rule: self.rule,
        })
    }
}

#[cfg(feature = "flex")]
impl<const N: usize> Operation<N> for Distance {
    type Saved = [FlexTensor; N];

    fn inputs(&self) -> [Input; N] {
        std::array::from_fn(|input| match input {
            0 => Input::Map,
            _ => Input::Constant,
        })
    }

    fn forward(&self, inputs: [FlexTensor; N]) -> (FlexTensor, Self::Saved) {
        let distance = self.with(inputs.clone(), |args| {
            let channels = args.student.size.channels;
            dense(kernel::mean_squares(isa(), args), [channels])
        });
        (distance, inputs)
    }

    fn backward(
        &self,
        inputs: Self::Saved,
        grad: FlexTensor,
        _: [bool; N],
        _: &mut [Option<FlexTensor>; N],
    ) -> [Option<FlexTensor>; N] {
        let grad = Dense::new(grad);
        let mut dx = Some(self.with(inputs, |args| {
            build(args.student.size, |dx| {
                kernel::grad(isa(), args, grad.values(), dx);
            })
        }));
        // The student's map is the first, and nothing else has a gradient.
        std::array::from_fn(|_| dx.take())
    }
}
