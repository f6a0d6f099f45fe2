//! What each case computes.

use burn::tensor::Tensor;
use kd_compress::quantise::{
    Levels, adaround_offset, adaround_regulariser, adaround_weight, conv_bn_folded, dorefa,
    equalise, fake_quantise, fold_batch_norm, lsq, lsq_plus, lsq_rounded, output_shift, pact,
};
use kd_kernels::{ConvOptions, Epilogue, conv2d};

use super::case::{Answer, Case};

/// None for a name that is not known.
pub fn outputs(case: &Case) -> Option<Answer> {
    let levels = || {
        let end = |name: &str| case.param(name) as i32;
        Levels::new(end("qmin"), end("qmax")).expect("levels")
    };
    let output = match case.name {
        name if name.starts_with("fake_channel") => flat(fake::<3>(case, levels())),
        name if name.starts_with("fake_") => flat(fake::<2>(case, levels())),
        "torch_learnable" => {
            let share = case.param("gradient_scale");
            flat(lsq_rounded(
                case.input::<2>("x"),
                case.first("step"),
                levels(),
                share,
            ))
        }
        "lsq_w4" | "lsq_a4" | "lsq_channel" => {
            let share = case.param("gradient_scale");
            flat(lsq(
                case.input::<2>("x"),
                case.first("step"),
                levels(),
                share,
            ))
        }
        "lsq_plus_a4" => flat(lsq_plus(
            case.input::<2>("x"),
            case.first("step"),
            case.first("offset"),
            levels(),
            case.param("gradient_scale"),
        )),
        "pact_a4" => {
            let bits = case.param("bits") as u32;
            flat(pact(case.input::<2>("x"), case.first("alpha"), bits).expect("bits"))
        }
        "dorefa_w3" => {
            let bits = case.param("bits") as u32;
            flat(dorefa(case.input::<2>("w"), bits).expect("bits"))
        }
        "adaround_h" => flat(adaround_offset(case.input::<2>("v"))),
        "adaround_regulariser" => adaround_regulariser(case.input::<2>("v"), case.param("beta")),
        "adaround_weight" => flat(adaround_weight(
            case.input::<2>("w"),
            case.params(["scale", "scales"]),
            case.input("v"),
            levels(),
        )),
        "fold_bn" => {
            let (weight, bias) = fold_batch_norm(
                case.input("w"),
                Some(case.input("b")),
                [case.input("gamma"), case.input("beta")],
                [case.input("mean"), case.input::<1>("var").abs() + 1.0],
                1e-5,
            );
            Tensor::cat(vec![flat(weight), bias], 0)
        }
        "qat_conv_bn_relu" => return Some(trained(case)),
        "cross_layer_equalisation" => {
            let equal = equalise(case.input("w1"), case.input("b1"), case.input("w2"));
            Tensor::cat(vec![flat(equal.first), equal.bias, flat(equal.second)], 0)
        }
        "bias_correction" => corrected(case),
        _ => return None,
    };
    Some(Answer {
        output,
        values: Vec::new(),
    })
}

fn flat<const D: usize>(x: Tensor<D>) -> Tensor<1> {
    x.reshape([-1])
}

fn fake<const D: usize>(case: &Case, levels: Levels) -> Tensor<D> {
    fake_quantise(
        case.input("x"),
        case.params(["scale", "scales"]),
        case.params(["zero_point", "zero_points"]),
        levels,
    )
}

/// The scale of each channel's largest absolute value, over 127.5 or 127, in single precision.
fn scales(weight: &Tensor<4>, steps: f64) -> Tensor<4> {
    let [outputs, ..] = weight.dims();
    let largest = weight
        .clone()
        .abs()
        .reshape([outputs as i32, -1])
        .max_dim(1);
    single((largest / steps).reshape([outputs, 1, 1, 1]))
}

fn single<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    x.cast(burn::tensor::DType::F32)
        .cast(burn::tensor::DType::F64)
        .detach()
}

fn trained(case: &Case) -> Answer {
    let running = |name: &str, of: fn(f64) -> f64| {
        let values = kd_goldens::uniform(&format!("qat/{name}"), 4);
        case.constant(values.into_iter().map(of).collect())
    };
    let options = ConvOptions {
        padding: [1, 1],
        ..ConvOptions::default()
    };
    let mut used = None;
    let trained = conv_bn_folded(
        case.input("x"),
        case.input("w"),
        [case.input("gamma"), case.input("beta")],
        [
            running("mean", |u| 0.1 * u),
            running("var", |u| 1.0 + 0.5 * u.abs()),
        ],
        (options, case.param("epsilon"), case.param("momentum"), true),
        |folded| {
            let scale = scales(&folded, 127.5);
            used = Some(flat(scale.clone()));
            fake_quantise(folded, scale.clone(), scale.zeros_like(), Levels::INT8)
        },
    );
    let [mean, variance] = trained.running;
    Answer {
        output: flat(trained.output),
        values: vec![
            ("running_mean", mean),
            ("running_var", variance),
            ("weight_scale", used.expect("a weight was quantised")),
        ],
    }
}

fn corrected(case: &Case) -> Tensor<1> {
    let (x, w) = (case.input::<4>("x"), case.input::<4>("w"));
    let scale = scales(&w, 127.0);
    let rounded = fake_quantise(w.clone(), scale.clone(), scale.zeros_like(), Levels::INT8);
    let options = ConvOptions::default();
    let layer = |w| conv2d(x.clone(), w, options, Epilogue::default());
    output_shift(layer(rounded), layer(w))
}
