use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use super::super::cifar_decode::PIXELS;
use super::super::cifar_layout::{CIFAR10, CIFAR100};
use super::super::{load, load_test};
use super::*;
use crate::Dataset;

/// One image of each of so many classes: every byte of image `i` is `i + salt`.
fn records(classes: usize, coarse: bool, salt: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    for class in 0..classes as u8 {
        if coarse {
            bytes.push(class / 5);
        }
        bytes.push(class);
        bytes.extend([class.wrapping_add(salt); PIXELS]);
    }
    bytes
}

fn config(name: &str, dir: &Path) -> DataConfig {
    DataConfig {
        name: name.into(),
        dir: Some(dir.into()),
        download: false,
        ..DataConfig::default()
    }
}

fn error(name: &str, dir: &Path) -> String {
    load(&config(name, dir), &mut |_| {})
        .unwrap_err()
        .to_string()
}

fn read_all(name: &str, dir: &Path) -> Dataset {
    load(&config(name, dir), &mut |_| {}).unwrap()
}

fn cifar100_folder() -> TempDir {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("train.bin"), records(100, true, 0)).unwrap();
    fs::write(dir.path().join("test.bin"), records(100, true, 50)).unwrap();
    dir
}

fn cifar10_folder(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for batch in 1..=5 {
        fs::write(
            folder.join(format!("data_batch_{batch}.bin")),
            records(10, false, batch),
        )
        .unwrap();
    }
    fs::write(folder.join("test_batch.bin"), records(10, false, 99)).unwrap();
}

fn archive(path: &Path, files: &[(&str, &[u8])]) {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append_data(&mut header, name, *bytes).unwrap();
    }
    fs::write(path, tar.into_inner().unwrap().finish().unwrap()).unwrap();
}

#[test]
fn bare_files_folder_and_archive_hold_the_same() {
    let bare = cifar100_folder();
    let from_bare = read_all("cifar100", bare.path());
    assert_eq!((from_bare.train.len(), from_bare.test.len()), (100, 100));
    assert_eq!(from_bare.train.image(7), [7; PIXELS]);
    assert_eq!(from_bare.test.image(7), [57; PIXELS]);
    assert_eq!(from_bare.train.labels[99], 99);
    assert_eq!(from_bare.train.coarse.as_ref().unwrap()[99], 19);
    assert_eq!(
        (&*from_bare.classes[0], &*from_bare.coarse_classes[19]),
        ("apple", "vehicles_2")
    );
    assert_eq!(from_bare.mean, [0.5071, 0.4867, 0.4408]);

    let dir = TempDir::new().unwrap();
    let (train, test) = (records(100, true, 0), records(100, true, 50));
    let path = dir.path().join("cifar-100-binary.tar.gz");
    archive(
        &path,
        &[
            ("cifar-100-binary/train.bin", &train),
            ("cifar-100-binary/test.bin", &test),
        ],
    );
    for place in [dir.path(), &path] {
        let packed = read_all("cifar100", place);
        assert_eq!(
            (&packed.train, &packed.test),
            (&from_bare.train, &from_bare.test)
        );
        use sha2::{Digest, Sha256};
        let whole = Sha256::digest(fs::read(&path).unwrap());
        assert_eq!(packed.sha256, super::super::hex(&whole));
    }

    let folder = dir.path().join("cifar-100-binary");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("train.bin"), train).unwrap();
    fs::write(folder.join("test.bin"), test).unwrap();
    let unpacked = read_all("cifar100", dir.path());
    assert_eq!(
        unpacked.sha256, from_bare.sha256,
        "the folder comes before the archive"
    );
    assert!(unpacked.source.ends_with("cifar-100-binary"));
}

