//! Dropout by the kernels against products with the mask that the same seed gives.

use burn::tensor::activation::softmax;
use burn::tensor::{DType, Device, Tensor, TensorData};
use kd_kernels::{Mode, add_dropped, dropout, mode, self_attention_dropped};

use crate::compared::{compare, numbers};

const PROB: f64 = 0.3;
const SEED: u64 = 7;

/// The mask of [`SEED`] for a shape.
struct Mask(TensorData);

impl Mask {
    fn new<const D: usize>(shape: [usize; D]) -> Self {
        let device = Device::flex();
        device.seed(SEED);
        let ones = Tensor::<D>::ones(shape, (&device, DType::F32));
        Self(dropout(ones, PROB).into_data())
    }

    fn of<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let factors = self.0.clone().convert_dtype(x.dtype());
        let factors = Tensor::from_data(factors, (&x.device(), x.dtype()));
        x * factors
    }
}

/// The kernel of a function in one precision, what it stands for in the other.
fn either<const D: usize>(
    x: &Tensor<4>,
    kernel: impl FnOnce() -> Tensor<D>,
    meaning: impl FnOnce() -> Tensor<D>,
) -> Tensor<D> {
    if x.dtype() == DType::F64 {
        return meaning();
    }
    x.device().seed(SEED);
    kernel()
}

/// One test: the generator is the process's.
#[test]
fn dropping_is_multiplying_by_a_mask() {
    if mode() == Ok(Mode::Off) {
        return;
    }
    for shape in [
        [1, 1, 1, 1],
        [2, 1, 5, 19],
        [3, 4, 61, 33],
        [1, 1, 2, 20_000],
    ] {
        let mask = Mask::new(shape);
        compare(&format!("{shape:?}"), &[shape], &[], |maps, _| {
            let x = &maps[0];
            let kernel = || dropout(x.clone(), PROB);
            either(x, kernel, || mask.of(x.clone()))
        });
        compare(&format!("{shape:?}, sum"), &[shape; 2], &[], |maps, _| {
            let (x, branch) = (&maps[0], &maps[1]);
            let kernel = || add_dropped(x.clone(), branch.clone(), PROB);
            either(x, kernel, || x.clone() + mask.of(branch.clone()))
        });
        // A stream that goes on after its branch.
        compare(&format!("{shape:?}, stream"), &[shape], &[], |maps, _| {
            let (x, branch) = (maps[0].clone() * 1.5, maps[0].clone() * 0.5);
            let kernel = || add_dropped(x.clone(), branch.clone(), PROB) * x.clone();
            let meaning = || (x.clone() + mask.of(branch.clone())) * x.clone();
            either(&x, kernel, meaning)
        });
    }

    for [batch, tokens] in [[1, 1], [2, 5], [3, 61], [1, 300]] {
        for (heads, each, masked) in [(1, 1, false), (3, 8, true), (2, 32, false)] {
            let shape = [batch, 1, tokens, 3 * heads * each];
            let mask = Mask::new([batch, heads, tokens, tokens]);
            compare(
                &format!("{shape:?}, attention"),
                &[shape],
                &[],
                |maps, _| {
                    let x = maps[0].clone().reshape([batch, tokens, shape[3]]) * 2.0;
                    let added = masked.then(|| {
                        let added = Tensor::<1>::zeros([batch * tokens], (&x.device(), x.dtype()));
                        let added = added.reshape([batch, tokens]);
                        let last = added.clone().narrow(1, tokens - 1, 1) - 2.0;
                        added.slice_assign([0..batch, tokens - 1..tokens], last)
                    });
                    let kernel = || self_attention_dropped(x.clone(), added.clone(), heads, PROB);
                    let meaning = || {
                        let split = x.clone().reshape([batch, tokens, 3 * heads, each]);
                        let split = split.swap_dims(1, 2);
                        let [query, key, value] =
                            [0, 1, 2].map(|i| split.clone().narrow(1, i * heads, heads));
                        let scores = query.matmul(key.transpose()) / (each as f64).sqrt();
                        let scores = match &added {
                            Some(added) => scores + added.clone().reshape([batch, 1, 1, tokens]),
                            None => scores,
                        };
                        let kept = mask.of(softmax(scores, 3));
                        let mixed = kept.matmul(value).swap_dims(1, 2);
                        mixed.reshape([batch, tokens, heads * each])
                    };
                    let mixed = either(&maps[0], kernel, meaning);
                    mixed.reshape([batch, 1, tokens, heads * each])
                },
            );
        }
    }

    // The seed decides, and the next call drops something else.
    let device = Device::flex();
    let draw = || numbers(dropout(Tensor::<2>::ones([40, 50], &device), PROB));
    device.seed(SEED);
    let first = [draw(), draw()];
    device.seed(SEED);
    assert_eq!(first, [draw(), draw()]);
    assert_ne!(first[0], first[1]);
    let kept = first[0].iter().filter(|factor| **factor > 0.0).count();
    assert!((1300..1500).contains(&kept), "{kept} of 2000");
}
