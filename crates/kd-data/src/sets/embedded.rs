//! The sample that is built in: 10,000 training and 2,000 test images of Fashion-MNIST.

use super::names::FASHION_MNIST;
use super::{Parts, Raw, idx};
use crate::Error;

macro_rules! sample {
    ($($name:literal),*) => {
        [$(($name, include_bytes!(concat!("../../../../datasets/fashion_mnist_small/", $name)) as &[u8])),*]
    };
}

static FILES: [(&str, &[u8]); 4] = sample![
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz"
];

pub(super) fn read(parts: Parts) -> Result<Raw, Error> {
    let files = match parts {
        Parts::All => &FILES[..],
        Parts::Test => &FILES[2..],
    };
    let files = files
        .iter()
        .map(|(name, bytes)| ((*name).into(), bytes.to_vec()));
    idx::decode(files.collect(), &FASHION_MNIST, "embedded".into())
}
