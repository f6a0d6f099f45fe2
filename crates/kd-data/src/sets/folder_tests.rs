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

/// Each channel has two values in the set, so that none has a deviation of 0.
const RED: [u8; 3] = [255, 0, 0];
const BLUE: [u8; 3] = [0, 102, 255];

/// Two classes, two training images and one test image each.
fn animals() -> TempDir {
    let dir = TempDir::new().unwrap();
    for (class, colour) in [("cat", RED), ("dog", BLUE)] {
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
        assert_eq!(data.train.image(i), planes(RED));
        assert_eq!(data.train.image(i + 2), planes(BLUE));
    }
    assert_eq!(
        (data.mean, data.std),
        (vec![0.5, 0.2, 0.5], vec![0.5, 0.2, 0.5])
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
            "test/cat/d.png",
            &|p| fs::write(p, b"RIFF\x10\0\0\0WEBPVP8 ").unwrap(),
            "d.png: an image of the format WebP, and only PNG and JPEG",
        ),
        (
            "test/cow",
            &|p| fs::create_dir(p).unwrap(),
            "cow: no such class",
        ),
        (
            "train/cat",
            &|p| {
                fs::remove_file(p.join("a.png")).unwrap();
                fs::remove_file(p.join("b.PNG")).unwrap();
            },
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

/// A picture with a bright corner at the top left, as a JPEG.
fn corner(width: u32, height: u32) -> Vec<u8> {
    let image = RgbImage::from_fn(width, height, |x, y| {
        let bright = x < width / 2 && y < height / 2;
        Rgb(if bright { [250, 250, 250] } else { [5, 5, 5] })
    });
    let mut bytes = std::io::Cursor::new(Vec::new());
    image
        .write_to(&mut bytes, image::ImageFormat::Jpeg)
        .unwrap();
    bytes.into_inner()
}

/// The same JPEG with EXIF data that say how it is to be turned.
fn turned(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let mut exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    let length = (exif.len() as u16 + 2).to_be_bytes();
    let mut bytes = vec![0xff, 0xd8, 0xff, 0xe1, length[0], length[1]];
    bytes.extend(exif);
    bytes.extend(&jpeg[2..]);
    bytes
}

#[test]
fn the_exif_orientation_is_applied() {
    let dir = animals();
    let path = dir.path().join("test/cat/c.png");
    // Where the bright quarter comes to lie: EXIF 2.32, tag 0x0112.
    for (orientation, [x, y]) in [
        (1, [0, 0]),
        (2, [1, 0]),
        (3, [1, 1]),
        (4, [0, 1]),
        (5, [0, 0]),
        (6, [1, 0]),
        (7, [1, 1]),
        (8, [0, 1]),
    ] {
        fs::write(&path, turned(&corner(32, 32), orientation)).unwrap();
        let config = DataConfig {
            size: Some(2),
            ..config(dir.path())
        };
        let data = load(&config, &mut |_| {}).unwrap();
        let red = &data.test.image(0)[..4];
        for (place, &value) in red.iter().enumerate() {
            let bright = [place % 2, place / 2] == [x, y];
            assert!((value > 125) == bright, "{orientation}: {red:?}");
        }
    }
}

#[test]
fn a_file_that_is_cut_off_is_refused() {
    let dir = animals();
    let jpeg = corner(64, 48);
    let mut png = std::io::Cursor::new(Vec::new());
    RgbImage::from_pixel(64, 48, Rgb([9, 8, 7]))
        .write_to(&mut png, image::ImageFormat::Png)
        .unwrap();
    for (name, bytes) in [("JPEG", jpeg), ("PNG", png.into_inner())] {
        for percent in [10, 60, 99] {
            let cut = &bytes[..bytes.len() * percent / 100];
            fs::write(dir.path().join("test/cat/c.png"), cut).unwrap();
            let message = error(&config(dir.path()));
            assert!(
                message.contains(&format!("test/cat/c.png: this {name} is cut off")),
                "{percent} %: {message}"
            );
        }
        fs::write(dir.path().join("test/cat/c.png"), &bytes).unwrap();
        load(&config(dir.path()), &mut |_| {}).unwrap();
    }
}

#[test]
fn every_image_is_read_whatever_its_name_and_depth() {
    let dir = animals();
    let test = dir.path().join("test/cat");
    fs::create_dir_all(test.join("more/and more")).unwrap();
    let image = fs::read(test.join("c.png")).unwrap();
    for name in [
        "d.jfif",
        "e.JPE",
        "f",
        "g.txt",
        "more/h.png",
        "more/and more/i.png",
    ] {
        fs::write(test.join(name), &image).unwrap();
    }
    #[cfg(unix)]
    std::os::unix::fs::symlink(test.join("c.png"), test.join("j.png")).unwrap();
    let links = usize::from(cfg!(unix));
    let mut notes = Vec::new();
    let data = load(&config(dir.path()), &mut |p| {
        if let Progress::Note(text) = p {
            notes.push(text);
        }
    });
    assert_eq!(
        data.unwrap().test.labels,
        [vec![0; 7 + links], vec![1]].concat()
    );
    // What is no image, and what is hidden, is named.
    assert_eq!(notes.len(), 1, "{notes:?}");
    for name in ["train/cat/notes.txt", "train/cat/.hidden.png"] {
        assert!(notes[0].contains(name), "{notes:?}");
    }
}

#[test]
fn what_would_be_left_out_by_mistake_is_an_error() {
    type Break<'a> = &'a dyn Fn(&Path);
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n";
    let copy = |to: &Path| {
        RgbImage::from_pixel(4, 4, Rgb([1, 2, 3]))
            .save_with_format(to, image::ImageFormat::Png)
            .unwrap();
    };
    let broken: &[(&str, Break, &str)] = &[
        ("train/x.png", &copy, "outside the class folders"),
        ("x.png", &copy, "outside the class folders"),
        (
            "train/cat/x.png",
            &|p| fs::write(p, "").unwrap(),
            "x.png: is empty",
        ),
        (
            "train/cat/x",
            &|p| fs::write(p, pointer).unwrap(),
            "x: is a Git LFS pointer to 9 bytes",
        ),
        (
            "train/cat/x.jpg",
            &|p| fs::write(p, "<!DOCTYPE html>").unwrap(),
            "x.jpg: is a web page",
        ),
        (
            "train/cat/x",
            &|p| fs::write(p, "GIF89a").unwrap(),
            "the format GIF",
        ),
        (
            "train/cat/x.heic",
            &|p| fs::write(p, "?").unwrap(),
            "x.heic: not a PNG",
        ),
        #[cfg(unix)]
        (
            "train/cat/x.png",
            &|p| std::os::unix::fs::symlink("/nowhere/at/all", p).unwrap(),
            "x.png: a link that leads to nothing",
        ),
    ];
    for (name, damage, part) in broken.iter().copied() {
        let dir = animals();
        damage(&dir.path().join(name));
        let message = error(&config(dir.path()));
        assert!(message.contains(part), "{message}, without {part}");
    }
}

#[cfg(unix)]
#[test]
fn a_link_to_its_own_folder_ends() {
    let dir = animals();
    let class = dir.path().join("train/cat");
    std::os::unix::fs::symlink(&class, class.join("again")).unwrap();
    let message = error(&config(dir.path()));
    assert!(message.contains("lie in each other"), "{message}");
}

#[test]
fn a_class_without_test_images_is_scored_by_the_others() {
    let dir = animals();
    save(dir.path(), "train/ant/a.png", [9, 9, 9], 4);
    let data = load(&config(dir.path()), &mut |_| {}).unwrap();
    assert_eq!(data.classes, ["ant", "cat", "dog"]);
    assert_eq!(data.test.labels, [1, 2]);
    // An empty folder is no image either; no test image at all is an error.
    fs::remove_file(dir.path().join("test/cat/c.png")).unwrap();
    let data = load(&config(dir.path()), &mut |_| {}).unwrap();
    assert_eq!(data.test.labels, [2]);
    fs::remove_file(dir.path().join("test/dog/c.png")).unwrap();
    let message = error(&config(dir.path()));
    assert!(message.contains("test: there are no images"), "{message}");
}

#[test]
fn names_that_look_the_same_are_one_class_or_named() {
    let dir = animals();
    save(dir.path(), "train/caf\u{e9}/a.png", [9, 9, 9], 4);
    save(dir.path(), "test/cafe\u{301}/a.png", [9, 9, 9], 4);
    save(dir.path(), "test/dog /z.png", BLUE, 4);
    fs::remove_dir_all(dir.path().join("test/dog")).unwrap();
    let data = load(&config(dir.path()), &mut |_| {}).unwrap();
    assert_eq!(data.classes, ["caf\u{e9}", "cat", "dog"]);
    assert_eq!(data.test.labels, [0, 1, 2]);

    save(dir.path(), "train/cafe\u{301}/b.png", [9, 9, 9], 4);
    let message = error(&config(dir.path()));
    assert!(message.contains("names that look the same"), "{message}");

    let dir = animals();
    save(dir.path(), "test/Dog/a.png", BLUE, 4);
    let message = error(&config(dir.path()));
    assert!(message.contains("is it `dog`?"), "{message}");
}

#[test]
fn a_channel_of_one_value_is_an_error_that_says_what_to_give() {
    let dir = TempDir::new().unwrap();
    for name in ["train/a/1.png", "train/b/1.png", "test/a/1.png"] {
        let red = if name.contains("/a/") { 10 } else { 20 };
        save(dir.path(), name, [red, 77, red], 4);
    }
    let message = error(&config(dir.path()));
    for part in ["data.normalize", "channel 1", "0.3019", "imagenet"] {
        assert!(message.contains(part), "{message}, without {part}");
    }
    let given = DataConfig {
        normalize: Normalize::Imagenet,
        ..config(dir.path())
    };
    load(&given, &mut |_| {}).unwrap();
}

#[test]
fn a_survey_counts_without_reading() {
    let dir = animals();
    fs::write(dir.path().join("train/cat/a.png"), "no image").unwrap();
    let set = crate::survey(&config(dir.path())).unwrap();
    assert_eq!((set.classes, set.channels, set.size), (2, 3, 4));
    // The text beside the images is not read either.
    assert_eq!(set.train, 5);
}
