//! A case: inputs by formula, and the comparison of output and gradients.

use std::collections::BTreeMap;

use burn::tensor::{DType, Device, Tensor, TensorData};
use kd_goldens::Comparison;
use serde_json::Value;

/// What a case computes.
pub struct Answer {
    pub output: Tensor<1>,
    /// Other numbers by their names in the file.
    pub values: Vec<(&'static str, Tensor<1>)>,
}

pub struct Case<'a> {
    pub name: &'a str,
    json: &'a Value,
    device: Device,
    inputs: BTreeMap<&'a str, (Tensor<1>, Vec<usize>)>,
}

impl<'a> Case<'a> {
    pub fn read(json: &'a Value) -> Self {
        let name = json["name"].as_str().expect("a name");
        let device = Device::flex().autodiff();
        let mut case = Self {
            name,
            json,
            device,
            inputs: BTreeMap::new(),
        };
        for (input, spec) in json["inputs"].as_object().expect("inputs") {
            let shape: Vec<usize> = serde_json::from_value(spec["shape"].clone()).expect("a shape");
            let (scale, shift) = (spec["scale"].as_f64(), spec["shift"].as_f64());
            let (scale, shift) = (scale.expect("a scale"), shift.expect("a shift"));
            let values = case.uniform(input, shape.iter().product());
            let values = values.into_iter().map(|u| scale * u + shift).collect();
            let leaf = case.constant(values).require_grad();
            case.inputs.insert(input, (leaf, shape));
        }
        case
    }

    fn uniform(&self, key: &str, count: usize) -> Vec<f64> {
        kd_goldens::uniform(&format!("{}/{key}", self.name), count)
    }

    pub fn constant(&self, values: Vec<f64>) -> Tensor<1> {
        let count = values.len();
        let data = TensorData::new(values, [count]);
        Tensor::from_data(data, (&self.device, DType::F64))
    }

    /// An input of the file's shape, or of one with axes of size 1 more.
    pub fn input<const D: usize>(&self, name: &str) -> Tensor<D> {
        let (leaf, shape) = &self.inputs[name];
        let shape: [usize; D] = shape.clone().try_into().expect("as many axes");
        leaf.clone().reshape(shape)
    }

    /// An input of one axis along the first of `D`.
    pub fn first<const D: usize>(&self, name: &str) -> Tensor<D> {
        along(self.inputs[name].0.clone(), 0)
    }

    pub fn param(&self, name: &str) -> f64 {
        self.json["params"][name].as_f64().expect("a parameter")
    }

    /// A parameter of one number or a list of them, as a tensor along an axis; 0 where there is none.
    pub fn params<const D: usize>(&self, names: [&str; 2]) -> Tensor<D> {
        let params = &self.json["params"];
        let listed = &params[names[1]];
        let values = match listed.as_array() {
            Some(list) => list.iter().map(|v| v.as_f64().expect("a number")).collect(),
            None => vec![params[names[0]].as_f64().unwrap_or(0.0)],
        };
        let axis = params["axis"].as_u64().unwrap_or(0) as usize;
        along(self.constant(values), axis)
    }

    pub fn compare(&self, answer: Answer, found: &mut Comparison, tolerance: f64) {
        let list =
            |value: &Value| -> Vec<f64> { serde_json::from_value(value.clone()).expect("numbers") };
        let got = numbers(answer.output.clone());
        found.close_all("output", &got, &list(&self.json["output"]), tolerance, 1e-2);
        let weight = self.constant(self.uniform("weight", got.len()));
        let loss = (answer.output * weight).sum();
        let want = self.json["loss"].as_f64().expect("a loss");
        found.close("loss", numbers(loss.clone())[0], want, tolerance, 1e-2);
        let gradients = loss.backward();
        for (name, want) in self.json["grads"].as_object().expect("gradients") {
            let what = format!("gradient of {name}");
            let want = list(want);
            let got = match self.inputs[name.as_str()].0.grad(&gradients) {
                Some(got) => numbers(got),
                None => vec![0.0; want.len()],
            };
            found.close_all(&what, &got, &want, tolerance, 1e-2);
        }
        for (name, got) in answer.values {
            found.close_all(
                name,
                &numbers(got),
                &list(&self.json[name]),
                tolerance,
                1e-2,
            );
        }
    }
}

fn numbers(tensor: Tensor<1>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

fn along<const D: usize>(values: Tensor<1>, axis: usize) -> Tensor<D> {
    let mut shape = [1; D];
    shape[axis] = values.dims()[0];
    values.reshape(shape)
}
