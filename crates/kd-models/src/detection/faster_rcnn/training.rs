//! What Faster R-CNN is trained by.

use burn::tensor::Tensor;
use kd_core::Error;
use kd_core::detection::losses::{DetectionLoss, RoiTargets, roi_loss, rpn_loss};
use kd_core::detection::{
    BoxCoder, Corners, Matched, Matcher, Objects, Overlaps, RegionOfInterest, RoiPredictions,
    Sampled,
};

use super::{FasterRcnn, Proposals};

/// The losses of the two stages, and what the second said of the boxes that it was asked about.
pub(in crate::detection) struct Trained {
    pub losses: Vec<DetectionLoss>,
    pub said: RoiPredictions,
}

impl FasterRcnn {
    /// The losses of both stages on images `[height, width]` with these objects, from the maps of the pyramid.
    ///
    /// Objects are added to the proposals, as in the reference. Draws follow from `seed`.
    pub(in crate::detection) fn losses(
        &self,
        pyramid: &[Tensor<4>],
        image: [usize; 2],
        objects: &[Objects],
        seed: u64,
    ) -> Result<Trained, Error> {
        let proposals = self.propose(pyramid);
        let first = self.proposal_loss(&proposals, image, objects, seed)?;
        let [filter, _] = &self.config.proposals;
        let proposed = self.select(&proposals, image, filter)?;
        let (mut regions, mut targets) = (Vec::new(), RoiTargets::default());
        for (place, (mut boxes, objects)) in proposed.into_iter().zip(objects).enumerate() {
            boxes.extend_from_slice(objects.boxes());
            let matches = Matcher::ROI.matches(&Overlaps::new(objects.boxes(), &boxes));
            let sampler = &self.config.region_sampler;
            let sampled = sampler.seeded(&matches, draw(seed, place, 1));
            let mut take = |i: usize, class: usize, corners: Corners| {
                regions.push(RegionOfInterest {
                    image: place,
                    corners: boxes[i],
                });
                targets.proposals.push(boxes[i]);
                targets.classes.push(class);
                targets.boxes.push(corners);
            };
            for (i, object) in sampled.positives {
                take(i, objects.classes()[object], objects.boxes()[object]);
            }
            for i in sampled.negatives {
                take(i, 0, boxes[i]);
            }
        }
        let said = self.classify(pyramid, image, &regions)?;
        let second = roi_loss(
            said.logits.clone(),
            said.offsets.clone(),
            &targets,
            &BoxCoder::ROI,
        )?;
        Ok(Trained {
            losses: vec![first, second],
            said,
        })
    }

    fn proposal_loss(
        &self,
        proposals: &Proposals,
        image: [usize; 2],
        objects: &[Objects],
        seed: u64,
    ) -> Result<DetectionLoss, Error> {
        let anchors = self.config.anchors.of_image(image, &proposals.sizes());
        let sampled = objects.iter().enumerate().map(|(place, objects)| {
            let matches: Vec<Matched> =
                Matcher::RPN.matches(&Overlaps::new(objects.boxes(), &anchors));
            self.config
                .anchor_sampler
                .seeded(&matches, draw(seed, place, 0))
        });
        let sampled: Vec<Sampled> = sampled.collect();
        let (objectness, offsets) = proposals.rows();
        rpn_loss(objectness, offsets, &anchors, objects, &sampled)
    }
}

/// The seed of a draw for an image of the batch.
fn draw(seed: u64, image: usize, stage: u64) -> u64 {
    seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)
        .wrapping_add(2 * image as u64 + stage)
}
