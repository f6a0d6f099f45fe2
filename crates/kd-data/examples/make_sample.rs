//! Makes the embedded sample out of the whole Fashion-MNIST:
//! `cargo run -p kd-data --example make_sample -- SOURCE_FOLDER datasets/fashion_mnist_small`.
//!
//! The rule: the first 10,000 training and 2,000 test images of the stratified order of seed 0,
//! so 1,000 and 200 a class, in the order in which the whole set has them.

use std::error::Error;
use std::io::Write;
use std::path::Path;

use flate2::{Compression, GzBuilder};
use kd_data::{DataConfig, Images, load, stratified_order};
use sha2::{Digest, Sha256};

const SEED: u64 = 0;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [source, target] = arguments.as_slice() else {
        return Err("usage: make_sample SOURCE_FOLDER TARGET_FOLDER".into());
    };
    let config = DataConfig {
        name: "fashion_mnist".into(),
        dir: Some(source.into()),
        ..DataConfig::default()
    };
    let whole = load(&config, &mut |_| {})?;
    std::fs::create_dir_all(target)?;
    for (part, images, count) in [
        ("train", &whole.train, 10_000),
        ("t10k", &whole.test, 2_000),
    ] {
        let mut chosen = stratified_order(&images.labels, SEED);
        chosen.truncate(count);
        chosen.sort_unstable();
        write(Path::new(target), part, images, &chosen)?;
    }
    Ok(())
}

fn write(folder: &Path, part: &str, images: &Images, chosen: &[usize]) -> std::io::Result<()> {
    let extents = [chosen.len(), images.height, images.width];
    let mut image_bytes = header(&extents);
    let mut labels = header(&extents[..1]);
    for &index in chosen {
        image_bytes.extend_from_slice(images.image(index));
        labels.push(images.labels[index] as u8);
    }
    save(
        &folder.join(format!("{part}-images-idx3-ubyte.gz")),
        &image_bytes,
    )?;
    save(
        &folder.join(format!("{part}-labels-idx1-ubyte.gz")),
        &labels,
    )
}

/// Unsigned bytes (8), the number of dimensions, then each extent in big-endian.
fn header(extents: &[usize]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, extents.len() as u8];
    for &extent in extents {
        bytes.extend_from_slice(&(extent as u32).to_be_bytes());
    }
    bytes
}

fn save(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    // No name and no time in the header, so that the same input gives the same file.
    let mut encoder = GzBuilder::new().write(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    let compressed = encoder.finish()?;
    let partial = path.with_extension("gz.part");
    std::fs::write(&partial, &compressed)?;
    std::fs::rename(&partial, path)?;
    let hash: String = Sha256::digest(&compressed)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    println!(
        "{} {} bytes sha256 {hash}",
        path.display(),
        compressed.len()
    );
    Ok(())
}
