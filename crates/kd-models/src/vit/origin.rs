//! Whose weights a vision transformer has.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::positions::PositionResize;

/// The program that a vision transformer's weights are from. Names tell it, and two things follow from it: the epsilon
/// of layer normalisation, and how positions are resized.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// timm and the DeiT repository, whose names are alike; networks that are drawn here, too.
    #[default]
    Timm,
    /// Hugging Face.
    HuggingFace,
    /// torchvision.
    Torchvision,
}

impl Origin {
    /// How positions are resized.
    pub fn resize(self) -> PositionResize {
        match self {
            Self::Timm => PositionResize::Antialiased,
            Self::HuggingFace => PositionResize::Centres,
            Self::Torchvision => PositionResize::Corners,
        }
    }

    /// The epsilon of layer normalisation: 1e-6, but 1e-12 for Hugging Face's ViT and DeiT. DINOv2, which
    /// has LayerScale, has 1e-6 there as well.
    pub(crate) fn epsilon(self, layer_scale: bool) -> f64 {
        match self {
            Self::HuggingFace if !layer_scale => 1e-12,
            _ => 1e-6,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timm => "timm",
            Self::HuggingFace => "Hugging Face",
            Self::Torchvision => "torchvision",
        })
    }
}
