//! Images a second that the loader prepares: `cargo run -p kd-data --example throughput`.
//!
//! CIFAR-sized random images with crop, flip and normalisation, on all threads that rayon has
//! (`RAYON_NUM_THREADS` sets them).

use std::sync::Arc;
use std::time::Duration;

use kd_data::{Augment, Images, Loader, LoaderConfig, measure_throughput};

fn main() -> Result<(), kd_data::Error> {
    let count = 50_000;
    let pixels = (0..count * 3072u64).map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8);
    let images = Arc::new(Images {
        pixels: pixels.collect(),
        labels: (0..count as u32).map(|i| i % 100).collect(),
        ..Images::empty(3, 32, 32)
    });
    let indices: Vec<usize> = (0..images.len()).collect();
    for batch in [64, 256] {
        let config = LoaderConfig {
            batch,
            augment: Augment::default(),
            mean: vec![0.5071, 0.4867, 0.4408],
            std: vec![0.2675, 0.2565, 0.2761],
            seed: 0,
            shuffle: true,
            drop_last: false,
        };
        let loader = Loader::new(Arc::clone(&images), indices.clone(), config)?;
        let rate = measure_throughput(&loader, Duration::from_secs(5));
        println!("batch {batch}: {rate:.0} images/s");
    }
    Ok(())
}
