//! Batches: what is in them, that they repeat, and that nothing is left behind.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use burn::tensor::Device;
use kd_data::{Augment, Images, Loader, LoaderConfig, measure_throughput};

const MEAN: [f32; 3] = [0.5071, 0.4867, 0.4408];
const STD: [f32; 3] = [0.2675, 0.2565, 0.2761];

fn images(count: usize) -> Arc<Images> {
    let byte = |i: u64| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8;
    Arc::new(Images {
        pixels: (0..count as u64 * 3072).map(byte).collect(),
        labels: (0..count as u32).map(|i| i % 10).collect(),
        ..Images::empty(3, 32, 32)
    })
}

fn config(batch: usize) -> LoaderConfig {
    LoaderConfig {
        batch,
        augment: Augment {
            cutout: 8,
            ..Augment::default()
        },
        mean: MEAN.to_vec(),
        std: STD.to_vec(),
        seed: 5,
        shuffle: true,
        drop_last: false,
    }
}

fn plain(batch: usize) -> LoaderConfig {
    LoaderConfig {
        augment: Augment::none(),
        shuffle: false,
        ..config(batch)
    }
}

fn loader(count: usize, config: LoaderConfig) -> Loader {
    Loader::new(images(count), (0..count).collect(), config).unwrap()
}

#[test]
fn an_image_is_repeated_in_other_views_that_are_its_own() {
    let repeated = |seed| {
        let mut config = config(16);
        (config.seed, config.augment.repeats) = (seed, 3);
        loader(40, config)
    };
    let shown = |loader: &Loader, epoch| -> Vec<(usize, u64, Vec<f32>)> {
        let batches = loader.epoch(epoch).flat_map(|batch| {
            let pixels: Vec<Vec<f32>> = batch.pixels.chunks(3072).map(<[f32]>::to_vec).collect();
            batch.indices.into_iter().zip(batch.views).zip(pixels)
        });
        batches
            .map(|((index, view), pixels)| (index, view, pixels))
            .collect()
    };
    let all = repeated(5);
    let first = shown(&all, 1);
    assert_eq!((all.batches(), first.len()), (3, 40));
    // 13 images in three views each and one in the first, where 14 are shown of 40.
    let images: std::collections::BTreeSet<usize> =
        first.iter().map(|(index, ..)| *index).collect();
    assert_eq!(images.len(), 14);
    for views in first.chunks(3) {
        assert!(views.iter().all(|(index, ..)| *index == views[0].0));
        assert_eq!(all.view_number(1, views[0].0), views[0].1);
        // 162 places and 1,024 holes: of 40 pairs none is the same by chance.
        let numbers: std::collections::BTreeSet<u64> = views.iter().map(|v| v.1).collect();
        assert_eq!(numbers.len(), views.len());
        assert!(views.windows(2).all(|pair| pair[0].2 != pair[1].2));
    }
    assert_eq!(shown(&all, 1), first);
    assert_ne!(shown(&all, 2), first);
    // Of a few views of each image no other is shown.
    let five = NonZeroU64::new(5).unwrap();
    let bounded = repeated(5).with_views(five, 9);
    let views = |index: usize| -> Vec<u64> {
        let once = LoaderConfig {
            seed: 9,
            ..config(16)
        };
        let once = loader(40, once);
        (1..=5)
            .map(|epoch| once.view_number(epoch, index))
            .collect()
    };
    for epoch in 1..=4 {
        for (index, view, _) in shown(&bounded, epoch) {
            assert!(views(index).contains(&view), "{index} in epoch {epoch}");
        }
    }
}

