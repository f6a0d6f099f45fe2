//! Trainings of vision transformers, step by step: network, losses and gradients, with PyTorch's AdamW.

use burn::module::{Module, ModuleVisitor, Param, ParamGroup, ParamId};
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Int, Tensor};
use kd_core::terms::cross_entropy::cross_entropy;
use kd_core::terms::deit::deit_soft;
use kd_core::terms::hard_labels::hard_labels;
use kd_core::terms::kd::kd;
use kd_core::terms::rkd::{rkd_angle, rkd_distance};
use kd_core::{Output, Part, Taps};
use kd_goldens::{Comparison, uniform, write_weights};
use kd_models::{Backbone, Network, NetworkConfig, VitConfig};
use serde_json::Value;

mod graph;
mod text;

const BATCH: usize = 8;
const CLASSES: usize = 10;
/// Of the losses and the gradient norm beside the file's tolerance: a component that is small beside the loss carries
/// the loss's rounding.
const SMALL: f64 = 1e-2;

pub fn compare(salt: &str, case: &Value, found: &mut Comparison) {
    let name = case["name"].as_str().unwrap();
    let (student, teacher) = match name {
        "deit_hard" | "deit_soft" => (shape(48, 3).distilled(), None),
        "vit_rkd" => (shape(24, 2), Some(shape(48, 3))),
        "gcn" | "glnn" => return graph::compare(salt, case, found),
        _ => return text::compare(salt, case, found),
    };
    let device = Device::flex().autodiff();
    let keyed = |keys: &str, prefix: &str, shape: &VitConfig, device: &Device| {
        network(&case[keys], &format!("{salt}{prefix}/"), shape, device)
    };
    let mut student = keyed("student_keys", "student", &student, &device);
    let teacher = teacher.map(|shape| keyed("teacher_keys", "teacher", &shape, &Device::flex()));
    let mut optimizer = optimizer(&student);
    for (k, step) in case["steps"].as_array().unwrap().iter().enumerate() {
        let images = images(&format!("{salt}step{k}"), BATCH, &device);
        let labels: Vec<i64> = (0..BATCH)
            .map(|i| ((7 * k + 3 * i) % CLASSES) as i64)
            .collect();
        let labels = Tensor::<1, Int>::from_ints(labels.as_slice(), &device);
        let output = student.forward(images.clone(), &Taps::all());
        let parts = match &teacher {
            Some(teacher) => relations(&output, teacher, images.inner(), labels),
            None => heads(
                name,
                &output,
                logits(&format!("{salt}teacher{k}"), &device),
                labels,
            ),
        };
        let total = compare_parts(case, k, &parts, found);
        let gradients = GradientsParams::from_grads(total.backward(), &student);
        let norm = norm(&student, &gradients);
        let want = step["gradient_norm"].as_f64().unwrap();
        found.close(
            &format!("step {k}, gradient norm"),
            norm,
            want,
            case["tolerance"][k].as_f64().unwrap(),
            0.0,
        );
        let rate = case["lrs"][k].as_f64().unwrap();
        student = optimizer.step(rate, student, gradients);
    }
    let images = images(&format!("{salt}eval"), 4, &Device::flex());
    let logits = student.valid().forward(images, &Taps::none()).logits;
    let got: f32 = logits.abs().mean().into_scalar();
    let (want, tolerance) = (&case["eval_abs_mean"], &case["eval_tolerance"]);
    let (want, tolerance) = (want.as_f64().unwrap(), tolerance.as_f64().unwrap());
    found.close("mean of trained logits", got.into(), want, tolerance, 0.0);
}

fn shape(width: usize, depth: usize) -> VitConfig {
    VitConfig {
        hidden: 2 * width,
        ..VitConfig::new(8, width, depth, 4)
    }
}

/// DeiT: the class token learns from labels, the distillation token from the teacher's decision or its probabilities,
/// whose divergence is divided by the classes, too.
fn heads(
    name: &str,
    output: &Output,
    teacher: Tensor<2>,
    labels: Tensor<1, Int>,
) -> Vec<(&'static str, Tensor<1>)> {
    let [class, distillation] = [0, 1].map(|level| output.get(Part::Heads, level).unwrap());
    let distillation = match name {
        "deit_hard" => hard_labels(distillation, teacher).unwrap(),
        _ => deit_soft(distillation, teacher, 3.0).unwrap(),
    };
    let class = cross_entropy(class, labels, 0.1).unwrap();
    vec![("ce", class * 0.5), ("distillation", distillation * 0.5)]
}

