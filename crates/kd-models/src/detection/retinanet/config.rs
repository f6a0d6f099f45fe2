//! What distinguishes one RetinaNet from another.

use kd_core::detection::Anchors;

use crate::Error;
use crate::detection::Filter;

/// The body of [`RetinaNet`](super::RetinaNet).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RetinaNetBody {
    /// ResNet-18.
    ResNet18,
    /// ResNet-50, whose bottlenecks stride in the 3×3 convolution.
    ResNet50,
}

impl RetinaNetBody {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ResNet18 => "resnet18",
            Self::ResNet50 => "resnet50",
        }
    }
}

/// Parameters of [`RetinaNet`](super::RetinaNet).
#[derive(Clone, Debug, PartialEq)]
pub struct RetinaNetConfig {
    /// The body.
    pub body: RetinaNetBody,
    /// What the body's channels are divided by.
    pub divisor: usize,
    /// Classes, with class 0, which nothing is of.
    pub classes: usize,
    /// What the body's normalisations add to the variance: 1e-5, and 0 for the weights that torchvision trained on COCO,
    /// which it loads so.
    pub epsilon: f64,
    /// Channels of the pyramid and of the heads: 256 in the reference.
    pub width: usize,
    /// The anchors, one list of sizes for each of five maps.
    pub anchors: Anchors,
    /// Scores of a map that are looked at, the best ones.
    pub a_map: usize,
}

impl RetinaNetConfig {
    /// The filter of torchvision's network. Which boxes it is asked about is limited by map ([`RetinaNetConfig::a_map`]).
    pub const FILTER: Filter = Filter {
        score: 0.05,
        a_class: None,
        overlap: 0.5,
        an_image: 300,
        side: 0.0,
    };

    /// The reference's network on a body, for so many classes with class 0.
    pub fn new(body: RetinaNetBody, classes: usize) -> Self {
        Self {
            body,
            divisor: 1,
            classes,
            epsilon: 1e-5,
            width: 256,
            anchors: Anchors::retinanet(),
            a_map: 1000,
        }
    }

    /// A network for images of about 300 pixels: half the width, and anchors of half the size.
    pub fn small(body: RetinaNetBody, classes: usize) -> Self {
        let mut anchors = Anchors::retinanet();
        for size in anchors.sizes.iter_mut().flatten() {
            *size = (*size / 2.0).floor();
        }
        Self {
            width: 128,
            anchors,
            ..Self::new(body, classes)
        }
    }

    /// The same with a body of fewer channels.
    pub fn with_divisor(self, divisor: usize) -> Self {
        Self { divisor, ..self }
    }

    pub(super) fn validate(&self) -> Result<(), Error> {
        let refuse = |key, value, expected: &str| {
            Err(Error::Config {
                key,
                value,
                expected: expected.into(),
            })
        };
        for (key, value, least) in [("classes", self.classes, 2), ("width", self.width, 1)] {
            if value < least {
                return refuse(key, value, &format!("at least {least}"));
            }
        }
        if !matches!(self.divisor, 1 | 2 | 4 | 8) {
            return refuse("divisor", self.divisor, "1, 2, 4 or 8");
        }
        let first = self.anchors.sizes.first().map_or(0, Vec::len);
        let even = self.anchors.sizes.iter().all(|sizes| sizes.len() == first);
        let levels = self.anchors.sizes.len();
        if levels != 5 || first == 0 || !even || self.anchors.ratios.is_empty() {
            return refuse(
                "anchors.sizes",
                levels,
                "a list of sizes for each of the 5 maps, all of one length",
            );
        }
        Ok(())
    }
}
