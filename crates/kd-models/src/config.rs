//! What a network is built for.

use serde::{Deserialize, Serialize};

use crate::scale::Scale;
use crate::{Error, registry};

/// Which network to build, and for what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// A name or alias of [`models`](crate::models).
    pub model: String,
    /// Number of classes.
    pub classes: usize,
    /// What it reads.
    pub input: InputSpec,
}

/// What a network reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum InputSpec {
    /// Square images.
    Image {
        /// Channels of an image: 3 for colour, 1 for grey.
        channels: usize,
        /// Height and width. The networks here take other sizes, too.
        size: usize,
    },
    /// Sequences of tokens.
    Text {
        /// Number of tokens that are known.
        vocabulary: usize,
        /// Tokens of the longest sequence.
        length: usize,
    },
    /// Graphs.
    Graph {
        /// Features of a node.
        features: usize,
    },
}

impl InputSpec {
    /// Its counts, each by its key.
    fn counts(&self) -> Vec<(&'static str, usize)> {
        match *self {
            Self::Image { channels, size } => vec![("channels", channels), ("size", size)],
            Self::Text { vocabulary, length } => {
                vec![("vocabulary", vocabulary), ("length", length)]
            }
            Self::Graph { features } => vec![("features", features)],
        }
    }
}

impl NetworkConfig {
    /// A configuration for images of the size that the network is made for
    /// ([`ModelInfo::image_size`](crate::ModelInfo::image_size)); it is checked when the network is built.
    pub fn new(model: impl Into<String>, classes: usize, channels: usize) -> Self {
        let model = model.into();
        // An unknown name is told when the network is built.
        let size = registry::find(&model).map_or(Scale::Small.image_size(), |m| m.image_size);
        Self::for_input(model, classes, InputSpec::Image { channels, size })
    }

    /// A configuration; it is checked when the network is built.
    pub fn for_input(model: impl Into<String>, classes: usize, input: InputSpec) -> Self {
        Self {
            model: model.into(),
            classes,
            input,
        }
    }

    /// The same for images of another height and width; changes nothing where the input is no image.
    #[must_use]
    pub fn with_image_size(mut self, image_size: usize) -> Self {
        if let InputSpec::Image { size, .. } = &mut self.input {
            *size = image_size;
        }
        self
    }

    /// Channels of an image.
    ///
    /// # Errors
    /// [`Error::Config`] where the input is no image.
    pub fn channels(&self) -> Result<usize, Error> {
        self.image().map(|(channels, _)| channels)
    }

    /// Height and width of an image.
    ///
    /// # Errors
    /// [`Error::Config`] where the input is no image.
    pub fn image_size(&self) -> Result<usize, Error> {
        self.image().map(|(_, size)| size)
    }

    fn image(&self) -> Result<(usize, usize), Error> {
        let (key, value) = match self.input {
            InputSpec::Image { channels, size } => return Ok((channels, size)),
            InputSpec::Text { vocabulary, .. } => ("vocabulary", vocabulary),
            InputSpec::Graph { features } => ("features", features),
        };
        Err(Error::Config {
            key,
            value,
            expected: format!(
                "`{}` reads images; give `image` as its input, with `channels` and `size`",
                self.model
            ),
        })
    }

    /// Refuses counts of zero.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let counts = std::iter::once(("classes", self.classes)).chain(self.input.counts());
        for (key, value) in counts {
            if value == 0 {
                return Err(Error::Config {
                    key,
                    value,
                    expected: "at least 1".into(),
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_network_refuses_text_by_key() {
        let input = InputSpec::Text {
            vocabulary: 30_522,
            length: 128,
        };
        let config = NetworkConfig::for_input("resnet8", 2, input);
        let message = config.channels().unwrap_err().to_string();
        assert!(
            message.starts_with("vocabulary = 30522: `resnet8` reads images"),
            "{message}"
        );
        assert_eq!(config.clone().with_image_size(64), config);
    }

    #[test]
    fn images_are_of_the_networks_own_size_where_none_is_given() {
        for (model, size) in [("resnet18", 32), ("resnet18_224", 224), ("unknown", 32)] {
            let config = NetworkConfig::new(model, 10, 3);
            assert_eq!(config.image_size().unwrap(), size, "{model}");
        }
    }

    #[test]
    fn a_configuration_is_spelled_in_snake_case_and_unknown_keys_are_refused() {
        let config = NetworkConfig::new("resnet8", 10, 3).with_image_size(64);
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(
            text,
            r#"{"model":"resnet8","classes":10,"input":{"image":{"channels":3,"size":64}}}"#
        );
        let again: NetworkConfig = serde_json::from_str(&text).unwrap();
        assert_eq!(again, config);
        let wrong = text.replace("\"size\"", "\"side\"");
        assert!(serde_json::from_str::<NetworkConfig>(&wrong).is_err());
    }
}
