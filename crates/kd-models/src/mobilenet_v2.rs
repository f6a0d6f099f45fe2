//! MobileNetV2 for small images: half width, expansion 6 (Sandler et al., CVPR 2018).

use burn::module::Module;
use burn::nn::Linear;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};
use kd_core::{Output, Taps};
use kd_kernels::layers::BatchNorm;

use crate::architecture::{Architecture, Named};
use crate::backbone::{Backbone, Recorder};
use crate::fused::{conv_bn, conv_bn_relu};
use crate::layers::{Conv, ConvInit, linear_normal};
use crate::macs::MacCounter;
use crate::residual;

const INIT: ConvInit = ConvInit::FanOut;
/// Channels of the stem.
const STEM: usize = 16;
/// Width of the embedding.
const LAST: usize = 1280;
/// Expansion, output channels, blocks and first stride of each stage.
const STAGES: [(usize, usize, usize, usize); 7] = [
    (1, 8, 1, 1),
    (6, 12, 2, 1),
    (6, 16, 3, 2),
    (6, 32, 4, 2),
    (6, 48, 3, 1),
    (6, 80, 3, 2),
    (6, 160, 1, 1),
];
/// Stages whose output is a level.
const LEVELS: [usize; 4] = [1, 2, 4, 6];

/// Expansion, depthwise convolution and linear projection.
#[derive(Module, Debug)]
struct InvertedResidual {
    expand: Conv2d,
    expand_bn: BatchNorm,
    depthwise: Conv2d,
    depthwise_bn: BatchNorm,
    project: Conv2d,
    project_bn: BatchNorm,
    #[module(skip)]
    residual: bool,
}

impl InvertedResidual {
    fn new(channels: [usize; 2], stride: usize, expansion: usize, device: &Device) -> Self {
        let [inputs, outputs] = channels;
        let hidden = inputs * expansion;
        Self {
            expand: Conv::k1([inputs, hidden], 1, INIT).build(device),
            expand_bn: BatchNorm::new(hidden, device),
            depthwise: Conv::depthwise(hidden, stride, INIT).build(device),
            depthwise_bn: BatchNorm::new(hidden, device),
            project: Conv::k1([hidden, outputs], 1, INIT).build(device),
            project_bn: BatchNorm::new(outputs, device),
            residual: stride == 1 && inputs == outputs,
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let hidden = conv_bn_relu(&self.expand, &self.expand_bn, x.clone());
        let hidden = conv_bn_relu(&self.depthwise, &self.depthwise_bn, hidden);
        let shortcut = self.residual.then_some(x);
        conv_bn(&self.project, &self.project_bn, hidden, shortcut, false)
    }
}

/// MobileNetV2 with ReLU, a stem of stride 2 and no dropout.
///
/// Levels: the stem after its ReLU (in both lists), then the outputs of the second, third, fifth
/// and seventh stage. A stage ends in a linear bottleneck, without activation: its map before the
/// activation is that same map. The reference offers none before the activation at all.
#[derive(Module, Debug)]
pub(crate) struct MobileNetV2 {
    conv1: (Conv2d, BatchNorm),
    blocks: Vec<Vec<InvertedResidual>>,
    conv2: (Conv2d, BatchNorm),
    classifier: Vec<Linear>,
}

impl Backbone for MobileNetV2 {
    type Input = Tensor<4>;

    fn forward(&self, input: Tensor<4>, taps: &Taps) -> Output {
        let mut x = conv_bn_relu(&self.conv1.0, &self.conv1.1, input);
        let mut recorder = Recorder::new(taps, &x);
        for (index, stage) in self.blocks.iter().enumerate() {
            for block in stage {
                x = block.forward(x);
            }
            if LEVELS.contains(&index) {
                recorder.stage(&x, Some(x.clone()));
            }
        }
        let x = conv_bn_relu(&self.conv2.0, &self.conv2.1, x);
        recorder.finish(x, &self.classifier[0])
    }
}

impl Architecture for MobileNetV2 {
    type Config = ();

    const MODELS: &'static [Named<Self::Config>] = &[Named {
        name: "mobilenet_v2",
        aliases: &["MobileNetV2", "mobile_half"],
        family: "MobileNetV2 (width 0.5)",
        reference: "Sandler et al., CVPR 2018",
        config: (),
    }];

    fn new((): &(), channels: usize, classes: usize, device: &Device) -> Self {
        let mut inputs = STEM;
        let blocks = STAGES
            .iter()
            .map(|&(expansion, outputs, blocks, first_stride)| {
                let from = std::mem::replace(&mut inputs, outputs);
                residual::stage(blocks, [from, outputs], first_stride, |channels, stride| {
                    InvertedResidual::new(channels, stride, expansion, device)
                })
            })
            .collect();
        Self {
            conv1: (
                Conv::k3([channels, STEM], 2, INIT).build(device),
                BatchNorm::new(STEM, device),
            ),
            blocks,
            conv2: (
                Conv::k1([inputs, LAST], 1, INIT).build(device),
                BatchNorm::new(LAST, device),
            ),
            // A list of one, as the reference's keys have it.
            classifier: vec![linear_normal(LAST, classes, 0.01, device)],
        }
    }

    fn count(&self, macs: &mut MacCounter) {
        macs.conv(&self.conv1.0);
        for block in self.blocks.iter().flatten() {
            macs.conv(&block.expand)
                .conv(&block.depthwise)
                .conv(&block.project);
        }
        macs.conv(&self.conv2.0);
        for layer in &self.classifier {
            macs.linear(layer);
        }
    }

    fn pytorch_key(&self, path: &str) -> String {
        const PLACES: [(&str, &str); 6] = [
            (".expand.", ".conv.0."),
            (".expand_bn.", ".conv.1."),
            (".depthwise.", ".conv.3."),
            (".depthwise_bn.", ".conv.4."),
            (".project.", ".conv.6."),
            (".project_bn.", ".conv.7."),
        ];
        PLACES
            .iter()
            .fold(path.to_owned(), |key, (from, to)| key.replace(from, to))
    }
}