#[test]
fn a_few_views_come_in_turn() {
    let endless = loader(40, config(16));
    let two = NonZeroU64::new(2).unwrap();
    let other = LoaderConfig {
        seed: 6,
        ..config(16)
    };
    for bounded in [config(16), other].map(|c| loader(40, c).with_views(two, 5)) {
        for epoch in 1..=6 {
            for index in 0..40 {
                let want = endless.view(2 - epoch % 2, index);
                assert_eq!(bounded.view(epoch, index), want, "{epoch} {index}");
            }
        }
    }
    // The images are those of the views, in an order of their own.
    let bounded = endless.clone().with_views(two, 5);
    assert!(bounded.epoch(2).eq(endless.epoch(2)));
    let images = |epoch| -> Vec<_> {
        let batches = bounded.epoch(epoch);
        let mut images: Vec<_> = batches
            .flat_map(|b| {
                let pixels: Vec<_> = b.pixels.chunks(3072).map(<[f32]>::to_vec).collect();
                b.indices.into_iter().zip(pixels)
            })
            .collect();
        images.sort_by_key(|(index, _)| *index);
        images
    };
    assert_eq!(images(1), images(3));
    assert_ne!(images(1), images(2));
    let order = |epoch| -> Vec<_> { bounded.epoch(epoch).flat_map(|b| b.indices).collect() };
    assert_ne!(order(1), order(3));
}

#[test]
fn unaugmented_pixels_are_normalised_exactly() {
    let images = images(7);
    let loader = Loader::new(Arc::clone(&images), vec![6, 2, 4], plain(2)).unwrap();
    let batches: Vec<_> = loader.epoch(1).collect();
    assert_eq!((loader.batches(), loader.len(), batches.len()), (2, 3, 2));
    assert_eq!(batches[0].indices, [6, 2]);
    assert_eq!(batches[1].shape, [1, 3, 32, 32]);
    assert_eq!(batches[1].labels, [4]);
    for batch in &batches {
        for (pixels, &index) in batch.pixels.chunks(3072).zip(&batch.indices) {
            for (i, (value, &byte)) in pixels.iter().zip(images.image(index)).enumerate() {
                let c = i / 1024;
                assert_eq!(*value, (f32::from(byte) / 255.0 - MEAN[c]) / STD[c]);
            }
        }
    }
}

#[test]
fn an_augmented_image_is_its_view() {
    let images = images(100);
    let loader = loader(100, config(32));
    for batch in loader.epoch(3) {
        for (pixels, &index) in batch.pixels.chunks(3072).zip(&batch.indices) {
            let view = loader.view(3, index);
            let hole = view.cutout.unwrap();
            for (i, &value) in pixels.iter().enumerate() {
                let (c, y, x) = (i / 1024, i / 32 % 32, i % 32);
                let column = if view.flip { 31 - x } else { x } as i32 + view.dx;
                let row = y as i32 + view.dy;
                let inside = (0..32).contains(&column) && (0..32).contains(&row);
                let byte = if inside {
                    images.image(index)[c * 1024 + (row * 32 + column) as usize]
                } else {
                    0
                };
                let cut =
                    (hole.top..hole.bottom).contains(&y) && (hole.left..hole.right).contains(&x);
                let expected = (f32::from(byte) / 255.0 - MEAN[c]) / STD[c];
                assert_eq!(value, if cut { 0.0 } else { expected });
            }
        }
    }
}

#[test]
fn an_epoch_repeats_and_others_differ() {
    let loader = loader(100, config(16));
    let epoch = |n| loader.epoch(n).collect::<Vec<_>>();
    let first = epoch(1);
    assert_eq!(first, epoch(1));
    assert_ne!(first[0].indices, epoch(2)[0].indices);
    let mut seen: Vec<usize> = first
        .iter()
        .flat_map(|batch| batch.indices.clone())
        .collect();
    assert_ne!(seen, (0..100).collect::<Vec<_>>());
    seen.sort_unstable();
    assert_eq!(seen, (0..100).collect::<Vec<_>>());
    // Resuming in mid-epoch gives the batches that were left.
    assert_eq!(loader.epoch_from(1, 5).collect::<Vec<_>>(), first[5..]);
    assert_eq!(loader.epoch_from(1, 50).count(), 0);
    let other = Loader::new(
        images(100),
        (0..100).collect(),
        LoaderConfig {
            seed: 6,
            ..config(16)
        },
    );
    assert_ne!(
        other.unwrap().epoch(1).next().unwrap().indices,
        first[0].indices
    );
}

#[test]
fn a_view_belongs_to_an_image_not_to_its_place() {
    let whole = loader(100, config(100));
    let few = Loader::new(images(100), vec![7, 70], config(1)).unwrap();
    let batch = whole.epoch(4).next().unwrap();
    for single in few.epoch(4) {
        let at = batch
            .indices
            .iter()
            .position(|i| *i == single.indices[0])
            .unwrap();
        assert_eq!(single.pixels, batch.pixels[at * 3072..][..3072]);
    }
}

