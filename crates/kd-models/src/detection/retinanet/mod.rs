//! RetinaNet (Lin et al., ICCV 2017).

mod config;
mod head;

use std::path::Path;

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::{Device, Tensor};
use kd_core::detection::{BoxCoder, Corners, DenseHead, clip};

pub use config::{RetinaNetBody, RetinaNetConfig};

use self::head::Branch;
use super::body::Body;
use super::pyramid::{Pyramid, convolution, halved};
use super::state::State;
use super::{Detected, Filter};
use crate::Error;
use crate::fused::conv;
use crate::keys;
use crate::macs::MacCounter;

/// RetinaNet on a ResNet with a feature pyramid: parameters and keys are those of torchvision's
/// `retinanet_resnet50_fpn`.
///
/// Images are normalised by ImageNet's mean and deviation. Every class is a sigmoid of its own; class 0 is nothing's.
#[derive(Module, Debug)]
pub struct RetinaNet {
    body: Body,
    pyramid: Pyramid,
    p6: Conv2d,
    p7: Conv2d,
    classification: Branch,
    regression: Branch,
    #[module(skip)]
    config: RetinaNetConfig,
}

/// Probability of each class at the start: few anchors are at an object.
const RARE: f64 = 0.01;

/// What [`RetinaNet`] says of images.
#[derive(Clone, Debug)]
pub struct RetinaNetOutput {
    /// The maps of the body's stages, C2 to C5.
    pub levels: Vec<Tensor<4>>,
    /// The maps of the pyramid, P3 to P7.
    pub maps: Vec<Tensor<4>>,
    /// Logits, `[batch, anchors, classes]`.
    pub logits: Tensor<3>,
    /// Offsets from the anchors, `[batch, anchors, 4]`.
    pub offsets: Tensor<3>,
    /// What the head's convolutions gave, where that was asked for.
    pub head: Option<DenseHead>,
}

impl RetinaNetOutput {
    /// Height and width of the maps.
    pub fn sizes(&self) -> Vec<[usize; 2]> {
        let size = |map: &Tensor<4>| [map.dims()[2], map.dims()[3]];
        self.maps.iter().map(size).collect()
    }
}

impl RetinaNet {
    /// Builds a network with the initialisation of its reference, drawn by this thread's generator.
    ///
    /// # Errors
    /// [`Error::Config`] for fewer than two classes, a width of 0, a divisor other than 1, 2, 4 and 8, or other than five
    /// lists of anchors.
    pub fn new(config: &RetinaNetConfig, device: &Device) -> Result<Self, Error> {
        config.validate()?;
        let body = match config.body {
            RetinaNetBody::ResNet18 => Body::resnet([2, 2, 2, 2], false, config.divisor, device),
            RetinaNetBody::ResNet50 => Body::resnet([3, 4, 6, 3], true, config.divisor, device),
        };
        let body = body.with_epsilon(config.epsilon);
        let (width, boxes) = (config.width, config.anchors.a_cell(0));
        let coarser = || {
            let mut conv = convolution([width; 2], 3, device);
            conv.stride = [2; 2];
            conv
        };
        let rare = -((1.0 - RARE) / RARE).ln();
        Ok(Self {
            pyramid: Pyramid::new(&body.widths()[1..], width, device),
            body,
            p6: coarser(),
            p7: coarser(),
            classification: Branch::new(width, boxes, config.classes, rare, device),
            regression: Branch::new(width, boxes, 4, 0.0, device),
            config: config.clone(),
        })
    }

