//! ShuffleNetV2 for small images, width 1 (Ma et al., ECCV 2018).

use burn::module::Module;
use burn::nn::Linear;
use burn::nn::conv::Conv2d;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use kd_core::{Output, Taps};
use kd_kernels::layers::BatchNorm;
use kd_kernels::{channels, interleave};

use crate::architecture::{Architecture, Named};
use crate::backbone::{Backbone, Recorder};
use crate::fused::{conv_bn, conv_bn_relu};
use crate::layers::{Conv, ConvInit, linear};
use crate::macs::MacCounter;

const INIT: ConvInit = ConvInit::Default;
const STEM: usize = 24;
/// Output channels of each stage, and units after the one that halves the size.
const STAGES: [(usize, usize); 3] = [(116, 3), (232, 7), (464, 3)];
/// Width of the embedding.
const LAST: usize = 1024;

/// Transforms one half of the channels and keeps the other.
#[derive(Module, Debug)]
struct Unit {
    conv1: Conv2d,
    bn1: BatchNorm,
    conv2: Conv2d,
    bn2: BatchNorm,
    conv3: Conv2d,
    bn3: BatchNorm,
}

impl Unit {
    fn new(channels: usize, device: &Device) -> Self {
        let half = channels / 2;
        Self {
            conv1: Conv::k1([half, half], 1, INIT).build(device),
            bn1: BatchNorm::new(half, device),
            conv2: Conv::depthwise(half, 1, INIT).build(device),
            bn2: BatchNorm::new(half, device),
            conv3: Conv::k1([half, half], 1, INIT).build(device),
            bn3: BatchNorm::new(half, device),
        }
    }

    /// The kept half, and the other after its last activation when `relu`, before it otherwise.
    fn halves(&self, x: Tensor<4>, relu: bool) -> [Tensor<4>; 2] {
        let half = x.dims()[1] / 2;
        let kept = channels(x.clone(), 0, half);
        let hidden = channels(x, half, half);
        let hidden = conv_bn_relu(&self.conv1, &self.bn1, hidden);
        let hidden = conv_bn(&self.conv2, &self.bn2, hidden, None, false);
        [kept, conv_bn(&self.conv3, &self.bn3, hidden, None, relu)]
    }
}

/// Halves the size on two branches of all channels.
#[derive(Module, Debug)]
struct DownUnit {
    conv1: Conv2d,
    bn1: BatchNorm,
    conv2: Conv2d,
    bn2: BatchNorm,
    conv3: Conv2d,
    bn3: BatchNorm,
    conv4: Conv2d,
    bn4: BatchNorm,
    conv5: Conv2d,
    bn5: BatchNorm,
}

