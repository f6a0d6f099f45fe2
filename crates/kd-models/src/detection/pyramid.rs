//! The feature pyramid (Lin et al., CVPR 2017).

use burn::module::{Initializer, Module};
use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::module::interpolate;
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use burn::tensor::{Device, Tensor};
use kd_core::draw;

use crate::fused::conv;
use crate::macs::MacCounter;

/// Maps of one width: 1×1 convolutions of the stages' maps, to which the next coarser one is added, and a 3×3
/// convolution of each sum.
#[derive(Module, Debug)]
pub(super) struct Pyramid {
    inner: Vec<Conv2d>,
    layer: Vec<Conv2d>,
}

/// With a bias of 0 and uniform weights within `√(3 / fan in)` (He et al., ICCV 2015, with a slope of 1).
pub(super) fn convolution(channels: [usize; 2], kernel: usize, device: &Device) -> Conv2d {
    let [from, to] = channels;
    let bound = (3.0 / (from * kernel * kernel) as f64).sqrt();
    let mut conv = blank(channels, kernel, device);
    conv.weight = draw::uniform([to, from, kernel, kernel], bound, device);
    conv
}

/// A convolution that keeps the size, of weights 0 that others take the place of.
pub(super) fn blank(channels: [usize; 2], kernel: usize, device: &Device) -> Conv2d {
    let side = kernel / 2;
    Conv2dConfig::new(channels, [kernel; 2])
        .with_padding(PaddingConfig2d::Explicit(side, side, side, side))
        .with_initializer(Initializer::Zeros)
        .init(device)
}

impl Pyramid {
    pub fn new(widths: &[usize], width: usize, device: &Device) -> Self {
        let widths = widths.iter();
        Self {
            inner: widths
                .clone()
                .map(|from| convolution([*from, width], 1, device))
                .collect(),
            layer: widths.map(|_| convolution([width; 2], 3, device)).collect(),
        }
    }

    pub fn forward(&self, stages: &[Tensor<4>]) -> Vec<Tensor<4>> {
        let mut coarser: Option<Tensor<4>> = None;
        let mut maps = Vec::new();
        let levels = stages.iter().zip(self.inner.iter().zip(&self.layer));
        for (stage, (inner, layer)) in levels.rev() {
            let mut sum = conv(inner, stage.clone());
            if let Some(coarser) = coarser {
                let [_, _, height, width] = sum.dims();
                let options = InterpolateOptions::new(InterpolateMode::Nearest)
                    .with_output_size([height, width]);
                sum = sum + interpolate(coarser, options);
            }
            maps.push(conv(layer, sum.clone()));
            coarser = Some(sum);
        }
        maps.reverse();
        maps
    }

    /// Counts multiply-accumulates for stages' maps of these sizes.
    pub fn count(&self, macs: &mut MacCounter, stages: &[[usize; 2]]) {
        for (size, (inner, layer)) in stages.iter().zip(self.inner.iter().zip(&self.layer)) {
            macs.branch(*size, inner).branch(*size, layer);
        }
    }

    /// torchvision's name of a path of this module.
    pub fn reference_key(path: &str) -> String {
        let mut parts = path.splitn(3, '.');
        let mut part = || parts.next().unwrap_or_default();
        format!("backbone.fpn.{}_blocks.{}.0.{}", part(), part(), part())
    }

    /// What torchvision calls a tensor of a pyramid today; none for a name that is not an older file's.
    pub fn todays_name(name: &str) -> Option<String> {
        ["inner", "layer"].iter().find_map(|which| {
            let start = format!("backbone.fpn.{which}_blocks.");
            let (place, last) = name.strip_prefix(&start)?.rsplit_once('.')?;
            let is_old = matches!(last, "weight" | "bias") && !place.contains('.');
            is_old.then(|| format!("{start}{place}.0.{last}"))
        })
    }
}

/// A map at half the size for each side of these, rounded up.
pub(super) fn halved(size: [usize; 2]) -> [usize; 2] {
    size.map(|side| side.div_ceil(2))
}
