//! Losses of tokens, of logits and of nodes, with their gradients.

use burn::tensor::{Bool, Device, Int, Tensor};
use kd_core::terms::cosine_hidden::cosine_of_real;
use kd_core::terms::gjsd::{GjsdConfig, GjsdScaling};
use kd_core::terms::kd::KdConfig;
use kd_core::terms::lsp::{LspConfig, LspDirection, LspKernel, lsp_by};
use kd_core::terms::minilm::minilm_attention;
use kd_core::terms::minilm_relation::minilm_relation_of_real;
use kd_core::terms::pkd_bert::pkd_bert;
use kd_core::terms::tinybert_attention::attention_of_real;
use kd_core::terms::tinybert_hidden::tinybert_hidden;
use kd_core::terms::tinybert_prediction::tinybert_prediction;
use kd_core::terms::topk_kl::{TopKKlConfig, TopKMissing, topk_kl};
use kd_core::terms::uld::uld;
use kd_core::{
    Error, ObjectiveConfig, Output, Pair, Schedule, Step, Targets, TermConfig, TermEntry,
};
use kd_goldens::{Comparison, uniform};
use serde_json::Value;

use super::{RELATIVE, SMALL, numbers};
use crate::dims;

/// The inputs of a case; those of the student are leaves.
struct Inputs<'a> {
    key: String,
    case: &'a Value,
    leaves: Vec<(String, Tensor<1>)>,
}

impl<'a> Inputs<'a> {
    fn new(key: String, case: &'a Value) -> Self {
        let mut inputs = Self {
            key,
            case,
            leaves: Vec::new(),
        };
        for (name, input) in case["inputs"].as_object().unwrap() {
            if input["student"] == true {
                let leaf = inputs.flat(name).require_grad();
                inputs.leaves.push((name.clone(), leaf));
            }
        }
        inputs
    }

    fn flat(&self, name: &str) -> Tensor<1> {
        let input = &self.case["inputs"][name];
        let count = dims(&input["shape"]).iter().product();
        let scale = input["scale"].as_f64().unwrap();
        let values = uniform(&format!("{}/{name}", self.key), count).into_iter();
        let values: Vec<f32> = values.map(|u| (scale * u) as f32).collect();
        Tensor::from_floats(values.as_slice(), &Device::flex().autodiff())
    }

    fn tensor<const D: usize>(&self, name: &str) -> Tensor<D> {
        let shape: [usize; D] = dims(&self.case["inputs"][name]["shape"])
            .try_into()
            .unwrap();
        let leaf = self.leaves.iter().find(|(known, _)| known == name);
        let flat = leaf.map_or_else(|| self.flat(name), |(_, leaf)| leaf.clone());
        flat.reshape(shape)
    }

    fn both<const D: usize>(&self) -> [Tensor<D>; 2] {
        ["student", "teacher"].map(|name| self.tensor(name))
    }

    fn row(&self, name: &str, row: usize) -> Tensor<1, Int> {
        let rows = &self.case["inputs"][name]["ints"];
        let row: Vec<i64> = serde_json::from_value(rows[row].clone()).unwrap();
        Tensor::from_ints(row.as_slice(), &Device::flex().autodiff())
    }

    fn mask(&self) -> Tensor<2, Bool> {
        let rows = self.case["inputs"]["mask"]["ints"]
            .as_array()
            .unwrap()
            .len();
        let rows = (0..rows).map(|row| self.row("mask", row));
        Tensor::stack::<2>(rows.collect(), 0).bool()
    }

    fn param(&self, key: &str) -> f64 {
        self.case["params"][key].as_f64().unwrap()
    }

    /// The loss of tokens as rows, of which those of padding do not count.
    fn of_rows(&self, term: impl Into<TermConfig>) -> Result<Tensor<1>, Error> {
        let mask = self.mask();
        let [student, teacher] = self.both::<3>().map(|logits| {
            let [batch, tokens, words] = logits.dims();
            let mut output = Output::new(logits.reshape([batch * tokens, words]));
            output.counted = Some(mask.clone().reshape([batch * tokens]));
            output
        });
        let [rows, _] = student.logits.dims();
        let objective = ObjectiveConfig::default().with("x", TermEntry::new(term.into()));
        let device = Device::flex().autodiff();
        let objective = objective.init(&student, Some(&teacher), &device)?;
        let targets = Targets::labels(Tensor::zeros([rows], &device));
        let pair = Pair {
            student: &student,
            teacher: Some(&teacher),
            targets: &targets,
            indices: None,
        };
        let step = Step {
            epoch: 1,
            epochs: 1,
            index: 0,
        };
        let evaluation = objective.forward(&pair, &step)?;
        Ok(evaluation.components[0].value.clone())
    }
}

