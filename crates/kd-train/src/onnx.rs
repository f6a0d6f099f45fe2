//! ONNX files of networks: what stands in them, and what programs refuse.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use kd_export::{Normalisation, Onnx, Options, Output};
use kd_models::WeightsHeader;
use serde_json::json;

use crate::recipe::{ExportConfig, Program};
use crate::summary::FileSize;

/// What stands in the `metadata_props` of a file, of a network for images of `size`, as a header of weights says it.
pub fn metadata(model: &str, size: usize, header: &WeightsHeader) -> Vec<(String, String)> {
    let entry = |key: &str, value: String| (key.to_owned(), value);
    let list = |key: &str, values: &Option<Vec<f32>>| {
        values
            .as_ref()
            .map(|values| entry(key, json!(values).to_string()))
    };
    let mut entries = vec![
        entry("kd_version", env!("CARGO_PKG_VERSION").into()),
        entry("model", model.into()),
        entry("size", size.to_string()),
    ];
    entries.extend(
        header
            .class_names
            .as_ref()
            .map(|names| entry("classes", json!(names).to_string())),
    );
    entries.extend(list("mean", &header.mean));
    entries.extend(list("std", &header.std));
    entries.extend(header.data.as_ref().map(|name| entry("data", name.clone())));
    entries
}

impl ExportConfig {
    /// How the exporter does it, of a network for images of `size` whose weights have this header.
    pub(crate) fn options(&self, model: &str, size: usize, header: &WeightsHeader) -> Options {
        let statistics = header.mean.clone().zip(header.std.clone());
        Options {
            name: model.into(),
            normalise: statistics
                .filter(|_| self.normalise)
                .map(|(mean, std)| Normalisation { mean, std }),
            output: match self.softmax {
                true => Output::Probabilities,
                false => Output::Logits,
            },
            float16: self.float16,
            metadata: metadata(model, size, header),
            ..Options::default()
        }
    }
}

impl Program {
    /// Refuses a file that it would.
    ///
    /// # Errors
    /// What it would refuse, a line each.
    pub fn accepts(self, onnx: &Onnx) -> Result<(), String> {
        let Self::Tensorrt = self;
        let findings = onnx.tensorrt();
        match findings.is_empty() {
            true => Ok(()),
            false => Err(format!(
                "TensorRT 10.1 would refuse the file, so it was not written:\n  {}",
                findings.join("\n  ")
            )),
        }
    }
}

/// Bytes of a file, as they are and packed.
pub(crate) fn size(onnx: &Onnx) -> FileSize {
    let bytes = onnx.bytes();
    let mut packed = GzEncoder::new(Counted(0), Compression::default());
    // A counter takes everything.
    let _ = packed.write_all(&bytes);
    FileSize {
        bytes: bytes.len() as u64,
        gzip: packed.finish().map_or(0, |counted| counted.0),
    }
}

/// Counts bytes.
struct Counted(u64);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
