use std::io::Read;

use kd_data::Augment;

use super::*;
use crate::cache::layout::Layout;
use crate::cache::{CacheConfig, DataPart, Precision};
use crate::task::images::data_parts;

const MEAN: [f32; 3] = [0.5, 0.4, 0.3];

fn identity() -> Identity {
    Identity {
        model: "resnet20".into(),
        weights: "a1".into(),
        data: data("d1", [3, 32, 32], [0.5, 0.4, 0.3], 0.2, Augment::default()),
        views: 162,
        layout: Layout::new(&CacheConfig::default(), 10, 0).unwrap(),
    }
}

fn data(
    sha256: &str,
    shape: [usize; 3],
    mean: [f32; 3],
    std: f32,
    augment: Augment,
) -> Vec<DataPart> {
    data_parts(sha256, shape, &mean, &[0.2, 0.2, std], augment)
}

fn answer(key: u64) -> Vec<u8> {
    (0..40).map(|i| (key * 7 + i) as u8).collect()
}

struct Scratch {
    folder: tempfile::TempDir,
}

impl Scratch {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("deeper").join("test.kdcache")
    }

    fn open(&self) -> Result<(CacheFile, Vec<u64>), Error> {
        CacheFile::open(&self.path(), &identity())
    }

    /// A file of the answers to `keys`, of which the first `certain` are certain.
    fn written(keys: std::ops::Range<u64>, certain: u64) -> Self {
        let scratch = Self::new();
        let (mut file, _) = scratch.open().unwrap();
        for key in keys {
            file.push(key, &answer(key)).unwrap();
            if key + 1 == certain {
                file.commit().unwrap();
            }
        }
        scratch
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        File::open(self.path())
            .unwrap()
            .read_to_end(&mut bytes)
            .unwrap();
        bytes
    }

    fn change(&self, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = self.bytes();
        change(&mut bytes);
        std::fs::write(self.path(), bytes).unwrap();
    }

    fn refusal(&self) -> String {
        let message = self.open().unwrap_err().to_string();
        assert!(message.contains("test.kdcache"), "{message}");
        message
    }
}

#[test]
fn what_was_written_is_read_now_and_later() {
    let scratch = Scratch::new();
    let (mut file, keys) = scratch.open().unwrap();
    assert!(keys.is_empty());
    for key in 100..160 {
        file.push(key, &answer(key)).unwrap();
        if key == 120 {
            file.commit().unwrap();
        }
        // Mapped and recent answers alike.
        for number in 0..=key - 100 {
            assert_eq!(file.get(number as usize), answer(100 + number));
        }
    }
    assert_eq!(file.bytes(), scratch.bytes().len() as u64);
    let in_use = scratch.refusal();
    assert!(in_use.contains("in use by another run"), "{in_use}");
    drop(file);
    let (file, keys) = scratch.open().unwrap();
    assert_eq!(keys, (100..160).collect::<Vec<_>>());
    assert_eq!(file.get(59), answer(159));
}

#[test]
fn many_answers_are_mapped_while_they_are_written() {
    let scratch = Scratch::new();
    let (mut file, _) = scratch.open().unwrap();
    let count = (RECENT / 40) as u64 + 10;
    for key in 0..count {
        file.push(key, &answer(key)).unwrap();
    }
    assert!(file.mapped > 0 && file.recent.len() < RECENT);
    for number in [0, file.mapped - 1, file.mapped, count as usize - 1] {
        assert_eq!(file.get(number), answer(number as u64));
    }
}

#[test]
fn an_interrupted_write_costs_only_itself() {
    // However far the sixth answer got, certain or not, the five before it are there.
    let whole = Scratch::written(0..6, 0).bytes();
    for certain in [0, 3, 5] {
        for cut in 1..=stride(40) {
            let scratch = Scratch::written(0..6, certain);
            scratch.change(|bytes| bytes.truncate(whole.len() - cut));
            let (mut file, keys) = scratch.open().unwrap();
            assert_eq!(keys, [0, 1, 2, 3, 4]);
            file.push(9, &answer(9)).unwrap();
            drop(file);
            let (file, keys) = scratch.open().unwrap();
            assert_eq!(keys, [0, 1, 2, 3, 4, 9]);
            assert_eq!((file.get(4), file.get(5)), (&*answer(4), &*answer(9)));
        }
    }
    // Pages may reach the disk out of order: what follows a hole is written over.
    let scratch = Scratch::written(0..6, 3);
    let hole = whole.len() - 3 * stride(40);
    scratch.change(|bytes| bytes[hole..hole + 8].fill(0));
    let (mut file, keys) = scratch.open().unwrap();
    assert_eq!(keys, [0, 1, 2]);
    file.push(9, &answer(9)).unwrap();
    file.commit().unwrap();
    drop(file);
    assert_eq!(scratch.open().unwrap().1, [0, 1, 2, 9, 4, 5]);
}

