//! Whether every variant's loss can be built, before hours are spent on the first.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kd_core::{Output, Taps};
use kd_models::{Backbone, Network, NetworkConfig};

use super::file::Study;
use crate::estimate::{Nominal, nominal};

/// Builds every variant's objective from a dry run of its networks, as its run will do, without
/// reading the data. A set whose shape is not known beforehand is left to its run.
///
/// # Errors
/// What the first wrong variant's run would fail with, with the variant's name.
pub fn objectives(study: &Study, device: &Device) -> Result<()> {
    let mut shown = BTreeMap::new();
    let autodiff = device.clone().autodiff();
    for variant in &study.variants {
        let recipe = &variant.recipe;
        let Some(nominal) = nominal(recipe) else {
            continue;
        };
        let mut show = |model: &str| -> Result<Output> {
            let key = (model.to_owned(), recipe.data.name.clone());
            if let Some(output) = shown.get(&key) {
                return Ok(Output::clone(output));
            }
            let output = dry_run(model, &nominal, device)?;
            shown.insert(key, output.clone());
            Ok(output)
        };
        let mut build = || -> Result<()> {
            let student = show(&recipe.student.model)?;
            let teacher = recipe
                .teacher
                .as_ref()
                .map(|t| show(&t.model))
                .transpose()?;
            let objective = recipe.objective.clone().with_samples(nominal.train);
            objective.init(&student, teacher.as_ref(), &autodiff)?;
            Ok(())
        };
        build().with_context(|| format!("variant `{}`", variant.name))?;
    }
    Ok(())
}

fn dry_run(model: &str, nominal: &Nominal, device: &Device) -> Result<Output> {
    let config = NetworkConfig::new(model, nominal.classes, nominal.channels);
    let network = Network::new(&config, device)?.valid();
    let shape = [2, nominal.channels, nominal.size, nominal.size];
    Ok(network.forward(Tensor::zeros(shape, device), &Taps::all()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{commands::study::file, device};

    #[test]
    fn shipped_studies_are_valid_and_their_losses_can_be_built() {
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
            objectives(&study, &device).unwrap_or_else(|e| panic!("{}: {e:#}", path.display()));
            studies += 1;
        }
        assert!(studies >= 2);
    }
}
