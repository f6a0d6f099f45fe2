//! Trainings of networks that read text, step by step: TinyBERT, MiniLM, BERT-PKD and DistilBERT.

use burn::module::{Module, ModuleVisitor, Param, ParamGroup, ParamId};
use burn::nn::Linear;
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use kd_core::terms::minilm::minilm_attention;
use kd_core::terms::minilm_relation::minilm_relation_of_real;
use kd_core::terms::tinybert_hidden::tinybert_hidden;
use kd_core::{Evaluation, ObjectiveConfig, Output, Pair, Part, Step, Taps, Targets};
use kd_goldens::{Comparison, parameter};
use kd_models::{Backbone, TextConfig, TextNetwork, TokenBatch};
use serde_json::{Value, json};

use super::{compare_parts, norm};
use crate::transformers::text::folder;

const WORDS: usize = 120;
const SHAPE: [usize; 2] = [4, 8];
const LENGTHS: [usize; 4] = [8, 8, 6, 4];
/// The token that stands in the place of a hidden one.
const HIDDEN: i64 = 103;

/// A student with the layer that brings its states to the teacher's width.
#[derive(Module, Debug)]
struct Student {
    network: TextNetwork,
    fit: Option<Linear>,
}

/// A batch, and the words that were hidden.
struct Text {
    batch: TokenBatch,
    words: Tensor<1, Int>,
    hidden: Tensor<1, Bool>,
}

fn text(k: usize, hides: bool, device: &Device) -> Text {
    let [batch, tokens] = SHAPE;
    let places = (0..batch).flat_map(|i| (0..tokens).map(move |j| (i, j)));
    let words: Vec<i64> = places
        .clone()
        .map(|(i, j)| ((7 * i + 3 * j + 11 * k) % WORDS) as i64)
        .collect();
    let real: Vec<bool> = places.clone().map(|(i, j)| j < LENGTHS[i]).collect();
    let hidden: Vec<bool> = places
        .zip(&real)
        .map(|((i, j), real)| hides && *real && (i + j + k).is_multiple_of(5))
        .collect();
    let shown = words.iter().zip(&hidden);
    let shown: Vec<i64> = shown
        .map(|(word, hidden)| if *hidden { HIDDEN } else { *word })
        .collect();
    let table = |values: Vec<i64>| Tensor::from_data(TensorData::new(values, SHAPE), device);
    let mask = Tensor::<2, Bool>::from_data(TensorData::new(real, SHAPE), device);
    let count = batch * tokens;
    Text {
        batch: TokenBatch::new(table(shown), mask),
        words: Tensor::from_data(TensorData::new(words, [count]), device),
        hidden: Tensor::from_data(TensorData::new(hidden, [count]), device),
    }
}

fn bert(width: usize, depth: usize) -> Value {
    json!({
        "vocab_size": WORDS, "hidden_size": width, "num_hidden_layers": depth, "num_attention_heads": 4,
        "intermediate_size": 2 * width, "max_position_embeddings": 32, "type_vocab_size": 2, "num_labels": 3,
        "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
    })
}

fn distilbert() -> Value {
    json!({
        "vocab_size": WORDS, "dim": 48, "n_layers": 2, "n_heads": 4, "hidden_dim": 96,
        "max_position_embeddings": 32, "dropout": 0.0, "attention_dropout": 0.0, "seq_classif_dropout": 0.0,
    })
}

fn network(keys: &Value, prefix: &str, config: &Value, device: &Device) -> TextNetwork {
    let keys: Vec<(String, Vec<usize>)> = serde_json::from_value(keys.clone()).unwrap();
    let keys = keys
        .into_iter()
        .filter(|(key, _)| !key.starts_with("fit_dense"));
    let folder = folder(&keys.collect(), prefix, config);
    let config = TextConfig::of_folder(folder.path()).unwrap();
    TextNetwork::from_file(&config, folder.path(), device).unwrap()
}

