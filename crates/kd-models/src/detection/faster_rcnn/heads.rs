//! The heads of Faster R-CNN.

use burn::module::Module;
use burn::nn::Linear;
use burn::nn::conv::Conv2d;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use kd_core::detection::RoiPredictions;
use kd_core::draw;

use super::super::pyramid::blank;
use super::{FasterRcnnConfig, Proposals};
use crate::fused::{classify, conv, conv_relu};
use crate::layers::linear;
use crate::macs::MacCounter;

/// Says of each anchor whether it is at an object, and where that is.
#[derive(Module, Debug)]
pub(super) struct ProposalHead {
    conv: Conv2d,
    cls_logits: Conv2d,
    bbox_pred: Conv2d,
}

/// Deviation of the weights at the start.
const DEVIATION: f64 = 0.01;

impl ProposalHead {
    pub fn new(width: usize, anchors: usize, device: &Device) -> Self {
        let normal = |to: usize, kernel: usize| {
            let mut conv = blank([width, to], kernel, device);
            conv.weight = draw::normal([to, width, kernel, kernel], DEVIATION, device);
            conv
        };
        Self {
            conv: normal(width, 3),
            cls_logits: normal(anchors, 1),
            bbox_pred: normal(4 * anchors, 1),
        }
    }

    pub fn forward(&self, pyramid: &[Tensor<4>]) -> Proposals {
        let hidden = pyramid.iter().map(|map| conv_relu(&self.conv, map.clone()));
        let said = hidden.map(|x| (conv(&self.cls_logits, x.clone()), conv(&self.bbox_pred, x)));
        let (objectness, offsets) = said.unzip();
        Proposals {
            objectness,
            offsets,
        }
    }

    /// Counts multiply-accumulates for maps of these sizes.
    pub fn count(&self, macs: &mut MacCounter, sizes: &[[usize; 2]]) {
        for size in sizes {
            for conv in [&self.conv, &self.cls_logits, &self.bbox_pred] {
                macs.branch(*size, conv);
            }
        }
    }
}

/// Says of each region what is in it, and where exactly.
#[derive(Module, Debug)]
pub(super) struct BoxHead {
    fc6: Linear,
    fc7: Linear,
    cls_score: Linear,
    bbox_pred: Linear,
}

impl BoxHead {
    pub fn new(config: &FasterRcnnConfig, device: &Device) -> Self {
        let pooled = config.width * config.pooled * config.pooled;
        Self {
            fc6: linear(pooled, config.hidden, device),
            fc7: linear(config.hidden, config.hidden, device),
            cls_score: linear(config.hidden, config.classes, device),
            bbox_pred: linear(config.hidden, 4 * config.classes, device),
        }
    }

    pub fn forward(&self, pooled: Tensor<4>) -> RoiPredictions {
        let x = relu(classify(&self.fc6, pooled.flatten(1, 3)));
        let x = relu(classify(&self.fc7, x));
        RoiPredictions {
            logits: classify(&self.cls_score, x.clone()),
            offsets: classify(&self.bbox_pred, x),
        }
    }

    /// Counts multiply-accumulates for so many regions.
    pub fn count(&self, macs: &mut MacCounter, regions: usize) {
        for layer in [&self.fc6, &self.fc7, &self.cls_score, &self.bbox_pred] {
            macs.rows(layer, regions);
        }
    }
}
