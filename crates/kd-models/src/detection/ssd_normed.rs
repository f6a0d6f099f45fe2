//! SSD300 (Liu et al., ECCV 2016) with batch normalisation, on the trunk of a classifier.

use std::path::Path;

use burn::module::{Initializer, Module};
use burn::nn::PaddingConfig2d;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};
use kd_core::detection::{Corners, DefaultBoxes, rows_of_map};
use kd_core::draw;
use kd_kernels::layers::BatchNorm;

use super::body::Body;
use super::state::State;
use super::{Detected, Filter, SsdOutput};
use crate::Error;
use crate::activation::{Activation, conv_bn_activated};
use crate::fused::conv;
use crate::keys;
use crate::layers::{Conv, ConvInit};
use crate::macs::MacCounter;
use crate::mobilenet::{MobileNetBody, MobileNetKind};

/// The trunk of [`SsdNormed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SsdTrunk {
    /// ResNet-18; its extras and heads are 3×3 convolutions.
    ResNet18,
    /// MobileNetV2, whose expansions are shown as SSDLite does; extras and heads are depthwise separable.
    MobileNetV2,
}

/// Parameters of [`SsdNormed`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SsdNormedConfig {
    /// The trunk.
    pub trunk: SsdTrunk,
    /// Classes, with the background.
    pub classes: usize,
    /// Channels of every layer are divided by this: 1, 2, 4 or 8 on ResNet-18, 1 on MobileNetV2.
    pub divisor: usize,
}

impl SsdNormedConfig {
    /// The network on a trunk, for so many classes with the background.
    pub fn new(trunk: SsdTrunk, classes: usize) -> Self {
        Self {
            trunk,
            classes,
            divisor: 1,
        }
    }

    /// The same, each layer with a `divisor`-th of its channels.
    pub fn with_divisor(self, divisor: usize) -> Self {
        Self { divisor, ..self }
    }

    fn validate(&self) -> Result<(), Error> {
        let divisors: &[usize] = match self.trunk {
            SsdTrunk::ResNet18 => &[1, 2, 4, 8],
            SsdTrunk::MobileNetV2 => &[1],
        };
        let (key, value, expected) = if self.classes < 2 {
            let expected = "at least 2: one class and the background".into();
            ("classes", self.classes, expected)
        } else if !divisors.contains(&self.divisor) {
            ("divisor", self.divisor, format!("one of {divisors:?}"))
        } else {
            return Ok(());
        };
        Err(Error::Config {
            key,
            value,
            expected,
        })
    }
}

/// A convolution with its normalisation.
type Pair = (Conv2d, BatchNorm);

/// Channels within and after each extra stage, and whether it halves the size; others take a border of one pixel away.
const EXTRAS: [([usize; 2], bool); 3] =
    [([256, 512], true), ([128, 256], false), ([128, 256], false)];
/// Deviation of the weights of separable extras and heads at the start, as in SSDLite.
const DEVIATION: f64 = 0.03;

/// SSD300 with batch normalisation, on a ResNet or a MobileNet: a student that learns from scratch.
///
/// Its maps of 38, 19, 10, 5, 3 and 1 pixels at an image of 300, and so its default boxes, are those of SSD300. The first
/// three are what the trunk has at an eighth, a sixteenth and a 32nd of the image's size, where C3, C4 and C5 of a teacher
/// are. There is no such network in torchvision; the names of the tensors are those that torchvision's `SSD` would give
/// them.
///
/// Images are normalised by ImageNet's mean and deviation.
#[derive(Module, Debug)]
pub struct SsdNormed {
    body: Body,
    extras: Vec<Vec<Pair>>,
    classification: Vec<Head>,
    regression: Vec<Head>,
    #[module(skip)]
    config: SsdNormedConfig,
}

/// A convolution, of 1×1 behind a depthwise one, or of 3×3.
#[derive(Module, Debug)]
struct Head {
    depthwise: Option<Pair>,
    last: Conv2d,
}

/// How extras and heads are built.
struct Builder<'a> {
    separable: bool,
    norm: [f64; 2],
    device: &'a Device,
}

