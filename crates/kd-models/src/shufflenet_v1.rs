//! ShuffleNet for small images, three groups (Zhang et al., CVPR 2018).

use burn::module::Module;
use burn::nn::Linear;
use burn::nn::conv::Conv2d;
use burn::tensor::module::avg_pool2d;
use burn::tensor::ops::AvgPoolOptions;
use burn::tensor::{Device, Tensor};
use kd_core::{Output, Taps};
use kd_kernels::layers::BatchNorm;

use crate::architecture::{Architecture, Named};
use crate::backbone::{Backbone, Recorder};
use crate::fused::{conv_bn, conv_bn_relu};
use crate::layers::{Conv, ConvInit, linear, shuffle_channels};
use crate::macs::MacCounter;
use crate::residual::{self, ResidualBlock};

const INIT: ConvInit = ConvInit::Default;
const GROUPS: usize = 3;
const STEM: usize = 24;
/// Output channels and units of each stage.
const STAGES: [(usize, usize); 3] = [(240, 4), (480, 8), (960, 4)];

/// Grouped 1×1, shuffle, depthwise 3×3, grouped 1×1.
#[derive(Module, Debug)]
struct Unit {
    conv1: Conv2d,
    bn1: BatchNorm,
    conv2: Conv2d,
    bn2: BatchNorm,
    conv3: Conv2d,
    bn3: BatchNorm,
    /// Halves the size and concatenates a pooled input instead of adding the input.
    #[module(skip)]
    down: bool,
}

impl Unit {
    /// A unit that halves the size computes only the channels that its input does not bring.
    fn new([inputs, outputs]: [usize; 2], stride: usize, device: &Device) -> Self {
        let down = stride != 1;
        let computed = if down { outputs - inputs } else { outputs };
        let hidden = computed / 4;
        // The stem's channels are too few to be grouped.
        let first_groups = if inputs == STEM { 1 } else { GROUPS };
        let grouped = |channels, groups| Conv {
            groups,
            ..Conv::k1(channels, 1, INIT)
        };
        Self {
            conv1: grouped([inputs, hidden], first_groups).build(device),
            bn1: BatchNorm::new(hidden, device),
            conv2: Conv::depthwise(hidden, stride, INIT).build(device),
            bn2: BatchNorm::new(hidden, device),
            conv3: grouped([hidden, computed], GROUPS).build(device),
            bn3: BatchNorm::new(computed, device),
            down,
        }
    }
}

impl ResidualBlock for Unit {
    fn forward(&self, x: Tensor<4>, relu: bool) -> Tensor<4> {
        let hidden = conv_bn_relu(&self.conv1, &self.bn1, x.clone());
        let hidden = shuffle_channels(hidden, self.conv1.groups);
        let hidden = conv_bn_relu(&self.conv2, &self.bn2, hidden);
        if self.down {
            // The pooled input is not negative, so one ReLU on the other half is enough.
            let out = conv_bn(&self.conv3, &self.bn3, hidden, None, relu);
            let options = AvgPoolOptions::new([3, 3])
                .with_stride([2, 2])
                .with_padding([1, 1]);
            Tensor::cat(vec![out, avg_pool2d(x, options)], 1)
        } else {
            conv_bn(&self.conv3, &self.bn3, hidden, Some(x), relu)
        }
    }

    fn count(&self, macs: &mut MacCounter) {
        macs.conv(&self.conv1).conv(&self.conv2).conv(&self.conv3);
    }
}

/// ShuffleNet whose stem is a 1×1 convolution, without pooling.
///
/// Levels: the stem after its ReLU (in both lists), then the output of each stage after and before
/// its last ReLU.
#[derive(Module, Debug)]
pub(crate) struct ShuffleNetV1 {
    conv1: Conv2d,
    bn1: BatchNorm,
    layer1: Vec<Unit>,
    layer2: Vec<Unit>,
    layer3: Vec<Unit>,
    linear: Linear,
}

impl ShuffleNetV1 {
    fn stages(&self) -> [&Vec<Unit>; 3] {
        [&self.layer1, &self.layer2, &self.layer3]
    }
}

impl Backbone for ShuffleNetV1 {
    type Input = Tensor<4>;

    fn forward(&self, input: Tensor<4>, taps: &Taps) -> Output {
        let stem = conv_bn_relu(&self.conv1, &self.bn1, input);
        let mut recorder = Recorder::new(taps, &stem);
        let last = residual::run(self.stages(), stem, &mut recorder);
        recorder.finish(last, &self.linear)
    }
}

impl Architecture for ShuffleNetV1 {
    type Config = ();

    const MODELS: &'static [Named<Self::Config>] = &[Named {
        name: "shufflenet_v1",
        aliases: &["ShuffleV1", "ShuffleNetV1"],
        family: "ShuffleNet (3 groups)",
        reference: "Zhang et al., CVPR 2018",
        config: (),
    }];

    fn new((): &(), channels: usize, classes: usize, device: &Device) -> Self {
        let mut inputs = STEM;
        let mut stage = |index: usize| {
            let (outputs, units) = STAGES[index];
            let from = std::mem::replace(&mut inputs, outputs);
            residual::stage(units, [from, outputs], 2, |channels, stride| {
                Unit::new(channels, stride, device)
            })
        };
        Self {
            layer1: stage(0),
            layer2: stage(1),
            layer3: stage(2),
            conv1: Conv::k1([channels, STEM], 1, INIT).build(device),
            bn1: BatchNorm::new(STEM, device),
            linear: linear(STAGES[2].0, classes, device),
        }
    }

    fn count(&self, macs: &mut MacCounter) {
        macs.conv(&self.conv1);
        residual::count(self.stages(), macs);
        macs.linear(&self.linear);
    }
}
