//! GELU, layer normalisation and resized positions.

use burn::tensor::activation::gelu;
use burn::tensor::{Device, Tensor};
use kd_goldens::{Comparison, uniform};
use kd_models::{PositionResize, layer_norm};
use serde_json::Value;

use crate::dims;

/// An entry that is small against the largest counts as if it had this share of its size.
const SMALL: f64 = 1e-2;
const RELATIVE: f64 = 1e-4;

pub fn compare(salt: &str, name: &str, case: &Value, found: &mut Comparison) {
    match name {
        // Every network here has the exact one.
        "gelu" => {
            let x: Vec<f32> = numbers(&case["x"]).into_iter().map(|v| v as f32).collect();
            let x = Tensor::<1>::from_floats(x.as_slice(), &Device::flex());
            close("exact", gelu(x), &case["exact"], found);
        }
        "layer_norm_of_little" => {
            let scale = case["scale"].as_f64().unwrap();
            let x: Tensor<3> = input::<2>(salt, case, scale).unsqueeze();
            for epsilon in ["1e-12", "1e-06", "1e-05"] {
                let device = Device::flex();
                let [_, _, width] = x.dims();
                let (one, zero) = (
                    Tensor::ones([width], &device),
                    Tensor::zeros([width], &device),
                );
                let got = layer_norm(x.clone(), one, zero, epsilon.parse().unwrap());
                close(epsilon, got, &case[epsilon], found);
            }
        }
        "pos_embed_4_to_7" => positions(salt, case, 7, found),
        "pos_embed_4_to_3" => positions(salt, case, 3, found),
        _ => found.fail("no piece here has this name"),
    }
}

fn positions(salt: &str, case: &Value, side: usize, found: &mut Comparison) {
    for (name, resize) in [
        ("timm", PositionResize::Antialiased),
        ("hugging_face_and_deit", PositionResize::Centres),
        ("torchvision", PositionResize::Corners),
    ] {
        let got = resize.apply(input(salt, case, 1.0), 1, [4; 2], [side; 2]);
        close(name, got, &case[name], found);
    }
}

/// The formula's numbers of the case's key and shape.
fn input<const D: usize>(salt: &str, case: &Value, scale: f64) -> Tensor<D> {
    let shape: [usize; D] = dims(&case["shape"]).try_into().unwrap();
    let key = format!("{salt}{}", case["key"].as_str().unwrap());
    let values = uniform(&key, shape.iter().product()).into_iter();
    let values: Vec<f32> = values.map(|u| (scale * u) as f32).collect();
    Tensor::<1>::from_floats(values.as_slice(), &Device::flex()).reshape(shape)
}

fn close<const D: usize>(what: &str, got: Tensor<D>, want: &Value, found: &mut Comparison) {
    let got: Vec<f64> = got.into_data().iter().collect();
    found.close_all(what, &got, &numbers(want), RELATIVE, SMALL);
}

fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().unwrap().iter();
    list.map(|v| v.as_f64().unwrap()).collect()
}