impl Builder<'_> {
    /// Normal weights of separable convolutions, as in SSDLite, else Xavier's uniform ones, as in SSD.
    fn conv(&self, conv: Conv) -> Conv2d {
        let [inputs, outputs] = conv.channels;
        let shape = [outputs, inputs / conv.groups, conv.kernel, conv.kernel];
        let mut built = conv.build(self.device);
        built.weight = match self.separable {
            true => draw::normal(shape, DEVIATION, self.device),
            false => {
                let area = conv.kernel * conv.kernel;
                let bound = (6.0 / ((inputs + outputs) * area) as f64).sqrt();
                draw::uniform(shape, bound, self.device)
            }
        };
        if conv.bias {
            built.bias = Some(Initializer::Zeros.init([outputs], self.device));
        }
        built
    }

    fn pair(&self, conv: Conv) -> Pair {
        let [epsilon, momentum] = self.norm;
        let norm = BatchNorm::new(conv.channels[1], self.device);
        (
            self.conv(conv),
            norm.with_epsilon(epsilon).with_momentum(momentum),
        )
    }

    fn extra(&self, inputs: usize, [narrow, outputs]: [usize; 2], halves: bool) -> Vec<Pair> {
        let init = ConvInit::FanOut;
        let stride = if halves { 2 } else { 1 };
        let mut layers = vec![self.pair(Conv::k1([inputs, narrow], 1, init))];
        layers.push(match self.separable {
            true => self.pair(Conv::depthwise(narrow, stride, init)),
            false => self.pair(Conv::k3([narrow, outputs], stride, init)),
        });
        if !halves {
            layers[1].0.padding = PaddingConfig2d::Explicit(0, 0, 0, 0);
        }
        if self.separable {
            layers.push(self.pair(Conv::k1([narrow, outputs], 1, init)));
        }
        layers
    }

    fn head(&self, inputs: usize, outputs: usize) -> Head {
        let init = ConvInit::FanOut;
        let kernel = if self.separable { 1 } else { 3 };
        Head {
            depthwise: self
                .separable
                .then(|| self.pair(Conv::depthwise(inputs, 1, init))),
            last: self.conv(Conv {
                kernel,
                bias: true,
                ..Conv::k3([inputs, outputs], 1, init)
            }),
        }
    }
}

impl SsdNormed {
    /// Builds a network whose extras and heads are drawn as those of SSD or SSDLite, by this thread's generator.
    ///
    /// # Errors
    /// [`Error::Config`] for fewer than two classes, or a divisor that the trunk does not have.
    pub fn new(config: &SsdNormedConfig, device: &Device) -> Result<Self, Error> {
        config.validate()?;
        let (body, separable, norm) = match config.trunk {
            SsdTrunk::ResNet18 => {
                let body = Body::resnet([2, 2, 2, 2], false, config.divisor, device);
                (body, false, [1e-5, 0.1])
            }
            SsdTrunk::MobileNetV2 => {
                let kind = MobileNetKind::V2;
                let body = Body::MobileNet(MobileNetBody::new(kind, device));
                (body, true, kind.norm())
            }
        };
        let builder = Builder {
            separable,
            norm,
            device,
        };
        let mut widths = body.widths();
        // The first map is for distillation alone.
        widths.remove(0);
        let extras = EXTRAS.map(|(channels, halves)| {
            let inputs = widths[widths.len() - 1];
            let channels = channels.map(|width| width / config.divisor);
            widths.push(channels[1]);
            builder.extra(inputs, channels, halves)
        });
        let boxes = Self::boxes();
        let heads = |width: usize| {
            let widths = widths.iter().enumerate();
            widths
                .map(|(level, inputs)| builder.head(*inputs, boxes.a_cell(level) * width))
                .collect()
        };
        Ok(Self {
            body,
            extras: extras.into(),
            classification: heads(config.classes),
            regression: heads(4),
            config: config.clone(),
        })
    }

    /// Builds a network and fills it from a file, strictly: safetensors, or PyTorch's.
    ///
    /// # Errors
    /// As [`SsdNormed::new`] and [`Network::load`](crate::Network::load).
    pub fn from_file(
        config: &SsdNormedConfig,
        path: impl AsRef<Path>,
        device: &Device,
    ) -> Result<Self, Error> {
        let mut network = Self::new(config, device)?;
        network.fill(path.as_ref())?;
        Ok(network)
    }

