//! A loader read on the only one of rayon's threads. It is alone in this file, because rayon's pool belongs to the
//! process.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use kd_data::{Augment, Images, Loader, LoaderConfig};

#[test]
fn a_reader_on_the_only_thread_does_not_wait_for_ever() {
    rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build_global()
        .unwrap();
    let (count, side) = (200, 4);
    let images = Images {
        pixels: vec![7; count * side * side],
        labels: vec![0; count],
        ..Images::empty(1, side, side)
    };
    let config = LoaderConfig {
        batch: 16,
        augment: Augment::none(),
        mean: vec![0.5],
        std: vec![0.25],
        seed: 1,
        shuffle: true,
        drop_last: false,
    };
    let loader = Loader::new(Arc::new(images), (0..count).collect(), config).unwrap();
    let (sender, received) = channel();
    rayon::spawn(move || {
        let all = loader.epoch(1).map(|batch| batch.len()).sum::<usize>();
        // An epoch that is dropped early waits for its thread, too.
        let some = loader.epoch(2).take(2).count();
        sender.send((all, some)).unwrap();
    });
    let seen = received.recv_timeout(Duration::from_secs(60)).unwrap();
    assert_eq!(seen, (count, 2));
}