pub fn compare(salt: &str, case: &Value, found: &mut Comparison) {
    let name = case["name"].as_str().unwrap();
    let student = match name {
        "tinybert_intermediate" | "tinybert_prediction" | "minilm_v1" | "minilm_v2" => bert(24, 2),
        "pkd" => bert(48, 2),
        "distilbert" => distilbert(),
        _ => return found.fail("no objective here is known by this name"),
    };
    let device = Device::flex().autodiff();
    let prefix = format!("{salt}student/");
    let mut student = Student {
        network: network(&case["student_keys"], &prefix, &student, &device),
        fit: (name == "tinybert_intermediate").then(|| fit(&prefix, &device)),
    };
    let teacher = format!("{salt}teacher/");
    let teacher = network(
        &case["teacher_keys"],
        &teacher,
        &bert(48, 4),
        &Device::flex(),
    );
    let mut optimizer = optimizer(&student);
    for k in 0..case["steps"].as_array().unwrap().len() {
        let text = text(k, name == "distilbert", &device);
        let shown = student.network.forward(text.batch.clone(), &Taps::all());
        let taught = teacher.forward(lowered(&text.batch), &Taps::all()).lift();
        let parts = parts(name, k, &student, [&shown, &taught], &text);
        let total = compare_parts(case, k, &parts, found);
        let mut gradients = GradientsParams::from_grads(total.backward(), &student);
        let norm = norm(&student, &gradients);
        let want = case["steps"][k]["gradient_norm"].as_f64().unwrap();
        let tolerance = case["tolerance"][k].as_f64().unwrap();
        found.close(
            &format!("step {k}, gradient norm"),
            norm,
            want,
            tolerance,
            0.0,
        );
        if let Some(most) = case["clip_global_norm"]
            .as_f64()
            .filter(|most| *most < norm)
        {
            student.visit(&mut Scale(&mut gradients, most / norm));
        }
        student = optimizer.step(case["lrs"][k].as_f64().unwrap(), student, gradients);
    }
    let text = text(99, false, &Device::flex());
    let output = student.network.valid().forward(text.batch, &Taps::all());
    let last = || output.tokens(output.levels(Part::Tokens) - 1).unwrap();
    let got: f32 = match name {
        "tinybert_intermediate" | "minilm_v1" | "minilm_v2" => last().abs().mean().into_scalar(),
        _ => output.logits.abs().mean().into_scalar(),
    };
    let [want, tolerance] =
        ["eval_abs_mean", "eval_tolerance"].map(|key| case[key].as_f64().unwrap());
    found.close("mean after training", got.into(), want, tolerance, 0.0);
}

fn lowered(batch: &TokenBatch) -> TokenBatch {
    kd_models::Input::lower(batch.clone())
}

fn fit(prefix: &str, device: &Device) -> Linear {
    let values = |key: &str, shape: &[usize]| -> Vec<f32> {
        let values = parameter(prefix, key, shape).into_iter();
        values.map(|v| v as f32).collect()
    };
    let weight = TensorData::new(values("fit_dense.weight", &[48, 24]), [48, 24]);
    let weight = Tensor::<2>::from_data(weight, device).transpose();
    let bias = Tensor::from_floats(values("fit_dense.bias", &[48]).as_slice(), device);
    Linear {
        weight: Param::from_tensor(weight),
        bias: Some(Param::from_tensor(bias)),
    }
}