    /// Writes the state dict as safetensors.
    ///
    /// # Errors
    /// [`Error::Save`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        self.write(path.as_ref())
    }

    /// What it was built from.
    pub fn config(&self) -> &SsdNormedConfig {
        &self.config
    }

    /// Its default boxes: those of SSD300.
    pub fn boxes() -> DefaultBoxes {
        DefaultBoxes::ssd300()
    }

    /// Numbers that are trained.
    pub fn parameters(&self) -> usize {
        keys::trained(&self.keys())
    }

    fn activation(&self) -> Activation {
        match self.config.trunk {
            SsdTrunk::ResNet18 => Activation::Relu,
            SsdTrunk::MobileNetV2 => MobileNetKind::V2.activation(),
        }
    }

    /// Multiply-accumulates of convolutions for one image of so many pixels a side.
    pub fn macs(&self, image_size: usize) -> u64 {
        let mut macs = MacCounter::new(image_size);
        let mut sizes = self.body.count(&mut macs);
        sizes.remove(0);
        for extra in &self.extras {
            for (conv, _) in extra {
                macs.conv(conv);
            }
            sizes.push(macs.size());
        }
        for heads in [&self.classification, &self.regression] {
            for (size, head) in sizes.iter().zip(heads) {
                if let Some((conv, _)) = &head.depthwise {
                    macs.branch(*size, conv);
                }
                macs.branch(*size, &head.last);
            }
        }
        macs.macs()
    }

    /// Runs images `[batch, 3, height, width]`.
    pub fn forward(&self, images: Tensor<4>) -> SsdOutput {
        let activation = self.activation();
        let levels = self.body.forward(images);
        let mut maps = levels[1..].to_vec();
        for extra in &self.extras {
            let last = maps[maps.len() - 1].clone();
            let map = extra
                .iter()
                .fold(last, |x, pair| conv_bn_activated(pair, x, activation));
            maps.push(map);
        }
        let rows = |heads: &[Head], width: usize| {
            let rows = maps.iter().zip(heads).map(|(map, head)| {
                let x = match &head.depthwise {
                    Some(pair) => conv_bn_activated(pair, map.clone(), activation),
                    None => map.clone(),
                };
                rows_of_map(conv(&head.last, x), width)
            });
            Tensor::cat(rows.collect(), 1)
        };
        let logits = rows(&self.classification, self.config.classes);
        let offsets = rows(&self.regression, 4);
        SsdOutput {
            maps,
            levels,
            logits,
            offsets,
        }
    }

    /// The default boxes of images `[height, width]`, in pixels, in the order of an output's rows.
    pub fn default_boxes(&self, image: [usize; 2], output: &SsdOutput) -> Vec<Corners> {
        output.default_boxes(&Self::boxes(), image)
    }

    /// What is found in images of `[height, width]` pixels, best first; SSD's filter is
    /// [`SsdConfig::FILTER`](super::SsdConfig::FILTER).
    ///
    /// # Errors
    /// [`kd_core::Error::Shape`] for an output of another network.
    pub fn detect(
        &self,
        output: &SsdOutput,
        image: [usize; 2],
        filter: &Filter,
    ) -> Result<Vec<Vec<Detected>>, kd_core::Error> {
        output.detect(&Self::boxes(), image, filter)
    }
}

impl State for SsdNormed {
    fn name(&self) -> String {
        match self.config.trunk {
            SsdTrunk::ResNet18 => "ssd300_resnet18",
            SsdTrunk::MobileNetV2 => "ssd300_mobilenet_v2",
        }
        .into()
    }

    fn reference_key(&self, path: &str) -> String {
        let (module, rest) = path.split_once('.').unwrap_or((path, ""));
        match module {
            "body" => {
                let key = self.body.reference_key(rest);
                match self.config.trunk {
                    SsdTrunk::ResNet18 => format!("backbone.body.{key}"),
                    SsdTrunk::MobileNetV2 => format!("backbone.{key}"),
                }
            }
            "extras" => format!("backbone.extra.{rest}"),
            _ => {
                let mut parts = rest.splitn(3, '.');
                let mut part = || parts.next().unwrap_or_default();
                let (level, layer, last) = (part(), part(), part());
                let place = match (layer, self.config.trunk) {
                    ("depthwise", _) => "0.",
                    (_, SsdTrunk::MobileNetV2) => "1.",
                    _ => "",
                };
                format!("head.{module}_head.module_list.{level}.{place}{last}")
            }
        }
    }
}
