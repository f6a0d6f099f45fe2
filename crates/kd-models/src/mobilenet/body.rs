//! A MobileNet without its classifier, as detectors have it.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};
use kd_kernels::layers::BatchNorm;

use super::MobileNet;
use super::block::InvertedResidual;
use super::plan::{self, Plan};
use crate::activation::{Activation, conv_bn_activated};
use crate::architecture::Architecture;
use crate::macs::MacCounter;

/// A map of the body that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// The expansion of the first block of a row.
    Hidden(usize),
    /// The output of a row.
    Row(usize),
    /// The last convolution.
    Last,
}

/// Which body it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MobileNetKind {
    /// MobileNetV3 large, whose last stage is half as wide: the body of SSDLite.
    SsdLite,
    /// MobileNetV3 large as the body of a pyramid.
    V3Pyramid,
    /// MobileNetV2 as the body of SSD300.
    V2,
}

impl MobileNetKind {
    fn plan(self) -> &'static Plan {
        match self {
            Self::SsdLite => &plan::SSDLITE,
            Self::V3Pyramid => &plan::V3_PYRAMID,
            Self::V2 => &plan::MOBILENET_V2,
        }
    }

    fn shown(self) -> &'static [Shown] {
        match self {
            Self::SsdLite => &[Shown::Hidden(10), Shown::Last],
            Self::V3Pyramid => &[Shown::Row(10), Shown::Last],
            // Where the size is halved next: C2, C3 and C4 at their widest.
            Self::V2 => &[
                Shown::Hidden(2),
                Shown::Hidden(3),
                Shown::Hidden(5),
                Shown::Last,
            ],
        }
    }

    /// The activation behind the last convolution.
    pub fn activation(self) -> Activation {
        self.plan().activation
    }

    /// Epsilon and momentum of all normalisations.
    pub fn norm(self) -> [f64; 2] {
        self.plan().norm
    }
}

/// The layers before the average.
#[derive(Module, Debug)]
pub(crate) struct MobileNetBody {
    conv1: (Conv2d, BatchNorm),
    blocks: Vec<Vec<InvertedResidual>>,
    conv2: (Conv2d, BatchNorm),
    #[module(skip)]
    kind: MobileNetKind,
}

impl MobileNetBody {
    pub fn new(kind: MobileNetKind, device: &Device) -> Self {
        // The classifier, which is left behind, is never drawn.
        let MobileNet {
            conv1,
            blocks,
            conv2,
            ..
        } = MobileNet::new(&kind.plan(), 3, 1, device);
        Self {
            conv1,
            blocks,
            conv2,
            kind,
        }
    }

    pub fn norms(&mut self) -> impl Iterator<Item = &mut BatchNorm> {
        let blocks = self.blocks.iter_mut().flatten();
        let ends = [&mut self.conv1.1, &mut self.conv2.1];
        blocks.flat_map(InvertedResidual::norms).chain(ends)
    }

    /// Channels of the maps.
    pub fn widths(&self) -> Vec<usize> {
        let plan = self.kind.plan();
        let inputs = |row: usize| match row {
            0 => plan.stem,
            row => plan.rows[row - 1].outputs,
        };
        let shown = self.kind.shown().iter();
        shown
            .map(|shown| match *shown {
                Shown::Hidden(row) => plan.rows[row].expand.width(inputs(row)),
                Shown::Row(row) => plan.rows[row].outputs,
                Shown::Last => plan.last,
            })
            .collect()
    }

    /// The maps, the largest first.
    pub fn forward(&self, images: Tensor<4>) -> Vec<Tensor<4>> {
        let activation = self.kind.activation();
        let shown = self.kind.shown();
        let mut maps = Vec::new();
        let mut x = conv_bn_activated(&self.conv1, images, activation);
        for (row, blocks) in self.blocks.iter().enumerate() {
            for (place, block) in blocks.iter().enumerate() {
                let hidden = block.widen(x.clone());
                if place == 0 && shown.contains(&Shown::Hidden(row)) {
                    maps.push(hidden.clone());
                }
                x = block.narrow(hidden, x);
            }
            if shown.contains(&Shown::Row(row)) {
                maps.push(x.clone());
            }
        }
        maps.push(conv_bn_activated(&self.conv2, x, activation));
        maps
    }

    /// Counts multiply-accumulates; the sizes of the maps.
    pub fn count(&self, macs: &mut MacCounter) -> Vec<[usize; 2]> {
        let shown = self.kind.shown();
        let mut sizes = Vec::new();
        macs.conv(&self.conv1.0);
        for (row, blocks) in self.blocks.iter().enumerate() {
            if shown.contains(&Shown::Hidden(row)) {
                sizes.push(macs.size());
            }
            for block in blocks {
                block.count(macs);
            }
            if shown.contains(&Shown::Row(row)) {
                sizes.push(macs.size());
            }
        }
        macs.conv(&self.conv2.0);
        sizes.push(macs.size());
        sizes
    }

    /// torchvision's name of a path of this module, `features` and a number. The blocks of SSDLite are in two lists, of
    /// which the first ends with the expansion of the block that begins the second.
    pub fn reference_key(&self, path: &str) -> String {
        let key = self.kind.plan().keys.key(path, &self.blocks);
        if self.kind != MobileNetKind::SsdLite {
            return key;
        }
        let mut parts = key.splitn(3, '.').skip(1);
        let number: usize = parts
            .next()
            .and_then(|n| n.parse().ok())
            .unwrap_or_default();
        let rest = parts.next().unwrap_or_default();
        // Blocks before the one that is shown.
        const BEFORE: usize = 12;
        match number.checked_sub(BEFORE + 1) {
            None => format!("features.0.{number}.{rest}"),
            Some(0) => match rest.strip_prefix("block.0.") {
                Some(expansion) => format!("features.0.{number}.{expansion}"),
                None => format!("features.1.0.{}", rest.trim_start_matches("block.")),
            },
            Some(place) => format!("features.1.{place}.{rest}"),
        }
    }
}
