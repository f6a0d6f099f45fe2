//! What single terms can or need that the others do not.

use crate::terms::cross_entropy::CrossEntropyConfig;
use crate::{Error, Head, Term, TermConfig};

impl Term {
    /// The head that it trains for the student to be deployed with.
    pub fn head(&self) -> Option<&Head> {
        match self {
            Self::SimKd(term) => Some(term.head()),
            _ => None,
        }
    }

    /// Whether it is the loss on the labels, with whose gradient others are compared.
    pub(crate) fn is_labels(&self) -> bool {
        matches!(self, Self::CrossEntropy(_) | Self::DetectionLoss(_))
    }
}

impl TermConfig {
    /// The loss on the labels, with its default parameters.
    pub(crate) fn labels() -> Self {
        Self::CrossEntropy(CrossEntropyConfig::default())
    }

    /// Whether it is the loss on the labels.
    pub(crate) fn is_labels(&self) -> bool {
        matches!(self, Self::CrossEntropy(_) | Self::DetectionLoss(_))
    }

    /// Whether its value can be below 0.
    pub(crate) fn can_be_negative(&self) -> bool {
        matches!(self, Self::Vid(_))
    }

    /// Tells a term that keeps something of every training sample how many there are, where the
    /// recipe does not.
    ///
    /// # Errors
    /// [`Error::Config`] when the recipe names fewer.
    pub fn set_samples(&mut self, samples: usize) -> Result<(), Error> {
        let Self::Crd(config) = self else {
            return Ok(());
        };
        if config.samples == 0 {
            config.samples = samples;
        }
        if config.samples < samples {
            return Err(Error::Config {
                key: "samples".into(),
                value: config.samples.to_string(),
                expected: format!("the training split has {samples} images; leave the key out"),
            });
        }
        Ok(())
    }
}
