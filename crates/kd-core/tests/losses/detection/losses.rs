//! Losses of detectors.

use burn::tensor::Tensor;
use kd_core::detection::losses::{
    Multibox, RoiTargets, generalized_iou_loss, multibox as multibox_loss, retinanet_loss,
    roi_loss, rpn_loss, sigmoid_focal_loss,
};
use kd_core::detection::{
    Anchors, BoxCoder, BoxRows, Corners, Matched, Matcher, Objects, Overlaps, RowScores, Sampled,
    rows_of_map,
};
use kd_core::terms::detection_loss::DetectionLossConfig;
use kd_core::{Error, Output, Part, Taps, Targets};

use super::super::case::{Answer, Case, numbers};
use super::geometry::mini;
use super::{STEP, alone, coded, objects};

pub fn rpn(case: &Case) -> Result<Answer, Error> {
    let anchors = Anchors {
        sizes: vec![vec![16.0], vec![32.0]],
        ratios: vec![0.5, 1.0, 2.0],
    };
    let anchors = anchors.of_image([64, 80], &[[8, 10], [4, 5]]);
    let objects: Vec<Objects> = [objects(case, 0)?, objects(case, 1)?].to_vec();
    let matches: Vec<Vec<Matched>> = objects
        .iter()
        .map(|o| Matcher::RPN.matches(&Overlaps::new(o.boxes(), &anchors)))
        .collect();
    let sampled: Vec<Sampled> = matches.iter().map(|m| Sampled::all(m)).collect();
    let rows = |name: &str, width: usize| {
        let maps: Vec<Tensor<4>> = case.tensors(name);
        let rows = maps.into_iter().map(|map| rows_of_map(map, width));
        Tensor::cat(rows.collect(), 1)
    };
    let loss = rpn_loss(
        rows("o", 1).squeeze_dim(2),
        rows("d", 4),
        &anchors,
        &objects,
        &sampled,
    )?;
    let labels = coded(&matches[0]).into_iter();
    let labels = labels.map(|code| match code {
        -1.0 => 0.0,
        -2.0 => -1.0,
        _ => 1.0,
    });
    let [objectness, boxes] = [&loss.classes, &loss.boxes].map(|part| numbers(part.clone()));
    Ok(Answer::new(loss.total())
        .with_value("objectness", objectness)
        .with_value("box", boxes)
        .with_value("labels", labels.collect()))
}

pub fn roi(case: &Case) -> Result<Answer, Error> {
    let coder = BoxCoder::ROI;
    let targets = RoiTargets {
        classes: case.indices("labels"),
        proposals: case.boxes("proposals"),
        boxes: case.boxes("gt"),
    };
    let loss = roi_loss(
        case.tensor("class_logits"),
        case.tensor("box_regression"),
        &targets,
        &coder,
    )?;
    let encoded = coder.encode(&targets.boxes, &targets.proposals)?;
    let [classes, boxes] = [&loss.classes, &loss.boxes].map(|part| numbers(part.clone()));
    Ok(Answer::new(loss.total())
        .with_value("classes", classes)
        .with_value("box", boxes)
        .with_value("targets", encoded.concat()))
}

pub fn multibox(case: &Case) -> Result<Answer, Error> {
    let (defaults, image, maps) = mini();
    let objects: Vec<Objects> = (0..3)
        .map(|image| objects(case, image))
        .collect::<Result<_, Error>>()?;
    let found = multibox_loss(
        case.tensor("cls_logits"),
        case.tensor("bbox_regression"),
        &defaults.of_image(image, &maps),
        &objects,
        &Multibox::default(),
    )?;
    let [classes, boxes] =
        [&found.loss.classes, &found.loss.boxes].map(|part| numbers(part.clone()));
    // The term says the same of the same rows.
    let logits: Tensor<3> = case.tensor("cls_logits");
    let [batch, rows, count] = logits.dims();
    let mut student = Output::new(logits.reshape([batch * rows, count]));
    let offsets: Tensor<3> = case.tensor("bbox_regression");
    let offsets: Tensor<2> = offsets.reshape([batch * rows, 4]);
    student.push(Part::Boxes, &offsets, &Taps::all());
    student.boxes = Some(BoxRows::new(image, defaults.of_image(image, &maps)));
    let term = DetectionLossConfig::default().init(&student, None, case.device)?;
    let loss = term.forward(
        &alone(&student, &Targets::objects(objects, case.device)),
        &STEP,
    )?;
    Ok(Answer::new(loss)
        .with_value("classes", classes)
        .with_value("box", boxes)
        .with_value("matched0", coded(&found.mined.matches[0]))
        .with_value("matched1", coded(&found.mined.matches[1])))
}

/// The anchors of a case that lists sizes, ratios and maps.
pub fn anchors_of(case: &Case) -> Vec<Corners> {
    let image = case.param_list("image");
    let sizes = case.param_list("sizes");
    let anchors = Anchors {
        sizes: sizes.chunks(2).map(<[f64]>::to_vec).collect(),
        ratios: case.param_list("ratios")[..3].to_vec(),
    };
    let maps = case.param_list("maps");
    let maps: Vec<[usize; 2]> = maps
        .chunks(2)
        .map(|m| [m[0] as usize, m[1] as usize])
        .collect();
    anchors.of_image([image[0] as usize, image[1] as usize], &maps)
}

pub fn retinanet(case: &Case) -> Result<Answer, Error> {
    let anchors = anchors_of(case);
    let objects: Vec<Objects> = (0..3)
        .map(|image| objects(case, image))
        .collect::<Result<_, Error>>()?;
    let logits: Tensor<3> = case.tensor("cls_logits");
    let offsets: Tensor<3> = case.tensor("bbox_regression");
    let loss = retinanet_loss(logits.clone(), offsets.clone(), &anchors, &objects)?;
    let [classes, boxes] = [&loss.classes, &loss.boxes].map(|part| numbers(part.clone()));
    // The term says the same of the same rows.
    let [batch, rows, count] = logits.dims();
    let mut student = Output::new(logits.reshape([batch * rows, count]));
    let offsets: Tensor<2> = offsets.reshape([batch * rows, 4]);
    student.push(Part::Boxes, &offsets, &Taps::all());
    student.boxes = Some(BoxRows::new([64, 80], anchors).with_scores(RowScores::Sigmoid));
    let term = DetectionLossConfig::default().init(&student, None, case.device)?;
    let loss = term.forward(
        &alone(&student, &Targets::objects(objects, case.device)),
        &STEP,
    )?;
    Ok(Answer::new(loss)
        .with_value("classes", classes)
        .with_value("box", boxes))
}

pub fn focal(case: &Case) -> Result<Answer, Error> {
    let targets = case.int_table("target").float().cast(case.dtype);
    let loss = sigmoid_focal_loss(
        case.tensor("student"),
        targets,
        case.param("alpha"),
        case.param("gamma"),
    )?;
    Ok(Answer::new(loss.sum()))
}

pub fn giou(case: &Case) -> Result<Answer, Error> {
    let loss = generalized_iou_loss(case.tensor("student"), case.tensor("target"))?;
    Ok(Answer::new(loss.sum()))
}
