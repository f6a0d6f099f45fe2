//! Eigenvectors of symmetric matrices, exact to rounding, with their gradient.

use burn::tensor::{Tensor, TensorData};

/// Sweeps over all pairs of axes; cyclic Jacobi rotations converge quadratically, in fewer than ten.
const SWEEPS: usize = 30;

/// Two eigenvalues that differ by no more than this share of the largest are one: their vectors have no derivative.
const EQUAL: f64 = 1e-7;

/// The first `count` eigenvectors of symmetric matrices `[batch, size, size]`, by falling eigenvalue:
/// `[batch, size, count]`, of length 1.
///
/// The decomposition is computed in double precision on the host. Its gradient is that of perturbation theory,
/// `dv_i = Σ_{j ≠ i} v_j · (v_jᵀ dA v_i) / (λ_i − λ_j)`, which grows where two eigenvalues meet.
pub(super) fn eigenvectors(matrices: Tensor<3>, count: usize) -> Tensor<3> {
    let [batch, size, _] = matrices.dims();
    let values: Vec<f64> = matrices.clone().into_data().iter::<f64>().collect();
    let mut all = Vec::with_capacity(batch * size * size);
    let mut gaps = Vec::with_capacity(batch * size * count);
    for matrix in values.chunks(size * size) {
        let (lambda, vectors) = decompose(matrix.to_vec(), size);
        let equal = EQUAL * lambda[0].abs().max(lambda[size - 1].abs());
        let inverse = |j: usize, i: usize| match lambda[i] - lambda[j] {
            gap if gap.abs() > equal => 1.0 / gap,
            _ => 0.0,
        };
        all.extend_from_slice(&vectors);
        gaps.extend(
            (0..size)
                .flat_map(|j| (0..count).map(move |i| (j, i)))
                .map(|(j, i)| inverse(j, i)),
        );
    }
    let constant = |values: Vec<f64>, shape: [usize; 3]| {
        let options = (&matrices.device(), matrices.dtype());
        Tensor::<3>::from_data(TensorData::new(values, shape), options)
    };
    let all = constant(all, [batch, size, size]);
    let gaps = constant(gaps, [batch, size, count]);
    let first = all.clone().narrow(2, 0, count);
    // 0 in value, so that the sum has the value of `first` and the gradient of the second part.
    let turned = all
        .clone()
        .transpose()
        .matmul(matrices.matmul(first.clone()));
    let change = (turned.clone() - turned.detach()) * gaps;
    first + all.matmul(change)
}

/// Eigenvalues of a symmetric matrix, falling, and its eigenvectors as columns, by Jacobi rotations.
fn decompose(mut a: Vec<f64>, size: usize) -> (Vec<f64>, Vec<f64>) {
    // Entries below it are what rounding leaves of others.
    let least = f64::EPSILON * a.iter().fold(0.0_f64, |most, entry| most.max(entry.abs()));
    let mut v = vec![0.0; size * size];
    (0..size).for_each(|i| v[i * size + i] = 1.0);
    for _ in 0..SWEEPS {
        let mut turned = false;
        for p in 0..size {
            for q in p + 1..size {
                turned |= rotate(&mut a, &mut v, size, [p, q], least);
            }
        }
        if !turned {
            break;
        }
    }
    let mut order: Vec<usize> = (0..size).collect();
    order.sort_by(|&i, &j| a[j * size + j].total_cmp(&a[i * size + i]));
    let lambda = order.iter().map(|&i| a[i * size + i]).collect();
    let sorted = (0..size).flat_map(|row| order.iter().map(move |&i| (row, i)));
    let vectors = sorted.map(|(row, i)| v[row * size + i]).collect();
    (lambda, vectors)
}

/// Turns axes `p` and `q` so that their entry becomes 0; false where it is no larger than `least` already.
fn rotate(a: &mut [f64], v: &mut [f64], size: usize, [p, q]: [usize; 2], least: f64) -> bool {
    let (app, aqq, apq) = (a[p * size + p], a[q * size + q], a[p * size + q]);
    if apq.abs() <= least || apq.is_nan() {
        return false;
    }
    let theta = (aqq - app) / (2.0 * apq);
    let t = theta.signum() / (theta.abs() + theta.hypot(1.0));
    let c = 1.0 / t.hypot(1.0);
    let s = t * c;
    for k in 0..size {
        let (kp, kq) = (a[k * size + p], a[k * size + q]);
        (a[k * size + p], a[k * size + q]) = (c * kp - s * kq, s * kp + c * kq);
    }
    for k in 0..size {
        let (pk, qk) = (a[p * size + k], a[q * size + k]);
        (a[p * size + k], a[q * size + k]) = (c * pk - s * qk, s * pk + c * qk);
        let (kp, kq) = (v[k * size + p], v[k * size + q]);
        (v[k * size + p], v[k * size + q]) = (c * kp - s * kq, s * kp + c * kq);
    }
    true
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn vectors_and_values_solve_the_equation() {
        let matrix = vec![
            4.0, 1.0, -2.0, 0.5, 1.0, 3.0, 0.0, 1.0, -2.0, 0.0, 1.0, -1.0, 0.5, 1.0, -1.0, 2.0,
        ];
        let (lambda, v) = decompose(matrix.clone(), 4);
        assert!(lambda.is_sorted_by(|a, b| a >= b));
        for i in 0..4 {
            for row in 0..4 {
                let image: f64 = (0..4).map(|k| matrix[4 * row + k] * v[4 * k + i]).sum();
                assert!((image - lambda[i] * v[4 * row + i]).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn the_gradient_is_that_of_finite_differences() {
        let device = Device::flex().autodiff();
        let entries = [2.0_f32, 0.3, -0.4, 0.3, 1.5, 0.2, -0.4, 0.2, 1.0];
        let weights = [[[0.7_f32], [-1.1], [0.4]]];
        let value = |entries: [f32; 9]| {
            let a = Tensor::<1>::from_floats(entries, &device).reshape([1, 3, 3]);
            let v = eigenvectors(a, 1);
            let sign = v.clone().narrow(1, 0, 1).sign();
            let found = (v * sign * Tensor::<3>::from_floats(weights, &device)).sum();
            f64::from(found.into_scalar::<f32>())
        };
        let leaf = Tensor::<1>::from_floats(entries, &device).require_grad();
        let v = eigenvectors(leaf.clone().reshape([1, 3, 3]), 1);
        let sign = v.clone().narrow(1, 0, 1).sign().detach();
        let loss = (v * sign * Tensor::<3>::from_floats(weights, &device)).sum();
        let gradients = loss.backward();
        let found: Vec<f32> = leaf.grad(&gradients).unwrap().into_data().iter().collect();
        for (i, j) in [(0, 1), (0, 2), (1, 2), (0, 0), (1, 1)] {
            let moved = |by: f32| {
                let mut moved = entries;
                moved[3 * i + j] += by;
                if i != j {
                    moved[3 * j + i] += by;
                }
                value(moved)
            };
            let expected = (moved(1e-2) - moved(-1e-2)) / 2e-2;
            let mut got = f64::from(found[3 * i + j]);
            if i != j {
                got += f64::from(found[3 * j + i]);
            }
            assert!((got - expected).abs() < 2e-3, "{i} {j}: {got} {expected}");
        }
    }
}
