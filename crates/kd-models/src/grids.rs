//! Networks whose layers compute with numbers of integer grids.

use std::path::Path;

use kd_kernels::layers::{LayerGrid, LayerGrids};
use serde::{Deserialize, Serialize};

use crate::network::Network;
use crate::{Error, header};

/// The entry of a header with the grids of layers.
const ENTRY: &str = "grids";

/// A layer's grids as a header has them.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    scale: f32,
    zero_point: i32,
    levels: [i32; 2],
    weight_high: i32,
}

/// The grids that the header of a file says; none where it says nothing.
///
/// # Errors
/// [`Error::Format`].
pub(crate) fn of_file(path: &Path) -> Result<Option<LayerGrids>, Error> {
    let written: Option<Vec<Option<Written>>> = header::entry(path, ENTRY)?;
    let Some(written) = written else {
        return Ok(None);
    };
    let usable = |w: &Written| {
        let [low, high] = w.levels;
        let zero = (low..=high).contains(&w.zero_point);
        w.scale.is_finite() && w.scale > 0.0 && low < high && zero && w.weight_high > 0
    };
    if !written.iter().flatten().all(usable) {
        return Err(Error::Format {
            path: path.to_owned(),
            problem: format!(
                "the header's `{ENTRY}` has a layer without a positive scale, levels from low to high that hold its zero \
                 point, or a largest integer of its weight"
            ),
        });
    }
    let grids = written.into_iter().map(|written| {
        written.map(|w| LayerGrid {
            scale: w.scale,
            zero_point: w.zero_point,
            levels: w.levels,
            weight_high: w.weight_high,
        })
    });
    Ok(Some(grids.collect()))
}

/// The entry of a header.
pub(crate) fn entry(grids: &LayerGrids) -> (String, String) {
    let written: Vec<Option<Written>> = grids
        .iter()
        .map(|grid| {
            grid.map(|grid| Written {
                scale: grid.scale,
                zero_point: grid.zero_point,
                levels: grid.levels,
                weight_high: grid.weight_high,
            })
        })
        .collect();
    (ENTRY.into(), serde_json::json!(written).to_string())
}

impl Network {
    /// The same network with inputs and weights of layers on grids, in every forward pass, with gradients straight through
    /// ([`kd_kernels::layers::computed`]). `grids` are those of its convolutions and linear layers in the order of the forward
    /// pass, none for one that computes with floats. They are saved with the weights, and a file that has them is loaded
    /// with them.
    #[must_use]
    pub fn on_grids(self, grids: impl Into<LayerGrids>) -> Self {
        Self {
            grids: Some(grids.into()),
            ..self
        }
    }

    /// The same network with floats.
    #[must_use]
    pub fn without_grids(self) -> Self {
        Self {
            grids: None,
            ..self
        }
    }

    /// The grids of its layers; none for a network that computes with floats.
    pub fn grids(&self) -> Option<&LayerGrids> {
        self.grids.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};
    use kd_core::Taps;

    use super::*;
    use crate::{Backbone, NetworkConfig};

    #[test]
    fn a_file_with_grids_is_loaded_with_them() {
        let config = NetworkConfig::new("resnet8", 10, 3);
        let network = Network::new(&config, &Device::flex()).unwrap();
        let grid = LayerGrid {
            scale: 0.1,
            zero_point: 128,
            levels: [0, 255],
            weight_high: 7,
        };
        let coarse = network.clone().on_grids(vec![Some(grid); 10]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("grids.safetensors");
        coarse.save(&path, &[]).unwrap();
        let again = Network::from_file(&config, &path, &Device::flex()).unwrap();
        assert_eq!(again.grids(), coarse.grids());
        let images = Tensor::<4>::ones([1, 3, 32, 32], &Device::flex());
        let logits = |network: &Network| {
            let output = network.forward(images.clone(), &Taps::none());
            output.logits.into_data()
        };
        assert_eq!(logits(&again), logits(&coarse));
        assert_ne!(logits(&coarse), logits(&network));
        assert_eq!(logits(&coarse.without_grids()), logits(&network));
    }

    #[test]
    fn bad_grids_are_told() {
        let config = NetworkConfig::new("resnet8", 10, 3);
        let network = Network::new(&config, &Device::flex()).unwrap();
        let grid = LayerGrid {
            scale: -1.0,
            zero_point: 0,
            levels: [0, 255],
            weight_high: 127,
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("grids.safetensors");
        let network = network.on_grids(vec![Some(grid)]);
        network.save(&path, &[]).unwrap();
        let refused = Network::from_file(&config, &path, &Device::flex()).unwrap_err();
        assert!(refused.to_string().contains("positive scale"), "{refused}");
    }
}
