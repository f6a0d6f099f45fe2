//! Runs the cases of `losses.json` on a device, so that other crates can run them on theirs.

use burn::tensor::{Device, Int, Tensor, TensorData};
use kd_core::Error;
use kd_core::terms::ab::ab;
use kd_core::terms::at::{AtScaling, at};
use kd_core::terms::bce::bce;
use kd_core::terms::cc::cc_consecutive;
use kd_core::terms::cosine_hidden::cosine_hidden;
use kd_core::terms::crd::crd;
use kd_core::terms::cross_entropy::cross_entropy;
use kd_core::terms::cwd::cwd;
use kd_core::terms::dist::{DistConfig, dist};
use kd_core::terms::dkd::{DkdConfig, dkd};
use kd_core::terms::fitnet::fitnet;
use kd_core::terms::fsp::fsp;
use kd_core::terms::ft::{FtForm, ft};
use kd_core::terms::gjsd::{GjsdConfig, GjsdScaling, gjsd};
use kd_core::terms::hard_labels::hard_labels;
use kd_core::terms::kd::kd;
use kd_core::terms::ld::ld;
use kd_core::terms::lskd::lskd;
use kd_core::terms::lsp::lsp;
use kd_core::terms::minilm_relation::minilm_relation;
use kd_core::terms::nst::nst;
use kd_core::terms::ofd::ofd;
use kd_core::terms::pkd::pkd;
use kd_core::terms::pkt::pkt;
use kd_core::terms::reverse_kl::reverse_kl;
use kd_core::terms::reviewkd::hcl;
use kd_core::terms::rkd::{RkdConfig, rkd, rkd_angle, rkd_distance};
use kd_core::terms::sp::sp;
use kd_core::terms::squared_logits::squared_logits;
use kd_core::terms::tinybert_attention::tinybert_attention;
use kd_core::terms::vid::vid;
use kd_core::terms::wsld::wsld;
use serde_json::Value;

/// Relative tolerance at f32.
const TOLERANCE: f64 = 1e-4;

/// An element of a gradient below this share of the tensor's largest is compared as if it had that
/// size: it is what is left when numbers of the largest size cancel, so that its own digits are
/// fewer. Its error must still stay below a millionth of the largest.
const SMALL: f64 = 1e-2;

/// Runs every case on `device` and panics at the first that differs.
pub fn run(device: &Device) {
    let file = kd_goldens::read("losses.json");
    let salt = file["salt"].as_str().expect("a salt").to_owned();
    let cases = file["cases"].as_array().expect("a list of cases");
    let device = device.clone().autodiff();
    let mut ran = 0;
    for case in cases {
        let case = Case::read(case, &salt, &device);
        match case.loss() {
            Some(loss) => case.compare(loss),
            None => panic!("{}: no loss here", case.name),
        }
        ran += 1;
    }
    assert!(ran > 0, "losses.json has no case of this crate's losses");
}

/// A case's name without the temperature that it ends with.
fn family(name: &str) -> &str {
    match name.rsplit_once("_t") {
        Some((family, digits)) if digits.chars().all(|c| c.is_ascii_digit()) => family,
        _ => name,
    }
}

struct Case<'a> {
    name: String,
    json: &'a Value,
    device: &'a Device,
    students: Vec<(String, Flat)>,
    key: String,
}

/// The student's tensor as a leaf of the graph, in one dimension.
type Flat = Tensor<1>;