    /// Builds a network and fills it from a file, strictly: safetensors, or PyTorch's. Names of torchvision's older files
    /// are understood.
    ///
    /// # Errors
    /// As [`RetinaNet::new`] and [`Network::load`](crate::Network::load).
    pub fn from_file(
        config: &RetinaNetConfig,
        path: impl AsRef<Path>,
        device: &Device,
    ) -> Result<Self, Error> {
        let mut network = Self::new(config, device)?;
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

    /// What it was built from.
    pub fn config(&self) -> &RetinaNetConfig {
        &self.config
    }

    /// Numbers that are trained.
    pub fn parameters(&self) -> usize {
        keys::trained(&self.keys())
    }

    /// Multiply-accumulates of convolutions for one image of so many pixels a side.
    pub fn macs(&self, image_size: usize) -> u64 {
        let mut macs = MacCounter::new(image_size);
        let mut sizes = self.body.count(&mut macs);
        sizes.remove(0);
        self.pyramid.count(&mut macs, &sizes);
        for layer in [&self.p6, &self.p7] {
            let size = halved(sizes[sizes.len() - 1]);
            macs.branch(size, layer);
            sizes.push(size);
        }
        for branch in [&self.classification, &self.regression] {
            branch.count(&mut macs, &sizes);
        }
        macs.macs()
    }

    /// Runs images `[batch, 3, height, width]`; with what the head's convolutions give, if `show_head`.
    pub fn forward(&self, images: Tensor<4>, show_head: bool) -> RetinaNetOutput {
        let levels = self.body.forward(images);
        let mut maps = self.pyramid.forward(&levels[1..]);
        let p6 = conv(&self.p6, maps[maps.len() - 1].clone());
        let p7 = conv(&self.p7, relu(p6.clone()));
        maps.extend([p6, p7]);
        let (logits, offsets, head) = if show_head {
            let (logits, classes) = self.classification.shown(&maps);
            let (offsets, boxes) = self.regression.shown(&maps);
            (logits, offsets, Some(DenseHead { classes, boxes }))
        } else {
            let [logits, offsets] =
                [&self.classification, &self.regression].map(|branch| branch.forward(&maps));
            (logits, offsets, None)
        };
        RetinaNetOutput {
            levels,
            maps,
            logits,
            offsets,
            head,
        }
    }

    /// The anchors of images `[height, width]`, in pixels, in the order of an output's rows.
    pub fn anchors(&self, image: [usize; 2], output: &RetinaNetOutput) -> Vec<Corners> {
        self.config.anchors.of_image(image, &output.sizes())
    }

    /// What is found in images of `[height, width]` pixels, best first; the reference's filter is
    /// [`RetinaNetConfig::FILTER`]. Of each map the best scores of all classes are looked at.
    ///
    /// torchvision tells objects of class 0 too, where a network says so; here it is never told, and of the others no
    /// fewer.
    ///
    /// # Errors
    /// [`kd_core::Error::Shape`] for an output of another network.
    pub fn detect(
        &self,
        output: &RetinaNetOutput,
        image: [usize; 2],
        filter: &Filter,
    ) -> Result<Vec<Vec<Detected>>, kd_core::Error> {
        let [batch, rows, classes] = output.logits.dims();
        let anchors = self.anchors(image, output);
        let cells = output.sizes();
        let of_maps = cells.iter().enumerate();
        let of_maps: Vec<usize> = of_maps
            .map(|(level, [height, width])| height * width * self.config.anchors.a_cell(level))
            .collect();
        let scores = sigmoid(output.logits.clone().detach()).into_data();
        let scores: Vec<f64> = scores.iter().collect();
        let of_image = |i: usize| {
            let offsets = output.offsets.clone().detach().narrow(0, i, 1);
            let decoded = BoxCoder::RPN.decode(offsets.reshape([rows, 4]), &anchors)?;
            let decoded: Vec<f64> = decoded.into_data().iter().collect();
            let corners = decoded.as_chunks::<4>().0;
            let scores = &scores[i * rows * classes..(i + 1) * rows * classes];
            let mut first = 0;
            let mut found = Vec::new();
            for count in &of_maps {
                let of_map = (first..first + count).flat_map(|row| {
                    let of_classes = (1..classes).map(move |class| (row, class));
                    of_classes.map(|(row, class)| (row, class, scores[row * classes + class]))
                });
                let sure = of_map.filter(|(.., score)| *score > filter.score);
                let mut sure: Vec<(usize, usize, f64)> = sure.collect();
                sure.sort_by(|a, b| b.2.total_cmp(&a.2));
                sure.truncate(self.config.a_map);
                found.extend(sure.into_iter().map(|(row, class, score)| Detected {
                    class,
                    corners: clip(&corners[row], image.map(|side| side as f64)),
                    score,
                }));
                first += count;
            }
            Ok(filter.suppress(&found))
        };
        (0..batch).map(of_image).collect()
    }
}

impl State for RetinaNet {
    fn name(&self) -> String {
        format!("retinanet_{}_fpn", self.config.body.name())
    }

    fn reference_key(&self, path: &str) -> String {
        let (module, rest) = path.split_once('.').unwrap_or((path, ""));
        match module {
            "body" => format!("backbone.body.{}", self.body.reference_key(rest)),
            "pyramid" => Pyramid::reference_key(rest),
            "p6" | "p7" => format!("backbone.fpn.extra_blocks.{module}.{rest}"),
            _ => {
                let last = match module {
                    "classification" => "cls_logits",
                    _ => "bbox_reg",
                };
                let name = match rest.strip_prefix("conv.") {
                    Some(conv) => {
                        let (number, last) = conv.split_once('.').unwrap_or((conv, ""));
                        format!("conv.{number}.0.{last}")
                    }
                    None => rest.replacen("last", last, 1),
                };
                format!("head.{module}_head.{name}")
            }
        }
    }

    fn todays_name(name: &str) -> String {
        // Older heads are lists in which every second layer is a ReLU.
        let of_head = || {
            let (start, conv) = name.split_once("_head.conv.")?;
            let (number, last) = conv.split_once('.')?;
            let number: usize = number.parse().ok()?;
            (start.starts_with("head.") && matches!(last, "weight" | "bias"))
                .then(|| format!("{start}_head.conv.{}.0.{last}", number / 2))
        };
        Pyramid::todays_name(name)
            .or_else(of_head)
            .unwrap_or_else(|| name.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_older_files_are_todays() {
        for (old, today) in [
            (
                "head.regression_head.conv.6.bias",
                "head.regression_head.conv.3.0.bias",
            ),
            (
                "head.classification_head.conv.3.0.weight",
                "head.classification_head.conv.3.0.weight",
            ),
            (
                "head.classification_head.cls_logits.weight",
                "head.classification_head.cls_logits.weight",
            ),
            (
                "backbone.fpn.layer_blocks.2.weight",
                "backbone.fpn.layer_blocks.2.0.weight",
            ),
            (
                "backbone.fpn.extra_blocks.p6.weight",
                "backbone.fpn.extra_blocks.p6.weight",
            ),
        ] {
            assert_eq!(RetinaNet::todays_name(old), today);
        }
    }
}
