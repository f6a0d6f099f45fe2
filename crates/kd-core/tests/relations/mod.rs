//! What holds for distances and angles within a batch.

use burn::tensor::activation::relu;
use burn::tensor::{Bool, DType, Device, Tensor, TensorData};
use kd_core::Error;
use kd_core::terms::rkd::{RkdConfig, RkdDifference, rkd, rkd_angle, rkd_distance};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::{assert_half, leaf, wave};

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

/// Lengths `[i, j, 1]`, and where they are 0: a square root has no gradient there.
fn lengths(differences: &Tensor<3>) -> (Tensor<3>, Tensor<3, Bool>) {
    let squared = differences.clone().square().sum_dim(2);
    let zero = squared.clone().equal_elem(0.0);
    let lengths = squared
        .mask_fill(zero.clone(), 1.0)
        .sqrt()
        .mask_fill(zero.clone(), 0.0);
    (lengths, zero)
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
        let (lengths, _) = lengths(&differences(x));
        let mean = lengths.clone().sum() / (batch * (batch - 1)) as f64;
        lengths / mean.unsqueeze()
    };
    Ok(smooth_l1(relative(student) - relative(teacher)))
}

fn angle_by_cube(student: Tensor<2>, teacher: Tensor<2>) -> Result<Tensor<1>, Error> {
    let cosines = |x: Tensor<2>| {
        let differences = differences(x);
        let (lengths, zero) = lengths(&differences);
        let shape = differences.dims();
        let unit =
            (differences / lengths.mask_fill(zero.clone(), 1.0)).mask_fill(zero.expand(shape), 0.0);
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

/// Seven points of some width, as different as a sine makes them.
fn points(width: usize) -> Vec<f64> {
    (0..7 * width).map(|i| (1.7 * i as f64).sin()).collect()
}

#[test]
fn coincident_points_make_no_angle() {
    for width in [2, 30] {
        let mut student = points(width);
        student.copy_within(0..width, 3 * width);
        let student = precise(&student, [7, width]);
        let teacher = precise(&points(5), [7, 5]);
        assert_same(
            evaluate(student.clone(), teacher.clone(), rkd_angle),
            evaluate(student, teacher, angle_by_cube),
        );
    }
}

#[test]
fn points_too_near_to_tell_apart_do_no_harm() {
    let width = 64;
    let mut student: Vec<f32> = points(width).iter().map(|p| *p as f32).collect();
    let first = student[..width].to_vec();
    for (row, step) in [(1, 1000), (2, 2000), (3, 3000)] {
        for (to, from) in student[row * width..][..width].iter_mut().zip(&first) {
            *to = f32::from_bits(from.to_bits() + step);
        }
    }
    let teacher: Vec<f32> = points(5).iter().map(|p| *p as f32).collect();
    let (value, gradient) = evaluate(
        single(&student, [7, width]),
        single(&teacher, [7, 5]),
        rkd_angle,
    );
    // Two cosines differ by at most 2, whose smooth L1 is 1.5.
    assert!(value <= 1.5, "{value}");
    assert!(gradient.iter().all(|g| g.abs() < 1e-2), "{gradient:?}");
}

#[test]
fn a_far_origin_costs_no_digits() {
    let far: Vec<f64> = points(16)
        .iter()
        .map(|p| f64::from((p + 300.0) as f32))
        .collect();
    let near: Vec<f32> = far.iter().map(|p| *p as f32).collect();
    let teacher = points(5);
    let teacher_single: Vec<f32> = teacher.iter().map(|p| *p as f32).collect();
    for loss in [rkd_distance, rkd_angle] {
        let found = evaluate(
            single(&near, [7, 16]),
            single(&teacher_single, [7, 5]),
            loss,
        );
        let expected = evaluate(precise(&far, [7, 16]), precise(&teacher, [7, 5]), loss);
        kd_goldens::assert_close("loss", found.0, expected.0, 1e-4, 0.0);
        let largest = expected.1.iter().fold(0.0_f64, |m, g| m.max(g.abs()));
        for (found, expected) in found.1.iter().zip(&expected.1) {
            kd_goldens::assert_close("gradient", *found, *expected, 1e-4, largest);
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
fn half_precision_holds_distances_and_angles() {
    for (name, loss) in [
        ("rkd_distance", rkd_distance as fn(_, _) -> _),
        ("rkd_angle", rkd_angle),
        ("rkd", |s, t| rkd(s, t, &RkdConfig::default())),
    ] {
        assert_half(name, |dtype| {
            let student = wave([6, 16], 0.2, 8.0, dtype);
            let teacher = wave([6, 32], 0.9, 5.0, dtype);
            let value: Result<Tensor<1>, Error> = loss(student.clone(), teacher);
            (student, value.unwrap())
        });
    }
}

#[test]
fn weights_that_make_no_sense_are_refused() {
    for (distance, angle) in [(-1.0, 2.0), (25.0, f64::NAN), (0.0, 0.0)] {
        let made = || single(&[0.0, 1.0], [2, 1]);
        let error = rkd(made(), made(), &weighted(distance, angle)).unwrap_err();
        assert!(matches!(error, Error::Config { .. }), "{error}");
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

fn weighted(distance: f64, angle: f64) -> RkdConfig {
    RkdConfig {
        distance,
        angle,
        ..RkdConfig::default()
    }
}

#[test]
fn squared_differences_have_no_bend() {
    // Points on a line: distances 1, 1, 2 and 1, 9, 10 in units of their means 4/3 and 20/3.
    let student = leaf(&[0.0, 1.0, 2.0], [3, 1]);
    let teacher = leaf(&[0.0, 1.0, 10.0], [3, 1]);
    let ratio = |d: [f64; 3], mean: f64| d.map(|d| d / mean);
    let (s, t) = (
        ratio([1.0, 1.0, 2.0], 4.0 / 3.0),
        ratio([1.0, 9.0, 10.0], 20.0 / 3.0),
    );
    let differences: Vec<f64> = s.iter().zip(t).map(|(s, t)| (s - t).abs()).collect();
    let mean = |of: fn(f64) -> f64| {
        let sum: f64 = differences.iter().map(|d| of(*d)).sum();
        2.0 * sum / 9.0
    };
    let found = |difference| -> f64 {
        let config = RkdConfig {
            difference,
            ..weighted(1.0, 0.0)
        };
        let loss = rkd(student.clone(), teacher.clone(), &config).unwrap();
        loss.into_scalar::<f32>().into()
    };
    let squared = mean(|d| 0.5 * d * d);
    assert!((found(RkdDifference::Squared) - squared).abs() < 1e-6);
    // None of these reaches the bend.
    assert!(differences.iter().all(|d| *d < 1.0));
    assert!((found(RkdDifference::Huber) - squared).abs() < 1e-6);

    // Angles: of a point between its neighbours, the cosine is −1, of one outside 1, a difference of 2.
    let student = leaf(&[0.0, 1.0, 2.0], [3, 1]);
    let teacher = leaf(&[1.0, 0.0, 2.0], [3, 1]);
    let found = |difference| -> f32 {
        let config = RkdConfig {
            difference,
            ..weighted(0.0, 1.0)
        };
        let loss = rkd(student.clone(), teacher.clone(), &config).unwrap();
        loss.into_scalar()
    };
    // Four of 27 entries differ: two of vertex 0 and two of vertex 1.
    assert!((found(RkdDifference::Squared) - 4.0 * 2.0 / 27.0).abs() < 1e-5);
    assert!((found(RkdDifference::Huber) - 4.0 * 1.5 / 27.0).abs() < 1e-5);
}
