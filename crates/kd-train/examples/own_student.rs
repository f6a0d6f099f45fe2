//! A network of one's own learns from one of the registry, by a loss of one's own, in a whole run: data,
//! loader, trainer, run folder and report are the toolkit's.
//!
//! `cargo run -p kd-train --example own_student` writes `runs/own-student/report.html`.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::{relu, softmax};
use burn::tensor::{Device, Tensor};
use kd_core::terms::{cross_entropy::CrossEntropyConfig, kd::KdConfig};
use kd_core::{ObjectiveConfig, Output, PairTaps, Part, Taps, TermEntry};
use kd_data::DataConfig;
use kd_models::{Backbone, Network};
use kd_train::{
    DataShape, Error, ImageClassification, ImageNetwork, Recipe, RunOptions, Silent, TeacherSpec,
    TrainConfig, run_task,
};

/// Two convolutions and a classifier.
#[derive(Module, Debug)]
struct Small {
    convs: Vec<Conv2d>,
    classifier: Linear,
}

impl Backbone for Small {
    type Input = Tensor<4>;

    fn forward(&self, mut x: Tensor<4>, taps: &Taps) -> Output {
        let mut maps = Vec::new();
        for conv in &self.convs {
            x = relu(conv.forward(x));
            maps.push(x.clone());
        }
        let embedding: Tensor<2> = x.mean_dim(3).mean_dim(2).flatten(1, 3);
        let mut output = Output::new(self.classifier.forward(embedding.clone()));
        maps.iter()
            .for_each(|map| output.push(Part::Maps, map, taps));
        output.push(Part::Embedding, &embedding, taps);
        output
    }
}

/// All networks of the run: the own one, and those of the registry.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "a run has a handful of networks")]
enum AnyNetwork {
    Small(Small),
    Registered(Network),
}

impl Backbone for AnyNetwork {
    type Input = Tensor<4>;

    fn forward(&self, images: Tensor<4>, taps: &Taps) -> Output {
        match self {
            Self::Small(network) => network.forward(images, taps),
            Self::Registered(network) => network.forward(images, taps),
        }
    }
}

impl ImageNetwork for AnyNetwork {
    fn build(model: &str, data: &DataShape, device: &Device) -> Result<Self, Error> {
        if model != "small" {
            return Network::build(model, data, device).map(Self::Registered);
        }
        let conv = |from, to| {
            Conv2dConfig::new([from, to], [3, 3])
                .with_stride([2, 2])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .init(device)
        };
        Ok(Self::Small(Small {
            convs: vec![conv(data.channels, 16), conv(16, 32)],
            classifier: LinearConfig::new(32, data.classes).init(device),
        }))
    }
}

/// Runs the example.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    run_in("runs/own-student")?;
    Ok(())
}

/// Trains a teacher for an epoch, the student alone, and the student with `kd` and the own loss.
pub fn run_in(folder: &str) -> Result<kd_train::Summary, Error> {
    let data = DataConfig {
        train_limit: Some(512),
        test_limit: Some(256),
        ..DataConfig::default()
    };
    let task = ImageClassification::<AnyNetwork>::load(&data, &mut Silent)?;
    // The mean absolute difference of the probabilities, at a weight of 0.5.
    let task = task.with_losses("l1", |objective| {
        objective.with_function("l1", 0.5, PairTaps::default(), |pair, _| {
            let student = softmax(pair.student.logits.clone(), 1);
            let teacher = softmax(pair.teacher()?.logits.clone(), 1);
            Ok((student - teacher).abs().mean())
        })
    });
    let objective = ObjectiveConfig::default()
        .with(
            "cross_entropy",
            TermEntry::new(CrossEntropyConfig::default()),
        )
        .with("kd", TermEntry::new(KdConfig::default()).with_weight(0.9));
    let mut recipe = Recipe::new("own-student", "small", objective, TrainConfig::new(2, 0.05));
    recipe.data = data;
    recipe.teacher = Some(TeacherSpec::new("resnet8"));
    let options = RunOptions {
        out: folder.into(),
        seeds: 1,
        device_name: "flex".into(),
        reuse: false,
        resume: false,
    };
    let device = Device::flex();
    run_task(&task, &recipe, &options, &device, &mut Silent)
}
