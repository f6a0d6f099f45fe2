//! VGG, for small and for large images (Simonyan and Zisserman, ICLR 2015).

mod keys;
mod layer;
mod timm;

use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig, Linear};
use burn::tensor::activation::relu;
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Device, Tensor};
use kd_core::{Output, Taps};
use kd_kernels::{average_pool, layers, max_pool};

use crate::architecture::{Architecture, Named, torchvision};
use crate::backbone::{Backbone, Recorder};
use crate::elsewhere::{self, Elsewhere};
use crate::fused;
use crate::layers::linear_normal;
use crate::macs::MacCounter;
use crate::scale::Scale::{self, Large, Small};
use crate::spelling::Spelling;
use crate::vit::Origin;

use layer::{Layer, run};

const WIDTHS: [usize; 5] = [64, 128, 256, 512, 512];

/// Convolutions in each block.
const VGG11: [usize; 5] = [1, 1, 2, 2, 2];
const VGG13: [usize; 5] = [2, 2, 2, 2, 2];
const VGG16: [usize; 5] = [2, 2, 3, 3, 3];
const VGG19: [usize; 5] = [2, 2, 4, 4, 4];

/// Small images of this height are pooled once more before the last block, as in the reference.
const TALL: usize = 64;

/// Height and width of the map that hidden layers read, and their width.
const MAP: usize = 7;
const HIDDEN: usize = 4096;

/// The plan of a [`Vgg`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct VggConfig {
    /// Convolutions in each block.
    pub convs: [usize; 5],
    /// Whether each is normalised.
    pub normalised: bool,
    /// Which images it is for: for small ones an average stands before the classifier, for large ones two hidden
    /// layers.
    pub scale: Scale,
}

/// VGG. The last map is averaged, or averaged down to 7×7 for two hidden layers with ReLU and dropout.
///
/// Levels: the first block after its ReLU (in both lists), then each of the other four blocks
/// after and before its last ReLU.
#[derive(Module, Debug)]
pub(crate) struct Vgg {
    block0: Vec<Layer>,
    block1: Vec<Layer>,
    block2: Vec<Layer>,
    block3: Vec<Layer>,
    block4: Vec<Layer>,
    hidden: Vec<Linear>,
    dropout: Dropout,
    classifier: Linear,
    #[module(skip)]
    config: VggConfig,
}

impl Vgg {
    fn blocks(&self) -> [&Vec<Layer>; 5] {
        [
            &self.block0,
            &self.block1,
            &self.block2,
            &self.block3,
            &self.block4,
        ]
    }

    /// Whether a 2×2 pooling stands before a block.
    fn pooled(&self, block: usize, height: usize) -> bool {
        match block {
            0 => false,
            4 => self.config.scale == Large || height == TALL,
            _ => true,
        }
    }

    /// What the hidden layers make of the last map.
    fn embedding(&self, map: Tensor<4>) -> Tensor<2> {
        let map = average_pool(pool(map), [MAP, MAP]);
        let hidden = self.hidden.iter().enumerate();
        hidden.fold(map.flatten(1, 3), |x, (index, layer)| {
            let x = if index == 0 {
                x
            } else {
                layers::dropout(&self.dropout, x)
            };
            relu(fused::hidden(layer, x))
        })
    }
}

fn pool(x: Tensor<4>) -> Tensor<4> {
    max_pool(x, MaxPoolOptions::new([2, 2]))
}

