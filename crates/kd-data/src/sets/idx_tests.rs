use std::fs;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use super::super::{load, load_test};
use super::*;

fn idx(extents: &[u32], content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, extents.len() as u8];
    extents
        .iter()
        .for_each(|extent| bytes.extend(extent.to_be_bytes()));
    bytes.extend(content);
    bytes
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

const LABELS: [u8; 12] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1];

fn image_file() -> Vec<u8> {
    idx(&[12, 2, 3], &(0..72).collect::<Vec<u8>>())
}

fn write(dir: &Path, file: &str, bytes: &[u8]) {
    fs::create_dir_all(dir).unwrap();
    fs::write(dir.join(file), bytes).unwrap();
}

fn complete(dir: &Path) {
    write(dir, "train-images-idx3-ubyte", &image_file());
    write(dir, "train-labels-idx1-ubyte", &idx(&[12], &LABELS));
    write(dir, "t10k-images-idx3-ubyte.gz", &gz(&image_file()));
    write(dir, "t10k-labels.idx1-ubyte", &idx(&[12], &LABELS));
}

fn config(name: &str, dir: &Path) -> DataConfig {
    DataConfig {
        name: name.into(),
        dir: Some(dir.into()),
        ..DataConfig::default()
    }
}

fn error(name: &str, dir: &Path) -> String {
    load(&config(name, dir), &mut |_| {})
        .unwrap_err()
        .to_string()
}

#[test]
fn plain_and_gzip_files_are_read_in_every_spelling() {
    let dir = TempDir::new().unwrap();
    complete(&dir.path().join("FashionMNIST/raw"));
    let data = load(&config("fashion_mnist", dir.path()), &mut |_| {}).unwrap();
    let images = &data.train;
    assert_eq!((images.channels, images.height, images.width), (1, 2, 3));
    assert_eq!(images.image(1), [6, 7, 8, 9, 10, 11]);
    assert_eq!(data.train, data.test);
    assert_eq!(
        (&*data.classes[9], data.mean[0], data.std[0]),
        ("Ankle boot", 0.2860, 0.3530)
    );
    complete(dir.path());
    let data = load(&config("mnist", dir.path()), &mut |_| {}).unwrap();
    assert_eq!((&*data.classes[9], data.mean[0]), ("9", 0.1307));
}

#[test]
fn a_test_set_alone_is_enough_where_it_is_asked_for() {
    let dir = TempDir::new().unwrap();
    complete(dir.path());
    fs::remove_file(dir.path().join("train-labels-idx1-ubyte")).unwrap();
    let message = error("mnist", dir.path());
    assert!(
        message.contains("(has no train-labels-idx1-ubyte)"),
        "{message}"
    );
    let data = load_test(&config("mnist", dir.path()), &mut |_| {}).unwrap();
    assert_eq!((data.train.len(), data.test.len()), (0, 12));
}

#[test]
fn damaged_files_are_refused_with_place_and_cure() {
    let labels = |n: u32, content: &[u8]| ("train-labels-idx1-ubyte", idx(&[n], content));
    let images = |bytes: Vec<u8>| ("train-images-idx3-ubyte", bytes);
    let mut wrong = LABELS;
    wrong[4] = 10;
    let whole = gz(&image_file());
    for ((file, bytes), part) in [
        (
            labels(12, &wrong),
            "record 4 (byte 12): label 10; they go from 0 to 9",
        ),
        (
            labels(12, &[1; 12]),
            "wrong class count: no image of class 0",
        ),
        (labels(11, &LABELS[..11]), "11 labels for the 12 images"),
        (
            labels(12, &LABELS[..11]),
            "says [12], and 11 bytes follow where 12",
        ),
        (
            images(image_file()[..50].to_vec()),
            "says [12, 2, 3], and 34 bytes follow where 72",
        ),
        (images(idx(&[0, 2, 3], &[])), "there are no images"),
        (
            images(idx(&[12], &LABELS)),
            "not an IDX file of 3-dimensional bytes",
        ),
        (
            images(whole[..whole.len() - 5].to_vec()),
            "gzip data are truncated or damaged",
        ),
        (
            images(idx(&[u32::MAX; 3], &[])),
            "where impossibly many would be right",
        ),
        (
            images(idx(&[12, 1, 1], &[0; 12])),
            "1x1 and test images 2x3",
        ),
    ] {
        let dir = TempDir::new().unwrap();
        complete(dir.path());
        write(dir.path(), file, &bytes);
        let message = error("fashion_mnist", dir.path());
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn absent_files_are_named_with_their_page() {
    let dir = TempDir::new().unwrap();
    let message = error("fashion_mnist", &dir.path().join("none"));
    for part in [
        "train-images-idx3-ubyte",
        "zalandoresearch",
        "dataset-fashion-mnist",
        "quickstart",
    ] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn the_embedded_sample_is_balanced() {
    let data = load(&DataConfig::default(), &mut |_| {}).unwrap();
    assert_eq!(data.train.counts(10), [1000; 10]);
    assert_eq!(data.test.counts(10), [200; 10]);
    assert_eq!(
        (data.train.height, data.train.width, &*data.source),
        (28, 28, "embedded")
    );
    let alone = load_test(&DataConfig::default(), &mut |_| {}).unwrap();
    assert_eq!((alone.train.len(), &alone.test), (0, &data.test));
    // The sample's own statistics are near those of the whole set.
    let (mean, std) = data.train.statistics().unwrap();
    assert!(
        (mean[0] - 0.2860).abs() < 2e-3 && (std[0] - 0.3530).abs() < 2e-3,
        "{mean:?} {std:?}"
    );
}

#[test]
fn what_lies_in_the_place_of_a_file_is_called_by_its_name() {
    for (content, part) in [
        (b"".as_slice(), "is empty"),
        (b"<html><body>404", "is a web page"),
    ] {
        let dir = TempDir::new().unwrap();
        complete(dir.path());
        write(dir.path(), "train-images-idx3-ubyte", content);
        let message = error("mnist", dir.path());
        assert!(
            message.contains(&format!("train-images-idx3-ubyte: {part}")),
            "{message}"
        );
    }
}
