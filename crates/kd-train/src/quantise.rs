//! A trained network on integer grids, without training: `kd quantise`.

use std::path::Path;

use burn::tensor::Device;
use kd_compress::quantise::{LayerQuality, QuantiseConfig, quality};
use kd_models::Network;

use crate::source::with_all_of;
use crate::task::{DataShape, ImageClassification, Task, TaskSpec, TrainSource};
use crate::{Error, EvalOptions, Observer, Scores, fetch_weights};

/// What quantisation did to a network.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Quantised {
    /// It, on grids.
    pub network: Network,
    /// What each layer's grids cost, on the images that ranges were found in.
    pub layers: Vec<LayerQuality>,
    /// Scores with floats and on grids, on the validation split; none without one.
    pub scores: Option<[Scores; 2]>,
    /// Share of validation images where both predict the same class, in percent.
    pub agreement: Option<f64>,
    /// Images of the validation split.
    pub images: usize,
}

/// Puts trained weights on grids whose ranges are those of training images in their order under `seed`. With `floats` the
/// layers that move the answers most, that many, compute with floats. The test split is not read for it.
///
/// # Errors
/// When the data, the model's name or its weights are wrong, and when the network cannot be quantised so.
pub fn quantise(
    options: &EvalOptions,
    config: &QuantiseConfig,
    floats: usize,
    seed: u64,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<Quantised, Error> {
    let option = |problem: kd_compress::Error| Error::Recipe(problem.to_string());
    config.check().map_err(option)?;
    let path = options.weights.display();
    let wrong = |problem: kd_compress::Error| Error::Recipe(format!("{path}: {problem}"));
    let shape = DataShape::surveyed(&options.data)?;
    let weights = fetch_weights(&options.weights, observer)?;
    let network = shape.load(&options.model, &weights, device)?;
    let task = ImageClassification::<Network>::load(&options.data, observer)?;
    let source = task.train(&TrainSource {
        seed,
        batch: options.batch,
        views: None,
    })?;
    let batches = source.epoch(1, device);
    let batches = batches.take(config.images.div_ceil(options.batch));
    let images: Vec<_> = batches.map(|batch| batch.input).collect();
    let on_grids = |config: &QuantiseConfig| {
        let coarse = config.quantise(&network, images.clone()).map_err(wrong)?;
        let layers = quality(&network, &coarse, &images).map_err(wrong)?;
        Ok::<_, Error>((coarse, layers))
    };
    let (mut coarse, mut layers) = on_grids(config)?;
    if floats > 0 {
        let mut order: Vec<&LayerQuality> = layers.iter().collect();
        order.sort_by(|a, b| b.divergence.total_cmp(&a.divergence));
        let mut mixed = config.clone();
        let worst = order.iter().take(floats).map(|layer| layer.layer.clone());
        mixed.keep.extend(worst);
        (coarse, layers) = on_grids(&mixed)?;
    }
    let validation = task.validation(options.batch)?;
    let measure = |network: &Network| {
        let source = validation.as_ref()?;
        let found = task.evaluate(network, source.as_ref(), device);
        Some(with_all_of(source.as_ref(), found))
    };
    let measured = measure(&network).zip(measure(&coarse));
    let (scores, agreement) = match measured {
        None => (None, None),
        Some((float, grids)) => {
            let (float, grids) = (float?, grids?);
            let pair = float.predictions.zip(grids.predictions);
            let agreement = pair.map(|(float, grids)| grids.agreement(&float));
            (Some([float.scores, grids.scores]), agreement)
        }
    };
    Ok(Quantised {
        network: coarse,
        layers,
        scores,
        agreement,
        images: task.summary().validation,
    })
}

impl Quantised {
    /// Writes it, with what the header of the weights it was made of says.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path, metadata: &[(String, String)]) -> Result<(), Error> {
        Ok(self.network.save(path, metadata)?)
    }
}