impl DownUnit {
    fn new(inputs: usize, outputs: usize, device: &Device) -> Self {
        let half = outputs / 2;
        Self {
            conv1: Conv::depthwise(inputs, 2, INIT).build(device),
            bn1: BatchNorm::new(inputs, device),
            conv2: Conv::k1([inputs, half], 1, INIT).build(device),
            bn2: BatchNorm::new(half, device),
            conv3: Conv::k1([inputs, half], 1, INIT).build(device),
            bn3: BatchNorm::new(half, device),
            conv4: Conv::depthwise(half, 2, INIT).build(device),
            bn4: BatchNorm::new(half, device),
            conv5: Conv::k1([half, half], 1, INIT).build(device),
            bn5: BatchNorm::new(half, device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let left = conv_bn(&self.conv1, &self.bn1, x.clone(), None, false);
        let left = conv_bn_relu(&self.conv2, &self.bn2, left);
        let right = conv_bn_relu(&self.conv3, &self.bn3, x);
        let right = conv_bn(&self.conv4, &self.bn4, right, None, false);
        let right = conv_bn_relu(&self.conv5, &self.bn5, right);
        interleave(left, right)
    }
}

#[derive(Module, Debug)]
struct Stage {
    down: DownUnit,
    units: Vec<Unit>,
}

impl Stage {
    fn new(inputs: usize, outputs: usize, units: usize, device: &Device) -> Self {
        Self {
            down: DownUnit::new(inputs, outputs, device),
            units: (0..units).map(|_| Unit::new(outputs, device)).collect(),
        }
    }

    /// The output after the last shuffle and, when asked for, the channels before the last
    /// activation, unshuffled.
    fn forward(&self, x: Tensor<4>, preact: bool) -> (Tensor<4>, Option<Tensor<4>>) {
        let mut x = self.down.forward(x);
        for (index, unit) in self.units.iter().enumerate() {
            if preact && index + 1 == self.units.len() {
                let [kept, computed] = unit.halves(x, false);
                let map = interleave(kept.clone(), relu(computed.clone()));
                return (map, Some(Tensor::cat(vec![kept, computed], 1)));
            }
            let [kept, computed] = unit.halves(x, true);
            x = interleave(kept, computed);
        }
        (x, None)
    }

    fn count(&self, macs: &mut MacCounter) {
        let input = macs.size();
        let down = &self.down;
        // The right branch keeps the size until its depthwise convolution.
        macs.branch(input, &down.conv3)
            .branch(input, &down.conv4)
            .conv(&down.conv1)
            .conv(&down.conv2)
            .conv(&down.conv5);
        for unit in &self.units {
            macs.conv(&unit.conv1).conv(&unit.conv2).conv(&unit.conv3);
        }
    }
}

/// ShuffleNetV2 whose stem is a 1×1 convolution, without pooling.
///
/// Levels: the stem after its ReLU (in both lists), then the output of each stage. Before the
/// activation a stage's channels stand as they were concatenated, not shuffled, as in the
/// reference. The embedding is 1024 wide while the last map has 464 channels: a 1×1 convolution
/// stands between them.
#[derive(Module, Debug)]
pub(crate) struct ShuffleNetV2 {
    conv1: Conv2d,
    bn1: BatchNorm,
    stages: Vec<Stage>,
    conv2: Conv2d,
    bn2: BatchNorm,
    linear: Linear,
}

impl Backbone for ShuffleNetV2 {
    type Input = Tensor<4>;

    fn forward(&self, input: Tensor<4>, taps: &Taps) -> Output {
        let mut x = conv_bn_relu(&self.conv1, &self.bn1, input);
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
    type Config = ();

    const MODELS: &'static [Named<Self::Config>] = &[Named {
        name: "shufflenet_v2",
        aliases: &["ShuffleV2", "ShuffleNetV2"],
        family: "ShuffleNetV2 (width 1)",
        reference: "Ma et al., ECCV 2018",
        config: (),
    }];

    fn new((): &(), channels: usize, classes: usize, device: &Device) -> Self {
        let mut inputs = STEM;
        let stages = STAGES
            .iter()
            .map(|&(outputs, units)| {
                let from = std::mem::replace(&mut inputs, outputs);
                Stage::new(from, outputs, units, device)
            })
            .collect();
        Self {
            conv1: Conv::k1([channels, STEM], 1, INIT).build(device),
            bn1: BatchNorm::new(STEM, device),
            stages,
            conv2: Conv::k1([inputs, LAST], 1, INIT).build(device),
            bn2: BatchNorm::new(LAST, device),
            linear: linear(LAST, classes, device),
        }
    }

    fn count(&self, macs: &mut MacCounter) {
        macs.conv(&self.conv1);
        for stage in &self.stages {
            stage.count(macs);
        }
        macs.conv(&self.conv2).linear(&self.linear);
    }

    /// In the reference a stage is one list, `layer1` to `layer3`: the unit that halves the size,
    /// then the others.
    fn pytorch_key(&self, path: &str) -> String {
        let parts: Vec<&str> = path.split('.').collect();
        let after = |index: &str| index.parse::<usize>().map_or(0, |index| index + 1);
        match parts[..] {
            ["stages", stage, "down", ref rest @ ..] => {
                format!("layer{}.0.{}", after(stage), rest.join("."))
            }
            ["stages", stage, "units", unit, ref rest @ ..] => {
                format!("layer{}.{}.{}", after(stage), after(unit), rest.join("."))
            }
            _ => path.to_owned(),
        }
    }
}