#[test]
fn a_file_that_lost_something_is_refused() {
    let scratch = Scratch::written(0..6, 6);
    scratch.change(|bytes| bytes.truncate(bytes.len() - 1));
    let message = scratch.refusal();
    assert!(
        message.contains("cut off: 5 of 6 answers are left"),
        "{message}"
    );
    assert!(message.contains("delete it"), "{message}");

    let scratch = Scratch::written(0..6, 6);
    let end = scratch.bytes().len();
    scratch.change(|bytes| bytes[end - 3 * stride(40) + 20] ^= 1);
    let message = scratch.refusal();
    assert!(message.contains("checksum of answer 3 of 6"), "{message}");

    for (cut, part) in [
        (5, "not a teacher cache"),
        (30, "cut off"),
        (100, "cut off"),
    ] {
        let scratch = Scratch::written(0..6, 6);
        scratch.change(|bytes| bytes.truncate(cut));
        let message = scratch.refusal();
        assert!(message.contains(part), "{cut}: {message}");
    }
    let scratch = Scratch::written(0..6, 6);
    scratch.change(|bytes| bytes[TEXT + 12] ^= 1);
    assert!(scratch.refusal().contains("damaged in its header"));
    let scratch = Scratch::written(0..6, 6);
    scratch.change(|bytes| bytes[8] = 9);
    assert!(
        scratch
            .refusal()
            .contains("of format 9, and this version writes 1")
    );
    let scratch = Scratch::written(0..6, 6);
    scratch.change(|bytes| *bytes = b"the user's own notes".to_vec());
    assert!(scratch.refusal().contains("not a teacher cache"));
    assert_eq!(scratch.bytes(), b"the user's own notes");
}

#[test]
fn a_cache_of_something_else_is_refused_with_what_differs() {
    type Change = fn(&mut Identity);
    let changes: [(Change, &str); 12] = [
        (
            |i| i.model = "resnet56".into(),
            "teacher is resnet20 there and resnet56 in this run",
        ),
        (
            |i| i.weights = "a2".into(),
            "SHA-256 of the teacher's weights is a1 there and a2",
        ),
        (
            |i| i.data = data("d2", [3, 32, 32], MEAN, 0.2, Augment::default()),
            "SHA-256 of the data is d1 there and d2",
        ),
        (
            |i| i.data = data("d1", [3, 28, 28], MEAN, 0.2, Augment::default()),
            "size of an image is 3x32x32 there and 3x28x28",
        ),
        (
            |i| i.data = data("d1", [3, 32, 32], [0.5, 0.41, 0.3], 0.2, Augment::default()),
            "data.normalize is mean [0.5, 0.4, 0.3]",
        ),
        (
            |i| i.data = data("d1", [3, 32, 32], MEAN, 0.21, Augment::default()),
            "data.normalize is",
        ),
        (
            |i| {
                let crop = Augment {
                    crop: 2,
                    ..Augment::default()
                };
                i.data = data("d1", [3, 32, 32], MEAN, 0.2, crop);
            },
            "data.augment is crop 4, flip true, cutout 0 there and crop 2",
        ),
        (
            |i| i.data = data("d1", [3, 32, 32], MEAN, 0.2, Augment::none()),
            "data.augment is",
        ),
        (|i| i.layout.classes = 100, "classes is 10 there and 100"),
        (
            |i| i.layout.embedding = 64,
            "teacher.cache.embedding is false there and true, of width 64",
        ),
        (
            |i| i.layout.precision = Precision::F16,
            "teacher.cache.precision is f32 there and f16",
        ),
        (
            |i| i.layout.top_k = Some(3),
            "teacher.cache.top_k is all there and 3",
        ),
    ];
    let scratch = Scratch::written(0..6, 6);
    for (change, part) in changes {
        let mut other = identity();
        change(&mut other);
        let message = CacheFile::open(&scratch.path(), &other)
            .unwrap_err()
            .to_string();
        for part in [
            "test.kdcache: is a cache of something else",
            part,
            "delete it",
        ] {
            assert!(message.contains(part), "{message}");
        }
        assert!(!message.contains("; "), "only one thing differs: {message}");
        assert_ne!(other.file_name(), identity().file_name());
    }
    // Refusing changed nothing.
    assert_eq!(scratch.open().unwrap().1.len(), 6);
}
