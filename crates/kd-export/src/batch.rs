//! Which sizes follow the number of images: two recordings with different numbers tell.

use std::collections::BTreeMap;

use burn::tensor::Slice;
use burn_ir::{BaseOperationIr, IrVisitorMut, OperationIr, ScalarIr, TensorId, TensorIr};

use crate::Error;
use crate::capture::Captured;
use crate::graph::Dim;
use crate::names::{Places, operation_name};

/// The numbers of images of the two recordings. With 2 and 3 a size that merely looks like a batch, such as 4
/// of 2 images, is none of 3.
pub(crate) const BATCHES: [usize; 2] = [2, 3];

/// The sizes of every tensor of the first recording.
///
/// # Errors
/// [`Error::Batch`] with the operation that computes otherwise for another number of images.
pub(crate) fn sizes(
    [first, second]: [&Captured; 2],
    places: &Places,
) -> Result<BTreeMap<TensorId, Vec<Dim>>, Error> {
    let mut sizes = BTreeMap::new();
    // Sizes of the second recording by the number of their first appearance, which ids of both map to.
    let (mut a, mut b) = (Numbers::default(), Numbers::default());
    let operations = first.graph.graph.operations.iter();
    let mut others = second.graph.graph.operations.iter();
    for (index, one) in operations.enumerate() {
        let fail = |problem: &str| Error::Batch {
            operation: operation_name(one),
            place: places.of(index),
            problem: problem.into(),
        };
        let other = others
            .next()
            .ok_or_else(|| fail("the forward pass goes another way"))?;
        if plain(one, &mut a) != plain(other, &mut b) {
            return Err(fail("it has other arguments"));
        }
        for (one, other) in one.nodes().into_iter().zip(other.nodes()) {
            let pairs = one.shape.iter().zip(other.shape.iter());
            let dims: Option<Vec<Dim>> = pairs.map(|(&one, &other)| dim([one, other])).collect();
            let dims = dims.ok_or_else(|| {
                fail(&format!(
                    "a tensor has the shape {:?} for {} images and {:?} for {}",
                    one.shape.to_vec(),
                    BATCHES[0],
                    other.shape.to_vec(),
                    BATCHES[1],
                ))
            })?;
            sizes.insert(one.id, dims);
        }
    }
    match others.next() {
        Some(more) => Err(Error::Batch {
            operation: operation_name(more),
            place: places.last(),
            problem: "it is there for some numbers of images only".into(),
        }),
        None => Ok(sizes),
    }
}

fn dim([one, other]: [usize; 2]) -> Option<Dim> {
    let times = one / BATCHES[0];
    match one == other {
        true => Some(Dim::Fixed(one)),
        false => {
            let follows = [one, other] == BATCHES.map(|batch| times * batch);
            follows.then_some(Dim::Batch(times))
        }
    }
}

/// Numbers of tensors in the order of their appearance, the same in both recordings.
#[derive(Default)]
struct Numbers(BTreeMap<TensorId, u64>);

impl IrVisitorMut for Numbers {
    fn visit_tensor_mut(&mut self, tensor: &mut TensorIr) {
        let next = self.0.len() as u64;
        let number = *self.0.entry(tensor.id).or_insert(next);
        tensor.id = TensorId::new(number);
        // What may differ is looked at by itself.
        let rank = tensor.shape.len();
        tensor.shape = vec![0; rank].into();
    }

    fn visit_scalar_mut(&mut self, _scalar: &mut ScalarIr) {}

    fn visit_range_mut(&mut self, _range: &mut Slice) {}
}

/// Whether a range takes all of an axis.
pub(crate) fn is_whole(range: &Slice, size: usize) -> bool {
    let end = range.end.is_none_or(|end| end == size as isize);
    range.start == 0 && range.step == 1 && end
}

/// An operation without ids and sizes; ranges that take a whole axis say so.
fn plain(operation: &OperationIr, numbers: &mut Numbers) -> OperationIr {
    let mut operation = operation.clone();
    if let OperationIr::BaseFloat(BaseOperationIr::Slice(slice))
    | OperationIr::BaseInt(BaseOperationIr::Slice(slice))
    | OperationIr::BaseBool(BaseOperationIr::Slice(slice)) = &mut operation
    {
        for (range, &size) in slice.ranges.iter_mut().zip(slice.tensor.shape.iter()) {
            if is_whole(range, size) {
                *range = Slice::full();
            }
        }
    }
    operation.visit_mut(numbers);
    operation
}
