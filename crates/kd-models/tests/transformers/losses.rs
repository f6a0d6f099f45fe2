//! Losses between vision transformers and other networks, with their gradients.

use burn::tensor::{Device, Int, Tensor};
use kd_core::terms::deit::deit_soft;
use kd_core::terms::ofakd::ofakd;
use kd_goldens::{Comparison, uniform};
use serde_json::Value;

use crate::dims;

mod text;

const RELATIVE: f64 = 1e-4;
/// An entry that is small against the largest counts as if it had this share of its size.
const SMALL: f64 = 1e-2;

pub fn compare(salt: &str, name: &str, case: &Value, found: &mut Comparison) {
    if !["deit_soft", "ofa"].contains(&name) {
        return text::compare(salt, name, case, found);
    }
    let device = Device::flex().autodiff();
    let input = |who: &str| -> Tensor<2> {
        let input = &case["inputs"][who];
        let shape: [usize; 2] = dims(&input["shape"]).try_into().unwrap();
        let scale = input["scale"].as_f64().unwrap();
        let values = uniform(&format!("{salt}{name}/{who}"), shape.iter().product()).into_iter();
        let values: Vec<f32> = values.map(|u| (scale * u) as f32).collect();
        Tensor::<1>::from_floats(values.as_slice(), &device).reshape(shape)
    };
    let param = |key: &str| case["params"][key].as_f64().unwrap();
    let (student, teacher) = (input("student").require_grad(), input("teacher"));
    let loss = match name {
        "deit_soft" => deit_soft(student.clone(), teacher, param("temperature")),
        _ => {
            let labels: Vec<i64> =
                serde_json::from_value(case["inputs"]["labels"]["ints"].clone()).unwrap();
            let labels = Tensor::<1, Int>::from_ints(labels.as_slice(), &device);
            ofakd(
                student.clone(),
                teacher,
                labels,
                param("gamma"),
                param("temperature"),
            )
        }
    };
    let loss = loss.unwrap();
    let want = case["loss"].as_f64().unwrap();
    let gradients = loss.backward();
    found.close(
        "loss",
        loss.into_scalar::<f32>().into(),
        want,
        RELATIVE,
        0.0,
    );
    let gradient = student.grad(&gradients).unwrap();
    let got: Vec<f64> = gradient.into_data().iter().collect();
    let want = numbers(&case["grads"]["student"]);
    found.close_all("gradient", &got, &want, RELATIVE, SMALL);
}

/// The numbers of nested lists, in order.
fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(items) => items.iter().flat_map(numbers).collect(),
        number => vec![number.as_f64().unwrap()],
    }
}
