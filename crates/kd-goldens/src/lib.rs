//! Reading golden files: their folder, the formula tensors they are written with, comparisons.
//!
//! A golden file holds results only. Inputs and weights follow from a key by [`uniform`] and
//! [`parameter`], so a file stays small and every implementation makes the same numbers. A [`Report`] says
//! which cases are met.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::Value;

mod report;

pub use report::{Comparison, REPORT, Report};

/// The folder of golden files: `KD_GOLDENS` when set, else `tests/goldens` of the repository.
pub fn folder() -> PathBuf {
    match std::env::var_os("KD_GOLDENS") {
        Some(folder) => folder.into(),
        None => PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/goldens")),
    }
}

/// Reads one golden file.
///
/// # Panics
/// When the file is missing or is not JSON.
pub fn read(file: &str) -> Value {
    let path = folder().join(file);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|e| panic!("golden file {}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("golden file {}: {e}", path.display()))
}

/// Numbers in `[-1, 1)` that follow from a key: SplitMix64 seeded with FNV-1a of the key.
pub fn uniform(key: &str, count: usize) -> Vec<f64> {
    let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, byte| {
        (h ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (0..count as u64)
        .map(|i| {
            let mut z = hash.wrapping_add(i).wrapping_add(0x9E37_79B9_7F4A_7C15);
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^= z >> 31;
            2.0 * (z >> 40) as f64 / f64::from(1u32 << 24) - 1.0
        })
        .collect()
}

/// Weights of a network by state-dict key and shape; `prefix` is part of the hashed key only.
pub fn parameter(prefix: &str, key: &str, shape: &[usize]) -> Vec<f64> {
    let count = shape.iter().product();
    let u = uniform(&format!("{prefix}{key}"), count);
    let last = key.rsplit('.').next().unwrap_or(key);
    let scale: Box<dyn Fn(f64) -> f64> = if key.ends_with("running_mean") {
        Box::new(|u| 0.1 * u)
    } else if key.ends_with("running_var") {
        Box::new(|u| 1.0 + 0.5 * u.abs())
    } else if shape.len() == 1 && matches!(last, "weight" | "gamma") {
        Box::new(|u| 1.0 + 0.1 * u)
    } else if shape.len() == 1 {
        Box::new(|u| 0.1 * u)
    } else {
        let fan_in: usize = shape[1..].iter().product();
        let bound = (3.0 / fan_in as f64).sqrt();
        Box::new(move |u| u * bound)
    };
    u.into_iter().map(scale).collect()
}

/// State-dict keys with their shapes, from a case of `models.json`.
///
/// # Panics
/// When the case lists none.
pub fn keys(case: &Value) -> BTreeMap<String, Vec<usize>> {
    let pairs: Vec<(String, Vec<usize>)> =
        serde_json::from_value(case["keys"].clone()).expect("pairs of key and shape");
    pairs.into_iter().collect()
}

/// Writes a safetensors file of [`parameter`]s; PyTorch's batch counters get a number.
///
/// # Panics
/// When the file cannot be written.
pub fn write_weights(path: &Path, prefix: &str, keys: &BTreeMap<String, Vec<usize>>) {
    let values: Vec<(Dtype, Vec<u8>)> = keys
        .iter()
        .map(|(key, shape)| {
            if key.ends_with("num_batches_tracked") {
                return (Dtype::I64, 7i64.to_le_bytes().to_vec());
            }
            let values = parameter(prefix, key, shape).into_iter();
            (
                Dtype::F32,
                values.flat_map(|v| (v as f32).to_le_bytes()).collect(),
            )
        })
        .collect();
    let views = keys
        .iter()
        .zip(&values)
        .map(|((key, shape), (dtype, bytes))| {
            let view = TensorView::new(*dtype, shape.clone(), bytes);
            (key, view.expect("as many values as the shape says"))
        });
    safetensors::serialize_to_file(views, None, path)
        .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}

/// Panics unless `|got - want| <= relative · max(|want|, floor)`.
pub fn assert_close(what: &str, got: f64, want: f64, relative: f64, floor: f64) {
    let bound = relative * want.abs().max(floor);
    assert!(
        (got - want).abs() <= bound,
        "{what}: got {got:e}, want {want:e} (difference {:e}, allowed {bound:e})",
        (got - want).abs()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uniform_spans_its_range_and_repeats() {
        let a = uniform("a", 4096);
        assert_eq!(a, uniform("a", 4096));
        assert_ne!(a, uniform("b", 4096));
        assert!(a.iter().all(|v| (-1.0..1.0).contains(v)));
        assert!((a.iter().sum::<f64>() / 4096.0).abs() < 0.05);
    }
}
