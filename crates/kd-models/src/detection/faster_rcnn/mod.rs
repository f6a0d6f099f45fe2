//! Faster R-CNN with a feature pyramid (Ren et al., NeurIPS 2015; Lin et al., CVPR 2017).

mod config;
mod heads;
mod proposals;
mod training;

use std::path::Path;

use burn::module::Module;
use burn::tensor::activation::softmax;
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Device, Tensor};
use kd_core::detection::{
    BoxCoder, Corners, LevelScales, RegionOfInterest, RoiPredictions, multi_scale_roi_align,
};
use kd_kernels::max_pool;

pub use config::{FasterRcnnBody, FasterRcnnConfig, ProposalFilter};
pub use proposals::Proposals;

use self::heads::{BoxHead, ProposalHead};
use super::body::Body;
use super::pyramid::{Pyramid, halved};
use super::state::State;
use super::{Detected, Filter};
use crate::Error;
use crate::keys;
use crate::macs::MacCounter;
use crate::mobilenet::{MobileNetBody, MobileNetKind};

/// Faster R-CNN on a ResNet of four stages, or on MobileNetV3, with a feature pyramid: parameters and keys are those of
/// torchvision's `fasterrcnn_resnet50_fpn` and `fasterrcnn_mobilenet_v3_large_fpn`.
///
/// Images are normalised by ImageNet's mean and deviation.
#[derive(Module, Debug)]
pub struct FasterRcnn {
    body: Body,
    pyramid: Pyramid,
    proposals: ProposalHead,
    boxes: BoxHead,
    #[module(skip)]
    config: FasterRcnnConfig,
}

/// Samples a side of a bin, when regions are pooled.
const SAMPLES: usize = 2;

impl FasterRcnn {
    /// Builds a network with the initialisation of its reference, drawn by this thread's generator.
    ///
    /// # Errors
    /// [`Error::Config`] for fewer than two classes, or a width of 0.
    pub fn new(config: &FasterRcnnConfig, device: &Device) -> Result<Self, Error> {
        config.validate()?;
        let body = match config.body {
            FasterRcnnBody::ResNet18 => Body::resnet([2, 2, 2, 2], false, 1, device),
            FasterRcnnBody::ResNet50 => Body::resnet([3, 4, 6, 3], true, 1, device),
            FasterRcnnBody::MobileNetV3Large => {
                Body::MobileNet(MobileNetBody::new(MobileNetKind::V3Pyramid, device))
            }
        };
        let body = body.with_epsilon(config.epsilon);
        let widths = body.widths();
        Ok(Self {
            body,
            pyramid: Pyramid::new(&widths, config.width, device),
            proposals: ProposalHead::new(config.width, config.anchors.a_cell(0), device),
            boxes: BoxHead::new(config, device),
            config: config.clone(),
        })
    }