#[test]
fn cifar10_reads_five_batches_in_order_and_its_own_names() {
    let dir = TempDir::new().unwrap();
    let folder = dir.path().join("cifar-10-batches-bin");
    cifar10_folder(&folder);
    let data = read_all("cifar10", dir.path());
    assert_eq!((data.train.len(), data.test.len()), (50, 10));
    assert_eq!(data.train.image(13), [3 + 2; PIXELS]);
    assert!(data.train.coarse.is_none() && data.coarse_classes.is_empty());
    assert_eq!(data.classes[9], "truck");
    let names: Vec<String> = (0..10).map(|i| format!("n{i}")).collect();
    fs::write(folder.join("batches.meta.txt"), names.join("\n") + "\n\n").unwrap();
    let named = read_all("cifar10", dir.path());
    assert_eq!(named.classes, names);
    assert_ne!(named.sha256, data.sha256);
}

#[test]
fn a_test_set_alone_is_enough_where_it_is_asked_for() {
    let dir = TempDir::new().unwrap();
    let folder = dir.path().join("cifar-10-batches-bin");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("test_batch.bin"), records(10, false, 0)).unwrap();
    let data = load_test(&config("cifar10", dir.path()), &mut |_| {}).unwrap();
    assert_eq!((data.train.len(), data.test.len()), (0, 10));
    let message = error("cifar10", dir.path());
    assert!(
        message.contains("cifar-10-batches-bin (has no data_batch_1.bin"),
        "{message}"
    );
}

#[test]
fn damaged_files_are_refused_with_place_and_cure() {
    let good = records(100, true, 0);
    let mut high = good.clone();
    high[3 * (2 + PIXELS) + 1] = 100;
    let mut coarse = good.clone();
    coarse[5 * (2 + PIXELS)] = 20;
    let mut uneven = good.clone();
    uneven[1] = 1;
    for (bytes, parts) in [
        (
            &good[..good.len() - 1],
            vec!["train.bin: 307399 bytes are 99 records", "truncated"],
        ),
        (
            &good[..99 * (2 + PIXELS)],
            vec!["wrong class counts", "0 of class 99 (`worm`)"],
        ),
        (
            &high,
            vec!["record 3 (byte 9223): fine label 100; they go from 0 to 99"],
        ),
        (
            &coarse,
            vec!["record 5 (byte 15370): coarse label 20; they go from 0 to 19"],
        ),
        (
            &uneven,
            vec![
                "0 of class 0 (`apple`) and 2 of class 1",
                "500 in the official",
            ],
        ),
        (&[], vec!["train.bin: is empty"]),
    ] {
        let dir = cifar100_folder();
        fs::write(dir.path().join("train.bin"), bytes).unwrap();
        let message = error("cifar100", dir.path());
        for part in parts {
            assert!(message.contains(part), "{message}");
        }
    }
    let dir = cifar100_folder();
    fs::write(dir.path().join("fine_label_names.txt"), "apple\npear\n").unwrap();
    let message = error("cifar100", dir.path());
    assert!(
        message.contains("names 2 classes; cifar100 has 100"),
        "{message}"
    );
}

#[test]
fn a_truncated_or_foreign_archive_is_refused() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("cifar-100-binary.tar.gz");
    // Noise, so that compression leaves something to cut.
    let noise: Vec<u8> = (0..200_000u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    archive(&path, &[("train.bin", &noise), ("test.bin", &noise)]);
    let whole = fs::read(&path).unwrap();
    for cut in [whole.len() / 2, whole.len() - 4, 10] {
        fs::write(&path, &whole[..cut]).unwrap();
        let message = error("cifar100", dir.path());
        assert!(
            message.contains("truncated or damaged") && message.contains(".tar.gz"),
            "{message}"
        );
    }
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    *flipped.iter_mut().rev().nth(5).unwrap() ^= 1;
    fs::write(&path, &flipped).unwrap();
    assert!(error("cifar100", dir.path()).contains("truncated or damaged"));
    archive(&path, &[("readme.txt", b"hello")]);
    assert!(error("cifar100", dir.path()).contains("holds no `train.bin`"));
    assert!(error("cifar100", &path).contains("it should hold train.bin, test.bin or train, test"));
}

