//! What holds for distances and angles within a batch.

use burn::tensor::activation::relu;
use burn::tensor::{Bool, DType, Device, Tensor, TensorData};
use kd_core::Error;
use kd_core::terms::rkd::{RkdConfig, rkd, rkd_angle, rkd_distance};
use proptest::collection::vec;
use proptest::prelude::*;

/// An embedding in double precision, so that two ways to the same number can be told from one that
/// is wrong.
fn precise(values: &[f64], shape: [usize; 2]) -> Tensor<2> {
    let device = Device::flex().autodiff();
    Tensor::from_data(
        TensorData::new(values.to_vec(), shape),
        (&device, DType::F64),
    )
}

fn single(values: &[f32], shape: [usize; 2]) -> Tensor<2> {
    let device = Device::flex().autodiff();
    Tensor::from_data(TensorData::new(values.to_vec(), shape), &device)
}

fn evaluate(
    student: Tensor<2>,
    teacher: Tensor<2>,
    loss: impl Fn(Tensor<2>, Tensor<2>) -> Result<Tensor<1>, Error>,
) -> (f64, Vec<f64>) {
    let student = student.require_grad();
    let loss = loss(student.clone(), teacher).expect("a loss");
    let gradients = loss.backward();
    let gradient = student.grad(&gradients).expect("a gradient").into_data();
    let value = loss.into_data().iter::<f64>().next().expect("a number");
    (value, gradient.iter::<f64>().collect())
}

/// `x_j − x_i` for every pair, `[i, j, width]`: the cube that the losses do without.
fn differences(x: Tensor<2>) -> Tensor<3> {
    let to: Tensor<3> = x.clone().unsqueeze_dim(0);
    let from: Tensor<3> = x.unsqueeze_dim(1);
    to - from
}

fn lengths(differences: &Tensor<3>) -> Tensor<3> {
    let [batch, _, _] = differences.dims();
    let device = differences.device();
    let same = Tensor::<2, Bool>::diag_mask([batch, batch], 0, &device).bool_not();
    let squared = differences.clone().square().sum_dim(2);
    // A one on the diagonal has a square root with a finite gradient; it is taken away again.
    let same: Tensor<3, Bool> = same.unsqueeze_dim(2);
    squared
        .mask_fill(same.clone(), 1.0)
        .sqrt()
        .mask_fill(same, 0.0)
}

fn smooth_l1<const D: usize>(difference: Tensor<D>) -> Tensor<1> {
    let size = difference.abs();
    let beyond = relu(size.clone() - 1.0);
    let within = size - beyond.clone();
    (within.square() * 0.5 + beyond).mean()
}

fn distance_by_cube(student: Tensor<2>, teacher: Tensor<2>) -> Result<Tensor<1>, Error> {
    let relative = |x: Tensor<2>| {
        let [batch, _] = x.dims();
        let lengths = lengths(&differences(x));
        let mean = lengths.clone().sum() / (batch * (batch - 1)) as f64;
        lengths / mean.unsqueeze()
    };
    Ok(smooth_l1(relative(student) - relative(teacher)))
}

fn angle_by_cube(student: Tensor<2>, teacher: Tensor<2>) -> Result<Tensor<1>, Error> {
    let cosines = |x: Tensor<2>| {
        let differences = differences(x);
        let lengths = lengths(&differences);
        let unit =
            differences / (lengths.clone() + lengths.equal_elem(0.0).float().cast(DType::F64));
        unit.clone().matmul(unit.swap_dims(1, 2))
    };
    Ok(smooth_l1(cosines(student) - cosines(teacher)))
}

fn assert_same(found: (f64, Vec<f64>), expected: (f64, Vec<f64>)) {
    let largest = expected.1.iter().fold(1e-3_f64, |m, g| m.max(g.abs()));
    assert!(
        (found.0 - expected.0).abs() < 1e-9,
        "{found:?} {expected:?}"
    );
    for (found, expected) in found.1.iter().zip(&expected.1) {
        assert!(
            (found - expected).abs() < 1e-7 * largest,
            "{found} {expected}"
        );
    }
}

