//! A case of a golden file: its inputs, and the comparison of its loss, gradients and other values.

use std::collections::BTreeMap;

use burn::tensor::{DType, Device, Gradients, Int, Tensor, TensorData};
use kd_goldens::Comparison;
use serde_json::{Map, Value};

/// Relative tolerance.
const TOLERANCE: f64 = 1e-4;

/// A gradient below this share of the case's largest is 0, and what the file has is rounding: that of a bias before a
/// softmax.
const ROUNDING: f64 = 1e-14;

/// How a file's cases are computed and compared.
#[derive(Clone, Copy, Debug)]
pub struct Precision {
    /// Type of inputs and parameters.
    pub dtype: DType,
    /// An element of a gradient below this share of the tensor's largest is compared as if it had that
    /// size: it is what is left when numbers of the largest size cancel, so that its own digits are
    /// fewer.
    pub small: f64,
}

/// Gradients by the keys of the golden file, none where none arrives.
pub type Found = BTreeMap<String, Option<Vec<f64>>>;

/// Reads the gradients of a term's adapters.
pub type Adapters = Box<dyn Fn(&Gradients) -> Found>;

/// What a case's loss gives.
pub struct Answer {
    pub loss: Tensor<1>,
    /// The gradients of the adapters, if there are any.
    pub adapters: Option<Adapters>,
    /// Other numbers by the names of the golden file.
    pub values: BTreeMap<&'static str, Vec<f64>>,
}

impl Answer {
    /// A loss without adapters.
    pub fn new(loss: Tensor<1>) -> Self {
        Self {
            loss,
            adapters: None,
            values: BTreeMap::new(),
        }
    }

    /// The same with a value to compare.
    pub fn with_value(mut self, name: &'static str, value: Vec<f64>) -> Self {
        self.values.insert(name, value);
        self
    }
}

/// A case as the file has it.
pub struct Case<'a> {
    pub name: String,
    pub json: &'a Value,
    pub device: &'a Device,
    pub dtype: DType,
    small: f64,
    students: Vec<(String, Flat)>,
    key: String,
}

/// The student's tensor as a leaf of the graph, in one dimension.
type Flat = Tensor<1>;

impl<'a> Case<'a> {
    pub fn read(json: &'a Value, salt: &str, device: &'a Device, precision: Precision) -> Self {
        let name = json["name"].as_str().expect("a name").to_owned();
        let key = format!("{salt}{name}");
        let mut case = Self {
            name,
            json,
            device,
            dtype: precision.dtype,
            small: precision.small,
            students: Vec::new(),
            key,
        };
        let inputs = json["inputs"].as_object().expect("inputs");
        for (name, input) in inputs {
            if input["student"] == true {
                let leaf = case.values(name).require_grad();
                case.students.push((name.clone(), leaf));
            }
        }
        case
    }

    /// Compares what the loss gives with what the file says.
    pub fn compare(&self, answer: &Answer, found: &mut Comparison) {
        self.compare_outputs(answer, found);
        if self.json["loss"].is_null() {
            return;
        }
        let gradients = answer.loss.backward();
        // Where the file has gradients alone, its loss differs from ours by a factor and a constant.
        let factor = self.json["grads_only"].as_f64();
        if factor.is_none() {
            let want = self.json["loss"].as_f64().expect("a loss");
            let got = numbers(answer.loss.clone())[0];
            found.close("loss", got, want, TOLERANCE, 0.0);
        }
        let mut of = Found::new();
        for (name, leaf) in &self.students {
            of.insert(name.clone(), leaf.grad(&gradients).map(numbers));
        }
        if let Some(adapters) = &answer.adapters {
            of.extend(adapters(&gradients));
        }
        let wants = self.json["grads"].as_object().expect("gradients");
        let wants: Vec<(&String, Vec<f64>)> = wants.iter().map(|(k, v)| (k, flatten(v))).collect();
        let size = |want: &[f64]| want.iter().fold(0.0_f64, |most, g| most.max(g.abs()));
        let largest = wants.iter().fold(0.0_f64, |most, (_, w)| most.max(size(w)));
        for (name, want) in &wants {
            match of.get(*name) {
                Some(Some(got)) => {
                    let got: Vec<f64> = got.iter().map(|g| g * factor.unwrap_or(1.0)).collect();
                    let what = format!("gradient of {name}");
                    if size(want) < ROUNDING * largest {
                        for got in got {
                            found.close(&what, got, 0.0, TOLERANCE, largest);
                        }
                    } else {
                        found.close_all(&what, &got, want, TOLERANCE, self.small);
                    }
                }
                Some(None) => found.fail(format!("no gradient reaches {name}")),
                None => found.fail(format!("nothing here stands for {name}")),
            }
        }
        self.compare_zeros(&of, largest, found);
        self.compare_values(answer, found);
    }

