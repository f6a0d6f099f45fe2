//! Classifiers without their classifier, of whose maps detectors are made.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};
use kd_kernels::layers::BatchNorm;

use crate::architecture::Architecture;
use crate::fused::conv_bn_relu;
use crate::layers::stem_pool;
use crate::macs::MacCounter;
use crate::mobilenet::MobileNetBody;
use crate::residual::ResidualBlock;
use crate::resnet::{Block, ResNet, ResNetConfig};
use crate::scale::Scale;

/// A body that shows maps, the largest first.
#[derive(Module, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "there is one of them, and a box is no module"
)]
pub(super) enum Body {
    /// C2 to C5 of a ResNet.
    ResNet(ResNetBody),
    MobileNet(MobileNetBody),
}

impl Body {
    /// A ResNet with so many blocks in each stage.
    pub fn resnet(blocks: [usize; 4], bottleneck: bool, divisor: usize, device: &Device) -> Self {
        let config = ResNetConfig {
            blocks,
            bottleneck,
            divisor,
            scale: Scale::Large,
        };
        Self::ResNet(ResNetBody::new(&config, device))
    }

    /// The same with another epsilon in its normalisations.
    pub fn with_epsilon(mut self, epsilon: f64) -> Self {
        let norms: Vec<&mut BatchNorm> = match &mut self {
            Self::ResNet(body) => body.norms().collect(),
            Self::MobileNet(body) => body.norms().collect(),
        };
        for norm in norms {
            norm.epsilon = epsilon;
        }
        self
    }

    /// Channels of the maps.
    pub fn widths(&self) -> Vec<usize> {
        match self {
            Self::ResNet(body) => body.widths().into(),
            Self::MobileNet(body) => body.widths(),
        }
    }

    pub fn forward(&self, images: Tensor<4>) -> Vec<Tensor<4>> {
        match self {
            Self::ResNet(body) => body.forward(images),
            Self::MobileNet(body) => body.forward(images),
        }
    }

    /// Counts multiply-accumulates; the sizes of the maps.
    pub fn count(&self, macs: &mut MacCounter) -> Vec<[usize; 2]> {
        match self {
            Self::ResNet(body) => body.count(macs).into(),
            Self::MobileNet(body) => body.count(macs),
        }
    }

    /// torchvision's name of a path of this module, without what stands before it.
    pub fn reference_key(&self, path: &str) -> String {
        match self {
            Self::ResNet(_) => {
                let own = path.trim_start_matches("ResNet.");
                own.replace(".shortcut.", ".downsample.")
            }
            Self::MobileNet(body) => body.reference_key(path.trim_start_matches("MobileNet.")),
        }
    }
}

#[derive(Module, Debug)]
pub(super) struct ResNetBody {
    conv1: Conv2d,
    bn1: BatchNorm,
    layer1: Vec<Block>,
    layer2: Vec<Block>,
    layer3: Vec<Block>,
    layer4: Vec<Block>,
}

impl ResNetBody {
    fn new(config: &ResNetConfig, device: &Device) -> Self {
        // The classifier, which is left behind, is never drawn.
        let (conv1, bn1, [layer1, layer2, layer3, layer4]) =
            ResNet::new(config, 3, 1, device).into_body();
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

    fn norms(&mut self) -> impl Iterator<Item = &mut BatchNorm> {
        let Self {
            bn1,
            layer1,
            layer2,
            layer3,
            layer4,
            ..
        } = self;
        let stages = [layer1, layer2, layer3, layer4].into_iter().flatten();
        stages.flat_map(Block::norms).chain([bn1])
    }

    fn widths(&self) -> [usize; 4] {
        self.layers().map(|blocks| blocks[0].outputs())
    }

    fn forward(&self, images: Tensor<4>) -> Vec<Tensor<4>> {
        let mut x = stem_pool(conv_bn_relu(&self.conv1, &self.bn1, images));
        let stages = self.layers().into_iter().map(|blocks| {
            for block in blocks {
                x = block.forward(x.clone(), true);
            }
            x.clone()
        });
        stages.collect()
    }

    fn count(&self, macs: &mut MacCounter) -> [[usize; 2]; 4] {
        macs.conv(&self.conv1).stem_pool();
        self.layers().map(|blocks| {
            for block in blocks {
                block.count(macs);
            }
            macs.size()
        })
    }
}
