//! Trainings on a graph, step by step: a GCN from some labels, and a perceptron that a GCN teaches (GLNN).

use burn::module::{Module, ModuleVisitor, Param, ParamGroup, ParamId};
use burn::optim::decay::WeightDecayConfig;
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use kd_core::{ObjectiveConfig, Pair, Step, Taps, Targets};
use kd_goldens::{Comparison, read, write_weights};
use kd_models::{Backbone, GraphNetwork};
use serde_json::{Value, json};

use super::{compare_parts, norm};
use crate::transformers::graph::{graph, shape};

const LABELLED: [usize; 5] = [0, 3, 5, 9, 10];
const CLASSES: usize = 3;

fn network(keys: &Value, name: &str, prefix: &str, device: &Device) -> GraphNetwork {
    let keys: Vec<(String, Vec<usize>)> = serde_json::from_value(keys.clone()).unwrap();
    let keys = keys.into_iter().collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    write_weights(&path, prefix, &keys);
    let mut shape = shape(name, &keys);
    shape.dropout = 0.0;
    GraphNetwork::new(&shape, device)
        .unwrap()
        .load(&path)
        .unwrap()
}

pub fn compare(salt: &str, case: &Value, found: &mut Comparison) {
    let name = case["name"].as_str().unwrap();
    let golden = read("transformers_more.json");
    let described = &golden["networks"].as_array().unwrap().iter();
    let described = described
        .clone()
        .find(|network| network["name"] == "gcn_symmetric");
    let described = &described.unwrap()["graph"];
    let device = Device::flex().autodiff();
    let of_student = if name == "gcn" { "gcn" } else { "mlp" };
    let prefix = format!("{salt}student/");
    let mut student = network(&case["student_keys"], of_student, &prefix, &device);
    let graph = |device: &Device| graph(salt, described, true, device);
    let teacher = (name == "glnn").then(|| {
        let prefix = format!("{salt}teacher/");
        let teacher = network(&case["teacher_keys"], "gcn", &prefix, &Device::flex());
        teacher.forward(graph(&Device::flex()), &Taps::all()).lift()
    });
    let (component, objective) = match name {
        "gcn" => ("ce", json!({ "ce": { "term": "cross_entropy" } })),
        _ => ("kd", json!({ "kd": { "temperature": 1.0, "weight": 1.0 } })),
    };
    let config: ObjectiveConfig = serde_json::from_value(objective).unwrap();
    let mut optimizer = optimizer(&student, name == "gcn");
    let targets = targets(graph(&device).nodes(), &device);
    for k in 0..case["steps"].as_array().unwrap().len() {
        let shown = student.forward(graph(&device), &Taps::all());
        let objective = config.init(&shown, teacher.as_ref(), &device).unwrap();
        let pair = Pair {
            student: &shown,
            teacher: teacher.as_ref(),
            targets: &targets,
            indices: None,
        };
        let step = Step {
            epoch: 1,
            epochs: 1,
            index: k,
        };
        let value = objective.forward(&pair, &step).unwrap().total;
        let total = compare_parts(case, k, &[(component, value)], found);
        let gradients = GradientsParams::from_grads(total.backward(), &student);
        let want = case["steps"][k]["gradient_norm"].as_f64().unwrap();
        let tolerance = case["tolerance"][k].as_f64().unwrap();
        let what = format!("step {k}, gradient norm");
        found.close(&what, norm(&student, &gradients), want, tolerance, 0.0);
        student = optimizer.step(case["lrs"][k].as_f64().unwrap(), student, gradients);
    }
    let output = student
        .valid()
        .forward(graph(&Device::flex()), &Taps::none());
    let got: f32 = output.logits.abs().mean().into_scalar();
    let [want, tolerance] =
        ["eval_abs_mean", "eval_tolerance"].map(|key| case[key].as_f64().unwrap());
    found.close("mean of trained logits", got.into(), want, tolerance, 0.0);
}

fn targets(nodes: usize, device: &Device) -> Targets {
    let labels: Vec<i64> = (0..nodes).map(|node| (node % CLASSES) as i64).collect();
    let labels: Tensor<1, Int> = Tensor::from_ints(labels.as_slice(), device);
    let labelled: Vec<bool> = (0..nodes).map(|node| LABELLED.contains(&node)).collect();
    let labelled = Tensor::<1, Bool>::from_data(TensorData::new(labelled, [nodes]), device);
    Targets::some_labels(labels, labelled)
}

/// Adam with a coupled decay of 5e-4, of all or of the first layer only.
fn optimizer(student: &GraphNetwork, first_only: bool) -> ModuleOptimizer {
    #[derive(Default)]
    struct Later {
        path: Vec<String>,
        ids: Vec<ParamId>,
    }
    impl ModuleVisitor for Later {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.push(name.into());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if self.path.iter().any(|name| name == "1") {
                self.ids.push(param.id);
            }
        }
    }
    let adam = AdamConfig::new()
        .with_beta_1(0.9)
        .with_beta_2(0.999)
        .with_epsilon(1e-8);
    let decays = adam
        .clone()
        .with_weight_decay(Some(WeightDecayConfig::new(5e-4)));
    let mut later = Later::default();
    student.visit(&mut later);
    match first_only {
        false => decays.init(),
        true => {
            let group = ParamGroup::from_ids(later.ids);
            decays.init().with_group(group, adam.build(), None)
        }
    }
}