/// The components of a step, with their weights.
fn parts(
    name: &str,
    k: usize,
    student: &Student,
    [shown, taught]: [&Output; 2],
    text: &Text,
) -> Vec<(&'static str, Tensor<1>)> {
    let by = |names: &[&'static str], objective: Value, targets: Targets| {
        let config: ObjectiveConfig = serde_json::from_value(objective).unwrap();
        let found = evaluate(&config, [shown, taught], &targets);
        let parts = names.iter().map(|name| {
            let part = found
                .components
                .iter()
                .find(|part| part.name == *name)
                .unwrap();
            (*name, part.value.clone() * part.weight)
        });
        parts.collect::<Vec<_>>()
    };
    let [batch, _] = SHAPE;
    let labels: Vec<i64> = (0..batch).map(|i| ((7 * k + 3 * i) % 3) as i64).collect();
    let labels = Tensor::<1, Int>::from_ints(labels.as_slice(), &shown.logits.device());
    let labels = Targets::labels(labels);
    match name {
        "tinybert_intermediate" => {
            let objective = json!({
                "attention": { "term": "tinybert_attention", "include_padding": true },
            });
            let mut parts = by(&["attention"], objective, labels);
            let hidden = (0..3).map(|level| {
                let states = shown.tokens(level).unwrap();
                let states = student.fit.as_ref().unwrap().forward(states);
                tinybert_hidden(states, taught.tokens(2 * level).unwrap(), None).unwrap()
            });
            parts.push(("hidden", hidden.reduce(|sum, level| sum + level).unwrap()));
            parts
        }
        "tinybert_prediction" => by(
            &["prediction"],
            json!({ "prediction": { "term": "tinybert_prediction" } }),
            labels,
        ),
        "minilm_v1" => {
            let real = shown.real_tokens.as_ref();
            let last = |part: Part| -> [Tensor<4>; 2] {
                [shown, taught].map(|output| output.get(part, output.levels(part) - 1).unwrap())
            };
            let [own, theirs] = last(Part::Scores);
            let attention = minilm_attention(own, theirs, real).unwrap();
            let [own, theirs] = last(Part::Values).map(|heads| {
                let [batch, count, tokens, each] = heads.dims();
                heads.swap_dims(1, 2).reshape([batch, tokens, count * each])
            });
            let values = minilm_relation_of_real(own, theirs, 4, real).unwrap();
            let whole = by(&["minilm"], json!({ "minilm": {} }), labels);
            let apart: f32 =
                (whole[0].1.clone() - attention.clone() - values.clone()).into_scalar();
            assert!(apart.abs() < 1e-6, "{apart}");
            vec![("attention", attention), ("values", values)]
        }
        "minilm_v2" => {
            let of = |relation: &str| {
                json!({
                    "term": "minilm_relation", "relations": [relation], "relation_heads": 6, "teacher_layer": 3,
                })
            };
            let objective = json!({
                "queries": of("queries"), "keys": of("keys"), "values": of("values"),
            });
            by(&["queries", "keys", "values"], objective, labels)
        }
        "pkd" => {
            let objective = json!({
                "ce": { "term": "cross_entropy", "weight": 0.5 },
                "kd": { "temperature": 5.0, "weight": 0.5 },
                "patience": { "term": "pkd_bert", "weight": 10.0 },
            });
            by(&["ce", "kd", "patience"], objective, labels)
        }
        _ => {
            let objective = json!({
                "kd": { "temperature": 2.0, "weight": 5.0 },
                "mlm": { "term": "cross_entropy", "weight": 2.0 },
                "cosine": { "term": "cosine_hidden", "weight": 1.0 },
            });
            let targets = Targets::some_labels(text.words.clone(), text.hidden.clone());
            by(&["kd", "mlm", "cosine"], objective, targets)
        }
    }
}

fn evaluate(
    config: &ObjectiveConfig,
    [shown, taught]: [&Output; 2],
    targets: &Targets,
) -> Evaluation {
    let device = shown.logits.device();
    let objective = config.init(shown, Some(taught), &device).unwrap();
    let pair = Pair {
        student: shown,
        teacher: Some(taught),
        targets,
        indices: None,
    };
    let step = Step {
        epoch: 1,
        epochs: 1,
        index: 0,
    };
    objective.forward(&pair, &step).unwrap()
}

/// AdamW with a decay of 0.01, but none of biases and layer normalisations.
fn optimizer(student: &Student) -> ModuleOptimizer {
    #[derive(Default)]
    struct Vectors(Vec<ParamId>);
    impl ModuleVisitor for Vectors {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if D == 1 {
                self.0.push(param.id);
            }
        }
    }
    let adamw = |decay: f32| {
        let adamw = AdamWConfig::new().with_beta_1(0.9).with_beta_2(0.999);
        adamw.with_epsilon(1e-8).with_weight_decay(decay)
    };
    let mut vectors = Vectors::default();
    student.visit(&mut vectors);
    let group = ParamGroup::from_ids(vectors.0);
    adamw(0.01)
        .init()
        .with_group(group, adamw(0.0).build(), None)
}

/// Multiplies every gradient.
struct Scale<'a>(&'a mut GradientsParams, f64);

impl ModuleVisitor for Scale<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.0.remove::<D>(param.id) {
            self.0.register(param.id, gradient * self.1);
        }
    }
}