/// A pickle as Python 2 wrote the official ones, in protocol 2.
fn python2(data: &[u8], rows: u16, lists: &[(&str, &[u8])]) -> Vec<u8> {
    let string = |text: &str| [&[b'U', text.len() as u8], text.as_bytes()].concat();
    let mut p = b"\x80\x02}q\x01(".to_vec();
    p.extend(string("batch_label"));
    p.extend(string("testing batch 1 of 1"));
    p.extend(string("data"));
    p.extend(b"cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85U\x01b\x87Rq\x04");
    p.extend(b"(K\x01M");
    p.extend(rows.to_le_bytes());
    p.extend(b"M\x00\x0c\x86cnumpy\ndtype\nq\x05U\x02u1K\x00K\x01\x87Rq\x06");
    p.extend(b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T");
    p.extend((data.len() as u32).to_le_bytes());
    p.extend(data);
    p.extend(b"tb");
    for (key, values) in lists {
        p.extend(string(key));
        p.extend(b"]q\x07(");
        values.iter().for_each(|&value| p.extend([b'K', value]));
        p.push(b'e');
    }
    p.extend(b"u.");
    p
}

fn rows(count: u8, salt: u8) -> Vec<u8> {
    (0..count)
        .flat_map(|i| [i.wrapping_add(salt); PIXELS])
        .collect()
}

#[test]
fn python_archives_hold_the_same_as_binary_ones() {
    let dir = TempDir::new().unwrap();
    let fine: Vec<u8> = (0..100).collect();
    let coarse: Vec<u8> = fine.iter().map(|label| label / 5).collect();
    let lists: [(&str, &[u8]); 2] = [("fine_labels", &fine), ("coarse_labels", &coarse)];
    let train = python2(&rows(100, 0), 100, &lists);
    let test = python2(&rows(100, 50), 100, &lists);
    let path = dir.path().join("cifar-100-python.tar.gz");
    archive(
        &path,
        &[
            ("cifar-100-python/train", &train),
            ("cifar-100-python/test", &test),
        ],
    );
    let pickled = read_all("cifar100", dir.path());
    let binary = read_all("cifar100", cifar100_folder().path());
    assert_eq!(
        (&pickled.train, &pickled.test),
        (&binary.train, &binary.test)
    );

    let folder = dir.path().join("cifar-10-batches-py");
    fs::create_dir(&folder).unwrap();
    let labels: Vec<u8> = (0..10).collect();
    for batch in 1..=5 {
        let bytes = python2(&rows(10, batch), 10, &[("labels", &labels)]);
        fs::write(folder.join(format!("data_batch_{batch}")), bytes).unwrap();
    }
    fs::write(
        folder.join("test_batch"),
        python2(&rows(10, 99), 10, &[("labels", &labels)]),
    )
    .unwrap();
    let other = TempDir::new().unwrap();
    cifar10_folder(other.path());
    let (pickled, binary) = (
        read_all("cifar10", dir.path()),
        read_all("cifar10", other.path()),
    );
    assert_eq!(
        (&pickled.train, &pickled.test),
        (&binary.train, &binary.test)
    );

    let meta = |count: u8| {
        let names = (0..count).flat_map(|i| [b'U', 2, b'n', b'0' + i]);
        let head = b"\x80\x02}U\x0blabel_names](".iter().copied();
        head.chain(names).chain(*b"es.").collect::<Vec<u8>>()
    };
    fs::write(folder.join("batches.meta"), meta(10)).unwrap();
    assert_eq!(read_all("cifar10", dir.path()).classes[9], "n9");
    fs::write(folder.join("batches.meta"), meta(9)).unwrap();
    let message = error("cifar10", dir.path());
    assert!(
        message.contains("names 9 classes; cifar10 has 10"),
        "{message}"
    );
    fs::remove_file(folder.join("batches.meta")).unwrap();

    for (bytes, part) in [
        (
            python2(&rows(10, 0), 10, &[("labels", &[11; 10])]),
            "`labels`, record 0: label 11",
        ),
        (
            python2(&rows(10, 0), 10, &[("labels", &labels[..9])]),
            "9 `labels` for 10 images",
        ),
        (
            python2(&rows(10, 0), 11, &[("labels", &labels)]),
            "shape [11, 3072] and 30720 bytes",
        ),
        (python2(&rows(10, 0), 10, &[]), "has no `labels`"),
    ] {
        fs::write(folder.join("test_batch"), bytes).unwrap();
        let message = error("cifar10", dir.path());
        assert!(
            message.contains(part) && message.contains("test_batch"),
            "{message}"
        );
    }
}

#[test]
fn without_data_one_error_says_everything() {
    let dir = TempDir::new().unwrap();
    // A port that was free a moment ago refuses connections.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let fetch = Fetch {
        attempts: 2,
        pause: Duration::from_millis(1),
        ..Fetch::new(
            format!("http://127.0.0.1:{port}/"),
            Checksum::Md5(CIFAR100.md5.into()),
        )
    };
    let config = DataConfig {
        download: true,
        ..config("cifar100", dir.path())
    };
    let message = match read_from(&CIFAR100, &config, Parts::All, &fetch, &mut |_| {}) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("there is no data"),
    };
    for part in [
        "no data for `cifar100`",
        "cifar-100-binary/test.bin",
        "cifar-100-python/test",
        "cifar-100-python.tar.gz",
        &format!("http://127.0.0.1:{port}/cifar-100-binary.tar.gz: "),
        "tried 2 times",
        &format!("into {}", dir.path().display()),
        "`cargo xtask quickstart` needs no data set",
    ] {
        assert!(message.contains(part), "no {part}: {message}");
    }
    let off = error("cifar10", dir.path());
    assert!(
        off.contains("data.download = false") && off.contains("kriz/cifar-10-binary.tar.gz"),
        "{off}"
    );
    assert_eq!(CIFAR10.binary.needed(Parts::All).len(), 6);
}

