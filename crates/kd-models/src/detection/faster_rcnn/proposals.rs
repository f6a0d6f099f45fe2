//! Regions that may hold an object.

use burn::tensor::{Tensor, TensorData};
use kd_core::Error;
use kd_core::detection::{Anchors, BoxCoder, Corners, clip, nms_by_class, rows_of_map};

use super::ProposalFilter;

/// What is said of anchors, map by map.
#[derive(Clone, Debug)]
pub struct Proposals {
    /// Logits of being at an object, `[batch, anchors of a cell, height, width]`.
    pub objectness: Vec<Tensor<4>>,
    /// Offsets from the anchors, `[batch, 4 · anchors of a cell, height, width]`.
    pub offsets: Vec<Tensor<4>>,
}

/// A proposal with the map that it is from.
struct Candidate {
    corners: Corners,
    score: f64,
    map: usize,
}

impl Proposals {
    /// Height and width of the maps.
    pub fn sizes(&self) -> Vec<[usize; 2]> {
        let size = |map: &Tensor<4>| [map.dims()[2], map.dims()[3]];
        self.objectness.iter().map(size).collect()
    }

    /// A row an anchor, in the order of [`Anchors::of_image`]: objectness `[batch, anchors]` and offsets
    /// `[batch, anchors, 4]`.
    pub fn rows(&self) -> (Tensor<2>, Tensor<3>) {
        let rows = |maps: &[Tensor<4>], width: usize| {
            let rows = maps.iter().map(|map| rows_of_map(map.clone(), width));
            Tensor::cat(rows.collect(), 1)
        };
        (
            rows(&self.objectness, 1).squeeze_dim(2),
            rows(&self.offsets, 4),
        )
    }

    pub(super) fn select(
        &self,
        anchors: &Anchors,
        image: [usize; 2],
        filter: &ProposalFilter,
    ) -> Result<Vec<Vec<Corners>>, Error> {
        let batch = self.objectness.first().map_or(0, |map| map.dims()[0]);
        let mut of_images: Vec<Vec<Candidate>> = (0..batch).map(|_| Vec::new()).collect();
        let sizes = self.sizes();
        for (map, size) in sizes.iter().enumerate() {
            let strides = [image[0] / size[0], image[1] / size[1]];
            let anchors = anchors.of_map(map, *size, strides);
            let scores = rows_of_map(self.objectness[map].clone().detach(), 1).into_data();
            let scores: Vec<f64> = scores.iter().collect();
            let offsets = rows_of_map(self.offsets[map].clone().detach(), 4).into_data();
            let offsets: Vec<f64> = offsets.iter().collect();
            let offsets = offsets.as_chunks::<4>().0;
            let count = anchors.len();
            if scores.len() != batch * count || offsets.len() != batch * count {
                return Err(Error::Shape {
                    loss: "proposals",
                    problem: format!("{} scores for {count} anchors", scores.len()),
                });
            }
            for (i, candidates) in of_images.iter_mut().enumerate() {
                let scores = &scores[i * count..(i + 1) * count];
                let best = best(scores, filter.a_map);
                let chosen: Vec<Corners> = best.iter().map(|k| anchors[*k]).collect();
                let said: Vec<f64> = best.iter().flat_map(|k| offsets[i * count + k]).collect();
                let said = Tensor::from_data(
                    TensorData::new(said, [best.len(), 4]),
                    &self.offsets[map].device(),
                );
                let decoded = BoxCoder::RPN.decode(said, &chosen)?.into_data();
                let decoded: Vec<f64> = decoded.iter().collect();
                for (corners, k) in decoded.as_chunks::<4>().0.iter().zip(&best) {
                    candidates.push(Candidate {
                        corners: clip(corners, image.map(|side| side as f64)),
                        score: scores[*k],
                        map,
                    });
                }
            }
        }
        let of_images = of_images.into_iter();
        Ok(of_images
            .map(|candidates| keep(candidates, filter))
            .collect())
    }
}

/// The places of the highest scores, best first.
fn best(scores: &[f64], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    order.truncate(count);
    order
}

fn keep(candidates: Vec<Candidate>, filter: &ProposalFilter) -> Vec<Corners> {
    let large = candidates.into_iter().filter(|candidate| {
        let [x1, y1, x2, y2] = candidate.corners;
        let probability = 1.0 / (1.0 + (-candidate.score).exp());
        x2 - x1 >= filter.side && y2 - y1 >= filter.side && probability >= filter.score
    });
    let (mut boxes, mut scores, mut maps) = (Vec::new(), Vec::new(), Vec::new());
    for candidate in large {
        boxes.push(candidate.corners);
        scores.push(candidate.score);
        maps.push(candidate.map);
    }
    let kept = nms_by_class(&boxes, &scores, &maps, filter.overlap);
    kept.into_iter()
        .take(filter.an_image)
        .map(|i| boxes[i])
        .collect()
}