    /// Builds a network and fills it from a file, strictly: safetensors, or PyTorch's. Names of torchvision's older files are understood.
    ///
    /// # Errors
    /// As [`FasterRcnn::new`] and [`Network::load`](crate::Network::load).
    pub fn from_file(
        config: &FasterRcnnConfig,
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
    pub fn config(&self) -> &FasterRcnnConfig {
        &self.config
    }

    /// Numbers that are trained.
    pub fn parameters(&self) -> usize {
        keys::trained(&self.keys())
    }

    /// Multiply-accumulates of convolutions and linear layers for one image of so many pixels a side, of which so many
    /// regions get a second look.
    pub fn macs(&self, image_size: usize, regions: usize) -> u64 {
        let mut macs = MacCounter::new(image_size);
        let mut sizes = self.body.count(&mut macs);
        self.pyramid.count(&mut macs, &sizes);
        sizes.extend(sizes.last().copied().map(halved));
        self.proposals.count(&mut macs, &sizes);
        self.boxes.count(&mut macs, regions);
        macs.macs()
    }

    /// The maps of the body's stages, C2 to C5, each half the size of the one before; of MobileNetV3 two of a 32nd of the
    /// image's size.
    pub fn stages(&self, images: Tensor<4>) -> Vec<Tensor<4>> {
        self.body.forward(images)
    }

    /// The maps of the pyramid, P2 to P5 and every second pixel of the last, from the stages' maps.
    pub fn pyramid(&self, stages: &[Tensor<4>]) -> Vec<Tensor<4>> {
        let mut maps = self.pyramid.forward(stages);
        let every_second = MaxPoolOptions::new([1, 1]).with_stride([2, 2]);
        let last = maps.last().cloned();
        maps.extend(last.map(|last| max_pool(last, every_second)));
        maps
    }

    /// What is said of the anchors of each map of the pyramid.
    pub fn propose(&self, pyramid: &[Tensor<4>]) -> Proposals {
        self.proposals.forward(pyramid)
    }

    /// What is said of regions of images of `[height, width]` pixels, from the maps of the pyramid.
    ///
    /// # Errors
    /// [`kd_core::Error::Shape`] for a region of an image that is not in the batch.
    pub fn classify(
        &self,
        pyramid: &[Tensor<4>],
        image: [usize; 2],
        regions: &[RegionOfInterest],
    ) -> Result<RoiPredictions, kd_core::Error> {
        Ok(self.boxes.forward(self.pool(pyramid, image, regions)?))
    }

    /// The part of the pyramid under each region, `[regions, channels, 7, 7]`.
    ///
    /// # Errors
    /// As [`FasterRcnn::classify`].
    pub fn pool(
        &self,
        pyramid: &[Tensor<4>],
        image: [usize; 2],
        regions: &[RegionOfInterest],
    ) -> Result<Tensor<4>, kd_core::Error> {
        // The last map is for proposals alone.
        let maps = &pyramid[..pyramid.len().saturating_sub(1)];
        let sizes: Vec<[usize; 2]> = maps.iter().map(|m| [m.dims()[2], m.dims()[3]]).collect();
        let scales = LevelScales::new(image, &sizes);
        multi_scale_roi_align(maps, &scales, regions, self.config.pooled, SAMPLES)
    }

    /// The boxes that are worth a second look in each image of `[height, width]` pixels, best first.
    ///
    /// # Errors
    /// [`kd_core::Error::Shape`] for what another network said.
    pub fn select(
        &self,
        proposals: &Proposals,
        image: [usize; 2],
        filter: &ProposalFilter,
    ) -> Result<Vec<Vec<Corners>>, kd_core::Error> {
        proposals.select(&self.config.anchors, image, filter)
    }

    /// What is found in images `[batch, 3, height, width]`, best first. The reference's filters are
    /// [`ProposalFilter::TEST`] and [`FasterRcnnConfig::FILTER`].
    ///
    /// # Errors
    /// None that a network of this crate can cause.
    pub fn detect(
        &self,
        images: Tensor<4>,
        proposals: &ProposalFilter,
        filter: &Filter,
    ) -> Result<Vec<Vec<Detected>>, kd_core::Error> {
        let [_, _, height, width] = images.dims();
        let image = [height, width];
        let pyramid = self.pyramid(&self.stages(images));
        let (found, selected) = self.second_look(&pyramid, image, proposals)?;
        self.tell(&found, &selected, image, filter)
    }

    /// What is said of the proposals, and the proposals of each image.
    pub(in crate::detection) fn second_look(
        &self,
        pyramid: &[Tensor<4>],
        image: [usize; 2],
        filter: &ProposalFilter,
    ) -> Result<(RoiPredictions, Vec<Vec<Corners>>), kd_core::Error> {
        let selected = self.select(&self.propose(pyramid), image, filter)?;
        let regions = regions(&selected);
        Ok((self.classify(pyramid, image, &regions)?, selected))
    }

    /// What is found among the proposals that were selected in each image of `[height, width]` pixels, best first, from
    /// what the box head says of all of them.
    ///
    /// # Errors
    /// [`kd_core::Error::Shape`] when it says something of more or fewer regions.
    pub fn tell(
        &self,
        found: &RoiPredictions,
        selected: &[Vec<Corners>],
        image: [usize; 2],
        filter: &Filter,
    ) -> Result<Vec<Vec<Detected>>, kd_core::Error> {
        let classes = self.config.classes;
        let references = selected.concat();
        if references.is_empty() {
            return Ok(vec![Vec::new(); selected.len()]);
        }
        let scores = softmax(found.logits.clone().detach(), 1).into_data();
        let scores: Vec<f64> = scores.iter().collect();
        let decoded = BoxCoder::ROI.decode(found.offsets.clone().detach(), &references)?;
        let decoded: Vec<f64> = decoded.into_data().iter().collect();
        let corners = decoded.as_chunks::<4>().0;
        let size = image.map(|side| side as f64);
        let mut first = 0;
        let of_image = selected.iter().map(|boxes| {
            let (from, to) = (first, first + boxes.len());
            first = to;
            let scores = &scores[from * classes..to * classes];
            filter.apply(scores, classes, size, |i, class| {
                corners[(from + i) * classes + class]
            })
        });
        Ok(of_image.collect())
    }
}

/// The boxes of each image as regions of the batch.
pub(in crate::detection) fn regions(boxes: &[Vec<Corners>]) -> Vec<RegionOfInterest> {
    let of_image = boxes.iter().enumerate();
    of_image
        .flat_map(|(image, boxes)| {
            let region = move |corners: &Corners| RegionOfInterest {
                image,
                corners: *corners,
            };
            boxes.iter().map(region)
        })
        .collect()
}

impl State for FasterRcnn {
    fn name(&self) -> String {
        format!("fasterrcnn_{}_fpn", self.config.body.name())
    }

    fn reference_key(&self, path: &str) -> String {
        let (module, rest) = path.split_once('.').unwrap_or((path, ""));
        match module {
            "body" => {
                let key = self.body.reference_key(rest);
                // torchvision's body is the list of features itself.
                format!("backbone.body.{}", key.trim_start_matches("features."))
            }
            "pyramid" => Pyramid::reference_key(rest),
            "proposals" => match rest.strip_prefix("conv.") {
                Some(last) => format!("rpn.head.conv.0.0.{last}"),
                None => format!("rpn.head.{rest}"),
            },
            _ if rest.starts_with("fc") => format!("roi_heads.box_head.{rest}"),
            _ => format!("roi_heads.box_predictor.{rest}"),
        }
    }

    fn todays_name(name: &str) -> String {
        Pyramid::todays_name(name)
            .or_else(|| {
                let last = name.strip_prefix("rpn.head.conv.")?;
                matches!(last, "weight" | "bias").then(|| format!("rpn.head.conv.0.0.{last}"))
            })
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
                "backbone.fpn.inner_blocks.2.weight",
                "backbone.fpn.inner_blocks.2.0.weight",
            ),
            (
                "backbone.fpn.inner_blocks.2.0.weight",
                "backbone.fpn.inner_blocks.2.0.weight",
            ),
            (
                "backbone.fpn.layer_blocks.0.bias",
                "backbone.fpn.layer_blocks.0.0.bias",
            ),
            ("rpn.head.conv.bias", "rpn.head.conv.0.0.bias"),
            ("rpn.head.conv.0.0.bias", "rpn.head.conv.0.0.bias"),
            ("rpn.head.cls_logits.weight", "rpn.head.cls_logits.weight"),
        ] {
            assert_eq!(FasterRcnn::todays_name(old), today);
        }
    }
}
