//! Images a second that the loader prepares: `cargo run -p kd-data --example throughput`.
//!
//! CIFAR-sized random images with crop, flip and normalisation, on all threads that rayon has
//! (`RAYON_NUM_THREADS` sets them). With the path of an image folder (`train/CLASS/*`, `val/CLASS/*`): its training
//! images at 224×224, decoded and augmented as in the recipes of ImageNet.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kd_data::{
    Augment, DataConfig, Error, Images, Loader, LoaderConfig, Mix, Normalize, RandAugment,
    RandomErasing, RandomResizedCrop, load, measure_throughput,
};

fn main() -> Result<(), Error> {
    match std::env::args_os().nth(1) {
        None => small(),
        Some(folder) => files(folder.into()),
    }
}

fn config(batch: usize, augment: Augment) -> LoaderConfig {
    LoaderConfig {
        batch,
        augment,
        mean: vec![0.5071, 0.4867, 0.4408],
        std: vec![0.2675, 0.2565, 0.2761],
        seed: 0,
        shuffle: true,
        drop_last: false,
    }
}

fn measure(what: &str, loader: &Loader) {
    let rate = measure_throughput(loader, Duration::from_secs(5));
    println!("{what}: {rate:.0} images/s");
}

fn small() -> Result<(), Error> {
    let count = 50_000;
    let pixels = (0..count * 3072u64).map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8);
    let images = Arc::new(Images {
        pixels: pixels.collect(),
        labels: (0..count as u32).map(|i| i % 100).collect(),
        ..Images::empty(3, 32, 32)
    });
    let indices: Vec<usize> = (0..images.len()).collect();
    for batch in [64, 256] {
        let config = config(batch, Augment::default());
        let loader = Loader::new(Arc::clone(&images), indices.clone(), config)?;
        measure(&format!("batch {batch}"), &loader);
    }
    Ok(())
}

fn files(folder: PathBuf) -> Result<(), Error> {
    let data = DataConfig {
        name: "folder".into(),
        dir: Some(folder),
        size: Some(224),
        resize: Some(256),
        normalize: Normalize::Imagenet,
        ..DataConfig::default()
    };
    let dataset = load(&data, &mut |_| {})?;
    let (images, classes) = (dataset.train, dataset.classes.len());
    let loader = |augment| {
        let everything = (0..images.len()).collect();
        Loader::new(Arc::clone(&images), everything, config(64, augment))
    };
    let part = Augment {
        flip: true,
        random_resized_crop: Some(RandomResizedCrop::default()),
        ..Augment::none()
    };
    let strong = Augment {
        rand_augment: Some(RandAugment::default()),
        random_erasing: Some(RandomErasing::default()),
        ..part
    };
    let mix = Mix {
        mixup_alpha: 0.8,
        cutmix_alpha: 1.0,
        ..Mix::default()
    };
    measure("evaluation", &loader(Augment::none())?);
    measure("random_resized_crop, flip", &loader(part)?);
    measure("and rand_augment, random_erasing", &loader(strong)?);
    measure(
        "and mixup, CutMix",
        &loader(strong)?.with_mix(mix, classes)?,
    );
    Ok(())
}
