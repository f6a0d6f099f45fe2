//! Operations on each value by itself.

use super::Inputs;
use crate::constant::Constant;
use crate::graph::Node;

/// Runs the node.
pub(super) fn elementwise(node: &Node, inputs: &Inputs) -> Result<Constant, String> {
    let values = inputs.floats(0)?;
    let of = |function: &dyn Fn(f32) -> f32| {
        let values = values.iter().map(|&x| function(x)).collect();
        Ok(Constant::floats(values, &inputs.at(0)?.shape))
    };
    match node.op {
        "Abs" => of(&f32::abs),
        "Neg" => of(&|x| -x),
        "Sign" => of(&|x| if x == 0.0 { 0.0 } else { x.signum() }),
        "Exp" => of(&f32::exp),
        "Log" => of(&f32::ln),
        "Sqrt" => of(&f32::sqrt),
        "Reciprocal" => of(&f32::recip),
        "Tanh" => of(&f32::tanh),
        "Sin" => of(&f32::sin),
        "Cos" => of(&f32::cos),
        "Floor" => of(&f32::floor),
        "Ceil" => of(&f32::ceil),
        "Round" => of(&f32::round_ties_even),
        "Erf" => of(&erf),
        "Relu" => of(&|x| x.max(0.0)),
        "Sigmoid" => of(&sigmoid),
        "LeakyRelu" => {
            let alpha = node.float("alpha", 0.01);
            of(&|x| if x < 0.0 { alpha * x } else { x })
        }
        "HardSigmoid" => {
            let (alpha, beta) = (node.float("alpha", 0.2), node.float("beta", 0.5));
            of(&|x| (alpha * x + beta).clamp(0.0, 1.0))
        }
        "HardSwish" => of(&|x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0)),
        "Clip" => {
            let bound = |place: usize, none: f32| match inputs.get(place) {
                Some(bound) => bound.scalar().ok_or("a bound is no number"),
                None => Ok(none),
            };
            let (min, max) = (bound(1, f32::MIN)?, bound(2, f32::MAX)?);
            of(&|x| x.max(min).min(max))
        }
        op => Err(format!("{op} is not known")),
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// The error function to single precision: its series near 0, and the continued fraction of its complement
/// elsewhere (Abramowitz and Stegun 7.1.5 and 7.1.14).
fn erf(x: f32) -> f32 {
    let (z, scale) = (f64::from(x.abs()), 2.0 / std::f64::consts::PI.sqrt());
    let value = if z < 2.5 {
        let (mut term, mut sum) = (z, z);
        for n in 1..60 {
            term *= -z * z / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        scale * sum
    } else {
        let fraction = (1..=60)
            .rev()
            .fold(z, |rest, n| z + f64::from(n) / 2.0 / rest);
        1.0 - (-z * z).exp() / (fraction * std::f64::consts::PI.sqrt())
    };
    (value as f32).copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_function_has_its_known_values() {
        // Abramowitz and Stegun, table 7.1.
        for (x, wanted) in [
            (0.0, 0.0),
            (0.1, 0.112_462_916),
            (0.5, 0.520_499_9),
            (1.0, 0.842_700_8),
            (2.0, 0.995_322_3),
            (2.6, 0.999_764),
            (3.0, 0.999_977_9),
        ] {
            assert!((erf(x) - wanted).abs() < 1e-7, "{x}: {}", erf(x));
            assert_eq!(erf(-x), -erf(x));
        }
    }
}
