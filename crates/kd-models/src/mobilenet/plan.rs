//! What distinguishes the networks of inverted residual blocks, as tables.

use burn::tensor::Device;
use kd_kernels::layers::BatchNorm;

use super::keys::Keys;
use crate::activation::Activation::{self, HardSigmoid, HardSwish, Relu, Relu6, Sigmoid, Silu};
use crate::scale::Scale;

/// A network.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Which images it is for.
    pub scale: Scale,
    /// Channels of the stem.
    pub stem: usize,
    /// The blocks.
    pub rows: &'static [Row],
    /// Channels of the last convolution.
    pub last: usize,
    /// Width of the hidden layer between the average and the classifier, if there is one.
    pub hidden: Option<usize>,
    /// What follows the stem, the last convolution and the hidden layer.
    pub activation: Activation,
    /// Epsilon and momentum of all normalisations.
    pub norm: [f64; 2],
    /// Probability of dropout before the classifier.
    pub dropout: f64,
    /// Probability that a block's branch is left out: it rises from 0 at the first block to this share behind the
    /// last one.
    pub stochastic_depth: f64,
    /// How the classifier is drawn.
    pub classifier: ClassifierInit,
    /// What the reference calls the layers.
    pub keys: Keys,
}

impl Plan {
    /// A normalisation of this network.
    pub fn norm(&self, channels: usize, device: &Device) -> BatchNorm {
        let [epsilon, momentum] = self.norm;
        let norm = BatchNorm::new(channels, device);
        norm.with_epsilon(epsilon).with_momentum(momentum)
    }
}

/// Blocks of equal width, of which the first may change the size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub expand: Expand,
    pub kernel: usize,
    pub outputs: usize,
    pub blocks: usize,
    pub stride: usize,
    pub squeeze: Option<Gate>,
    pub activation: Activation,
    /// Whether its output is a level.
    pub level: bool,
}

/// Channels in the middle of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expand {
    /// As many as come in, without a convolution.
    No,
    /// So many times those that come in.
    By(usize),
    /// So many.
    To(usize),
}

impl Expand {
    /// Channels in the middle, for those that come in.
    pub fn width(self, inputs: usize) -> usize {
        match self {
            Self::No => inputs,
            Self::By(factor) => factor * inputs,
            Self::To(width) => width,
        }
    }
}

/// How squeeze and excitation scales channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// ReLU and hard sigmoid; a quarter of the channels in the middle, in eights (MobileNetV3).
    Hard,
    /// SiLU and sigmoid; a quarter of the channels that come in (EfficientNet).
    Smooth,
}

impl Gate {
    /// What follows each of the two layers.
    pub fn activations(self) -> [Activation; 2] {
        match self {
            Self::Hard => [Relu, HardSigmoid],
            Self::Smooth => [Silu, Sigmoid],
        }
    }

    /// Channels between the two layers.
    pub fn squeezed(self, inputs: usize, hidden: usize) -> usize {
        match self {
            Self::Hard => in_eights(hidden / 4),
            Self::Smooth => (inputs / 4).max(1),
        }
    }
}

/// The multiple of 8 that is nearest, but not below nine tenths.
fn in_eights(channels: usize) -> usize {
    let nearest = (channels + 4) / 8 * 8;
    match nearest.max(8) {
        below if 10 * below < 9 * channels => below + 8,
        fine => fine,
    }
}

/// How the classifier is drawn; its bias is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClassifierInit {
    /// Normal, standard deviation 0.01.
    Normal,
    /// Uniform within `1 / sqrt(classes)`.
    Uniform,
}

impl Row {
    const fn new(
        activation: Activation,
        expand: Expand,
        kernel: usize,
        outputs: usize,
        blocks: usize,
        stride: usize,
    ) -> Self {
        Self {
            expand,
            kernel,
            outputs,
            blocks,
            stride,
            squeeze: None,
            activation,
            level: false,
        }
    }

