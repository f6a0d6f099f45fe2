//! Image folders whose images stay in their files, of any size.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::num::NonZeroU64;
use std::path::Path;

use image::{Rgb, RgbImage};
use kd_data::{
    Augment, Bitmap, DataConfig, Dataset, Fit, Interpolation, Loader, LoaderConfig, Normalize,
    RandomResizedCrop, load, split,
};
use tempfile::TempDir;

const SIZES: [(u32, u32); 4] = [(40, 30), (31, 57), (24, 24), (100, 25)];

fn pixel(number: u32, x: u32, y: u32) -> Rgb<u8> {
    let byte = |c: u32| ((x * 7 + y * 5 + number * 11 + c * 85 + x * y) % 256) as u8;
    Rgb([byte(0), byte(1), byte(2)])
}

fn picture(number: u32) -> RgbImage {
    let (width, height) = SIZES[number as usize % SIZES.len()];
    RgbImage::from_fn(width, height, |x, y| pixel(number, x, y))
}

fn bitmap(number: u32) -> Bitmap {
    let image = picture(number);
    Bitmap {
        width: image.width() as usize,
        height: image.height() as usize,
        channels: 3,
        bytes: image.into_raw(),
    }
}

/// Images 0 to 7 to train on, 8 to 11 to test with, of the classes `a` and `b` in turn.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    for number in 0..12 {
        let part = if number < 8 { "train" } else { "test" };
        let class = folder
            .path()
            .join(part)
            .join(["a", "b"][number as usize % 2]);
        std::fs::create_dir_all(&class).unwrap();
        picture(number)
            .save(class.join(format!("{number:02}.png")))
            .unwrap();
    }
    folder
}

fn config(folder: &Path) -> DataConfig {
    DataConfig {
        name: "folder".into(),
        dir: Some(folder.into()),
        size: Some(16),
        resize: Some(20),
        interpolation: Some(Interpolation::Bicubic),
        normalize: Normalize::Imagenet,
        validation: 0.0,
        ..DataConfig::default()
    }
}

fn read(config: &DataConfig) -> Dataset {
    load(config, &mut |_| {}).unwrap()
}

fn loader(data: &Dataset, augment: Augment) -> Loader {
    let config = LoaderConfig {
        batch: 3,
        augment,
        mean: data.mean.clone(),
        std: data.std.clone(),
        seed: 5,
        shuffle: true,
        drop_last: false,
    };
    Loader::new(data.train.clone(), (0..data.train.len()).collect(), config).unwrap()
}

/// The number in the name of the file of a training image.
fn number(data: &Dataset, index: usize) -> u32 {
    let path = &data.train.files.as_ref().unwrap().paths[index];
    path.file_stem().unwrap().to_str().unwrap().parse().unwrap()
}

#[test]
fn evaluation_sees_the_centre_and_nothing_is_kept_in_memory() {
    let folder = folder();
    let data = read(&config(folder.path()));
    assert_eq!((data.train.len(), data.test.len()), (8, 4));
    assert!(data.train.pixels.is_empty() && data.test.pixels.is_empty());
    let fit = Fit {
        resize: 20,
        size: 16,
        interpolation: Interpolation::Bicubic,
    };
    for index in 0..8 {
        let number = number(&data, index);
        assert_eq!(data.train.labels[index], number % 2);
        let want = fit.apply(&bitmap(number)).planes();
        assert_eq!(data.train.planes(index).unwrap(), want);
    }
    for batch in loader(&data, Augment::none()).epoch(1) {
        assert_eq!(batch.shape[1..], [3, 16, 16]);
        for (pixels, &index) in batch.pixels.chunks(768).zip(&batch.indices) {
            let planes = data.train.planes(index).unwrap();
            for (i, (value, &byte)) in pixels.iter().zip(&*planes).enumerate() {
                let c = i / 256;
                let want = (f32::from(byte) / 255.0 - data.mean[c]) / data.std[c];
                assert_eq!(*value, want);
            }
        }
    }
    let splits = split(&data, &config(folder.path())).unwrap();
    assert_eq!((splits.train.len(), splits.test.len()), (8, 4));
}

