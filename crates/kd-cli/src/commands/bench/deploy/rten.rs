//! rten, which runs ONNX files without C.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use rten::{Model, ModelOptions, RunOptions, ThreadPool, Value};

use super::repeat;
use super::rows::Setting;

/// The rten that the workspace pins; rten itself has no constant for it.
pub const VERSION: &str = "0.27";

/// An ONNX file, and rten's copy of it.
pub struct Rten {
    file: PathBuf,
    model: Model,
}

impl Rten {
    /// Reads a file.
    ///
    /// # Errors
    /// For a file that rten does not take.
    pub fn load(file: PathBuf) -> Result<Self> {
        let mut options = ModelOptions::with_all_ops();
        let model = options.prepack_weights(true).load_file(&file);
        let model = model.with_context(|| format!("load {} in rten", file.display()))?;
        Ok(Self { file, model })
    }

    /// The file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Logits of images.
    ///
    /// # Errors
    /// What rten says, when it cannot run the file.
    pub fn logits(&self, images: &[f32], shape: [usize; 4]) -> Result<Vec<f32>> {
        let images = Value::from_shape(shape, images.to_vec())?;
        let output = self.model.run_one(images.into(), None)?;
        let (_, logits) = output.into_shape_vec::<f32, 2>()?;
        Ok(logits)
    }

    /// Milliseconds of single batches.
    ///
    /// # Errors
    /// What rten says, when it cannot run the file.
    pub fn time(&self, setting: Setting, shape: [usize; 3], seconds: f64) -> Result<Vec<f64>> {
        let [channels, height, width] = shape;
        let shape = [setting.batch, channels, height, width];
        let pixels = (0..shape.iter().product::<usize>()).map(|i| (i as f32 * 0.731).sin());
        let images = Value::from_shape(shape, pixels.collect::<Vec<_>>())?;
        let pool = Arc::new(ThreadPool::with_num_threads(setting.threads));
        repeat(seconds, || {
            let options = RunOptions::default().with_thread_pool(Some(pool.clone()));
            self.model.run_one((&images).into(), Some(options))?;
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rten_that_is_named_is_the_one_that_is_pinned() {
        let workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");
        let workspace = std::fs::read_to_string(workspace).unwrap();
        let pin = format!("rten = {{ version = \"{VERSION}\"");
        assert!(workspace.contains(&pin), "{pin}");
    }

    #[test]
    fn what_is_no_network_is_refused_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("net.onnx");
        std::fs::write(&file, "no network").unwrap();
        let problem = Rten::load(file).err().unwrap();
        assert!(
            format!("{problem:#}").contains("net.onnx in rten"),
            "{problem:#}"
        );
    }
}
