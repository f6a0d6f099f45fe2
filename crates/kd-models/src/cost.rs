//! What a network costs: parameters, multiply-accumulates, bytes.

use std::collections::BTreeMap;

use burn::tensor::Device;
use serde_json::{Map, Value, json};

use crate::Error;
use crate::config::NetworkConfig;
use crate::keys::{self, Key};
use crate::macs::MacCounter;
use crate::network::Network;

/// The size of a network, independent of any machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cost {
    /// Trainable parameters.
    pub parameters: u64,
    /// Multiply-accumulates of convolutions, linear layers and the products of attention for one image.
    pub macs: u64,
    /// Size of the file that [`Network::save`] writes at f32, without further metadata.
    pub bytes: u64,
}

/// The size of a network of one's own input, independent of any machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NetworkSize {
    /// Trainable parameters.
    pub parameters: u64,
    /// Multiply-accumulates of linear layers and the products of attention for one sample.
    pub macs: u64,
}

/// The cost of a network for square images; nothing is computed or drawn.
///
/// # Errors
/// [`Error::UnknownModel`]; [`Error::Config`], also for images that the strides shrink to nothing.
pub fn cost(config: &NetworkConfig, image_size: usize) -> Result<Cost, Error> {
    Network::lazy(config, &Device::default())?.cost(image_size)
}

impl Network {
    /// The cost of this network for square images, or for those that it resizes them to. See [`cost()`].
    ///
    /// # Errors
    /// [`Error::Config`] for images that the strides shrink to nothing.
    pub fn cost(&self, image_size: usize) -> Result<Cost, Error> {
        let image_size = match self.resizes {
            true => self.config.image_size()?,
            false => image_size,
        };
        let mut macs = self.counted(image_size, "image_size")?;
        if let Some(head) = &self.head {
            macs.shrink(head.config().size);
            let (convolutions, classifier) = head.layers();
            for conv in convolutions {
                macs.conv(conv);
            }
            macs.linear(classifier);
        }
        let keys = self.keys();
        Ok(Cost {
            parameters: keys::trained(&keys) as u64,
            macs: macs.macs(),
            bytes: file_size(self.header(), keys),
        })
    }
}

/// By how much a network divides the height and width of an image before its last average.
///
/// # Errors
/// [`Error::UnknownModel`]; [`Error::Config`], also for images that the strides shrink to nothing.
pub fn stride(config: &NetworkConfig) -> Result<usize, Error> {
    let network = Network::lazy(config, &Device::default())?;
    Ok(network.counted(config.image_size()?, "size")?.stride())
}

impl Network {
    /// The family's layers, followed from an image; `key` is what an error calls the size.
    ///
    /// # Errors
    /// [`Error::Config`] for images that the strides shrink to nothing.
    pub(crate) fn counted(
        &self,
        image_size: usize,
        key: &'static str,
    ) -> Result<MacCounter, Error> {
        let mut macs = MacCounter::new(image_size);
        self.family.count(&mut macs);
        if image_size == 0 || macs.size().contains(&0) {
            return Err(Error::Config {
                key,
                value: image_size,
                expected: format!(
                    "`{}` divides height and width by {}, until nothing of this image is left; use a larger size",
                    self.config.model,
                    macs.stride()
                ),
            });
        }
        Ok(macs)
    }
}

/// Size of a safetensors file of f32 tensors: the header's length, the header as JSON padded to
/// eight bytes, and the values.
fn file_size(header: BTreeMap<String, String>, mut keys: Vec<Key>) -> u64 {
    const ALIGNMENT: u64 = 8;
    keys.sort_by(|a, b| a.name.cmp(&b.name));
    let mut json = Map::new();
    json.insert("__metadata__".into(), json!(header));
    let mut end = 0;
    for key in keys {
        let start = end;
        end += 4 * key.count();
        let entry: Value = json!({
            "dtype": "F32", "shape": key.shape, "data_offsets": [start, end],
        });
        json.insert(key.name, entry);
    }
    let text = Value::Object(json).to_string().len() as u64;
    8 + text.next_multiple_of(ALIGNMENT) + end as u64
}