    const fn squeezing(self, gate: Gate) -> Self {
        Self {
            squeeze: Some(gate),
            ..self
        }
    }

    const fn level(self) -> Self {
        Self {
            level: true,
            ..self
        }
    }
}

/// As the literature of distillation has it: half width, ReLU, strides for 32×32, no dropout.
pub(super) static MOBILENET_V2_HALF: Plan = Plan {
    scale: Scale::Small,
    stem: 16,
    rows: &[
        Row::new(Relu, Expand::By(1), 3, 8, 1, 1),
        Row::new(Relu, Expand::By(6), 3, 12, 2, 1).level(),
        Row::new(Relu, Expand::By(6), 3, 16, 3, 2).level(),
        Row::new(Relu, Expand::By(6), 3, 32, 4, 2),
        Row::new(Relu, Expand::By(6), 3, 48, 3, 1).level(),
        Row::new(Relu, Expand::By(6), 3, 80, 3, 2),
        Row::new(Relu, Expand::By(6), 3, 160, 1, 1).level(),
    ],
    last: 1280,
    hidden: None,
    activation: Relu,
    norm: [1e-5, 0.1],
    dropout: 0.0,
    stochastic_depth: 0.0,
    classifier: ClassifierInit::Normal,
    keys: Keys::Mdistiller,
};

pub(super) static MOBILENET_V2: Plan = Plan {
    scale: Scale::Large,
    stem: 32,
    rows: &[
        Row::new(Relu6, Expand::No, 3, 16, 1, 1),
        Row::new(Relu6, Expand::By(6), 3, 24, 2, 2).level(),
        Row::new(Relu6, Expand::By(6), 3, 32, 3, 2).level(),
        Row::new(Relu6, Expand::By(6), 3, 64, 4, 2),
        Row::new(Relu6, Expand::By(6), 3, 96, 3, 1).level(),
        Row::new(Relu6, Expand::By(6), 3, 160, 3, 2),
        Row::new(Relu6, Expand::By(6), 3, 320, 1, 1).level(),
    ],
    activation: Relu6,
    dropout: 0.2,
    keys: Keys::MobileNetV2,
    ..MOBILENET_V2_HALF
};

const V3: Plan = Plan {
    scale: Scale::Large,
    stem: 16,
    rows: &[],
    last: 0,
    hidden: None,
    activation: HardSwish,
    norm: [1e-3, 0.01],
    dropout: 0.2,
    stochastic_depth: 0.0,
    classifier: ClassifierInit::Normal,
    keys: Keys::MobileNetV3,
};

pub(super) static MOBILENET_V3_SMALL: Plan = Plan {
    rows: &[
        Row::new(Relu, Expand::No, 3, 16, 1, 2)
            .squeezing(Gate::Hard)
            .level(),
        Row::new(Relu, Expand::To(72), 3, 24, 1, 2),
        Row::new(Relu, Expand::To(88), 3, 24, 1, 1).level(),
        Row::new(HardSwish, Expand::To(96), 5, 40, 1, 2).squeezing(Gate::Hard),
        Row::new(HardSwish, Expand::To(240), 5, 40, 2, 1).squeezing(Gate::Hard),
        Row::new(HardSwish, Expand::To(120), 5, 48, 1, 1).squeezing(Gate::Hard),
        Row::new(HardSwish, Expand::To(144), 5, 48, 1, 1)
            .squeezing(Gate::Hard)
            .level(),
        Row::new(HardSwish, Expand::To(288), 5, 96, 1, 2).squeezing(Gate::Hard),
        Row::new(HardSwish, Expand::To(576), 5, 96, 2, 1)
            .squeezing(Gate::Hard)
            .level(),
    ],
    last: 576,
    hidden: Some(1024),
    ..V3
};