impl<'a> Case<'a> {
    fn read(json: &'a Value, salt: &str, device: &'a Device) -> Self {
        let name = json["name"].as_str().expect("a name").to_owned();
        let key = format!("{salt}{name}");
        let mut case = Self {
            name,
            json,
            device,
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

    /// The loss of a case, when this crate has it.
    fn loss(&self) -> Option<Result<Tensor<1>, Error>> {
        Some(match family(&self.name) {
            "kd" => kd(
                self.tensor("student"),
                self.tensor("teacher"),
                self.param("temperature"),
            ),
            "dkd" => dkd(
                self.tensor("student"),
                self.tensor("teacher"),
                self.labels(),
                &DkdConfig {
                    alpha: self.param("alpha"),
                    beta: self.param("beta"),
                    temperature: self.param("temperature"),
                },
            ),
            "lskd" => lskd(
                self.tensor("student"),
                self.tensor("teacher"),
                self.param("temperature"),
            ),
            "wsld" => wsld(
                self.tensor("student"),
                self.tensor("teacher"),
                self.labels(),
                self.param("temperature"),
            ),
            "dist" => dist(
                self.tensor("student"),
                self.tensor("teacher"),
                &DistConfig {
                    beta: self.param("beta"),
                    gamma: self.param("gamma"),
                    temperature: self.param("temperature"),
                },
            ),
            "reverse_kl" => reverse_kl(
                self.tensor("student"),
                self.tensor("teacher"),
                self.param("temperature"),
            ),
            "gjsd" => gjsd(
                self.tensor("student"),
                self.tensor("teacher"),
                &GjsdConfig {
                    beta: self.param("beta"),
                    scaling: GjsdScaling::Paper,
                    temperature: self.param("temperature"),
                },
            ),
            "deit_hard" => hard_labels(self.tensor("student"), self.tensor("teacher")),
            "mse_logits" => squared_logits(self.tensor("student"), self.tensor("teacher")),
            "bce_kd" => bce(
                self.tensor("student"),
                self.tensor("teacher"),
                self.param("temperature"),
            ),
            "label_smoothing_ce" => cross_entropy(
                self.tensor("student"),
                self.labels(),
                self.param("smoothing"),
            ),
            "fitnet_mse" => fitnet(self.tensor("student"), self.tensor("teacher")),
            "at" | "at_resize" => at(
                self.tensor("student"),
                self.tensor("teacher"),
                AtScaling::Mean,
            ),
            "nst" | "nst_resize" => nst(self.tensor("student"), self.tensor("teacher")),
            "sp" => sp(self.tensor("student"), self.tensor("teacher")),
            "pkt" => pkt(self.tensor("student"), self.tensor("teacher")),
            "rkd_distance" => rkd_distance(self.tensor("student"), self.tensor("teacher")),
            "rkd_angle" => rkd_angle(self.tensor("student"), self.tensor("teacher")),
            "rkd" => rkd(
                self.tensor("student"),
                self.tensor("teacher"),
                &RkdConfig {
                    distance: self.param("distance"),
                    angle: self.param("angle"),
                },
            ),
            "vid" => vid(
                self.tensor("student"),
                self.tensor("teacher"),
                self.tensor("log_scale"),
            ),
            "ab" => ab(
                self.tensor("student"),
                self.tensor("teacher"),
                self.param("margin"),
            ),
            "ft" => ft(
                self.tensor("student"),
                self.tensor("teacher"),
                FtForm::Attention,
            ),
            "fsp" => fsp(
                ["student0", "student1"].map(|name| self.tensor(name)),
                ["teacher0", "teacher1"].map(|name| self.tensor(name)),
            ),
            "ofd" => ofd(
                self.tensor("student"),
                self.tensor("teacher"),
                self.tensor("margin").abs().neg(),
            ),
            "hcl_4" | "hcl_8" => hcl(self.tensor("student"), self.tensor("teacher")),
            "cwd" => cwd(
                self.tensor("student"),
                self.tensor("teacher"),
                self.param("temperature"),
            ),
            "pkd" => pkd(self.tensor("student"), self.tensor("teacher")),
            "cc" => cc_consecutive(self.tensor("student"), self.tensor("teacher")),
            "crd" => crd(
                ["student", "teacher"].map(|name| self.tensor(name)),
                ["memory_student", "memory_teacher"].map(|name| self.tensor(name)),
                self.ints("index", None),
                self.int_table("negatives"),
                self.param("temperature"),
            ),
            "cosine_hidden" => cosine_hidden(self.tensor("student"), self.tensor("teacher")),
            "minilm_relation" => minilm_relation(
                self.tensor("student"),
                self.tensor("teacher"),
                self.param("relation_heads") as usize,
            ),
            "tinybert_attention" => {
                tinybert_attention(self.tensor("student"), self.tensor("teacher"))
            }
            "lsp" => lsp(
                self.tensor("student"),
                self.tensor("teacher"),
                self.ints("edges", Some(0)),
                self.ints("edges", Some(1)),
                self.param("sigma"),
            ),
            "ld" => ld(
                self.tensor("student"),
                self.tensor("teacher"),
                self.param("temperature"),
            ),
            _ => return None,
        })
    }

    fn compare(&self, loss: Result<Tensor<1>, Error>) {
        let loss = loss.unwrap_or_else(|e| panic!("{}: {e}", self.name));
        let gradients = loss.backward();
        let want = self.json["loss"].as_f64().expect("a loss");
        let got = f64::from(loss.into_scalar::<f32>());
        kd_goldens::assert_close(&self.name, got, want, TOLERANCE, 0.0);
        for (name, leaf) in &self.students {
            let got = leaf
                .grad(&gradients)
                .unwrap_or_else(|| panic!("{}: no gradient reaches {name}", self.name))
                .into_data()
                .iter::<f64>()
                .collect::<Vec<_>>();
            let want = flatten(&self.json["grads"][name]);
            assert_eq!(got.len(), want.len(), "{}: {name}", self.name);
            let largest = want.iter().fold(0.0_f64, |m, g| m.max(g.abs()));
            for (i, (got, want)) in got.into_iter().zip(want).enumerate() {
                let what = format!("{}: gradient of {name}[{i}]", self.name);
                kd_goldens::assert_close(&what, got, want, TOLERANCE, SMALL * largest);
            }
        }
    }

    fn tensor<const D: usize>(&self, name: &str) -> Tensor<D> {
        let shape = self.shape(name);
        let shape: [usize; D] = shape.try_into().expect("the loss's number of dimensions");
        let leaf = self.students.iter().find(|(known, _)| known == name);
        let flat = leaf.map_or_else(|| self.values(name), |(_, leaf)| leaf.clone());
        flat.reshape(shape)
    }

    fn values(&self, name: &str) -> Flat {
        let scale = self.json["inputs"][name]["scale"]
            .as_f64()
            .expect("a scale");
        let count = self.shape(name).iter().product();
        let values: Vec<f32> = kd_goldens::uniform(&format!("{}/{name}", self.key), count)
            .into_iter()
            .map(|u| (scale * u) as f32)
            .collect();
        Tensor::from_data(TensorData::new(values, [count]), self.device)
    }

    fn shape(&self, name: &str) -> Vec<usize> {
        let shape = self.json["inputs"][name]["shape"]
            .as_array()
            .unwrap_or_else(|| panic!("{}: no tensor {name}", self.name));
        shape
            .iter()
            .map(|d| d.as_u64().expect("a size") as usize)
            .collect()
    }

    fn labels(&self) -> Tensor<1, Int> {
        self.ints("labels", None)
    }

    /// A list of integers, or one row of a table of them.
    fn ints(&self, name: &str, row: Option<usize>) -> Tensor<1, Int> {
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

    /// A table of integers.
    fn int_table(&self, name: &str) -> Tensor<2, Int> {
        let rows = self.json["inputs"][name]["ints"].as_array();
        let rows = 0..rows.map_or(0, Vec::len);
        Tensor::stack(rows.map(|row| self.ints(name, Some(row))).collect(), 0)
    }

    /// A parameter of the case.
    fn param(&self, name: &str) -> f64 {
        self.json["params"][name]
            .as_f64()
            .unwrap_or_else(|| panic!("{}: no parameter {name}", self.name))
    }
}

/// The numbers of nested lists, in order.
fn flatten(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(items) => items.iter().flat_map(flatten).collect(),
        number => vec![number.as_f64().expect("a number")],
    }
}
