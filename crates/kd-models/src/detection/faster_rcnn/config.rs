//! What distinguishes one Faster R-CNN from another.

use kd_core::detection::{Anchors, Sampler};

use crate::Error;
use crate::detection::Filter;

/// The body of [`FasterRcnn`](super::FasterRcnn).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FasterRcnnBody {
    /// ResNet-18.
    ResNet18,
    /// ResNet-50, whose bottlenecks stride in the 3×3 convolution.
    ResNet50,
    /// MobileNetV3 large, of which two maps are shown, both of a 32nd of the image's size.
    MobileNetV3Large,
}

impl FasterRcnnBody {
    /// Maps of the pyramid, the one for proposals alone among them.
    fn maps(self) -> usize {
        match self {
            Self::MobileNetV3Large => 3,
            _ => 5,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ResNet18 => "resnet18",
            Self::ResNet50 => "resnet50",
            Self::MobileNetV3Large => "mobilenet_v3_large",
        }
    }
}

/// Parameters of [`FasterRcnn`](super::FasterRcnn).
#[derive(Clone, Debug, PartialEq)]
pub struct FasterRcnnConfig {
    /// The body.
    pub body: FasterRcnnBody,
    /// Classes, with the background.
    pub classes: usize,
    /// What the body's normalisations add to the variance: 1e-5, and 0 for the weights that torchvision trained on COCO
    /// with ResNet-50, which it loads so.
    pub epsilon: f64,
    /// Channels of the pyramid: 256 in the reference.
    pub width: usize,
    /// Width of the box head's hidden layers: 1024 in the reference.
    pub hidden: usize,
    /// Height and width that a region is pooled to.
    pub pooled: usize,
    /// The anchors, one list of sizes a map of the pyramid.
    pub anchors: Anchors,
    /// The proposals that are looked at again while it is trained, and when it is used.
    pub proposals: [ProposalFilter; 2],
    /// Which anchors count in the loss of proposals.
    pub anchor_sampler: Sampler,
    /// Which proposals count in the loss of the box head.
    pub region_sampler: Sampler,
}

impl FasterRcnnConfig {
    /// The filter of torchvision's network.
    pub const FILTER: Filter = Filter {
        score: 0.05,
        a_class: None,
        overlap: 0.5,
        an_image: 100,
        side: 1e-2,
    };

    /// The reference's network on a body, for so many classes with the background.
    pub fn new(body: FasterRcnnBody, classes: usize) -> Self {
        Self {
            body,
            classes,
            epsilon: 1e-5,
            width: 256,
            hidden: 1024,
            pooled: 7,
            anchors: Anchors::faster_rcnn(),
            proposals: [ProposalFilter::TRAIN, ProposalFilter::TEST],
            anchor_sampler: Sampler::RPN,
            region_sampler: Sampler::ROI,
        }
    }

    /// torchvision's network on MobileNetV3 large: fifteen anchors a cell, and no proposals below a probability of 0.05.
    pub fn mobilenet_v3(classes: usize) -> Self {
        let sizes = vec![32.0, 64.0, 128.0, 256.0, 512.0];
        let filter = |filter: ProposalFilter| ProposalFilter {
            score: 0.05,
            ..filter
        };
        Self {
            anchors: Anchors {
                sizes: vec![sizes; 3],
                ..Anchors::faster_rcnn()
            },
            proposals: [ProposalFilter::TRAIN, ProposalFilter::TEST].map(filter),
            ..Self::new(FasterRcnnBody::MobileNetV3Large, classes)
        }
    }

    /// The same for images of about 320 pixels: 150 proposals when it is used.
    pub fn mobilenet_v3_320(classes: usize) -> Self {
        let mut config = Self::mobilenet_v3(classes);
        config.proposals[1] = ProposalFilter {
            a_map: 150,
            an_image: 150,
            ..config.proposals[1]
        };
        config
    }

    /// A small teacher for images of about 300 pixels: half the width, smaller anchors, a quarter of the regions.
    pub fn small(body: FasterRcnnBody, classes: usize) -> Self {
        let mut anchors = Anchors::faster_rcnn();
        anchors.sizes = [16.0, 32.0, 64.0, 128.0, 256.0]
            .map(|size| vec![size])
            .into();
        let filter = |filter: ProposalFilter, count| ProposalFilter {
            a_map: count,
            an_image: count,
            ..filter
        };
        Self {
            width: 128,
            hidden: 512,
            anchors,
            proposals: [
                filter(ProposalFilter::TRAIN, 500),
                filter(ProposalFilter::TEST, 300),
            ],
            region_sampler: Sampler {
                count: 128,
                ..Sampler::ROI
            },
            ..Self::new(body, classes)
        }
    }

    pub(super) fn validate(&self) -> Result<(), Error> {
        let least = [
            ("classes", self.classes, 2),
            ("width", self.width, 1),
            ("hidden", self.hidden, 1),
            ("pooled", self.pooled, 1),
        ];
        for (key, value, least) in least {
            if value < least {
                return Err(Error::Config {
                    key,
                    value,
                    expected: format!("at least {least}"),
                });
            }
        }
        let (levels, maps) = (self.anchors.sizes.len(), self.body.maps());
        let first = self.anchors.sizes.first().map_or(0, Vec::len);
        let even = self.anchors.sizes.iter().all(|sizes| sizes.len() == first);
        if levels != maps || first == 0 || !even || self.anchors.ratios.is_empty() {
            return Err(Error::Config {
                key: "anchors.sizes",
                value: levels,
                expected: format!("a list of sizes for each of the {maps} maps, all of one length"),
            });
        }
        Ok(())
    }
}

/// Which proposals get a second look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProposalFilter {
    /// Anchors of each map, the best ones.
    pub a_map: usize,
    /// IoU above which a proposal is dropped beside a better one of its map.
    pub overlap: f64,
    /// Proposals of an image.
    pub an_image: usize,
    /// Sides that a proposal has at least, in pixels.
    pub side: f64,
    /// Probability of being at an object that a proposal has at least.
    pub score: f64,
}

impl ProposalFilter {
    /// The reference's while it is trained.
    pub const TRAIN: Self = Self {
        a_map: 2000,
        overlap: 0.7,
        an_image: 2000,
        side: 1e-3,
        score: 0.0,
    };

    /// The reference's when it is used.
    pub const TEST: Self = Self {
        a_map: 1000,
        an_image: 1000,
        ..Self::TRAIN
    };
}