#[test]
fn a_last_batch_is_kept_or_dropped() {
    assert_eq!(
        loader(100, config(32))
            .epoch(1)
            .map(|b| b.len())
            .collect::<Vec<_>>(),
        [32, 32, 32, 4]
    );
    let dropping = loader(
        100,
        LoaderConfig {
            drop_last: true,
            ..config(32)
        },
    );
    assert_eq!(dropping.batches(), 3);
    assert_eq!(dropping.epoch(1).len(), 3);
    assert_eq!(
        dropping.epoch(1).map(|b| b.len()).collect::<Vec<_>>(),
        [32; 3]
    );
}

#[test]
fn tensors_have_the_batch_s_content() {
    let device = Device::flex();
    let batch = loader(5, config(3)).epoch(1).next().unwrap();
    let images = batch.images(&device);
    assert_eq!(images.dims(), [3, 3, 32, 32]);
    assert_eq!(
        images.into_data().try_to_vec::<f32>().unwrap(),
        batch.pixels
    );
    let labels = batch
        .labels(&device)
        .into_data()
        .convert::<i64>()
        .try_to_vec::<i64>()
        .unwrap();
    assert_eq!(
        labels,
        batch
            .labels
            .iter()
            .map(|&l| i64::from(l))
            .collect::<Vec<_>>()
    );
}

/// The worker holds the images; when the epoch is dropped it must let go of them.
#[test]
fn dropping_an_epoch_early_ends_its_thread() {
    let images = images(200);
    for taken in [0, 1, 4, 100] {
        let loader = Loader::new(Arc::clone(&images), (0..200).collect(), config(2)).unwrap();
        let mut epoch = loader.epoch(1);
        assert_eq!(epoch.by_ref().take(taken).count(), taken);
        drop((epoch, loader));
        assert_eq!(Arc::strong_count(&images), 1);
    }
}

#[test]
fn what_cannot_be_loaded_is_an_error() {
    let new = |indices: Vec<usize>, config: LoaderConfig| {
        Loader::new(images(10), indices, config)
            .unwrap_err()
            .to_string()
    };
    let all = || (0..10).collect::<Vec<_>>();
    let crop = |crop| Augment {
        crop,
        ..Augment::none()
    };
    let cutout = |cutout| Augment {
        cutout,
        ..Augment::none()
    };
    for (message, part) in [
        (new(Vec::new(), config(4)), "there are no images"),
        (new(vec![3, 10], config(4)), "no image 10: there are 10"),
        (new(all(), config(0)), "at least 1"),
        (
            new(
                all(),
                LoaderConfig {
                    drop_last: true,
                    ..config(11)
                },
            ),
            "do not fill one batch of 11",
        ),
        (
            new(
                all(),
                LoaderConfig {
                    mean: vec![0.5],
                    ..config(4)
                },
            ),
            "1 means and 3 standard deviations",
        ),
        (
            new(
                all(),
                LoaderConfig {
                    augment: crop(32),
                    ..config(4)
                },
            ),
            "data.augment.crop = 32",
        ),
        (
            new(
                all(),
                LoaderConfig {
                    augment: cutout(33),
                    ..config(4)
                },
            ),
            "data.augment.cutout = 33",
        ),
    ] {
        assert!(message.contains(part), "{message}");
    }
    let mut short = (*images(10)).clone();
    short.pixels.pop();
    let error = Loader::new(Arc::new(short), all(), config(4))
        .unwrap_err()
        .to_string();
    assert!(error.contains("30719 bytes are not 10 images"), "{error}");
}

/// Needs two idle cores: `cargo test -p kd-data --test loader -- --ignored --nocapture`.
#[test]
#[ignore = "measures time"]
fn fifty_thousand_images_a_second() {
    let config = LoaderConfig {
        augment: Augment::default(),
        ..config(64)
    };
    let rate = measure_throughput(&loader(20_000, config), Duration::from_secs(3));
    println!("{rate:.0} images/s");
    assert!(rate >= 50_000.0, "{rate}");
}
