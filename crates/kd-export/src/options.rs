//! How a network is exported.

use std::fmt;

use crate::Error;

/// How a network is exported. By default the file holds the network as it is, in float32.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The network's name in the file.
    pub name: String,
    /// Puts the normalisation of images into the file, which then reads pixels from 0 to 1.
    pub normalise: Option<Normalisation>,
    /// What the file gives.
    pub output: Output,
    /// Weights and arithmetic in float16. Input and output stay float32.
    pub float16: bool,
    /// Keys and values that go into the file's `metadata_props`.
    pub metadata: Vec<(String, String)>,
    /// Bytes of weights above which they go into a second file beside the first.
    pub external_above: u64,
}

/// Mean and standard deviation of each channel, of pixels from 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalisation {
    /// Means.
    pub mean: Vec<f32>,
    /// Standard deviations.
    pub std: Vec<f32>,
}

/// What a file gives for each image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// The network's logits.
    #[default]
    Logits,
    /// Their softmax.
    Probabilities,
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Logits => "logits",
            Self::Probabilities => "probabilities",
        })
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: "network".into(),
            normalise: None,
            output: Output::default(),
            float16: false,
            metadata: Vec::new(),
            // Messages of Protocol Buffers end at 2 GiB; nodes and names need some of it.
            external_above: (2 << 30) - (64 << 20),
        }
    }
}

impl Normalisation {
    /// Refuses statistics that are not for images of so many channels.
    pub(crate) fn check(&self, channels: usize) -> Result<(), Error> {
        let counts = self.mean.len() == channels && self.std.len() == channels;
        let usable = self.std.iter().all(|std| std.is_finite() && *std > 0.0);
        if counts && usable && self.mean.iter().all(|mean| mean.is_finite()) {
            return Ok(());
        }
        Err(Error::Option {
            option: "normalise",
            problem: format!(
                "mean {:?} and std {:?}: one finite mean and one standard deviation above 0 for each of {channels} \
                 channels",
                self.mean, self.std
            ),
        })
    }
}