    /// Tensors that must get no gradient: none, or rounding.
    fn compare_zeros(&self, of: &Found, largest: f64, found: &mut Comparison) {
        for name in self.json["zero_grads"].as_array().into_iter().flatten() {
            let name = name.as_str().expect("a name");
            if let Some(Some(got)) = of.get(name) {
                let what = format!("gradient of {name}, which is 0");
                for got in got {
                    found.close(&what, *got, 0.0, TOLERANCE, largest);
                }
            }
        }
    }

    fn compare_values(&self, answer: &Answer, found: &mut Comparison) {
        let none = Map::new();
        let values = self.json["values"].as_object().unwrap_or(&none);
        for (name, want) in values {
            match answer.values.get(name.as_str()) {
                Some(got) => found.close_all(name, got, &flatten(want), TOLERANCE, self.small),
                None => found.fail(format!("{name} is not compared")),
            }
        }
    }

    /// Other results by their names, of which integers are compared exactly.
    fn compare_outputs(&self, answer: &Answer, found: &mut Comparison) {
        let none = Map::new();
        for (name, want) in self.json["outputs"].as_object().unwrap_or(&none) {
            let Some(got) = answer.values.get(name.as_str()) else {
                found.fail(format!("{name} is not compared"));
                continue;
            };
            if want["ints"].is_array() {
                let want = flatten(&want["ints"]);
                found.close_all(name, got, &want, 1e-12, 0.0);
            } else if want["shape"].is_null() {
                let want = flatten(&want["values"]);
                found.close_all(name, got, &want, TOLERANCE, self.small);
            } else {
                compare_summary(name, got, want, found);
            }
        }
    }

    /// An input, the student's with its gradient.
    pub fn tensor<const D: usize>(&self, name: &str) -> Tensor<D> {
        let shape = self.shape(name);
        let shape: [usize; D] = shape.try_into().expect("the loss's number of dimensions");
        let leaf = self.students.iter().find(|(known, _)| known == name);
        let flat = leaf.map_or_else(|| self.values(name), |(_, leaf)| leaf.clone());
        flat.reshape(shape)
    }

    /// Inputs `name0`, `name1` and so on.
    pub fn tensors<const D: usize>(&self, name: &str) -> Vec<Tensor<D>> {
        let inputs = self.json["inputs"].as_object().expect("inputs");
        let names = (0..).map(|i| format!("{name}{i}"));
        names
            .take_while(|name| inputs.contains_key(name))
            .map(|name| self.tensor(&name))
            .collect()
    }

    fn values(&self, name: &str) -> Flat {
        let input = &self.json["inputs"][name];
        let count = self.shape(name).iter().product();
        let values: Vec<f64> = if input["values"].is_array() {
            flatten(&input["values"])
        } else {
            let scale = input["scale"].as_f64().expect("a scale");
            let offset = input["offset"].as_f64().unwrap_or(0.0);
            kd_goldens::uniform(&format!("{}/{name}", self.key), count)
                .into_iter()
                .map(|u| offset + scale * u)
                .collect()
        };
        self.of_data(values, [count])
    }

    /// A constant of the case's type.
    pub fn of_data<const D: usize>(&self, values: Vec<f64>, shape: [usize; D]) -> Tensor<D> {
        Tensor::from_data(TensorData::new(values, shape), (self.device, self.dtype))
    }

    /// Zeros of the case's type.
    pub fn zeros<const D: usize>(&self, shape: [usize; D]) -> Tensor<D> {
        Tensor::zeros(shape, (self.device, self.dtype))
    }

    fn shape(&self, name: &str) -> Vec<usize> {
        let input = &self.json["inputs"][name];
        if input["values"].is_array() {
            return lengths(&input["values"]);
        }
        sizes(&input["shape"]).unwrap_or_else(|| panic!("{}: no tensor {name}", self.name))
    }

    /// The value of an adapter's tensor, with its shape. It may be among the inputs.
    pub fn parameter(&self, key: &str) -> (Vec<f64>, Vec<usize>) {
        match sizes(&self.json["params_of"][key]) {
            Some(shape) => {
                let prefix = format!("{}/", self.key);
                (kd_goldens::parameter(&prefix, key, &shape), shape)
            }
            None => (numbers(self.values(key)), self.shape(key)),
        }
    }

