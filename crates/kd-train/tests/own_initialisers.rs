//! A network whose values burn's own initialisers draw repeats with its run.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Distribution, Tensor};
use kd_core::{Output, Part, Taps};
use kd_data::DataConfig;
use kd_models::Backbone;
use kd_train::{
    DataShape, Error, ImageClassification, ImageNetwork, Recipe, RunOptions, Silent, TrainConfig,
    run_task,
};

#[derive(Module, Debug)]
struct Own {
    hidden: Linear,
    classifier: Linear,
}

impl Backbone for Own {
    type Input = Tensor<4>;

    fn forward(&self, images: Tensor<4>, taps: &Taps) -> Output {
        let embedding: Tensor<2> = self.hidden.forward(images.flatten(1, 3));
        let mut output = Output::new(self.classifier.forward(embedding.clone()));
        output.push(Part::Embedding, &embedding, taps);
        output
    }
}

impl ImageNetwork for Own {
    fn build(_: &str, data: &DataShape, device: &Device) -> Result<Self, Error> {
        let pixels = data.channels * data.height * data.width;
        Ok(Self {
            hidden: LinearConfig::new(pixels, 8).init(device),
            classifier: LinearConfig::new(8, data.classes).init(device),
        })
    }
}

/// The test loss of a run of one seed.
fn loss(seed: u64, device: &Device) -> f64 {
    let data = DataConfig {
        train_limit: Some(32),
        test_limit: Some(32),
        ..DataConfig::default()
    };
    let task = ImageClassification::<Own>::load(&data, &mut Silent).unwrap();
    let objective = serde_json::from_str(r#"{ "cross_entropy": {} }"#).unwrap();
    let mut recipe = Recipe::new("own", "own", objective, TrainConfig::new(1, 0.01));
    recipe.data = data;
    recipe.seed = seed;
    let folder = tempfile::tempdir().unwrap();
    let options = RunOptions {
        out: folder.path().join("run"),
        seeds: 1,
        device_name: "flex".into(),
        reuse: false,
        resume: false,
    };
    let summary = run_task(&task, &recipe, &options, device, &mut Silent).unwrap();
    summary.networks[0].test.get("loss").unwrap()
}

// Alone in this file: Flex has one generator for the whole process.
#[test]
fn burns_own_initialisers_follow_the_seed_of_the_run() {
    let device = Device::flex();
    let first = loss(1, &device);
    // Someone else draws from the device in between.
    let _ = Tensor::<1>::random([7], Distribution::Default, &device).into_data();
    assert_eq!(loss(1, &device).to_bits(), first.to_bits());
    assert_ne!(loss(2, &device).to_bits(), first.to_bits());
}
