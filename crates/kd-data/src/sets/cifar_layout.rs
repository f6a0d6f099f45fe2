//! How CIFAR-10 and CIFAR-100 lie in archives and folders.

use super::Parts;
use super::names::{CIFAR10_CLASSES, CIFAR100_CLASSES, CIFAR100_COARSE};

/// One of the two sets.
pub(super) struct Cifar {
    pub name: &'static str,
    pub classes: &'static [&'static str],
    pub coarse: &'static [&'static str],
    /// Of the binary archive, at the official page.
    pub md5: &'static str,
    /// Images a class in the official training and test set.
    pub official: [usize; 2],
    pub binary: Layout,
    pub python: Layout,
}

/// The files of one format.
pub(super) struct Layout {
    pub format: Format,
    pub archive: &'static str,
    pub folder: &'static str,
    pub train: &'static [&'static str],
    pub test: &'static str,
    /// Class names; optional.
    pub meta: &'static [&'static str],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Records of label bytes and 3,072 pixel bytes.
    Binary,
    /// Pickled dictionaries.
    Python,
}

impl Layout {
    /// The files that must be there.
    pub(super) fn needed(&self, parts: Parts) -> Vec<&'static str> {
        let train = match parts {
            Parts::All => self.train,
            Parts::Test => &[],
        };
        train.iter().copied().chain([self.test]).collect()
    }

    /// The files that are read where they are there.
    pub(super) fn wanted(&self, parts: Parts) -> Vec<&'static str> {
        let mut names = self.needed(parts);
        names.extend(self.meta);
        names
    }
}

pub(super) static CIFAR10: Cifar = Cifar {
    name: "cifar10",
    classes: &CIFAR10_CLASSES,
    coarse: &[],
    md5: "c32a1d4ab5d03f1284b67883e8d87530",
    official: [5000, 1000],
    binary: Layout {
        format: Format::Binary,
        archive: "cifar-10-binary.tar.gz",
        folder: "cifar-10-batches-bin",
        train: &[
            "data_batch_1.bin",
            "data_batch_2.bin",
            "data_batch_3.bin",
            "data_batch_4.bin",
            "data_batch_5.bin",
        ],
        test: "test_batch.bin",
        meta: &["batches.meta.txt"],
    },
    python: Layout {
        format: Format::Python,
        archive: "cifar-10-python.tar.gz",
        folder: "cifar-10-batches-py",
        train: &[
            "data_batch_1",
            "data_batch_2",
            "data_batch_3",
            "data_batch_4",
            "data_batch_5",
        ],
        test: "test_batch",
        meta: &["batches.meta"],
    },
};

pub(super) static CIFAR100: Cifar = Cifar {
    name: "cifar100",
    classes: &CIFAR100_CLASSES,
    coarse: &CIFAR100_COARSE,
    md5: "03b5dce01913d631647c71ecec9e9cb8",
    official: [500, 100],
    binary: Layout {
        format: Format::Binary,
        archive: "cifar-100-binary.tar.gz",
        folder: "cifar-100-binary",
        train: &["train.bin"],
        test: "test.bin",
        meta: &["fine_label_names.txt", "coarse_label_names.txt"],
    },
    python: Layout {
        format: Format::Python,
        archive: "cifar-100-python.tar.gz",
        folder: "cifar-100-python",
        train: &["train"],
        test: "test",
        meta: &["meta"],
    },
};
