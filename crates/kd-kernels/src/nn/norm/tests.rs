//! Every instruction set against the formulas in double precision.

use kd_goldens::uniform;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::images::Size;
use crate::test_memory::{numbers, with_gap, written};

const EPSILON: f64 = 1e-5;

fn double(values: &[f32]) -> Vec<f64> {
    values.iter().map(|v| f64::from(*v)).collect()
}

fn largest(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().fold(0.0, |m, v| m.max(v.abs()))
}

/// Compares with a tolerance relative to the largest of the values and of the `terms` that cancel
/// in them.
#[track_caller]
fn assert_near(what: &str, got: &[f32], want: &[f64], terms: f64, tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{what}");
    let scale = largest(want.iter().copied()).max(terms);
    for (index, (got, want)) in got.iter().zip(want).enumerate() {
        let distance = (f64::from(*got) - want).abs() / scale;
        assert!(
            distance <= tolerance,
            "{what}, value {index}: {got} is not {want}, {distance:e} of the largest",
        );
    }
}

/// Mean and biased variance of each channel.
fn moments(x: &[f64], channels: usize) -> [Vec<f64>; 2] {
    let count = (x.len() / channels) as f64;
    let mean: Vec<f64> = (0..channels)
        .map(|c| x.iter().skip(c).step_by(channels).sum::<f64>() / count)
        .collect();
    let variance = (0..channels)
        .map(|c| {
            let squares = x.iter().skip(c).step_by(channels);
            squares.map(|x| (x - mean[c]).powi(2)).sum::<f64>() / count
        })
        .collect();
    [mean, variance]
}

fn size([batch, height, width, channels]: [usize; 4]) -> Size {
    Size {
        batch,
        height,
        width,
        channels,
    }
}

#[test]
fn a_mean_far_from_zero_costs_the_variance_no_digits() {
    for channels in [1, 3, 16, 70] {
        let size = size([4, 64, 64, channels]);
        // A uniform distribution of standard deviation 1.
        let x: Vec<f32> = uniform("x", size.len())
            .into_iter()
            .map(|v| (1000.0 + v * 3.0_f64.sqrt()) as f32)
            .collect();
        let want = moments(&double(&x), channels);
        for isa in Isa::available() {
            let Statistics { mean, variance } = statistics(isa, Images::new(&x, size));
            assert_near("mean", &mean, &want[0], 0.0, 1e-6);
            assert_near("variance", &variance, &want[1], 0.0, 1e-5);
        }
    }
}

#[test]
fn equal_values_have_their_own_mean_and_no_variance() {
    let size = size([16, 32, 32, 1]);
    let x = vec![1000.3_f32; size.len()];
    for isa in Isa::available() {
        let Statistics { mean, variance } = statistics(isa, Images::new(&x, size));
        assert_eq!((mean, variance), (vec![1000.3], vec![0.0]), "{isa}");
    }
}

#[derive(Clone, Debug)]
struct Case {
    size: Size,
    gap: usize,
    residual: bool,
    relu: bool,
}

fn cases() -> impl Strategy<Value = Case> {
    // Two pixels at least: one has no standard deviation.
    let shape = (1_usize..=3, 1_usize..=9, 2_usize..=9, 1_usize..=70);
    let switches = (select(vec![0_usize, 1, 5]), any::<[bool; 2]>());
    (shape, switches).prop_map(|((b, h, w, c), (gap, [residual, relu]))| Case {
        size: size([b, h, w, c]),
        gap,
        residual,
        relu,
    })
}