const fn named(
    (name, aliases): (&'static str, &'static [&'static str]),
    convs: [usize; 5],
    normalised: bool,
    scale: Scale,
) -> Named<VggConfig> {
    Named {
        name,
        aliases,
        family: if normalised { "VGG-BN" } else { "VGG" },
        reference: "Simonyan and Zisserman, ICLR 2015",
        config: VggConfig {
            convs,
            normalised,
            scale,
        },
    }
}

impl Backbone for Vgg {
    type Input = Tensor<4>;

    fn forward(&self, input: Tensor<4>, taps: &Taps) -> Output {
        let height = input.dims()[2];
        let (mut x, _) = run(&self.block0, input, false);
        let mut recorder = Recorder::new(taps, &x);
        for (index, block) in self.blocks().into_iter().enumerate().skip(1) {
            if self.pooled(index, height) {
                x = pool(x);
            }
            let (map, preact) = run(block, x, recorder.wants_preact());
            recorder.stage(&map, preact);
            x = map;
        }
        match self.config.scale {
            Small => recorder.finish(x, &self.classifier),
            Large => recorder.finish_hidden(self.embedding(x), &self.dropout, &self.classifier),
        }
    }
}

impl Architecture for Vgg {
    type Config = VggConfig;

    const MODELS: &'static [Named<Self::Config>] = &[
        named(("vgg8", &["vgg8_bn"]), [1; 5], true, Small),
        named(("vgg11", &["vgg11_bn"]), VGG11, true, Small),
        named(("vgg13", &["vgg13_bn"]), VGG13, true, Small),
        named(("vgg16", &["vgg16_bn"]), VGG16, true, Small),
        named(("vgg19", &["vgg19_bn"]), VGG19, true, Small),
        named(torchvision!("vgg11"), VGG11, false, Large),
        named(torchvision!("vgg13"), VGG13, false, Large),
        named(torchvision!("vgg16"), VGG16, false, Large),
        named(torchvision!("vgg19"), VGG19, false, Large),
        named(torchvision!("vgg11_bn"), VGG11, true, Large),
        named(torchvision!("vgg13_bn"), VGG13, true, Large),
        named(torchvision!("vgg16_bn"), VGG16, true, Large),
        named(torchvision!("vgg19_bn"), VGG19, true, Large),
    ];

    fn image_size(config: &VggConfig) -> usize {
        config.scale.image_size()
    }

    fn new(config: &VggConfig, channels: usize, classes: usize, device: &Device) -> Self {
        let block = |index: usize| {
            let width = WIDTHS[index];
            let inputs = if index == 0 {
                channels
            } else {
                WIDTHS[index - 1]
            };
            (0..config.convs[index])
                .map(|conv| {
                    let channels = [if conv == 0 { inputs } else { width }, width];
                    Layer::new(channels, config.normalised, device)
                })
                .collect()
        };
        let (hidden, width): (&[usize], usize) = match config.scale {
            Small => (&[], WIDTHS[4]),
            Large => (&[WIDTHS[4] * MAP * MAP, HIDDEN], HIDDEN),
        };
        Self {
            block0: block(0),
            block1: block(1),
            block2: block(2),
            block3: block(3),
            block4: block(4),
            hidden: hidden
                .iter()
                .map(|&inputs| linear_normal(inputs, HIDDEN, 0.01, device))
                .collect(),
            dropout: DropoutConfig::new(0.5).init(),
            classifier: linear_normal(width, classes, 0.01, device),
            config: *config,
        }
    }

    fn count(&self, macs: &mut MacCounter) {
        let height = macs.size()[0];
        for (index, block) in self.blocks().into_iter().enumerate() {
            if self.pooled(index, height) {
                macs.pool(2, 2, 0);
            }
            for layer in block {
                macs.conv(&layer.conv);
            }
        }
        if self.config.scale == Large {
            macs.pool(2, 2, 0);
        }
        for layer in self.hidden.iter().chain([&self.classifier]) {
            macs.linear(layer);
        }
    }

    fn spellings(&self, own: &[String]) -> Vec<Spelling> {
        match self.config.scale {
            Small => Vec::new(),
            Large => vec![Spelling::own(Origin::Torchvision), timm::spelling(own)],
        }
    }

    fn elsewhere(
        &self,
        program: Origin,
        torchvision: Option<&str>,
        own: &[String],
    ) -> Result<Elsewhere, String> {
        let found = elsewhere::of_torchvision(torchvision, None)?;
        match program {
            Origin::Torchvision => Ok(found),
            Origin::Timm => Ok(Elsewhere::named(found.name, timm::spelling(own))),
            Origin::HuggingFace => Err(elsewhere::UNKNOWN.into()),
        }
    }

    fn pytorch_key(&self, path: &str) -> String {
        keys::key(&self.config, path)
    }
}