    /// Keys of the adapters' tensors on which the loss depends: a bias before a normalisation by the batch, which
    /// gets no gradient, may be missing.
    pub fn parameter_keys(&self) -> Vec<String> {
        let zeros = self.json["zero_grads"].as_array();
        let zeros: Vec<&Value> = zeros.into_iter().flatten().collect();
        let keys = self.json["params_of"].as_object();
        let keys = keys.into_iter().flat_map(|keys| keys.keys());
        keys.filter(|key| !zeros.iter().any(|zero| zero.as_str() == Some(key)))
            .cloned()
            .collect()
    }

    pub fn labels(&self) -> Tensor<1, Int> {
        self.ints("labels", None)
    }

    /// A list of integers, or one row of a table of them.
    pub fn ints(&self, name: &str, row: Option<usize>) -> Tensor<1, Int> {
        let ints = &self.json["inputs"][name]["ints"];
        let ints = row.map_or(ints, |row| &ints[row]);
        let ints: Vec<i64> = ints
            .as_array()
            .unwrap_or_else(|| panic!("{}: no integers {name}", self.name))
            .iter()
            .map(|i| i.as_i64().expect("an integer"))
            .collect();
        Tensor::from_ints(ints.as_slice(), self.device)
    }

    /// A list of integers as they are.
    pub fn indices(&self, name: &str) -> Vec<usize> {
        let ints = self.json["inputs"][name]["ints"].as_array();
        let ints = ints.unwrap_or_else(|| panic!("{}: no integers {name}", self.name));
        ints.iter()
            .map(|i| i.as_u64().expect("an integer of at least 0") as usize)
            .collect()
    }

    /// Boxes of the case.
    pub fn boxes(&self, name: &str) -> Vec<[f64; 4]> {
        let values = &self.json["inputs"][name]["values"];
        flatten(values).as_chunks::<4>().0.to_vec()
    }

    /// Listed reals or integers of the case, as they are.
    pub fn listed(&self, name: &str) -> Vec<f64> {
        let input = &self.json["inputs"][name];
        let key = if input["ints"].is_array() {
            "ints"
        } else {
            "values"
        };
        flatten(&input[key])
    }

    /// A table of integers.
    pub fn int_table(&self, name: &str) -> Tensor<2, Int> {
        let rows = self.json["inputs"][name]["ints"].as_array();
        let rows = 0..rows.map_or(0, Vec::len);
        Tensor::stack(rows.map(|row| self.ints(name, Some(row))).collect(), 0)
    }

    /// A parameter of the case.
    pub fn param(&self, name: &str) -> f64 {
        self.json["params"][name]
            .as_f64()
            .unwrap_or_else(|| panic!("{}: no parameter {name}", self.name))
    }

    /// A list among the parameters of the case.
    pub fn param_list(&self, name: &str) -> Vec<f64> {
        flatten(&self.json["params"][name])
    }
}

fn sizes(value: &Value) -> Option<Vec<usize>> {
    let sizes = value.as_array()?.iter();
    Some(
        sizes
            .map(|d| d.as_u64().expect("a size") as usize)
            .collect(),
    )
}

/// The shape of nested lists.
fn lengths(value: &Value) -> Vec<usize> {
    let Value::Array(items) = value else {
        return Vec::new();
    };
    let inner = items.first().map(lengths).unwrap_or_default();
    [vec![items.len()], inner].concat()
}

/// Compares numbers with what a file says of them: mean, mean of sizes, the first and the last.
fn compare_summary(name: &str, got: &[f64], want: &Value, found: &mut Comparison) {
    let count: usize = sizes(&want["shape"]).expect("a shape").iter().product();
    if got.len() != count {
        return found.fail(format!("{name}: {} numbers instead of {count}", got.len()));
    }
    let number = |key: &str| want[key].as_f64().expect("a number");
    let size = number("abs_mean");
    let mean = |of: fn(f64) -> f64| got.iter().map(|v| of(*v)).sum::<f64>() / count as f64;
    found.close(
        &format!("mean of {name}"),
        mean(|v| v),
        number("mean"),
        TOLERANCE,
        size,
    );
    found.close(
        &format!("size of {name}"),
        mean(f64::abs),
        size,
        TOLERANCE,
        0.0,
    );
    let (first, last) = (flatten(&want["first"]), flatten(&want["last"]));
    for (at, ends) in [(0, first), (count - last.len(), last)] {
        let part = &got[at..at + ends.len()];
        found.close_all(&format!("{name} from {at}"), part, &ends, TOLERANCE, 1e-2);
    }
}

/// The numbers of a tensor, in order.
pub fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

/// The numbers of nested lists, in order.
fn flatten(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(items) => items.iter().flat_map(flatten).collect(),
        number => vec![number.as_f64().expect("a number")],
    }
}