fn relations(
    output: &Output,
    teacher: &Network,
    images: Tensor<4>,
    labels: Tensor<1, Int>,
) -> Vec<(&'static str, Tensor<1>)> {
    let taught = teacher.forward(images, &Taps::all()).lift();
    let embeddings = || (output.embedding().unwrap(), taught.embedding().unwrap());
    let logits = output.logits.clone();
    let ((near, other), (turned, third)) = (embeddings(), embeddings());
    vec![
        (
            "ce",
            cross_entropy(logits.clone(), labels, 0.0).unwrap() * 0.1,
        ),
        ("kd", kd(logits, taught.logits.clone(), 4.0).unwrap() * 0.9),
        ("rkd_distance", rkd_distance(near, other).unwrap() * 25.0),
        ("rkd_angle", rkd_angle(turned, third).unwrap() * 50.0),
    ]
}

fn network(keys: &Value, prefix: &str, shape: &VitConfig, device: &Device) -> Network {
    let keys: Vec<(String, Vec<usize>)> = serde_json::from_value(keys.clone()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    write_weights(&path, prefix, &keys.into_iter().collect());
    let config = NetworkConfig::new("vit", CLASSES, 3);
    let network = Network::vit(shape, &config, device).unwrap();
    network.load(&path).unwrap()
}

fn images(key: &str, batch: usize, device: &Device) -> Tensor<4> {
    let shape = [batch, 3, 32, 32];
    let values = uniform(key, shape.iter().product()).into_iter();
    let values: Vec<f32> = values.map(|u| (1.5 * u) as f32).collect();
    Tensor::<1>::from_floats(values.as_slice(), device).reshape(shape)
}

fn logits(key: &str, device: &Device) -> Tensor<2> {
    let values = uniform(key, BATCH * CLASSES).into_iter();
    let values: Vec<f32> = values.map(|u| (4.0 * u) as f32).collect();
    Tensor::<1>::from_floats(values.as_slice(), device).reshape([BATCH, CLASSES])
}

/// Compares the components of a step and their sum with those of the file.
pub fn compare_parts(
    case: &Value,
    k: usize,
    parts: &[(&str, Tensor<1>)],
    found: &mut Comparison,
) -> Tensor<1> {
    let (step, tolerance) = (&case["steps"][k], case["tolerance"][k].as_f64().unwrap());
    let total = parts.iter().map(|(_, part)| part.clone());
    let total = total.reduce(|sum, part| sum + part).unwrap();
    let loss = step["loss"].as_f64().unwrap();
    let named = parts.iter().map(|(name, value)| (*name, value));
    for (part, value) in named.chain([("loss", &total)]) {
        let want = step[part].as_f64().unwrap();
        let got = value.clone().into_scalar::<f32>();
        let what = format!("step {k}, {part}");
        found.close(&what, got.into(), want, tolerance, SMALL * loss);
    }
    total
}

/// AdamW with a decay of 0.05, but none of vectors, tokens and positions.
fn optimizer(student: &Network) -> ModuleOptimizer {
    #[derive(Default)]
    struct Free {
        path: Vec<String>,
        ids: Vec<ParamId>,
    }
    impl ModuleVisitor for Free {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.push(name.into());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let named = ["cls_token", "dist_token", "pos_embed"];
            let last = self.path.last().unwrap();
            if D == 1 || named.contains(&last.as_str()) {
                self.ids.push(param.id);
            }
        }
    }
    let adamw = |decay: f32| {
        AdamWConfig::new()
            .with_beta_1(0.9)
            .with_beta_2(0.999)
            .with_epsilon(1e-8)
            .with_weight_decay(decay)
    };
    let mut free = Free::default();
    student.visit(&mut free);
    let group = ParamGroup::from_ids(free.ids);
    adamw(0.05)
        .init()
        .with_group(group, adamw(0.0).build(), None)
}

pub fn norm<M: Module>(student: &M, gradients: &GradientsParams) -> f64 {
    struct Sum<'a>(&'a GradientsParams, f64);
    impl ModuleVisitor for Sum<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.0.get::<D>(param.id) {
                self.1 += f64::from(gradient.square().sum().into_scalar::<f32>());
            }
        }
    }
    let mut sum = Sum(gradients, 0.0);
    student.visit(&mut sum);
    sum.1.sqrt()
}
