//! Weighted sums of rows.

use burn::tensor::Tensor;
use kd_kernels::RowSums;

use crate::compared::compare;

#[test]
fn weighted_sums_of_rows_agree() {
    for ([sums, rows], width) in [([1, 1], 1), ([5, 7], 19), ([300, 40], 64), ([40, 300], 130)] {
        // Out of order, some more than once; one sum has none and one row is in none, where there are several.
        let entries: Vec<[usize; 2]> = (0..4 * sums)
            .map(|k| [(k * k + 3) % sums, (5 * k + 1) % rows])
            .filter(|[sum, row]| sums == 1 || (*sum != 2 && *row != 3))
            .collect();
        let places = RowSums::new(entries.iter().copied(), [sums, rows]);
        let what = format!("{sums} sums of {rows} rows of {width}");
        let x = [1, 1, rows, width];
        compare(&what, &[x], &[entries.len()], |maps, vectors| {
            let x = maps[0].clone().reshape([rows, width]);
            let y = places.weighted(x, vectors[0].clone());
            y.reshape([1, 1, sums, width])
        });
    }
}

/// By the composed form on a type that no kernel takes, in several pieces.
#[test]
fn composed_sums_in_pieces_are_the_same() {
    use burn::tensor::{DType, Device, Distribution};
    let (rows, width) = (10, 64);
    let places = RowSums::new((0..600_000).map(|k| [k % 3, k % rows]), [3, rows]);
    let device = Device::flex();
    let x = Tensor::<2>::random([rows, width], Distribution::Default, &device);
    let weights = Tensor::<1>::random([600_000], Distribution::Default, &device) * 1e-4;
    let want = places.weighted(x.clone(), weights.clone());
    let got = places.weighted(x.cast(DType::F64), weights.cast(DType::F64));
    let apart: f32 = (got.cast(DType::F32) - want).abs().max().into_scalar();
    assert!(apart < 1e-3, "{apart}");
}
