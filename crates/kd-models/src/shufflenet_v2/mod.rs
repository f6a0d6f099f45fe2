//! ShuffleNetV2, for small and for large images (Ma et al., ECCV 2018).

mod stage;

use burn::module::Module;
use burn::nn::Linear;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};
use kd_core::{Output, Taps};
use kd_kernels::layers::BatchNorm;

use self::stage::{INIT, Stage};
use crate::architecture::{Architecture, Named, torchvision};
use crate::backbone::{Backbone, Recorder};
use crate::fused::conv_bn_relu;
use crate::layers::{Conv, linear, stem_pool};
use crate::macs::MacCounter;
use crate::scale::Scale;

/// Channels of the stem.
const STEM: usize = 24;
/// Units of each stage after the one that halves the size.
const UNITS: [usize; 3] = [3, 7, 3];

/// The plan of a [`ShuffleNetV2`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShuffleNetV2Config {
    /// Output channels of each stage.
    pub widths: [usize; 3],
    /// Width of the embedding.
    pub last: usize,
    /// Which images it is for: the stem is a 1×1 convolution for small ones, and a 3×3 convolution and a pooling,
    /// each of stride 2, for large ones.
    pub scale: Scale,
}

/// ShuffleNetV2.
///
/// Levels: the stem after its ReLU and its pooling (in both lists), then the output of each stage. Before
/// the activation a stage's channels stand as they were concatenated, not shuffled, as in the
/// reference for small images. The embedding is wider than the last map: a 1×1 convolution stands between them.
#[derive(Module, Debug)]
pub(crate) struct ShuffleNetV2 {
    conv1: Conv2d,
    bn1: BatchNorm,
    stages: Vec<Stage>,
    conv2: Conv2d,
    bn2: BatchNorm,
    linear: Linear,
    #[module(skip)]
    scale: Scale,
}

const fn large(
    (name, aliases): (&'static str, &'static [&'static str]),
    widths: [usize; 3],
    last: usize,
) -> Named<ShuffleNetV2Config> {
    Named {
        name,
        aliases,
        family: "ShuffleNetV2",
        reference: "Ma et al., ECCV 2018",
        config: ShuffleNetV2Config {
            widths,
            last,
            scale: Scale::Large,
        },
    }
}

/// What torchvision calls the layers of a unit that halves the size, in their order; another unit has only the
/// second branch.
const BRANCHES: [&str; 10] = [
    "branch1.0",
    "branch1.1",
    "branch1.2",
    "branch1.3",
    "branch2.0",
    "branch2.1",
    "branch2.3",
    "branch2.4",
    "branch2.5",
    "branch2.6",
];

/// The place of `conv1`, `bn1`, `conv2`, ... among a unit's layers.
fn place(layer: &str) -> Option<usize> {
    let (number, after) = match layer.strip_prefix("conv") {
        Some(number) => (number, 0),
        None => (layer.strip_prefix("bn")?, 1),
    };
    let number = number.parse::<usize>().ok()?;
    Some(2 * number.checked_sub(1)? + after)
}

impl Backbone for ShuffleNetV2 {
    type Input = Tensor<4>;

    fn forward(&self, input: Tensor<4>, taps: &Taps) -> Output {
        let x = conv_bn_relu(&self.conv1, &self.bn1, input);
        let mut x = match self.scale {
            Scale::Small => x,
            Scale::Large => stem_pool(x),
        };
        let mut recorder = Recorder::new(taps, &x);
        for stage in &self.stages {
            let (map, preact) = stage.forward(x, recorder.wants_preact());
            recorder.stage(&map, preact);
            x = map;
        }
        let x = conv_bn_relu(&self.conv2, &self.bn2, x);
        recorder.finish(x, &self.linear)
    }
}

impl Architecture for ShuffleNetV2 {
    type Config = ShuffleNetV2Config;

    const MODELS: &'static [Named<Self::Config>] = &[
        Named {
            name: "shufflenet_v2",
            aliases: &["ShuffleV2", "ShuffleNetV2"],
            family: "ShuffleNetV2",
            reference: "Ma et al., ECCV 2018",
            config: ShuffleNetV2Config {
                widths: [116, 232, 464],
                last: 1024,
                scale: Scale::Small,
            },
        },
        large(torchvision!("shufflenet_v2_x0_5"), [48, 96, 192], 1024),
        large(torchvision!("shufflenet_v2_x1_0"), [116, 232, 464], 1024),
        large(torchvision!("shufflenet_v2_x1_5"), [176, 352, 704], 1024),
        large(torchvision!("shufflenet_v2_x2_0"), [244, 488, 976], 2048),
    ];

    fn image_size(config: &ShuffleNetV2Config) -> usize {
        config.scale.image_size()
    }

    fn new(config: &ShuffleNetV2Config, channels: usize, classes: usize, device: &Device) -> Self {
        let ShuffleNetV2Config {
            widths,
            last,
            scale,
        } = *config;
        let mut inputs = STEM;
        let stages = widths
            .into_iter()
            .zip(UNITS)
            .map(|(outputs, units)| {
                let from = std::mem::replace(&mut inputs, outputs);
                Stage::new(from, outputs, units, device)
            })
            .collect();
        let stem = match scale {
            Scale::Small => Conv::k1([channels, STEM], 1, INIT),
            Scale::Large => Conv::k3([channels, STEM], 2, INIT),
        };
        Self {
            conv1: stem.build(device),
            bn1: BatchNorm::new(STEM, device),
            stages,
            conv2: Conv::k1([inputs, last], 1, INIT).build(device),
            bn2: BatchNorm::new(last, device),
            linear: linear(last, classes, device),
            scale,
        }
    }

    fn count(&self, macs: &mut MacCounter) {
        macs.conv(&self.conv1);
        if self.scale == Scale::Large {
            macs.stem_pool();
        }
        for stage in &self.stages {
            stage.count(macs);
        }
        macs.conv(&self.conv2).linear(&self.linear);
    }

    /// In the references a stage is one list: the unit that halves the size, then the others.
    fn pytorch_key(&self, path: &str) -> String {
        let parts: Vec<&str> = path.split('.').collect();
        let index = |text: &str| text.parse::<usize>().unwrap_or_default();
        let (stage, unit, branches, layer, last) = match parts[..] {
            ["stages", stage, "down", layer, last] => (index(stage), 0, &BRANCHES[..], layer, last),
            ["stages", stage, "units", unit, layer, last] => {
                (index(stage), index(unit) + 1, &BRANCHES[4..], layer, last)
            }
            [layer, last] if self.scale == Scale::Large => {
                let layer = match layer {
                    "conv1" => "conv1.0",
                    "bn1" => "conv1.1",
                    "conv2" => "conv5.0",
                    "bn2" => "conv5.1",
                    "linear" => "fc",
                    other => other,
                };
                return format!("{layer}.{last}");
            }
            _ => return path.to_owned(),
        };
        match (self.scale, place(layer)) {
            (Scale::Large, Some(place)) => {
                format!("stage{}.{unit}.{}.{last}", stage + 2, branches[place])
            }
            _ => format!("layer{}.{unit}.{layer}.{last}", stage + 1),
        }
    }
}