/// The real sets, where `KD_DATA` has them.
#[test]
fn real_cifar_is_read() {
    let Some(dir) = std::env::var_os("KD_DATA").map(PathBuf::from) else {
        println!("skipped: KD_DATA is not set");
        return;
    };
    let data = load_test(&config("cifar10", &dir), &mut |_| {}).unwrap();
    assert_eq!(data.test.counts(10), [1000; 10]);
    let data = read_all("cifar100", &dir);
    assert_eq!(data.train.counts(100), [500; 100]);
    assert_eq!(data.test.counts(100), [100; 100]);
    let (mean, std) = data.train.statistics().unwrap();
    for (measured, published) in mean.iter().zip(&data.mean).chain(std.iter().zip(&data.std)) {
        // Published to four digits, the last of which is up to 2 off.
        let off = (measured - published).abs();
        assert!(off < 2.5e-4, "{measured} {published}");
    }
}

#[test]
fn what_lies_in_the_place_of_a_file_is_called_by_its_name() {
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n";
    for (content, part) in [
        (b"".as_slice(), "is empty"),
        (b"<html><body>404", "is a web page"),
        (pointer, "is a Git LFS pointer to 9 bytes"),
    ] {
        let dir = cifar100_folder();
        fs::write(dir.path().join("test.bin"), content).unwrap();
        let message = error("cifar100", dir.path());
        assert!(message.contains(&format!("test.bin: {part}")), "{message}");

        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join("cifar-100-binary.tar.gz"), content).unwrap();
        let message = error("cifar100", dir.path());
        assert!(message.contains(&format!("tar.gz: {part}")), "{message}");
    }
}
