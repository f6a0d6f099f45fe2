//! MobileNetV3 without its classifier, as SSDLite has it.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};
use kd_kernels::layers::BatchNorm;

use super::block::InvertedResidual;
use super::{MobileNet, plan};
use crate::activation::conv_bn_activated;
use crate::architecture::Architecture;
use crate::macs::MacCounter;

/// The body of SSDLite: MobileNetV3 large, whose last stage is half as wide.
#[derive(Module, Debug)]
pub(crate) struct SsdLiteBody {
    conv1: (Conv2d, BatchNorm),
    blocks: Vec<Vec<InvertedResidual>>,
    conv2: (Conv2d, BatchNorm),
}

/// The row whose expansion is shown: the first one of the last stage, and the blocks before it.
const SHOWN: (usize, usize) = (10, 12);

impl SsdLiteBody {
    pub fn new(device: &Device) -> Self {
        // The classifier, which is left behind, is never drawn.
        let MobileNet {
            conv1,
            blocks,
            conv2,
            ..
        } = MobileNet::new(&&plan::SSDLITE, 3, 1, device);
        Self {
            conv1,
            blocks,
            conv2,
        }
    }

    /// Channels of the two maps.
    pub const WIDTHS: [usize; 2] = [672, 480];

    /// Two maps: the expansion of the first block that leaves a sixteenth of the image's size, and the last convolution
    /// behind it.
    pub fn forward(&self, images: Tensor<4>) -> [Tensor<4>; 2] {
        let activation = plan::SSDLITE.activation;
        let mut x = conv_bn_activated(&self.conv1, images, activation);
        let mut shown = None;
        for (row, blocks) in self.blocks.iter().enumerate() {
            for block in blocks {
                let hidden = block.widen(x.clone());
                if row == SHOWN.0 {
                    shown = Some(hidden.clone());
                }
                x = block.narrow(hidden, x);
            }
        }
        let last = conv_bn_activated(&self.conv2, x, activation);
        [shown.unwrap_or_else(|| last.clone()), last]
    }

    /// Counts multiply-accumulates; the sizes of the two maps.
    pub fn count(&self, macs: &mut MacCounter) -> [[usize; 2]; 2] {
        macs.conv(&self.conv1.0);
        let mut shown = macs.size();
        for (row, blocks) in self.blocks.iter().enumerate() {
            if row == SHOWN.0 {
                shown = macs.size();
            }
            for block in blocks {
                block.count(macs);
            }
        }
        macs.conv(&self.conv2.0);
        [shown, macs.size()]
    }

    /// torchvision's name of a path of this module: its blocks are in two lists, of which the first ends with the
    /// expansion of the block that begins the second.
    pub fn reference_key(&self, path: &str) -> String {
        let key = plan::SSDLITE.keys.key(path, &self.blocks);
        let mut parts = key.splitn(3, '.').skip(1);
        let number: usize = parts
            .next()
            .and_then(|n| n.parse().ok())
            .unwrap_or_default();
        let rest = parts.next().unwrap_or_default();
        let (_, before) = SHOWN;
        match number.checked_sub(before + 1) {
            None => format!("features.0.{number}.{rest}"),
            Some(0) => match rest.strip_prefix("block.0.") {
                Some(expansion) => format!("features.0.{number}.{expansion}"),
                None => format!("features.1.0.{}", rest.trim_start_matches("block.")),
            },
            Some(place) => format!("features.1.{place}.{rest}"),
        }
    }
}