impl Case {
    fn view<'a>(&self, values: &'a [f32]) -> Images<'a> {
        Images::with_pitch(values, self.size, self.size.channels + self.gap)
    }

    fn check(&self) {
        let (size, channels) = (self.size, self.size.channels);
        // Pixels of either sign, so that no channel's standard deviation is small beside its values.
        let x: Vec<f32> = numbers("x", size.len())
            .iter()
            .enumerate()
            .map(|(i, v)| {
                if i / channels % 2 == 0 {
                    v.abs() + 0.5
                } else {
                    -v.abs()
                }
            })
            .collect();
        let shortcut = numbers("shortcut", size.len());
        let dy = numbers("dy", size.len());
        let gamma: Vec<f32> = numbers("gamma", channels).iter().map(|g| g + 2.0).collect();
        let beta = numbers("beta", channels);
        let (wide_x, wide_shortcut, wide_dy) = (
            with_gap(&x, size, self.gap),
            with_gap(&shortcut, size, self.gap),
            with_gap(&dy, size, self.gap),
        );

        let [x, shortcut, dy, gamma64, beta64] =
            [&x, &shortcut, &dy, &gamma, &beta].map(|values| double(values));
        let [mean64, variance64] = moments(&x, channels);
        let rstd64: Vec<f64> = variance64
            .iter()
            .map(|v| 1.0 / (v + EPSILON).sqrt())
            .collect();
        let count = size.pixels() as f64;
        let standard: Vec<f64> = (0..size.len())
            .map(|i| (x[i] - mean64[i % channels]) * rstd64[i % channels])
            .collect();
        let y: Vec<f64> = (0..size.len())
            .map(|i| {
                let y = standard[i] * gamma64[i % channels] + beta64[i % channels];
                let y = if self.residual { y + shortcut[i] } else { y };
                if self.relu { y.max(0.0) } else { y }
            })
            .collect();
        let gated: Vec<f64> = (0..size.len())
            .map(|i| if self.relu && y[i] <= 0.0 { 0.0 } else { dy[i] })
            .collect();
        let mut sums = [vec![0.0; channels], vec![0.0; channels]];
        for i in 0..size.len() {
            sums[0][i % channels] += gated[i];
            sums[1][i % channels] += gated[i] * standard[i];
        }
        let dx: Vec<f64> = (0..size.len())
            .map(|i| {
                let c = i % channels;
                let rest = (sums[0][c] + standard[i] * sums[1][c]) / count;
                gamma64[c] * rstd64[c] * (gated[i] - rest)
            })
            .collect();

        let terms = largest((0..size.len()).map(|i| {
            let c = i % channels;
            gamma64[c] * rstd64[c] * gated[i]
        }));

        let activation = match self.relu {
            true => Activation::Relu,
            false => Activation::Identity,
        };
        for isa in Isa::available() {
            let Statistics { mean, variance } = statistics(isa, self.view(&wide_x));
            assert_near("mean", &mean, &mean64, 1.0, 1e-5);
            assert_near("variance", &variance, &variance64, 0.0, 1e-5);
            let (scale, shift) = fold(&gamma, &beta, &mean, &variance, EPSILON);
            let found = written(size.len(), |y| {
                let residual = self.residual.then(|| self.view(&wide_shortcut));
                affine(
                    isa,
                    self.view(&wide_x),
                    &scale,
                    &shift,
                    residual,
                    activation,
                    y,
                );
            });
            assert_near("output", &found, &y, 0.0, 1e-5);

            let gate = with_gap(&found, size, self.gap);
            let rstd = reciprocal_deviation(&variance, EPSILON);
            let gate = match (self.relu, self.residual) {
                (false, _) => Gate::Open,
                (true, true) => Gate::Output(self.view(&gate)),
                (true, false) => Gate::Line {
                    scale: &scale,
                    shift: &shift,
                    activation,
                },
            };
            let saved = Saved {
                x: self.view(&wide_x),
                gate,
                mean: &mean,
                rstd: &rstd,
                gamma: &gamma,
            };
            let mut parameters = ParameterGrads::default();
            let mut to_shortcut = None;
            let to_x = written(size.len(), |dx| {
                let mut run = |residual: Option<&mut [MaybeUninit<f32>]>| {
                    parameters = grad(isa, saved, self.view(&wide_dy), dx, residual);
                };
                if self.residual {
                    to_shortcut = Some(written(size.len(), |residual| run(Some(residual))));
                } else {
                    run(None);
                }
            });
            assert_near("gradient of x", &to_x, &dx, terms, 1e-5);
            assert_near("gradient of gamma", &parameters.gamma, &sums[1], 1.0, 1e-5);
            assert_near("gradient of beta", &parameters.beta, &sums[0], 1.0, 1e-5);
            if let Some(found) = to_shortcut {
                assert_eq!(double(&found), gated, "gradient of the shortcut, {isa}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn values_and_gradients_are_those_of_the_formula(case in cases()) {
        case.check();
    }
}

#[test]
fn maps_of_more_than_one_chunk() {
    for shape in [[5, 20, 20, 70], [3, 17, 80, 4], [2, 1, 1, 40_000]] {
        for [residual, relu] in [[false, false], [true, true]] {
            Case {
                size: size(shape),
                gap: 3,
                residual,
                relu,
            }
            .check();
        }
    }
}

#[test]
fn an_activation_lets_nan_through() {
    let size = size([1, 2, 2, 21]);
    let x = vec![f32::NAN; size.len()];
    let (scale, shift) = (vec![1.0; 21], vec![0.0; 21]);
    for isa in Isa::available() {
        for activation in Activation::ALL {
            let y = written(size.len(), |y| {
                let x = Images::new(&x, size);
                affine(isa, x, &scale, &shift, None, activation, y);
            });
            assert!(y.iter().all(|y| y.is_nan()), "{activation:?} with {isa}");
        }
    }
}
