use std::fs;

use image::{GrayImage, Luma, Rgb, RgbImage};
use tempfile::TempDir;

use super::super::{load, load_test};
use super::*;

fn save(root: &Path, name: &str, colour: [u8; 3], side: u32) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    RgbImage::from_pixel(side, side, Rgb(colour))
        .save(path)
        .unwrap();
}

/// Two classes, two training images and one test image each.
fn animals() -> TempDir {
    let dir = TempDir::new().unwrap();
    for (class, colour) in [("cat", [255, 0, 0]), ("dog", [0, 0, 255])] {
        save(dir.path(), &format!("train/{class}/a.png"), colour, 8);
        save(dir.path(), &format!("train/{class}/b.PNG"), colour, 5);
        save(dir.path(), &format!("test/{class}/c.png"), colour, 16);
    }
    fs::write(dir.path().join("train/cat/notes.txt"), "ignored").unwrap();
    fs::write(dir.path().join("train/cat/.hidden.png"), "ignored").unwrap();
    dir
}

fn config(dir: &Path) -> DataConfig {
    DataConfig {
        name: "folder".into(),
        dir: Some(dir.into()),
        size: Some(4),
        ..DataConfig::default()
    }
}

fn error(config: &DataConfig) -> String {
    load(config, &mut |_| {}).unwrap_err().to_string()
}

#[test]
fn classes_are_subfolders_and_images_are_resized() {
    let dir = animals();
    let data = load(&config(dir.path()), &mut |_| {}).unwrap();
    assert_eq!(data.classes, ["cat", "dog"]);
    assert_eq!(data.train.labels, [0, 0, 1, 1]);
    assert_eq!(data.test.labels, [0, 1]);
    let planes = |colour: [u8; 3]| colour.map(|value| [value; 16]).concat();
    for i in [0, 1] {
        assert_eq!(data.train.image(i), planes([255, 0, 0]));
        assert_eq!(data.train.image(i + 2), planes([0, 0, 255]));
    }
    assert_eq!(
        (data.mean, data.std),
        (vec![0.5, 0.0, 0.5], vec![0.5, 0.0, 0.5])
    );
}

#[test]
fn grey_and_jpeg_become_rgb_and_the_hash_follows_the_bytes() {
    let dir = animals();
    let imagenet = DataConfig {
        normalize: Normalize::Imagenet,
        ..config(dir.path())
    };
    let before = load(&imagenet, &mut |_| {}).unwrap().sha256;
    assert_eq!(load(&imagenet, &mut |_| {}).unwrap().sha256, before);
    GrayImage::from_pixel(9, 3, Luma([77]))
        .save(dir.path().join("test/cat/c.png"))
        .unwrap();
    save(dir.path(), "test/dog/c.jpg", [200, 100, 50], 6);
    let data = load(&imagenet, &mut |_| {}).unwrap();
    assert_ne!(data.sha256, before);
    assert_eq!(data.test.image(0), [77; 48]);
    assert_eq!(data.test.len(), 3);
    let jpeg = data.test.image(1);
    assert!(jpeg[0].abs_diff(200) < 6 && jpeg[16].abs_diff(100) < 6 && jpeg[32].abs_diff(50) < 6);
}

#[test]
fn a_test_folder_alone_needs_given_statistics() {
    let dir = animals();
    fs::remove_dir_all(dir.path().join("train")).unwrap();
    fs::rename(dir.path().join("test"), dir.path().join("val")).unwrap();
    let error = load_test(&config(dir.path()), &mut |_| {})
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("data.normalize") && error.contains("imagenet"),
        "{error}"
    );
    let imagenet = DataConfig {
        normalize: Normalize::Imagenet,
        ..config(dir.path())
    };
    let data = load_test(&imagenet, &mut |_| {}).unwrap();
    assert_eq!(
        (data.train.len(), data.test.len(), data.mean[0]),
        (0, 2, 0.485)
    );
}

#[test]
fn mistakes_name_the_file_and_the_cure() {
    let grey = DataConfig {
        normalize: Normalize::Given {
            mean: vec![0.5],
            std: vec![0.5],
        },
        ..config(animals().path())
    };
    let none = TempDir::new().unwrap();
    assert!(error(&config(none.path())).contains("train/CLASS/*.png"));
    let dir = animals();
    let wrong = DataConfig {
        dir: Some(dir.path().into()),
        ..grey
    };
    assert!(error(&wrong).contains("for 1 channels and these images have 3"));

    type Break<'a> = &'a dyn Fn(&Path);
    let broken: [(&str, Break, &str); 5] = [
        (
            "test/cat/c.png",
            &|p| fs::write(p, "text").unwrap(),
            "test/cat/c.png: not a PNG or JPEG",
        ),
        (
            "test/cat/d.webp",
            &|p| fs::write(p, "x").unwrap(),
            "d.webp: only PNG and JPEG",
        ),
        (
            "test/cow",
            &|p| fs::create_dir(p).unwrap(),
            "cow: no such class",
        ),
        (
            "test/cat/c.png",
            &|p| fs::remove_file(p).unwrap(),
            "cat: there are no images",
        ),
        ("train", &|p| fs::remove_dir_all(p).unwrap(), "looked for"),
    ];
    for (name, damage, part) in broken {
        let dir = animals();
        damage(&dir.path().join(name));
        let message = error(&config(dir.path()));
        assert!(message.contains(part), "{message}");
    }
}
