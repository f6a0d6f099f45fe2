//! What is done to training images beside crop, flip and cutout: that it repeats, that each kind leaves the others
//! alone, and that it never changes.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::sync::Arc;

use burn::tensor::Device;
use kd_data::{
    Augment, Batch, ColorJitter, Images, Loader, LoaderConfig, Mix, RandAugment, RandomErasing,
    RandomResizedCrop,
};
use sha2::{Digest, Sha256};

fn images(channels: usize) -> Arc<Images> {
    let byte = |i: usize| (i * i / 7 % 251) as u8;
    Arc::new(Images {
        pixels: (0..40 * channels * 24 * 24).map(byte).collect(),
        labels: (0..40).map(|i| i % 10).collect(),
        ..Images::empty(channels, 24, 24)
    })
}

fn loader(channels: usize, augment: Augment) -> Loader {
    let config = LoaderConfig {
        batch: 16,
        augment,
        mean: vec![0.5; channels],
        std: vec![0.25; channels],
        seed: 3,
        shuffle: true,
        drop_last: false,
    };
    Loader::new(images(channels), (0..40).collect(), config).unwrap()
}

fn everything() -> Augment {
    Augment {
        flip: true,
        cutout: 4,
        random_resized_crop: Some(RandomResizedCrop::default()),
        rand_augment: Some(RandAugment::default()),
        color_jitter: Some(ColorJitter::default()),
        random_erasing: Some(RandomErasing::default()),
        ..Augment::none()
    }
}

fn mix() -> Mix {
    Mix {
        mixup_alpha: 0.8,
        cutmix_alpha: 1.0,
        ..Mix::default()
    }
}

#[test]
fn all_of_it_repeats_from_any_batch() {
    for channels in [1, 3] {
        let loader = loader(channels, everything()).with_mix(mix(), 10).unwrap();
        let all: Vec<Batch> = loader.epoch(4).collect();
        assert_eq!(all.len(), 3);
        assert!(loader.epoch_from(4, 2).eq(all[2..].iter().cloned()));
        let mixed = |epoch| -> Vec<_> { loader.epoch(epoch).map(|b| b.mixed).collect() };
        assert_ne!(mixed(4), mixed(5));
        assert!(all.iter().all(|batch| batch.mixed.is_some()));
    }
}

#[test]
fn each_kind_leaves_the_draws_of_the_others_alone() {
    let pixels = |augment| -> Vec<f32> {
        let batches = loader(3, augment).epoch(1);
        batches.flat_map(|batch| batch.pixels).collect()
    };
    let erasing = |probability| Augment {
        random_erasing: Some(RandomErasing {
            probability,
            ..RandomErasing::default()
        }),
        ..Augment::default()
    };
    let plain = pixels(Augment::default());
    assert_eq!(pixels(erasing(0.0)), plain);
    let erased = pixels(erasing(1.0));
    let changed = erased.iter().zip(&plain).filter(|(a, b)| a != b);
    let changed: Vec<_> = changed.collect();
    assert!(changed.iter().all(|(erased, _)| **erased == 0.0));
    assert!((plain.len() / 20..plain.len() / 2).contains(&changed.len()));
    // Colours that stay as they are are not seen, whichever way the image is moved and mirrored.
    let still = Augment {
        color_jitter: Some(ColorJitter {
            brightness: 0.0,
            contrast: 0.0,
            saturation: 0.0,
        }),
        cutout: 5,
        ..Augment::default()
    };
    let moved = Augment {
        cutout: 5,
        ..Augment::default()
    };
    assert_eq!(pixels(still), pixels(moved));
}

#[test]
fn mixing_changes_pixels_and_shares_alone() {
    let plain = loader(3, Augment::default());
    let mixed = plain.clone().with_mix(mix(), 10).unwrap();
    for (plain, mixed) in plain.epoch(1).zip(mixed.epoch(1)) {
        assert_eq!(
            (&plain.indices, &plain.labels),
            (&mixed.indices, &mixed.labels)
        );
        assert!(plain.shares(&Device::flex()).is_none());
        let shares = mixed.shares(&Device::flex()).unwrap().into_data();
        let shares: Vec<f32> = shares.iter::<f32>().collect();
        let share = mixed.mixed.as_ref().unwrap().share;
        for (row, &label) in shares.chunks_exact(10).zip(&mixed.labels) {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6, "{row:?}");
            assert!(row[label as usize] >= share);
        }
    }
    let never = Mix { prob: 0.0, ..mix() };
    let never = plain.clone().with_mix(never, 10).unwrap();
    assert!(never.epoch(1).eq(plain.epoch(1)));
    let error = plain.with_mix(mix(), 9).unwrap_err().to_string();
    assert!(
        error.contains("label 9, and there are 9 classes"),
        "{error}"
    );
}

#[test]
fn draws_never_change() {
    let digest = |loader: Loader| {
        let mut hash = Sha256::new();
        for batch in loader.epoch(7) {
            // Rounded, because the last bit of a logarithm or a cosine is the system's.
            let rounded = batch.pixels.iter().map(|v| (v * 1000.0).round() as i32);
            rounded.for_each(|value| hash.update(value.to_le_bytes()));
        }
        let digest = hash.finalize();
        digest[..6]
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect::<String>()
    };
    let message = "old runs could not be repeated any more";
    let plain = Augment {
        cutout: 6,
        ..Augment::default()
    };
    assert_eq!(digest(loader(3, plain)), PLAIN, "{message}");
    let all = loader(3, everything()).with_mix(mix(), 10).unwrap();
    assert_eq!(digest(all), ALL, "{message}");
}

const PLAIN: &str = "8bb34f82cb31";
const ALL: &str = "31d72934202f";
