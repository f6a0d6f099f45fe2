//! What the references call the layers of networks of inverted residual blocks.

use super::block::InvertedResidual;

/// Whose state dict it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    /// mdistiller's MobileNetV2: blocks by stage, a block's layers in one list.
    Mdistiller,
    /// torchvision's MobileNetV2: blocks in one list, the projection without a list of its own.
    MobileNetV2,
    /// torchvision's MobileNetV3: blocks in one list.
    MobileNetV3,
    /// torchvision's EfficientNet: blocks by stage.
    EfficientNet,
}

impl Keys {
    /// The key of a path of [`MobileNet`](super::MobileNet).
    pub fn key(self, path: &str, stages: &[Vec<InvertedResidual>]) -> String {
        let parts: Vec<&str> = path.split('.').collect();
        match parts[..] {
            ["blocks", stage, block, layer, ref rest @ ..] => {
                let (Ok(stage), Ok(block)) = (stage.parse(), block.parse()) else {
                    return path.to_owned();
                };
                self.of_block(stages, [stage, block], layer, rest)
            }
            ["classifier", last] => {
                let place = match self {
                    Self::Mdistiller => 0,
                    // Dropout, or the hidden layer, its activation and dropout stand before it.
                    Self::MobileNetV2 | Self::EfficientNet => 1,
                    Self::MobileNetV3 => 3,
                };
                format!("classifier.{place}.{last}")
            }
            ["hidden", _, last] => format!("classifier.0.{last}"),
            ["conv1", ref rest @ ..] if self != Self::Mdistiller => {
                format!("features.0.{}", rest.join("."))
            }
            ["conv2", ref rest @ ..] if self != Self::Mdistiller => {
                let before = match self {
                    Self::EfficientNet => stages.len(),
                    _ => stages.iter().map(Vec::len).sum(),
                };
                format!("features.{}.{}", 1 + before, rest.join("."))
            }
            _ => path.to_owned(),
        }
    }

    fn of_block(
        self,
        stages: &[Vec<InvertedResidual>],
        [stage, index]: [usize; 2],
        layer: &str,
        rest: &[&str],
    ) -> String {
        let block = &stages[stage][index];
        let before = usize::from(block.expand.is_some());
        let squeezed = usize::from(block.squeeze.is_some());
        let place = match layer {
            "expand" => 0,
            "depthwise" => before,
            "squeeze" => before + 1,
            _ => before + 1 + squeezed,
        };
        let flat = 1 + index + stages[..stage].iter().map(Vec::len).sum::<usize>();
        let last = rest.join(".");
        // A convolution is 0 and its normalisation 1.
        let part = |start: usize| match last.split_once('.') {
            Some(("1", last)) => format!("{}.{last}", start + 1),
            Some((_, last)) => format!("{start}.{last}"),
            None => last.clone(),
        };
        match self {
            Self::Mdistiller => format!("blocks.{stage}.{index}.conv.{}", part(3 * place)),
            Self::MobileNetV2 if layer == "project" => {
                format!("features.{flat}.conv.{}", part(place))
            }
            Self::MobileNetV2 => format!("features.{flat}.conv.{place}.{last}"),
            Self::MobileNetV3 => format!("features.{flat}.block.{place}.{last}"),
            Self::EfficientNet => format!("features.{}.{index}.block.{place}.{last}", stage + 1),
        }
    }
}
