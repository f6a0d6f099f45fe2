//! Where batches come from.

use burn::tensor::{Device, Tensor};
use kd_core::Targets;
use kd_data::Loader;
use kd_models::Input;

use crate::Error;

/// Batches of a split, epoch by epoch.
///
/// An image set has [`Loader`]. A source of your own gives the same batches whenever the same epoch is
/// asked for: a run is repeated, and resumed, by that.
pub trait Source {
    /// What a network reads.
    type Input: Input;

    /// The samples of the split by their numbers in the data set, in a fixed order.
    fn indices(&self) -> &[usize];

    /// Batches of an epoch.
    fn batches(&self) -> usize;

    /// Views that a sample can be shown in, which the teacher cache keeps apart; 1 where a sample is
    /// always shown alike.
    fn views(&self) -> u64 {
        1
    }

    /// Why the batches of an epoch ended early, told once. It is asked when fewer came than there should be.
    fn problem(&self) -> Option<Error> {
        None
    }

    /// The batches of an epoch, on the plain `device`. Epochs count from 1; evaluation asks for epoch 0.
    fn epoch<'a>(
        &'a self,
        epoch: u64,
        device: &'a Device,
    ) -> Box<dyn Iterator<Item = Batch<Self::Input>> + 'a>;

    /// The batches of an epoch without its first `skip`, for a run that goes on in the middle of it. A source
    /// that can do without making those says so here.
    fn rest_of_epoch<'a>(
        &'a self,
        epoch: u64,
        skip: usize,
        device: &'a Device,
    ) -> Box<dyn Iterator<Item = Batch<Self::Input>> + 'a> {
        Box::new(self.epoch(epoch, device).skip(skip))
    }
}

/// What was found with a source, unless its batches ended early.
pub(crate) fn with_all_of<I: Input, R>(
    source: &dyn Source<Input = I>,
    found: R,
) -> Result<R, Error> {
    match source.problem() {
        None => Ok(found),
        Some(problem) => Err(problem),
    }
}

/// Some samples as a network and a loss see them, on the plain device.
#[derive(Clone, Debug)]
pub struct Batch<I> {
    /// What a network reads.
    pub input: I,
    /// What the data say.
    pub targets: Targets,
    /// The number of each sample in the data set.
    pub indices: Vec<usize>,
    /// Which of its views each sample is shown in, from 0, below [`Source::views`].
    pub views: Vec<u64>,
}

impl<I> Batch<I> {
    /// A batch of samples that are always shown alike.
    pub fn new(input: I, targets: impl Into<Targets>, indices: Vec<usize>) -> Self {
        Self {
            input,
            targets: targets.into(),
            views: vec![0; indices.len()],
            indices,
        }
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }
}

/// Images with their classes.
impl Source for Loader {
    type Input = Tensor<4>;

    fn indices(&self) -> &[usize] {
        Loader::indices(self)
    }

    fn batches(&self) -> usize {
        Loader::batches(self)
    }

    fn views(&self) -> u64 {
        self.possible_views()
    }

    fn problem(&self) -> Option<Error> {
        Loader::problem(self).map(Error::from)
    }

    fn epoch<'a>(
        &'a self,
        epoch: u64,
        device: &'a Device,
    ) -> Box<dyn Iterator<Item = Batch<Tensor<4>>> + 'a> {
        self.rest_of_epoch(epoch, 0, device)
    }

    fn rest_of_epoch<'a>(
        &'a self,
        epoch: u64,
        skip: usize,
        device: &'a Device,
    ) -> Box<dyn Iterator<Item = Batch<Tensor<4>>> + 'a> {
        let batches = Loader::epoch_from(self, epoch, skip);
        Box::new(batches.map(move |batch| {
            let labels = batch.labels(device);
            Batch {
                input: batch.images(device),
                targets: match batch.shares(device) {
                    None => labels.into(),
                    Some(shares) => Targets::mixed(labels, shares),
                },
                views: batch.views,
                indices: batch.indices,
            }
        }))
    }
}
