//! Whether every variant can run, before hours are spent on the first.

use burn::tensor::Device;

use super::file::Study;
use crate::{DataShape, Error, ObjectDetection, Observer, Silent};

impl Study {
    /// The study with the weights of every variant on this machine, as [`Recipe::complete`](crate::Recipe::complete)
    /// says. [`run`](fn@super::run) does this by itself.
    ///
    /// # Errors
    /// [`Error::Variant`] when weights cannot be fetched.
    pub fn complete(mut self, observer: &mut dyn Observer) -> Result<Self, Error> {
        for variant in &mut self.variants {
            let recipe = variant.recipe.clone().complete(observer);
            variant.recipe = recipe.map_err(|source| Error::Variant {
                variant: format!("variant `{}`", variant.name),
                source: Box::new(source),
            })?;
        }
        Ok(self)
    }

    /// Checks every variant as its run will, without reading the data. A set whose shape is not known
    /// beforehand is left to its run.
    ///
    /// # Errors
    /// [`Error::Variant`]: what the first wrong variant's run would fail with, with the variant's name.
    pub fn check(&self, device: &Device) -> Result<(), Error> {
        for variant in &self.variants {
            let recipe = &variant.recipe;
            if let Some(detection) = &recipe.detection {
                // Data that are not there are told of by the run.
                if let Ok(task) = ObjectDetection::load(detection, &mut Silent) {
                    crate::check(recipe, &task, device).map_err(|source| Error::Variant {
                        variant: format!("variant `{}`", variant.name),
                        source: Box::new(source),
                    })?;
                }
                continue;
            }
            if let Some(data) = DataShape::known(recipe) {
                crate::check(recipe, &data, device).map_err(|source| Error::Variant {
                    variant: format!("variant `{}`", variant.name),
                    source: Box::new(source),
                })?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use kd_data::detection::DetectionConfig;
    use kd_models::{Network, NetworkConfig};

    use super::*;

    /// Drawn weights in the place of those of the hub.
    fn without_the_hub(study: &mut Study, folder: &Path, device: &Device) {
        let path = folder.join("teacher.safetensors");
        for variant in &mut study.variants {
            if let Some(detection) = &mut variant.recipe.detection {
                // Drawn images in the place of a set that is not here.
                *detection = DetectionConfig {
                    size: detection.size,
                    ..DetectionConfig::default()
                };
            }
            let Some(teacher) = &mut variant.recipe.teacher else {
                continue;
            };
            if teacher
                .weights
                .as_ref()
                .is_none_or(|weights| !weights.starts_with("hf:"))
            {
                continue;
            }
            if !path.exists() {
                let config = NetworkConfig::new(&teacher.model, 100, 3);
                let size = teacher.size.unwrap();
                let network = Network::new(&config.with_image_size(size), device).unwrap();
                network.save(&path, &[]).unwrap();
            }
            teacher.weights = Some(path.clone());
        }
    }

    #[test]
    fn shipped_studies_can_run() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes/studies");
        let device = Device::flex();
        let mut studies = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let mut study = Study::load(&path, &[], None).unwrap_or_else(|e| panic!("{e}"));
            let folder = tempfile::tempdir().unwrap();
            without_the_hub(&mut study, folder.path(), &device);
            assert!(study.variants.len() > 1, "{}", path.display());
            let checked = study.check(&device);
            checked.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            studies += 1;
        }
        assert!(studies >= 2);
    }
}
