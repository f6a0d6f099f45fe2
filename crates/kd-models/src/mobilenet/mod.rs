//! Networks of inverted residual blocks: MobileNetV2 (Sandler et al., CVPR 2018), MobileNetV3 (Howard et al., ICCV 2019)
//! and EfficientNet (Tan and Le, ICML 2019).

mod block;
mod body;
mod keys;
mod plan;
mod timm;

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::nn::{Dropout, DropoutConfig, Linear};
use burn::tensor::{Device, Tensor};
use kd_core::{Output, Taps};
use kd_kernels::layers::BatchNorm;

use self::block::{INIT, InvertedResidual};
pub(crate) use self::body::{MobileNetBody, MobileNetKind};
use self::keys::Keys;
use self::plan::{ClassifierInit, Plan};
use crate::activation::conv_bn_activated;
use crate::architecture::{Architecture, Named, torchvision};
use crate::backbone::{Backbone, Recorder};
use crate::elsewhere::{self, Elsewhere};
use crate::fused;
use crate::layers::{Conv, global_average, linear_normal, linear_uniform};
use crate::macs::MacCounter;
use crate::spelling::Spelling;
use crate::variant::Variant;
use crate::vit::Origin;

/// A 3×3 convolution of stride 2, stages of inverted residual blocks, a 1×1 convolution, an average, and one or two
/// linear layers.
///
/// Levels: the stem after its activation (in both lists), then the outputs of the rows of blocks that the plan
/// marks, the last ones of their size. A block ends without activation: its map before the activation is that same
/// map. Where there is a hidden layer behind the average, the embedding is what it gives.
#[derive(Module, Debug)]
pub(crate) struct MobileNet {
    conv1: (Conv2d, BatchNorm),
    blocks: Vec<Vec<InvertedResidual>>,
    conv2: (Conv2d, BatchNorm),
    /// None or one: a list, so that the networks without do not carry its size.
    hidden: Vec<Linear>,
    dropout: Dropout,
    classifier: Linear,
    #[module(skip)]
    plan: &'static Plan,
    #[module(skip)]
    variant: Variant,
}

