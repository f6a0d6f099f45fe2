//! Coders, matchers, suppression, anchors and default boxes.

use kd_core::Error;
use kd_core::detection::{
    Anchors, BoxCoder, DefaultBoxes, Matcher, Overlaps, match_default_boxes, nms as suppress,
    nms_by_class,
};

use super::super::case::{Answer, Case};
use super::{coded, weighted, without_loss};

fn coder(case: &Case) -> BoxCoder {
    let weights = case.param_list("weights");
    BoxCoder {
        weights: weights.try_into().expect("four weights"),
    }
}

pub fn encode(case: &Case) -> Result<Answer, Error> {
    let offsets = coder(case).encode(&case.boxes("gt"), &case.boxes("proposals"))?;
    Ok(without_loss(case).with_value("deltas", offsets.concat()))
}

pub fn decode(case: &Case) -> Result<Answer, Error> {
    let boxes = coder(case).decode(case.tensor("deltas"), &case.boxes("proposals"))?;
    Ok(weighted(case, "boxes", boxes))
}

pub fn matchers(case: &Case) -> Result<Answer, Error> {
    let values = case.listed("iou");
    let rows = case.json["inputs"]["iou"]["values"]
        .as_array()
        .map_or(0, Vec::len);
    let boxes = values.len() / rows;
    let rows: Vec<Vec<f64>> = values.chunks(boxes).map(<[f64]>::to_vec).collect();
    let overlaps = Overlaps::from_rows(boxes, &rows);
    let of = |matcher: Matcher| coded(&matcher.matches(&overlaps));
    Ok(without_loss(case)
        .with_value("rpn", of(Matcher::RPN))
        .with_value("roi", of(Matcher::ROI))
        .with_value("retinanet", of(Matcher::RETINANET))
        .with_value("ssd", coded(&match_default_boxes(&overlaps, 0.5))))
}

pub fn nms(case: &Case) -> Result<Answer, Error> {
    let (boxes, scores) = (case.boxes("b"), case.listed("scores"));
    let classes = case.indices("classes");
    let all = |threshold| suppress(&boxes, &scores, threshold);
    let batched = |threshold| nms_by_class(&boxes, &scores, &classes, threshold);
    let reals = |kept: Vec<usize>| kept.into_iter().map(|i| i as f64).collect();
    Ok(without_loss(case)
        .with_value("nms_0.5", reals(all(0.5)))
        .with_value("nms_0.45", reals(all(0.45)))
        .with_value("batched_0.5", reals(batched(0.5)))
        .with_value("batched_0.45", reals(batched(0.45))))
}

pub fn anchors(case: &Case) -> Result<Answer, Error> {
    let anchors = Anchors::faster_rcnn();
    let (image, maps): ([usize; 2], &[[usize; 2]]) = match case.name.as_str() {
        "anchors_rpn" => ([256, 320], &[[64, 80], [32, 40], [16, 20], [8, 10], [4, 5]]),
        _ => ([250, 333], &[[63, 84], [32, 42]]),
    };
    let answer = without_loss(case).with_value("anchors", anchors.of_image(image, maps).concat());
    Ok(answer.with_value("cells", cells(&anchors)))
}

pub fn retinanet_anchors(case: &Case) -> Result<Answer, Error> {
    Ok(without_loss(case).with_value("cells", cells(&Anchors::retinanet())))
}

fn cells(anchors: &Anchors) -> Vec<f64> {
    let levels = 0..anchors.sizes.len();
    levels
        .flat_map(|level| anchors.cell(level).concat())
        .collect()
}

/// The default boxes of the small SSD of the loss's case.
pub fn mini() -> (DefaultBoxes, [usize; 2], Vec<[usize; 2]>) {
    let boxes = DefaultBoxes {
        ratios: vec![vec![2.0], vec![2.0, 3.0], vec![2.0]],
        scales: vec![0.12, 0.3, 0.6, 0.95],
        steps: Some(vec![8.0, 16.0, 64.0]),
    };
    (boxes, [64, 64], vec![[8, 8], [4, 4], [1, 1]])
}

pub fn default_boxes(case: &Case) -> Result<Answer, Error> {
    let squares = |sides: [usize; 6]| sides.map(|side| [side; 2]).to_vec();
    let (boxes, image, maps) = match case.name.as_str() {
        "default_boxes_ssd300" => (
            DefaultBoxes::ssd300(),
            [300, 300],
            squares([38, 19, 10, 5, 3, 1]),
        ),
        "default_boxes_ssdlite320" => (
            DefaultBoxes::ssdlite320(),
            [320, 320],
            squares([20, 10, 5, 3, 2, 1]),
        ),
        _ => mini(),
    };
    let sides = (0..maps.len()).flat_map(|level| boxes.sides(level).concat());
    Ok(without_loss(case)
        .with_value("boxes", boxes.of_image(image, &maps).concat())
        .with_value("wh", sides.collect()))
}