/// Two embeddings of one batch, of widths below and above the batch size.
fn embeddings() -> impl Strategy<Value = ([usize; 3], Vec<f64>, Vec<f64>)> {
    (2_usize..7, 2_usize..20, 2_usize..20).prop_flat_map(|(batch, narrow, wide)| {
        (
            Just([batch, narrow, wide]),
            vec(-2.0..2.0, batch * narrow),
            vec(-2.0..2.0, batch * wide),
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn products_give_what_the_cube_gives(([batch, s, t], student, teacher) in embeddings()) {
        let student = precise(&student, [batch, s]);
        let teacher = precise(&teacher, [batch, t]);
        assert_same(
            evaluate(student.clone(), teacher.clone(), rkd_distance),
            evaluate(student.clone(), teacher.clone(), distance_by_cube),
        );
        assert_same(
            evaluate(student.clone(), teacher.clone(), rkd_angle),
            evaluate(student, teacher, angle_by_cube),
        );
    }

    #[test]
    fn relations_ignore_scale_place_and_order(([batch, s, t], student, teacher) in embeddings()) {
        let config = RkdConfig::default();
        let loss = |x: Tensor<2>, y: Tensor<2>| rkd(x, y, &config);
        let (x, y) = (precise(&student, [batch, s]), precise(&teacher, [batch, t]));
        let (value, _) = evaluate(x.clone(), y.clone(), loss);
        let (moved, _) = evaluate(x.clone() * 3.0 + 5.0, y.clone(), loss);
        prop_assert!((value - moved).abs() < 1e-7 * (1.0 + value), "{} {}", value, moved);
        let (turned, _) = evaluate(x.flip([0]), y.clone().flip([0]), loss);
        prop_assert!((value - turned).abs() < 1e-9 * (1.0 + value), "{} {}", value, turned);
        let (itself, gradient) = evaluate(y.clone(), y * 2.0 - 1.0, loss);
        prop_assert!(itself.abs() < 1e-12, "{}", itself);
        prop_assert!(gradient.iter().all(|g| g.abs() < 1e-5), "{:?}", gradient);
    }

    #[test]
    fn large_and_repeated_points_stay_finite(
        points in vec(prop_oneof![-1e4_f32..1e4, Just(0.0), Just(1e4), -1.0_f32..1.0], 12),
        repeated in 0_usize..4,
    ) {
        let mut student = points.clone();
        let first = student[..3].to_vec();
        student[repeated * 3..][..3].copy_from_slice(&first);
        for loss in [rkd_distance, rkd_angle] {
            let (value, gradient) =
                evaluate(single(&student, [4, 3]), single(&points[..8], [4, 2]), loss);
            prop_assert!(value.is_finite(), "{}", value);
            prop_assert!(gradient.iter().all(|g| g.is_finite()), "{:?}", gradient);
        }
    }
}

#[test]
fn equal_points_have_no_direction_to_move_in() {
    for constant in [0.0, 1.0, 0.1, -1e4, 12345.678] {
        for width in [1, 3, 64] {
            let student = single(&vec![constant; 5 * width], [5, width]);
            let teacher: Vec<f32> = (0..15).map(|i| (i * i % 11) as f32).collect();
            let teacher = single(&teacher, [5, 3]);
            for loss in [rkd_distance, rkd_angle] {
                let (value, gradient) = evaluate(student.clone(), teacher.clone(), loss);
                assert!(value.is_finite() && value > 0.0);
                assert!(gradient.iter().all(|g| *g == 0.0), "{gradient:?}");
            }
        }
    }
}

#[test]
fn a_batch_of_one_has_no_relations() {
    let one = || single(&[1.0, 2.0], [1, 2]);
    for (name, loss) in [
        ("rkd_distance", rkd_distance as fn(_, _) -> _),
        ("rkd_angle", rkd_angle),
    ] {
        let message = loss(one(), one()).unwrap_err().to_string();
        assert!(message.starts_with(name), "{message}");
        assert!(message.contains("at least 2"), "{message}");
    }
    let three = single(&[1.0; 6], [3, 2]);
    let message = rkd_distance(three, single(&[1.0; 4], [2, 2])).unwrap_err();
    assert!(message.to_string().contains("batch sizes differ"));
}