pub fn compare(salt: &str, name: &str, case: &Value, found: &mut Comparison) {
    let inputs = Inputs::new(format!("{salt}{name}"), case);
    let Some(loss) = loss(name, &inputs) else {
        return found.fail("no loss here is known by this name");
    };
    let loss = loss.unwrap();
    let gradients = loss.backward();
    let want = case["loss"].as_f64().unwrap();
    // Between equal sides of a hundred lengths what is left has its own rounding.
    let floor = if name == "lsp_published_code" {
        1e-2
    } else {
        0.0
    };
    let got = f64::from(loss.into_scalar::<f32>());
    found.close("loss", got, want, RELATIVE, floor);
    for (leaf, tensor) in &inputs.leaves {
        let got: Vec<f64> = tensor
            .grad(&gradients)
            .unwrap()
            .into_data()
            .iter()
            .collect();
        let want = numbers(&case["grads"][leaf]);
        found.close_all(&format!("gradient of {leaf}"), &got, &want, RELATIVE, SMALL);
    }
}

fn loss(name: &str, inputs: &Inputs) -> Option<Result<Tensor<1>, Error>> {
    let [student, teacher] = ["student", "teacher"];
    Some(match name {
        "tinybert_attention_masked" | "attention_mse_real_tokens" => attention_of_real(
            inputs.tensor(student),
            inputs.tensor(teacher),
            Some(&inputs.mask()),
            name == "tinybert_attention_masked",
        ),
        "hidden_mse_real_tokens" => {
            let mask = inputs.mask();
            tinybert_hidden(inputs.tensor(student), inputs.tensor(teacher), Some(&mask))
        }
        "cosine_hidden_masked" => {
            let mask = inputs.mask();
            cosine_of_real(inputs.tensor(student), inputs.tensor(teacher), Some(&mask))
        }
        "kd_tokens_masked" => inputs.of_rows(KdConfig {
            temperature: Schedule::Constant(inputs.param("temperature")),
        }),
        "tinybert_prediction" => tinybert_prediction(
            inputs.tensor(student),
            inputs.tensor(teacher),
            inputs.param("temperature"),
        ),
        "pkd_bert" => pkd_bert(inputs.tensor(student), inputs.tensor(teacher)),
        "minilm_relation_masked" => minilm_relation_of_real(
            inputs.tensor(student),
            inputs.tensor(teacher),
            inputs.param("relation_heads") as usize,
            Some(&inputs.mask()),
        ),
        "minilm_v1" => {
            let mask = inputs.mask();
            let attention = minilm_attention(
                inputs.tensor("student_scores"),
                inputs.tensor("teacher_scores"),
                Some(&mask),
            );
            let values = minilm_relation_of_real(
                inputs.tensor("student_values"),
                inputs.tensor("teacher_values"),
                inputs.param("heads") as usize,
                Some(&mask),
            );
            attention.and_then(|attention| Ok(attention + values?))
        }
        "gkd_beta_0.0" | "gkd_beta_0.1" | "gkd_beta_0.5" | "gkd_beta_1.0" => {
            let beta = inputs.param("beta");
            inputs.of_rows(GjsdConfig {
                beta,
                // The published code has the divergences themselves at the ends.
                scaling: match beta {
                    0.0 | 1.0 => GjsdScaling::Continuous,
                    _ => GjsdScaling::Paper,
                },
                temperature: 1.0,
            })
        }
        "topk_kl_zero" | "topk_kl_symmetric_uniform" => {
            let config = TopKKlConfig {
                k: inputs.param("k") as usize,
                missing: match name {
                    "topk_kl_zero" => TopKMissing::Zero,
                    _ => TopKMissing::SymmetricUniform,
                },
                temperature: 1.0,
            };
            topk_kl(inputs.tensor(student), inputs.tensor(teacher), &config)
        }
        "uld" => uld(inputs.tensor(student), inputs.tensor(teacher)),
        "lsp_published_code" => lsp_by(
            inputs.tensor(student),
            inputs.tensor(teacher),
            [0, 1].map(|end| inputs.row("edges", end)),
            &LspConfig {
                kernel: LspKernel::Manhattan,
                direction: LspDirection::Teacher,
                ..LspConfig::default()
            },
        ),
        _ => return None,
    })
}
