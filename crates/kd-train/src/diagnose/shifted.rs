//! Images as they would be under another normalisation.

use burn::tensor::{Device, Tensor};
use kd_models::Network;

use crate::recipe::TeacherSpec;
use crate::task::ImageClassification;
use crate::{Batch, Error, Source};

/// A mean and a deviation that a teacher may have been trained with.
pub(super) struct Way {
    /// For people.
    pub name: String,
    /// As a recipe has it.
    pub setting: String,
    /// By channel, what an image is multiplied by, and what is added.
    scale: Vec<f32>,
    shift: Vec<f32>,
}

/// The common normalisations other than the teacher's own.
pub(super) fn ways(
    task: &ImageClassification<Network>,
    spec: &TeacherSpec,
) -> Result<Vec<Way>, Error> {
    let dataset = task.dataset();
    let channels = dataset.mean.len();
    let (given_mean, given_std) = (&dataset.mean, &dataset.std);
    let own = match &spec.normalize {
        Some(normalize) => dataset.statistics(normalize)?,
        None => (given_mean.clone(), given_std.clone()),
    };
    let flat = |value: f32| vec![value; channels];
    let mut all = vec![
        (
            "the data set's own mean and deviation",
            given_mean.clone(),
            given_std.clone(),
        ),
        ("mean 0 and deviation 1", flat(0.0), flat(1.0)),
        ("mean 0.5 and deviation 0.5", flat(0.5), flat(0.5)),
        ("mean 0 and deviation 1/255", flat(0.0), flat(1.0 / 255.0)),
    ];
    if channels == 3 {
        all.push((
            "ImageNet's mean and deviation",
            vec![0.485, 0.456, 0.406],
            vec![0.229, 0.224, 0.225],
        ));
    }
    let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-3);
    let others = all
        .into_iter()
        .filter(|(_, mean, std)| !(near(mean, &own.0) && near(std, &own.1)));
    // The teacher changes what it is given, (p − given) / given, to its own; that must become (p − mean) / std.
    let ways = others.map(|(name, mean, std)| {
        let scale = |c: usize| own.1[c] / std[c];
        let shift = |c: usize| {
            ((given_mean[c] - mean[c]) / std[c] * own.1[c] + own.0[c] - given_mean[c])
                / given_std[c]
        };
        Way {
            name: name.into(),
            setting: format!("teacher.normalize={{ mean = {mean:?}, std = {std:?} }}"),
            scale: (0..channels).map(scale).collect(),
            shift: (0..channels).map(shift).collect(),
        }
    });
    Ok(ways.collect())
}

impl Way {
    /// The same samples under this normalisation.
    pub fn of<'a>(&'a self, source: &'a dyn Source<Input = Tensor<4>>) -> Shifted<'a> {
        Shifted { way: self, source }
    }
}

/// A source under another normalisation.
pub(super) struct Shifted<'a> {
    way: &'a Way,
    source: &'a dyn Source<Input = Tensor<4>>,
}

impl Source for Shifted<'_> {
    type Input = Tensor<4>;

    fn indices(&self) -> &[usize] {
        self.source.indices()
    }

    fn batches(&self) -> usize {
        self.source.batches()
    }

    fn problem(&self) -> Option<Error> {
        self.source.problem()
    }

    fn epoch<'a>(
        &'a self,
        epoch: u64,
        device: &'a Device,
    ) -> Box<dyn Iterator<Item = Batch<Tensor<4>>> + 'a> {
        let channels = self.way.scale.len();
        let part =
            |values: &[f32]| Tensor::<1>::from_floats(values, device).reshape([1, channels, 1, 1]);
        let (scale, shift) = (part(&self.way.scale), part(&self.way.shift));
        let batches = self.source.epoch(epoch, device);
        Box::new(batches.map(move |batch| Batch {
            input: batch.input * scale.clone() + shift.clone(),
            ..batch
        }))
    }
}
