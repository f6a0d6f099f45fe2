//! A function of maps and vectors, evaluated with and without kernels.

use burn::tensor::{DType, Device, Tensor, TensorData};
use kd_goldens::uniform;

/// Of the largest value: what Winograd's filtering costs.
const TOLERANCE: f64 = 2e-5;

/// What a function gives.
pub struct Found {
    pub value: Vec<f64>,
    /// Of a weighted sum of the values, by each map and then each vector.
    pub gradients: Vec<Vec<f64>>,
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

/// Values of `f` and gradients by all of its arguments, in one precision.
pub fn evaluate(
    dtype: DType,
    maps: &[[usize; 4]],
    vectors: &[usize],
    f: impl Fn(&[Tensor<4>], &[Tensor<1>]) -> Tensor<4>,
) -> Found {
    let device = Device::flex().autodiff();
    let maps: Vec<Tensor<4>> = (0..maps.len())
        .map(|i| tensor(&format!("map {i}"), maps[i], dtype, &device).require_grad())
        .collect();
    let vectors: Vec<Tensor<1>> = (0..vectors.len())
        .map(|i| tensor(&format!("vector {i}"), [vectors[i]], dtype, &device).require_grad())
        .collect();
    let y = f(&maps, &vectors);
    let value = numbers(y.clone());
    let gradients = weighted(y).backward();
    let of_maps = maps.iter().map(|x| x.grad(&gradients).map(numbers));
    let of_vectors = vectors.iter().map(|x| x.grad(&gradients).map(numbers));
    Found {
        value,
        gradients: of_maps
            .chain(of_vectors)
            .map(Option::unwrap_or_default)
            .collect(),
    }
}

#[track_caller]
fn assert_close(what: &str, got: &[f64], want: &[f64]) {
    assert_eq!(got.len(), want.len(), "{what}");
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

/// Asserts that `f` of `f32`, by the kernels, is `f` of `f64`, with its gradients.
#[track_caller]
pub fn compare(
    what: &str,
    maps: &[[usize; 4]],
    vectors: &[usize],
    f: impl Fn(&[Tensor<4>], &[Tensor<1>]) -> Tensor<4>,
) {
    let got = evaluate(DType::F32, maps, vectors, &f);
    let want = evaluate(DType::F64, maps, vectors, &f);
    assert_close(what, &got.value, &want.value);
    for (index, (got, want)) in got.gradients.iter().zip(&want.gradients).enumerate() {
        assert_close(&format!("{what}, gradient {index}"), got, want);
    }
}
