//! The cases of `detection_losses.json`: geometry and losses of detectors, and of their distillation.

use burn::tensor::Tensor;
use kd_core::detection::{Matched, Objects};
use kd_core::{Error, Output, Pair, Step, Targets};

use super::case::{Answer, Case, numbers};

mod distillation;
mod geometry;
mod losses;
mod pooling;

/// What the crate that evaluates detectors compares, and this one does not have.
pub const ELSEWHERE: [&str; 1] = ["voc_average_precision"];

/// The loss of a case, when this crate has it.
pub fn loss(case: &Case) -> Option<Result<Answer, Error>> {
    Some(match case.name.as_str() {
        "fgd" | "fgd_foreground" | "fgd_background" | "fgd_attention" | "fgd_relation" => {
            distillation::fgd(case)
        }
        "mgd" | "mgd_two_stage" => distillation::mgd(case),
        "pkd_fpn" => distillation::pkd_levels(case),
        "pkd_resize_student" | "pkd_resize_teacher" => distillation::pkd_sizes(case),
        "cwd_fpn" => distillation::cwd(case),
        "fbkd_attention" => distillation::fbkd_attention(case),
        "fbkd" | "fbkd_equal_parts" => distillation::fbkd(case),
        "ld_main" => distillation::ld_main(case),
        "ld_classes" => distillation::ld_classes(case),
        "crosskd_classes" => distillation::crosskd_classes(case),
        "crosskd_align_scale" => distillation::crosskd_align(case),
        "fine_grained_imitation" => distillation::imitation(case),
        "fine_grained" | "fine_grained_strict" => distillation::fine_grained(case),
        "bounded_regression" => distillation::bounded_regression(case),
        "weighted_soft_cross_entropy" => distillation::soft_classes(case),
        "rpn_loss" => losses::rpn(case),
        "roi_loss" => losses::roi(case),
        "ssd_multibox_loss" => losses::multibox(case),
        "retinanet_loss" => losses::retinanet(case),
        "crosskd" | "crosskd_early" => distillation::crosskd(case),
        "box_head" | "box_head_at_default_boxes" | "box_head_decoupled" => {
            distillation::box_head(case)
        }
        "matched_detections" | "matched_detections_of_few" => {
            distillation::matched_detections(case)
        }
        "sigmoid_focal_loss" => losses::focal(case),
        "giou_loss" => losses::giou(case),
        "box_encode_ssd" | "box_encode_rpn" => geometry::encode(case),
        "box_decode_clip" => geometry::decode(case),
        "matchers" => geometry::matchers(case),
        "nms" => geometry::nms(case),
        "anchors_rpn" | "anchors_odd_maps" => geometry::anchors(case),
        "anchors_retinanet" => geometry::retinanet_anchors(case),
        "default_boxes_ssd300" | "default_boxes_ssdlite320" | "default_boxes_mini" => {
            geometry::default_boxes(case)
        }
        "roi_align" | "roi_align_adaptive" | "roi_align_aligned" | "roi_align_aligned_adaptive" => {
            pooling::roi_align(case)
        }
        "multi_scale_roi_align" => pooling::multi_scale(case),
        _ => return None,
    })
}

/// Where in training a term is asked.
const STEP: Step = Step {
    epoch: 1,
    epochs: 3,
    index: 0,
};

/// A student without a teacher.
fn alone<'a>(student: &'a Output, targets: &'a Targets) -> Pair<'a> {
    Pair {
        student,
        teacher: None,
        targets,
        indices: None,
    }
}

/// An answer of a case that has no loss.
fn without_loss(case: &Case) -> Answer {
    Answer::new(case.zeros([1]))
}

/// An answer that is a tensor: its loss is the sum of it, weighted as the case says.
fn weighted<const D: usize>(case: &Case, name: &'static str, output: Tensor<D>) -> Answer {
    let loss = (output.clone() * case.tensor("grad_weight")).sum();
    Answer::new(loss).with_value(name, numbers(output))
}

/// Matches as the file has them: the object, −1 for background, −2 for what lies between.
fn coded(matches: &[Matched]) -> Vec<f64> {
    let code = |matched: &Matched| match matched {
        Matched::Object(object) => *object as f64,
        Matched::Background => -1.0,
        Matched::Between => -2.0,
    };
    matches.iter().map(code).collect()
}

/// The objects of an image: boxes, and classes where the case has them, else 1.
fn objects(case: &Case, image: usize) -> Result<Objects, Error> {
    let has = |name: &str| !case.json["inputs"][name].is_null();
    let (boxes, labels) = (format!("gt{image}"), format!("labels{image}"));
    if !has(&boxes) {
        return Ok(Objects::default());
    }
    let boxes = case.boxes(&boxes);
    let classes = match has(&labels) {
        true => case.indices(&labels),
        false => vec![1; boxes.len()],
    };
    Objects::new(boxes, classes)
}
