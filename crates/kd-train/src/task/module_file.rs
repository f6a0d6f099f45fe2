//! What any module can do without knowing itself: weights as safetensors, and its parameters counted.

use std::io::Read;
use std::path::Path;

use burn::module::Module;
use burn::store::{ModuleSnapshot, SafetensorsStore};
use kd_compress::prune::recalibrated as recalibrated_by;
use kd_core::Taps;
use kd_models::{Backbone, Input};

use super::NetworkCost;
use crate::Error;
use crate::folder::io;
use crate::gradients::trainable_parameters;

/// Writes the weights of a module under a temporary name first.
pub(super) fn save<M: Module>(
    module: &M,
    path: &Path,
    metadata: &[(&str, String)],
) -> Result<(), Error> {
    // The validation copy holds the running statistics including the latest batch.
    let module = module.valid();
    let mut store = SafetensorsStore::from_file(path)
        .overwrite(true)
        .skip_enum_variants(true);
    for (key, value) in metadata {
        store = store.metadata(*key, value);
    }
    module.save_into(&mut store).map_err(|e| Error::Format {
        path: path.into(),
        problem: format!("the weights cannot be written: {e}"),
    })
}

/// The network with the statistics that batches have, in its batch normalisations.
pub(super) fn recalibrated<N: Backbone>(network: &N, inputs: &[N::Input]) -> Result<N, Error> {
    let same = |path: &str| path.to_owned();
    let renewed = recalibrated_by(network, inputs.len(), &same, |network: &N, _, batch| {
        network.forward(inputs[batch].clone().lift(), &Taps::none());
    });
    renewed.map_err(|problem| Error::Recipe(format!("prune.images: {problem}")))
}

/// The module with the weights of a file.
pub(super) fn load<M: Module>(mut module: M, path: &Path) -> Result<M, Error> {
    let failed = |problem: String| Error::Format {
        path: path.into(),
        problem: format!("these weights do not fit the network: {problem}"),
    };
    let mut start = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(kd_files::START as u64).read_to_end(&mut start))
        .map_err(io("read the weights", path))?;
    if let Some(found) = kd_files::stand_in(&start) {
        return Err(Error::Format {
            path: path.into(),
            problem: found.to_string(),
        });
    }
    let mut store = SafetensorsStore::from_file(path).skip_enum_variants(true);
    let result = module
        .load_from(&mut store)
        .map_err(|e| failed(e.to_string()))?;
    let problems: Vec<String> = result.errors.iter().map(ToString::to_string).collect();
    if !problems.is_empty() || !result.missing.is_empty() {
        let missing = result
            .missing
            .iter()
            .map(|missing| format!("{missing:?} is missing"));
        return Err(failed(
            problems
                .into_iter()
                .chain(missing)
                .collect::<Vec<_>>()
                .join("; "),
        ));
    }
    if let Some(wrong) = kd_models::not_finite(&module) {
        return Err(failed(format!(
            "`{}` holds {} values that are not finite, the first is {}: the training that wrote it diverged, or \
             the file is damaged; use an earlier checkpoint",
            wrong.path, wrong.count, wrong.value
        )));
    }
    Ok(module)
}

/// What a module costs, as far as its parameters tell.
pub(super) fn cost<M: Module>(module: &M) -> NetworkCost {
    NetworkCost {
        parameters: trainable_parameters(&module.clone().train()),
        macs: None,
        bytes: 4 * module.num_params() as u64,
    }
}
