//! Networks that are timed, and what they read.

use std::sync::Arc;

use anyhow::Result;
use burn::tensor::{Device, Distribution, Int, Tensor};
use kd_core::detection::Objects;
use kd_core::{Targets, draw};
use kd_models::detection::Detector;
use kd_models::{
    Backbone, Network, NetworkConfig, SceneBatch, TextNetwork, TokenBatch, text_model,
};
use serde_json::{Value, json};

/// Classes of CIFAR-100 and of ImageNet.
const CLASSES: [usize; 2] = [100, 1000];

/// Height and width of CIFAR's images.
const SMALL: usize = 32;

/// A kind of network.
pub(super) trait Subject: Backbone + Sync {
    /// Its rate of learning, at which nothing becomes infinite within some steps.
    const RATE: f64 = 0.01;

    /// The network of a name, with weights that every call draws alike.
    fn named(name: &str, size: usize, device: &Device) -> Result<Self>;

    /// A random batch with what is to be said of it.
    fn random(batch: usize, size: usize, device: &Device) -> Result<(Self::Input, Targets)>;

    /// What it learns from labels.
    fn alone() -> Value {
        json!({ "cross_entropy": { "weight": 1 } })
    }

    /// What it learns from labels and a teacher.
    fn distilled() -> Value {
        json!({
            "cross_entropy": { "weight": 0.1 },
            "kd": { "weight": 0.9, "temperature": 4 },
        })
    }
}

impl Subject for Network {
    fn named(name: &str, size: usize, device: &Device) -> Result<Self> {
        draw::seed(1);
        let config = config(name).with_image_size(size);
        Ok(Self::new(&config, device)?)
    }

    fn random(batch: usize, size: usize, device: &Device) -> Result<(Tensor<4>, Targets)> {
        let images = random_images(batch, size, device);
        Ok((images, labels(batch, CLASSES[0], device).into()))
    }
}

impl Subject for TextNetwork {
    fn named(name: &str, _: usize, device: &Device) -> Result<Self> {
        draw::seed(1);
        Ok(Self::new(&text_model(name)?, device)?)
    }

    fn random(batch: usize, size: usize, device: &Device) -> Result<(TokenBatch, Targets)> {
        let ids: Vec<i32> = (0..batch * size)
            .map(|i| (1 + i * 7919 % 30_000) as i32)
            .collect();
        let ids = Tensor::<1, Int>::from_ints(ids.as_slice(), device).reshape([batch, size]);
        let mask = ids.ones_like().bool();
        Ok((TokenBatch::new(ids, mask), labels(batch, 2, device).into()))
    }
}

impl Subject for Detector {
    // Losses of boxes are sums of thousands at first.
    const RATE: f64 = 1e-5;

    fn named(name: &str, _: usize, device: &Device) -> Result<Self> {
        draw::seed(1);
        // As many as COCO has, with the background.
        Ok(Self::new(name, 91, device)?)
    }

    fn random(batch: usize, size: usize, device: &Device) -> Result<(SceneBatch, Targets)> {
        let side = size as f64;
        let boxes = [
            [0.1, 0.1, 0.4, 0.5],
            [0.3, 0.4, 0.9, 0.9],
            [0.6, 0.1, 0.8, 0.3],
        ]
        .map(|corners| corners.map(|share| share * side));
        let objects = Objects::new(boxes.to_vec(), vec![1, 17, 90])?;
        let objects: Arc<[Objects]> = vec![objects; batch].into();
        let scenes = SceneBatch {
            images: random_images(batch, size, device),
            objects: Some(objects.clone()),
            seed: 1,
        };
        Ok((scenes, Targets::objects(objects, device)))
    }

    fn alone() -> Value {
        json!({ "detection_loss": { "weight": 1 } })
    }

    fn distilled() -> Value {
        let mut losses = Self::alone();
        for level in 1..4 {
            losses[format!("c{}", level + 2)] =
                json!({ "term": "fitnet", "weight": 1, "level": level });
        }
        losses
    }
}

/// The configuration of a network of the registry, for CIFAR's or ImageNet's images and classes.
pub(super) fn config(name: &str) -> NetworkConfig {
    let [small, large] = CLASSES;
    let classes = if name.ends_with("_224") { large } else { small };
    NetworkConfig::new(name, classes, 3)
}

/// A network of the registry with weights that every call draws alike.
pub fn network(name: &str, device: &Device) -> Result<Network> {
    Network::named(name, config(name).image_size()?, device)
}

/// Random images of CIFAR's size and their classes.
pub fn random_batch(batch: usize, device: &Device) -> (Tensor<4>, Tensor<1, Int>) {
    (
        random_images(batch, SMALL, device),
        labels(batch, CLASSES[0], device),
    )
}

fn random_images(batch: usize, size: usize, device: &Device) -> Tensor<4> {
    Tensor::random([batch, 3, size, size], Distribution::Default, device)
}

fn labels(batch: usize, classes: usize, device: &Device) -> Tensor<1, Int> {
    let labels: Vec<i32> = (0..batch).map(|i| (i * 37 % classes) as i32).collect();
    Tensor::from_ints(labels.as_slice(), device)
}
