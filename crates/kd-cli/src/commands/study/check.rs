//! Whether every variant can run, before hours are spent on the first.

use anyhow::{Context, Result};
use burn::tensor::Device;
use kd_train::DataShape;

use super::file::Study;

/// Checks every variant as its run will, without reading the data. A set whose shape is not known
/// beforehand is left to its run.
///
/// # Errors
/// What the first wrong variant's run would fail with, with the variant's name.
pub fn variants(study: &Study, device: &Device) -> Result<()> {
    for variant in &study.variants {
        let recipe = &variant.recipe;
        if let Some(data) = DataShape::known(recipe) {
            kd_train::check(recipe, &data, device)
                .with_context(|| format!("variant `{}`", variant.name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{commands::study::file, device};

    #[test]
    fn shipped_studies_can_run() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes/studies");
        let more = file::More {
            overrides: &[],
            seeds: None,
        };
        let device = device::preferred().unwrap().open().unwrap();
        let mut studies = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let study = file::load(&path, &more).unwrap_or_else(|e| panic!("{e:#}"));
            assert!(study.variants.len() > 1, "{}", path.display());
            variants(&study, &device).unwrap_or_else(|e| panic!("{}: {e:#}", path.display()));
            studies += 1;
        }
        assert!(studies >= 2);
    }
}
