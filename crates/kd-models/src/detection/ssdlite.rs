//! SSDLite320 on MobileNetV3 large (Sandler et al., CVPR 2018; Howard et al., ICCV 2019).

use std::path::Path;

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};
use kd_core::detection::{Corners, DefaultBoxes, rows_of_map};
use kd_core::draw;
use kd_kernels::layers::BatchNorm;

use super::state::State;
use super::{Detected, Filter, SsdOutput};
use crate::Error;
use crate::activation::Activation::Relu6;
use crate::activation::conv_bn_activated;
use crate::fused::conv;
use crate::keys;
use crate::layers::{Conv, ConvInit};
use crate::macs::MacCounter;
use crate::mobilenet::{MobileNetBody, MobileNetKind};

/// Channels within and after each extra stage.
const EXTRAS: [[usize; 2]; 4] = [[256, 512], [128, 256], [128, 256], [64, 128]];
/// Deviation of the weights of extras and heads at the start.
const DEVIATION: f64 = 0.03;
/// Epsilon and momentum of all normalisations.
const NORM: [f64; 2] = [1e-3, 0.03];

/// A convolution with its normalisation.
type Pair = (Conv2d, BatchNorm);

/// SSDLite320 on MobileNetV3: parameters and keys are those of torchvision's `ssdlite320_mobilenet_v3_large`.
///
/// Images are of 320 × 320 pixels in −1..1.
#[derive(Module, Debug)]
pub struct SsdLite {
    body: MobileNetBody,
    extras: Vec<Extra>,
    classification: Vec<Head>,
    regression: Vec<Head>,
    #[module(skip)]
    classes: usize,
}

/// Half the size by a 1×1, a strided depthwise and a 1×1 convolution.
#[derive(Module, Debug)]
struct Extra {
    narrow: Pair,
    depthwise: Pair,
    wide: Pair,
}

/// A depthwise and a 1×1 convolution.
#[derive(Module, Debug)]
struct Head {
    depthwise: Pair,
    pointwise: Conv2d,
}

fn drawn(conv: Conv, device: &Device) -> Conv2d {
    let [inputs, outputs] = conv.channels;
    let shape = [outputs, inputs / conv.groups, conv.kernel, conv.kernel];
    let mut built = conv.build(device);
    built.weight = draw::normal(shape, DEVIATION, device);
    built
}

fn pair(conv: Conv, device: &Device) -> Pair {
    let [epsilon, momentum] = NORM;
    let norm = BatchNorm::new(conv.channels[1], device);
    (
        drawn(conv, device),
        norm.with_epsilon(epsilon).with_momentum(momentum),
    )
}