const LARGE: Plan = Plan {
    rows: &[
        Row::new(Relu, Expand::No, 3, 16, 1, 1),
        Row::new(Relu, Expand::To(64), 3, 24, 1, 2),
        Row::new(Relu, Expand::To(72), 3, 24, 1, 1).level(),
        Row::new(Relu, Expand::To(72), 5, 40, 1, 2).squeezing(Gate::Hard),
        Row::new(Relu, Expand::To(120), 5, 40, 2, 1)
            .squeezing(Gate::Hard)
            .level(),
        Row::new(HardSwish, Expand::To(240), 3, 80, 1, 2),
        Row::new(HardSwish, Expand::To(200), 3, 80, 1, 1),
        Row::new(HardSwish, Expand::To(184), 3, 80, 2, 1),
        Row::new(HardSwish, Expand::To(480), 3, 112, 1, 1).squeezing(Gate::Hard),
        Row::new(HardSwish, Expand::To(672), 3, 112, 1, 1)
            .squeezing(Gate::Hard)
            .level(),
        Row::new(HardSwish, Expand::To(672), 5, 160, 1, 2).squeezing(Gate::Hard),
        Row::new(HardSwish, Expand::To(960), 5, 160, 2, 1)
            .squeezing(Gate::Hard)
            .level(),
    ],
    last: 960,
    hidden: Some(1280),
    ..V3
};

pub(super) static MOBILENET_V3_LARGE: Plan = LARGE;

/// MobileNetV3 large as the body of a pyramid, where torchvision builds its normalisations by their defaults.
pub(super) static V3_PYRAMID: Plan = Plan {
    norm: [1e-5, 0.1],
    ..LARGE
};

/// MobileNetV3 large as the body of SSDLite: half as wide behind the last level, where maps are small.
pub(super) static SSDLITE: Plan = Plan {
    rows: &[
        Row::new(Relu, Expand::No, 3, 16, 1, 1),
        Row::new(Relu, Expand::To(64), 3, 24, 1, 2),
        Row::new(Relu, Expand::To(72), 3, 24, 1, 1),
        Row::new(Relu, Expand::To(72), 5, 40, 1, 2).squeezing(Gate::Hard),
        Row::new(Relu, Expand::To(120), 5, 40, 2, 1).squeezing(Gate::Hard),
        Row::new(HardSwish, Expand::To(240), 3, 80, 1, 2),
        Row::new(HardSwish, Expand::To(200), 3, 80, 1, 1),
        Row::new(HardSwish, Expand::To(184), 3, 80, 2, 1),
        Row::new(HardSwish, Expand::To(480), 3, 112, 1, 1).squeezing(Gate::Hard),
        Row::new(HardSwish, Expand::To(672), 3, 112, 1, 1).squeezing(Gate::Hard),
        Row::new(HardSwish, Expand::To(672), 5, 80, 1, 2).squeezing(Gate::Hard),
        Row::new(HardSwish, Expand::To(480), 5, 80, 2, 1).squeezing(Gate::Hard),
    ],
    last: 480,
    norm: [1e-3, 0.03],
    ..V3
};

const fn smooth(
    expand: Expand,
    kernel: usize,
    outputs: usize,
    blocks: usize,
    stride: usize,
) -> Row {
    Row::new(Silu, expand, kernel, outputs, blocks, stride).squeezing(Gate::Smooth)
}

pub(super) static EFFICIENTNET_B0: Plan = Plan {
    scale: Scale::Large,
    stem: 32,
    rows: &[
        smooth(Expand::No, 3, 16, 1, 1),
        smooth(Expand::By(6), 3, 24, 2, 2).level(),
        smooth(Expand::By(6), 5, 40, 2, 2).level(),
        smooth(Expand::By(6), 3, 80, 3, 2),
        smooth(Expand::By(6), 5, 112, 3, 1).level(),
        smooth(Expand::By(6), 5, 192, 4, 2),
        smooth(Expand::By(6), 3, 320, 1, 1).level(),
    ],
    last: 1280,
    hidden: None,
    activation: Silu,
    norm: [1e-5, 0.1],
    dropout: 0.2,
    stochastic_depth: 0.2,
    classifier: ClassifierInit::Uniform,
    keys: Keys::EfficientNet,
};