#[test]
fn their_own_statistics_are_those_of_what_evaluation_sees() {
    let folder = folder();
    let own = DataConfig {
        normalize: Normalize::Dataset,
        ..config(folder.path())
    };
    let data = read(&own);
    let planes = |i| data.train.planes(i).unwrap().into_owned();
    let in_memory = kd_data::Images {
        pixels: (0..8).flat_map(planes).collect(),
        labels: data.train.labels.clone(),
        ..kd_data::Images::empty(3, 16, 16)
    };
    let want = in_memory.statistics().unwrap();
    assert_eq!((data.mean.clone(), data.std.clone()), want);
    // The files are the same, whatever is made of them.
    for interpolation in [None, Some(Interpolation::Nearest)] {
        let stretched = read(&DataConfig {
            resize: None,
            interpolation,
            ..config(folder.path())
        });
        assert_eq!(stretched.sha256, data.sha256);
        let used = interpolation.unwrap_or(Interpolation::Bilinear);
        let each = (0..8).map(|index| bitmap(number(&data, index)).resize((16, 16), used).planes());
        assert_eq!(stretched.train.pixels, each.flatten().collect::<Vec<_>>());
    }
}

#[test]
fn parts_of_the_whole_image_are_shown_and_repeat() {
    let folder = folder();
    let data = read(&config(folder.path()));
    let augment = Augment {
        random_resized_crop: Some(RandomResizedCrop::default()),
        flip: true,
        ..Augment::none()
    };
    let endless = loader(&data, augment);
    let all: Vec<_> = endless.epoch(2).collect();
    assert!(endless.epoch(2).eq(all.iter().cloned()));
    assert!(endless.epoch_from(2, 1).eq(all[1..].iter().cloned()));
    assert!(!endless.epoch(3).eq(all.iter().cloned()));
    // With two views an image, the third epoch shows those of the first, in another order.
    let two = NonZeroU64::new(2).unwrap();
    let bounded = endless.clone().with_views(two, 5);
    let views = |epoch| {
        let mut views: Vec<_> = bounded
            .epoch(epoch)
            .flat_map(|batch| {
                let pixels = batch.pixels.chunks(768).map(<[f32]>::to_vec);
                let pixels: Vec<_> = pixels.collect();
                let numbers = batch.indices.iter().map(|&i| bounded.view_number(epoch, i));
                let numbers: Vec<_> = numbers.collect();
                let images = batch.indices.into_iter().zip(numbers);
                images.zip(pixels).collect::<Vec<_>>()
            })
            .collect();
        views.sort_by_key(|((index, _), _)| *index);
        views
    };
    assert_eq!(views(1), views(3));
    assert_ne!(views(1), views(2));
    assert!(views(1).iter().all(|((_, number), _)| *number == 1));
    assert!(views(2).iter().all(|((_, number), _)| *number == 2));
}

#[test]
fn a_file_that_is_gone_or_damaged_ends_the_epoch_and_is_named() {
    let folder = folder();
    let data = read(&config(folder.path()));
    let loader = loader(&data, Augment::default());
    assert_eq!(loader.epoch(1).map(|batch| batch.len()).sum::<usize>(), 8);
    assert!(loader.problem().is_none());
    let path = folder.path().join("train/b/05.png");
    std::fs::remove_file(&path).unwrap();
    assert!(loader.epoch(1).count() < 3);
    let problem = loader.problem().unwrap().to_string();
    assert!(problem.contains("05.png"), "{problem}");
    assert!(loader.problem().is_none(), "told once");

    // Cut off, it is found before anything is trained.
    let whole = std::fs::read(folder.path().join("train/b/07.png")).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let error = load(&config(folder.path()), &mut |_| {})
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("05.png") && error.contains("is cut off"),
        "{error}"
    );

    // Damaged in the middle, when it is decoded.
    let mut damaged = whole.clone();
    let middle = whole.len() / 2;
    for byte in &mut damaged[middle..middle + 40] {
        *byte ^= 0x5a;
    }
    std::fs::write(&path, &damaged).unwrap();
    let data = read(&config(folder.path()));
    let loader = self::loader(&data, Augment::none());
    assert!(loader.epoch(1).count() < 3);
    let problem = loader.problem().unwrap().to_string();
    assert!(
        problem.contains("05.png") && problem.contains("cannot be read"),
        "{problem}"
    );
}
