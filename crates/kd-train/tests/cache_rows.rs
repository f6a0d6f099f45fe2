//! An answer of the teacher cache does not depend on which images were asked for together, or how often.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kd_core::{Part, Taps};
use kd_data::{DataConfig, Loader, LoaderConfig};
use kd_models::{Backbone, Network, NetworkConfig};
use kd_train::cache::{CacheConfig, Identity, TeacherCache};

/// Its classifier reads 1280 numbers, and burn sums the product of a single row in another order
/// than that of several.
#[test]
fn an_image_asked_for_alone_gets_the_answer_of_the_batch() {
    let device = Device::flex();
    let config = DataConfig {
        train_limit: Some(12),
        ..DataConfig::default()
    };
    let dataset = kd_data::load(&config, &mut |_| {}).unwrap();
    let loader = LoaderConfig {
        batch: 8,
        augment: config.augment,
        mean: dataset.mean.clone(),
        std: dataset.std.clone(),
        seed: 1,
        shuffle: false,
        drop_last: false,
    };
    let loader = Loader::new(dataset.train.clone(), (0..8).collect(), loader).unwrap();
    let teacher = Network::new(&NetworkConfig::new("mobilenet_v2", 10, 1), &device)
        .unwrap()
        .valid();
    let taps = Taps::part(Part::Embedding);
    let batch = loader.epoch(1).next().unwrap();
    let want = teacher.forward(batch.images(&device), &taps);

    let samples: Vec<_> = batch
        .indices
        .iter()
        .map(|&i| (i, loader.view_number(1, i)))
        .collect();
    let config = CacheConfig {
        embedding: true,
        ..CacheConfig::default()
    };
    let example = batch.images(&device);
    let views = loader.possible_views();
    let identity = Identity::new(&config, &teacher, "m", example, Vec::new(), views).unwrap();
    let mut cache = TeacherCache::open(identity, None).unwrap();
    let rows = |from: usize, to: usize| batch.images(&device).narrow(0, from, to - from);
    let twice = Tensor::cat(vec![rows(0, 2), rows(0, 2)], 0);
    let of_both = [&samples[..2], &samples[..2]].concat();
    cache.output(&teacher, twice, &of_both).unwrap();
    for (from, to) in [(0, 3), (2, 7), (0, 8)] {
        cache
            .output(&teacher, rows(from, to), &samples[from..to])
            .unwrap();
    }
    assert_eq!((cache.stats().misses, cache.stats().hits), (8, 12));
    let got = cache.output(&teacher, rows(0, 8), &samples).unwrap();
    let bits =
        |t: Tensor<2>| -> Vec<u32> { t.into_data().iter::<f32>().map(f32::to_bits).collect() };
    assert_eq!(bits(got.logits.clone()), bits(want.logits.clone()));
    assert_eq!(
        bits(got.embedding().unwrap()),
        bits(want.embedding().unwrap())
    );
}