impl Extra {
    fn new(inputs: usize, [narrow, outputs]: [usize; 2], device: &Device) -> Self {
        let init = ConvInit::FanOut;
        Self {
            narrow: pair(Conv::k1([inputs, narrow], 1, init), device),
            depthwise: pair(Conv::depthwise(narrow, 2, init), device),
            wide: pair(Conv::k1([narrow, outputs], 1, init), device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let layers = [&self.narrow, &self.depthwise, &self.wide];
        layers
            .into_iter()
            .fold(x, |x, layer| conv_bn_activated(layer, x, Relu6))
    }
}

impl Head {
    fn new([inputs, outputs]: [usize; 2], device: &Device) -> Self {
        let init = ConvInit::FanOut;
        let pointwise = Conv {
            bias: true,
            ..Conv::k1([inputs, outputs], 1, init)
        };
        Self {
            depthwise: pair(Conv::depthwise(inputs, 1, init), device),
            pointwise: drawn(pointwise, device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        conv(
            &self.pointwise,
            conv_bn_activated(&self.depthwise, x, Relu6),
        )
    }
}

impl SsdLite {
    /// The filter of torchvision's network.
    pub const FILTER: Filter = Filter {
        score: 0.001,
        a_class: Some(300),
        overlap: 0.55,
        an_image: 300,
        side: 0.0,
    };

    /// Builds a network for so many classes with the background, with the initialisation of its reference, drawn by
    /// this thread's generator.
    ///
    /// # Errors
    /// [`Error::Config`] for fewer than two classes.
    pub fn new(classes: usize, device: &Device) -> Result<Self, Error> {
        if classes < 2 {
            return Err(Error::Config {
                key: "classes",
                value: classes,
                expected: "at least 2: one class and the background".into(),
            });
        }
        let body = MobileNetBody::new(MobileNetKind::SsdLite, device);
        let mut widths = body.widths();
        let mut inputs = widths[1];
        let extras = EXTRAS.map(|channels| {
            let from = std::mem::replace(&mut inputs, channels[1]);
            widths.push(inputs);
            Extra::new(from, channels, device)
        });
        let boxes = Self::boxes();
        let heads = |width: usize| {
            let widths = widths.iter().enumerate();
            let head = |(level, from): (usize, &usize)| {
                Head::new([*from, boxes.a_cell(level) * width], device)
            };
            widths.map(head).collect()
        };
        Ok(Self {
            body,
            classification: heads(classes),
            regression: heads(4),
            extras: extras.into(),
            classes,
        })
    }

    /// Builds a network and fills it from a file, strictly: safetensors, or PyTorch's.
    ///
    /// # Errors
    /// As [`SsdLite::new`] and [`Network::load`](crate::Network::load).
    pub fn from_file(
        classes: usize,
        path: impl AsRef<Path>,
        device: &Device,
    ) -> Result<Self, Error> {
        let mut network = Self::new(classes, device)?;
        network.fill(path.as_ref())?;
        Ok(network)
    }

    /// Writes the state dict as safetensors with torchvision's names, so that PyTorch loads it as it is.
    ///
    /// # Errors
    /// [`Error::Save`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        self.write(path.as_ref())
    }

    /// Its default boxes.
    pub fn boxes() -> DefaultBoxes {
        DefaultBoxes::ssdlite320()
    }

    /// Numbers that are trained.
    pub fn parameters(&self) -> usize {
        keys::trained(&self.keys())
    }

    /// Multiply-accumulates of convolutions for one image of so many pixels a side.
    pub fn macs(&self, image_size: usize) -> u64 {
        let mut macs = MacCounter::new(image_size);
        let mut sizes = self.body.count(&mut macs);
        for extra in &self.extras {
            for (conv, _) in [&extra.narrow, &extra.depthwise, &extra.wide] {
                macs.conv(conv);
            }
            sizes.push(macs.size());
        }
        for heads in [&self.classification, &self.regression] {
            for (size, head) in sizes.iter().zip(heads) {
                macs.branch(*size, &head.depthwise.0);
                macs.branch(*size, &head.pointwise);
            }
        }
        macs.macs()
    }

    /// Runs images `[batch, 3, height, width]`.
    pub fn forward(&self, images: Tensor<4>) -> SsdOutput {
        let mut maps = self.body.forward(images);
        for extra in &self.extras {
            maps.extend(maps.last().cloned().map(|x| extra.forward(x)));
        }
        let rows = |heads: &[Head], width: usize| {
            let rows = maps.iter().zip(heads);
            let rows = rows.map(|(map, head)| rows_of_map(head.forward(map.clone()), width));
            Tensor::cat(rows.collect(), 1)
        };
        let (logits, offsets) = (
            rows(&self.classification, self.classes),
            rows(&self.regression, 4),
        );
        SsdOutput {
            levels: maps[..2].to_vec(),
            maps,
            logits,
            offsets,
        }
    }

    /// The default boxes of images `[height, width]`, in pixels, in the order of an output's rows.
    pub fn default_boxes(&self, image: [usize; 2], output: &SsdOutput) -> Vec<Corners> {
        output.default_boxes(&Self::boxes(), image)
    }

    /// What is found in images of `[height, width]` pixels, best first; the reference's filter is
    /// [`SsdLite::FILTER`].
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

impl State for SsdLite {
    fn name(&self) -> String {
        "ssdlite320_mobilenet_v3_large".into()
    }

    fn reference_key(&self, path: &str) -> String {
        let (module, rest) = path.split_once('.').unwrap_or((path, ""));
        if module == "body" {
            return format!("backbone.{}", self.body.reference_key(rest));
        }
        let mut parts = rest.splitn(3, '.');
        let mut part = || parts.next().unwrap_or_default();
        let (number, layer, rest) = (part(), part(), part());
        let place = match layer {
            "narrow" => 0,
            "depthwise" if module == "extras" => 1,
            "wide" => 2,
            "depthwise" => 0,
            _ => 1,
        };
        match module {
            "extras" => format!("backbone.extra.{number}.{place}.{rest}"),
            _ => format!("head.{module}_head.module_list.{number}.{place}.{rest}"),
        }
    }
}
