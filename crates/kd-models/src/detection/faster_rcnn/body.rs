//! A ResNet without its classifier.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};
use kd_kernels::layers::BatchNorm;

use super::FasterRcnnBody;
use crate::architecture::Architecture;
use crate::fused::conv_bn_relu;
use crate::layers::stem_pool;
use crate::macs::MacCounter;
use crate::residual::ResidualBlock;
use crate::resnet::{Block, ResNet, ResNetConfig};
use crate::scale::Scale;

#[derive(Module, Debug)]
pub(super) struct Body {
    conv1: Conv2d,
    bn1: BatchNorm,
    layer1: Vec<Block>,
    layer2: Vec<Block>,
    layer3: Vec<Block>,
    layer4: Vec<Block>,
}

impl Body {
    pub fn new(body: FasterRcnnBody, device: &Device) -> Self {
        let (blocks, bottleneck) = match body {
            FasterRcnnBody::ResNet18 => ([2, 2, 2, 2], false),
            FasterRcnnBody::ResNet50 => ([3, 4, 6, 3], true),
        };
        let config = ResNetConfig {
            blocks,
            bottleneck,
            scale: Scale::Large,
        };
        // The classifier, which is left behind, is never drawn.
        let (conv1, bn1, [layer1, layer2, layer3, layer4]) =
            ResNet::new(&config, 3, 1, device).into_body();
        Self {
            conv1,
            bn1,
            layer1,
            layer2,
            layer3,
            layer4,
        }
    }

    fn layers(&self) -> [&[Block]; 4] {
        [&self.layer1, &self.layer2, &self.layer3, &self.layer4]
    }

    /// Channels of the stages' maps.
    pub fn widths(&self) -> [usize; 4] {
        self.layers().map(|blocks| blocks[0].outputs())
    }

    pub fn forward(&self, images: Tensor<4>) -> Vec<Tensor<4>> {
        let mut x = stem_pool(conv_bn_relu(&self.conv1, &self.bn1, images));
        let stages = self.layers().into_iter().map(|blocks| {
            for block in blocks {
                x = block.forward(x.clone(), true);
            }
            x.clone()
        });
        stages.collect()
    }

    /// Counts multiply-accumulates; the sizes of the stages' maps.
    pub fn count(&self, macs: &mut MacCounter) -> [[usize; 2]; 4] {
        macs.conv(&self.conv1).stem_pool();
        self.layers().map(|blocks| {
            for block in blocks {
                block.count(macs);
            }
            macs.size()
        })
    }
}