const fn large(
    (name, aliases): (&'static str, &'static [&'static str]),
    family: &'static str,
    reference: &'static str,
    config: &'static Plan,
) -> Named<&'static Plan> {
    Named {
        name,
        aliases,
        family,
        reference,
        config,
    }
}

const fn v3(
    names: (&'static str, &'static [&'static str]),
    config: &'static Plan,
) -> Named<&'static Plan> {
    large(names, "MobileNetV3", "Howard et al., ICCV 2019", config)
}

impl Backbone for MobileNet {
    type Input = Tensor<4>;

    fn forward(&self, input: Tensor<4>, taps: &Taps) -> Output {
        let activation = self.plan.activation;
        let mut x = conv_bn_activated(&self.conv1, input, activation);
        let mut recorder = Recorder::new(taps, &x);
        for (row, blocks) in self.plan.rows.iter().zip(&self.blocks) {
            for block in blocks {
                x = block.forward(x);
            }
            if row.level {
                recorder.stage(&x, Some(x.clone()));
            }
        }
        let x = conv_bn_activated(&self.conv2, x, activation);
        match self.hidden.first() {
            Some(hidden) => {
                let embedding = activation.apply(fused::hidden(hidden, global_average(x)));
                recorder.finish_hidden(embedding, &self.dropout, &self.classifier)
            }
            None => recorder.finish_dropping(x, &self.dropout, &self.classifier),
        }
    }
}

impl Architecture for MobileNet {
    type Config = &'static Plan;

    const MODELS: &'static [Named<Self::Config>] = &[
        Named {
            name: "mobilenet_v2",
            aliases: &["MobileNetV2", "mobile_half"],
            family: "MobileNetV2 (width 0.5)",
            reference: "Sandler et al., CVPR 2018",
            config: &plan::MOBILENET_V2_HALF,
        },
        large(
            torchvision!("mobilenet_v2"),
            "MobileNetV2",
            "Sandler et al., CVPR 2018",
            &plan::MOBILENET_V2,
        ),
        v3(
            torchvision!("mobilenet_v3_small"),
            &plan::MOBILENET_V3_SMALL,
        ),
        v3(
            torchvision!("mobilenet_v3_large"),
            &plan::MOBILENET_V3_LARGE,
        ),
        large(
            torchvision!("efficientnet_b0"),
            "EfficientNet",
            "Tan and Le, ICML 2019",
            &plan::EFFICIENTNET_B0,
        ),
    ];

    fn image_size(plan: &Self::Config) -> usize {
        plan.scale.image_size()
    }

    fn new(plan: &Self::Config, channels: usize, classes: usize, device: &Device) -> Self {
        let plan = *plan;
        let total: usize = plan.rows.iter().map(|row| row.blocks).sum();
        let (mut inputs, mut number) = (plan.stem, 0);
        let mut row = |row: &plan::Row| {
            let mut blocks = Vec::new();
            for index in 0..row.blocks {
                let channels = [std::mem::replace(&mut inputs, row.outputs), row.outputs];
                let stride = if index == 0 { row.stride } else { 1 };
                let left_out = plan.stochastic_depth * number as f64 / total as f64;
                number += 1;
                let block = InvertedResidual::new(plan, row, channels, stride, left_out, device);
                blocks.push(block);
            }
            blocks
        };
        let blocks = plan.rows.iter().map(&mut row).collect();
        let pair = |conv: Conv| (conv.build(device), plan.norm(conv.channels[1], device));
        let width = plan.hidden.unwrap_or(plan.last);
        Self {
            conv1: pair(Conv::k3([channels, plan.stem], 2, INIT)),
            blocks,
            conv2: pair(Conv::k1([inputs, plan.last], 1, INIT)),
            hidden: plan
                .hidden
                .iter()
                .map(|&width| linear_normal(plan.last, width, 0.01, device))
                .collect(),
            dropout: DropoutConfig::new(plan.dropout).init(),
            classifier: match plan.classifier {
                ClassifierInit::Normal => linear_normal(width, classes, 0.01, device),
                ClassifierInit::Uniform => {
                    linear_uniform(width, classes, 1.0 / (classes as f64).sqrt(), device)
                }
            },
            plan,
            variant: Variant::default(),
        }
    }

    fn count(&self, macs: &mut MacCounter) {
        macs.conv(&self.conv1.0);
        for block in self.blocks.iter().flatten() {
            block.count(macs);
        }
        macs.conv(&self.conv2.0);
        for layer in self.hidden.iter().chain([&self.classifier]) {
            macs.linear(layer);
        }
    }

    fn spellings(&self, _: &[String]) -> Vec<Spelling> {
        match self.plan.keys {
            Keys::Mdistiller => Vec::new(),
            _ => vec![Spelling::own(Origin::Torchvision), self.timm()],
        }
    }

    fn norm(&self) -> Option<&BatchNorm> {
        Some(&self.conv1.1)
    }

    fn norms(&mut self) -> Vec<&mut BatchNorm> {
        let blocks = self.blocks.iter_mut().flatten();
        let ends = [&mut self.conv1.1, &mut self.conv2.1];
        blocks
            .flat_map(InvertedResidual::norms)
            .chain(ends)
            .collect()
    }

    fn reference_epsilon(&self) -> f64 {
        self.plan.norm[0]
    }

    fn variant(&self) -> Variant {
        self.variant
    }

    fn set_variant(&mut self, variant: Variant) -> bool {
        let blocks = self.blocks.iter_mut().flatten();
        let strided = blocks.map(|block| &mut block.depthwise.0);
        variant.take(&mut self.variant, strided.chain([&mut self.conv1.0]))
    }

    fn elsewhere(
        &self,
        program: Origin,
        torchvision: Option<&str>,
        _: &[String],
    ) -> Result<Elsewhere, String> {
        match program {
            Origin::Torchvision => elsewhere::of_torchvision(torchvision, self.epsilon()),
            Origin::Timm => self.in_timm(torchvision),
            // Pads as TensorFlow does.
            Origin::HuggingFace => Err(elsewhere::UNKNOWN.into()),
        }
    }

    fn pytorch_key(&self, path: &str) -> String {
        self.plan.keys.key(path, &self.blocks)
    }
}
