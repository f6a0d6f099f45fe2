//! A function of maps and vectors, evaluated with and without kernels.

use burn::tensor::{DType, Device, Tensor, TensorData};
use kd_goldens::uniform;
use kd_kernels::{Mode, kernel_calls, mode};

/// Of the largest value: what Winograd's filtering costs.
const TOLERANCE: f64 = 2e-5;

/// What a function gives.
pub struct Found {
    pub value: Vec<f64>,
    /// Of a weighted sum of the values, by each map and then each vector; none where no gradient arrives.
    pub gradients: Vec<Option<Vec<f64>>>,
    /// How many kernels the values took, and how many the gradients.
    calls: [u64; 2],
}

impl Found {
    /// The gradient of an argument that must have one.
    #[track_caller]
    pub fn gradient(&self, index: usize) -> &[f64] {
        self.gradients[index].as_deref().expect("a gradient")
    }
}

fn tensor<const D: usize>(
    key: &str,
    shape: [usize; D],
    dtype: DType,
    device: &Device,
) -> Tensor<D> {
    // Rounded, so that both precisions see the same numbers.
    let values: Vec<f64> = uniform(key, shape.iter().product())
        .into_iter()
        .map(|v| f64::from(v as f32))
        .collect();
    Tensor::from_data(TensorData::new(values, shape), (device, dtype))
}

/// A map without gradients.
pub fn plain(shape: [usize; 4]) -> Tensor<4> {
    tensor(&format!("{shape:?}"), shape, DType::F32, &Device::flex())
}

/// `Σ y · r` for fixed `r`, so that every value has a gradient of its own.
pub fn weighted<const D: usize>(y: Tensor<D>) -> Tensor<1> {
    let weights = tensor("weights of the loss", y.dims(), y.dtype(), &y.device());
    (y * weights).sum()
}

pub fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

/// The arguments of a function.
fn arguments(
    dtype: DType,
    device: &Device,
    maps: &[[usize; 4]],
    vectors: &[usize],
) -> (Vec<Tensor<4>>, Vec<Tensor<1>>) {
    let maps = (0..maps.len())
        .map(|i| tensor(&format!("map {i}"), maps[i], dtype, device))
        .collect();
    let vectors = (0..vectors.len())
        .map(|i| tensor(&format!("vector {i}"), [vectors[i]], dtype, device))
        .collect();
    (maps, vectors)
}

/// Values of `f` and gradients by all of its arguments, in one precision.
pub fn evaluate(
    dtype: DType,
    maps: &[[usize; 4]],
    vectors: &[usize],
    f: impl Fn(&[Tensor<4>], &[Tensor<1>]) -> Tensor<4>,
) -> Found {
    let (maps, vectors) = arguments(dtype, &Device::flex().autodiff(), maps, vectors);
    let maps: Vec<Tensor<4>> = maps.into_iter().map(Tensor::require_grad).collect();
    let vectors: Vec<Tensor<1>> = vectors.into_iter().map(Tensor::require_grad).collect();
    let before = kernel_calls();
    let y = f(&maps, &vectors);
    let between = kernel_calls();
    let value = numbers(y.clone());
    let gradients = weighted(y).backward();
    let calls = [between - before, kernel_calls() - between];
    let of_maps = maps.iter().map(|x| x.grad(&gradients).map(numbers));
    let of_vectors = vectors.iter().map(|x| x.grad(&gradients).map(numbers));
    Found {
        value,
        gradients: of_maps.chain(of_vectors).collect(),
        calls,
    }
}

#[track_caller]
fn assert_close(what: &str, got: &[f64], want: &[f64]) {
    assert_eq!(got.len(), want.len(), "{what}");
    assert!(!want.is_empty(), "{what}: there is nothing to compare");
    let largest = want.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    for (index, (got, want)) in got.iter().zip(want).enumerate() {
        let distance = (got - want).abs();
        assert!(
            distance <= TOLERANCE * largest,
            "{what}, value {index}: {got} is not {want}, {:e} of the largest",
            distance / largest,
        );
    }
}

/// What a comparison expects beside equal numbers.
#[derive(Clone, Copy)]
pub struct Expected<'a> {
    /// The arguments that have a gradient, maps first; all when there is no list.
    pub gradients: Option<&'a [usize]>,
    /// Whether the gradients are zero, every one; else none is.
    pub zero: bool,
    /// Whether kernels compute the values, where there are no gradients and where there are.
    pub forward: [bool; 2],
    /// Whether kernels compute the gradients.
    pub backward: bool,
}

impl Default for Expected<'_> {
    fn default() -> Self {
        Self {
            gradients: None,
            zero: false,
            forward: [true, true],
            backward: true,
        }
    }
}

impl<'a> Expected<'a> {
    /// Kernels in both directions, and gradients of some arguments only.
    pub fn gradients(gradients: &'a [usize]) -> Self {
        Self {
            gradients: Some(gradients),
            ..Self::default()
        }
    }

    /// Asserts that `f` of `f32`, by the kernels, is `f` of `f64`, composed of burn's operations: values without
    /// gradients, values with gradients, and the gradients.
    #[track_caller]
    pub fn compare(
        self,
        what: &str,
        maps: &[[usize; 4]],
        vectors: &[usize],
        f: impl Fn(&[Tensor<4>], &[Tensor<1>]) -> Tensor<4>,
    ) {
        let got = evaluate(DType::F32, maps, vectors, &f);
        let want = evaluate(DType::F64, maps, vectors, &f);
        assert_close(what, &got.value, &want.value);
        for (index, (got, want)) in got.gradients.iter().zip(&want.gradients).enumerate() {
            let what = format!("{what}, gradient {index}");
            let expected = self.gradients.is_none_or(|some| some.contains(&index));
            assert_eq!(
                [got.is_some(), want.is_some()],
                [expected; 2],
                "{what}: whether there is one"
            );
            if let (Some(got), Some(want)) = (got, want) {
                let zero = want.iter().all(|slope| *slope == 0.0);
                assert_eq!(zero, self.zero, "{what}: whether it is zero");
                assert_close(&what, got, want);
            }
        }

        let before = kernel_calls();
        let (of_maps, of_vectors) = arguments(DType::F32, &Device::flex(), maps, vectors);
        let inference = f(&of_maps, &of_vectors);
        let calls = kernel_calls() - before;
        let what = format!("{what}, without gradients");
        assert_close(&what, &numbers(inference), &want.value);

        let on = mode() != Ok(Mode::Off);
        let expected = [self.forward[0], self.forward[1], self.backward].map(|by| by && on);
        let [forward, backward] = got.calls;
        assert_eq!(
            [calls, forward, backward].map(|calls| calls > 0),
            expected,
            "{what}: whether kernels gave the inference's values, the training's and the gradients"
        );
        assert_eq!(want.calls, [0, 0], "{what}: f64 is composed of burn's");
    }
}

/// Compares a function whose arguments all have gradients, and that kernels compute in both directions.
#[track_caller]
pub fn compare(
    what: &str,
    maps: &[[usize; 4]],
    vectors: &[usize],
    f: impl Fn(&[Tensor<4>], &[Tensor<1>]) -> Tensor<4>,
) {
    Expected::default().compare(what, maps, vectors, f);
}
