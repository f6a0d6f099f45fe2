//! Losses between detectors.

use std::sync::{Arc, Mutex};

use burn::tensor::{Tensor, TensorData};
use kd_core::detection::{
    Anchors, BoxRows, Corners, DenseHead, HeadBranch, Objects, RegionHead, RegionOfInterest,
    RoiPredictions, RowScores,
};
use kd_core::terms::bounded_regression::bounded_regression as bounded;
use kd_core::terms::box_head::{BoxHeadConfig, ClassForm};
use kd_core::terms::crosskd::{CrossKdConfig, align_scale, quality_focal_kd};
use kd_core::terms::cwd::cwd as channel_wise;
use kd_core::terms::fbkd::{FbkdConfig, fbkd as attention_guided};
use kd_core::terms::fgd::{FgdConfig, FgdImage};
use kd_core::terms::fine_grained::{FineGrainedConfig, fine_grained_imitation, imitation_mask};
use kd_core::terms::ld::{ld, ld_weighted};
use kd_core::terms::matched_detections::MatchedDetectionsConfig;
use kd_core::terms::mgd::MgdConfig;
use kd_core::terms::pkd::{PkdResized, pkd, pkd_interpolated};
use kd_core::terms::soft_classes::soft_classes as weighted_classes;

use kd_core::{Error, Output, Pair, Part, Step, Taps, Targets};

use super::super::case::{Answer, Case};
use super::super::more::{features, network, paired};
use super::super::parameters::{load, name};
use super::losses::anchors_of;
use super::{STEP, alone, objects, weighted};

fn maps(case: &Case) -> [Tensor<4>; 2] {
    ["student", "teacher"].map(|name| case.tensor(name))
}

pub fn fgd(case: &Case) -> Result<Answer, Error> {
    let [student, teacher] = maps(case);
    let config = FgdConfig {
        levels: Vec::new(),
        temperature: case.param("temperature"),
        alpha: case.param("alpha"),
        beta: case.param("beta"),
        gamma: case.param("gamma"),
        lambda: case.param("lambda"),
    };
    let term = config.level(student.dims()[1], teacher.dims()[1], case.device)?;
    let mut names = vec![name("align", "align")];
    for (ours, theirs) in [("student", "s"), ("teacher", "t")] {
        let add = format!("channel_add_conv_{theirs}");
        names.push(name(format!("{ours}.mask"), format!("conv_mask_{theirs}")));
        names.push(name(format!("{ours}.reduce"), format!("{add}.0")));
        names.push(name(format!("{ours}.norm"), format!("{add}.1")));
        names.push(name(format!("{ours}.expand"), format!("{add}.3")));
    }
    let (term, adapters) = load(term, names, case);
    let sizes = case.param_list("image_sizes_hw");
    let images: Vec<FgdImage> = (0..2)
        .map(|i| FgdImage {
            boxes: case.boxes(&format!("boxes{i}")),
            size: [sizes[2 * i], sizes[2 * i + 1]],
        })
        .collect();
    let loss = term.forward(student, teacher, &images)?;
    Ok(Answer {
        adapters: Some(adapters),
        ..Answer::new(loss)
    })
}

/// A head that is linear in the corners, and what it was asked.
#[derive(Debug)]
struct Linear {
    weight: Tensor<2>,
    classes: usize,
    regions: Vec<RegionOfInterest>,
    asked: Mutex<Vec<f64>>,
}

impl RegionHead for Linear {
    fn regions(&self) -> Result<Vec<RegionOfInterest>, Error> {
        Ok(self.regions.clone())
    }

    fn judge(&self, regions: &[RegionOfInterest]) -> Result<RoiPredictions, Error> {
        let corners: Vec<f64> = regions.iter().flat_map(|region| region.corners).collect();
        let data = TensorData::new(corners.clone(), [regions.len(), 4]);
        *self.asked.lock().expect("one thread") = corners;
        let options = (&self.weight.device(), self.weight.dtype());
        let said = Tensor::<2>::from_data(data, options).matmul(self.weight.clone());
        Ok(RoiPredictions {
            logits: said.clone().narrow(1, 0, self.classes),
            offsets: said.narrow(1, self.classes, 4 * self.classes),
        })
    }
}

/// A one-stage student and a two-stage teacher, with the head of the latter, and how many images there are.
fn one_and_two_stages(
    case: &Case,
    regions: Vec<RegionOfInterest>,
) -> (Output, Output, Arc<Linear>, usize) {
    let all = Taps::all();
    let logits: Tensor<3> = case.tensor("logits");
    let [batch, rows, classes] = logits.dims();
    let mut student = Output::new(logits.reshape([batch * rows, classes]));
    let offsets: Tensor<3> = case.tensor("offsets");
    let offsets: Tensor<2> = offsets.reshape([batch * rows, 4]);
    student.push(Part::Boxes, &offsets, &all);
    let image = case.param_list("image");
    let image = [image[0] as usize, image[1] as usize];
    student.boxes = Some(BoxRows::new(image, case.boxes("defaults")));
    let head = Arc::new(Linear {
        weight: case.tensor::<2>("head").without_autodiff(),
        classes,
        regions,
        asked: Mutex::default(),
    });
    let mut teacher = Output::new(case.zeros([0, classes]));
    let shown: Arc<dyn RegionHead> = head.clone();
    teacher.push(Part::Regions, &shown, &all);
    (student, teacher, head, batch)
}

pub fn matched_detections(case: &Case) -> Result<Answer, Error> {
    let regions = ["regions0", "regions1"].iter().enumerate();
    let regions = regions.flat_map(|(image, name)| {
        let boxes = case.boxes(name).into_iter();
        boxes.map(move |corners| RegionOfInterest { image, corners })
    });
    let (student, teacher, _, batch) = one_and_two_stages(case, regions.collect());
    let config = MatchedDetectionsConfig {
        temperature: case.param("temperature"),
        boxes: case.param("boxes"),
        regions: case.param("regions") as usize,
    };
    let term = config.init(&student, Some(&teacher), case.device)?;
    // It reads no objects.
    let objects = vec![Objects::default(); batch];
    let targets = Targets::objects(objects, case.device);
    let pair = Pair {
        teacher: Some(&teacher),
        ..alone(&student, &targets)
    };
    term.forward(&pair, &STEP).map(Answer::new)
}

pub fn box_head(case: &Case) -> Result<Answer, Error> {
    let (student, teacher, head, batch) = one_and_two_stages(case, Vec::new());
    let mut config = BoxHeadConfig {
        temperature: case.param("temperature"),
        boxes: case.param("boxes"),
        at_default_boxes: case.param("at_default_boxes") as usize,
        ..Default::default()
    };
    if !case.json["params"]["decoupled"].is_null() {
        let weights = case.param_list("decoupled");
        config.form = ClassForm::Dkd;
        (config.alpha, config.beta) = (weights[0], weights[1]);
    }
    let term = config.init(&student, Some(&teacher), case.device)?;
    let objects: Vec<Objects> = (0..batch)
        .map(|image| objects(case, image))
        .collect::<Result<_, Error>>()?;
    let targets = Targets::objects(objects, case.device);
    let pair = Pair {
        teacher: Some(&teacher),
        ..alone(&student, &targets)
    };
    let step = Step {
        epoch: case.param("epoch") as usize,
        ..STEP
    };
    let loss = term.forward(&pair, &step)?;
    let asked = head.asked.lock().expect("one thread").clone();
    Ok(Answer::new(loss).with_value("regions", asked))
}

pub fn mgd(case: &Case) -> Result<Answer, Error> {
    let [student, teacher] = maps(case);
    let [batch, _, height, width] = teacher.dims();
    let config = MgdConfig {
        mask: case.param("lambda"),
        ..MgdConfig::default()
    };
    let [student, teacher] = [student, teacher].map(|map| network(&[map]));
    let term = config.init(&student, Some(&teacher), case.device)?;
    let kept = case.of_data(case.listed("mask"), [batch, 1, height, width]);
    let (term, adapters) = load(term, features::mgd_names(), case);
    let loss = paired(&student, &teacher, |pair| {
        term.forward_masked(pair, &[kept])
    })?;
    Ok(Answer {
        adapters: Some(adapters),
        ..Answer::new(loss * case.param("alpha"))
    })
}

pub fn pkd_levels(case: &Case) -> Result<Answer, Error> {
    let level = |i: usize| pkd(case.tensor(&format!("s{i}")), case.tensor(&format!("t{i}")));
    Ok(Answer::new((level(0)? + level(1)?) * case.param("weight")))
}

pub fn pkd_sizes(case: &Case) -> Result<Answer, Error> {
    let [student, teacher] = maps(case);
    let resized = match case.name.as_str() {
        "pkd_resize_student" => PkdResized::Student,
        _ => PkdResized::Teacher,
    };
    pkd_interpolated(student, teacher, resized).map(Answer::new)
}

pub fn cwd(case: &Case) -> Result<Answer, Error> {
    let [student, teacher] = maps(case);
    let loss = channel_wise(student, teacher, case.param("temperature"))?;
    Ok(Answer::new(loss * case.param("weight")))
}

pub fn fbkd_attention(case: &Case) -> Result<Answer, Error> {
    let [student, teacher] = maps(case);
    let adapted = case.tensor("adapted");
    let loss = attention_guided(student, adapted, teacher, case.param("temperature"))?;
    Ok(Answer::new(loss * case.param("weight")))
}

pub fn fbkd(case: &Case) -> Result<Answer, Error> {
    let [student, teacher] = two_levels(case);
    let config = FbkdConfig {
        levels: Vec::new(),
        temperature: case.param("temperature"),
        maps: case.param("maps"),
        channels: case.param("channels"),
        positions: case.param("positions"),
        relations: case.param("relations"),
        reduction: case.param("reduction") as usize,
    };
    let term = config.init(&student, Some(&teacher), case.device)?;
    let own = ["map", "channels", "positions", "relations"].map(str::to_owned);
    let blocks = ["student", "teacher"].iter().flat_map(|network| {
        ["theta", "phi", "g", "out", "norm"].map(|layer| format!("{network}.{layer}"))
    });
    let layers: Vec<String> = own.into_iter().chain(blocks).collect();
    let names = [0, 1].iter().flat_map(|level| {
        let paths = layers
            .iter()
            .map(move |layer| format!("blocks.{level}.{layer}"));
        paths.map(|path| name(path.clone(), path))
    });
    let (term, adapters) = load(term, names.collect(), case);
    Ok(Answer {
        adapters: Some(adapters),
        ..Answer::new(paired(&student, &teacher, |pair| {
            term.forward(pair, &STEP)
        })?)
    })
}

/// Networks of two maps each.
fn two_levels(case: &Case) -> [Output; 2] {
    ["student", "teacher"].map(|network| {
        let maps = ["0", "1"].map(|level| case.tensor::<4>(&format!("{network}{level}")));
        self::network(&maps)
    })
}

pub fn ld_main(case: &Case) -> Result<Answer, Error> {
    let loss = ld_weighted(
        case.tensor("student"),
        case.tensor("teacher"),
        case.tensor("weight"),
        case.param("temperature"),
    )?;
    Ok(Answer::new(
        loss / case.param("divisor") * case.param("weight"),
    ))
}

pub fn ld_classes(case: &Case) -> Result<Answer, Error> {
    let logits = |name: &str| case.tensor::<2>(name).unsqueeze_dim(1);
    let loss = ld(
        logits("student"),
        logits("teacher"),
        case.param("temperature"),
    )?;
    Ok(Answer::new(loss * case.param("weight")))
}

pub fn crosskd_classes(case: &Case) -> Result<Answer, Error> {
    let loss = quality_focal_kd(
        case.tensor("student"),
        case.tensor("teacher"),
        case.tensor("label_weight"),
        case.param("beta"),
        case.param("avg_factor"),
    );
    loss.map(Answer::new)
}

pub fn crosskd_align(case: &Case) -> Result<Answer, Error> {
    let [student, teacher] = maps(case);
    Ok(weighted(case, "aligned", align_scale(student, teacher)?))
}

pub fn crosskd(case: &Case) -> Result<Answer, Error> {
    let layer = case.param("layer") as usize;
    let classes = case.json["inputs"]["logits"]["shape"][1]
        .as_u64()
        .expect("classes") as usize;
    let branch = |network: &str, name: &str, row: usize| {
        let maps = [0, 1].map(|map| case.tensor::<4>(&format!("{name}.{network}{map}")));
        let layers = [0, 1, 2].map(|i| {
            let of = |what: &str| format!("{name}.{i}.{what}");
            (
                case.tensor::<4>(&of("weight")),
                case.tensor::<1>(&of("bias")),
            )
        });
        // What other convolutions give is not asked for.
        let elsewhere = maps.clone().map(|map| map * f64::NAN);
        let hidden = (1..3).map(|place| match place == layer {
            true => maps.to_vec(),
            false => elsewhere.to_vec(),
        });
        HeadBranch {
            hidden: hidden.collect(),
            layers: layers.to_vec(),
            row,
        }
    };
    let head = |network: &str| DenseHead {
        classes: branch(network, "classes", classes),
        boxes: branch(network, "boxes", 4),
    };
    let all = Taps::all();
    let image = case.param_list("image");
    let rows = BoxRows::new([image[0] as usize, image[1] as usize], anchors_of(case));
    let output = |network: &str| {
        let mut output = Output::new(case.tensor("logits"));
        output.push(Part::Boxes, &case.tensor::<2>("offsets"), &all);
        output.push(Part::DenseHead, &head(network), &all);
        output.boxes = Some(rows.clone().with_scores(RowScores::Sigmoid));
        output
    };
    let (student, teacher) = (output("student"), output("teacher"));
    let config = CrossKdConfig {
        layer,
        beta: case.param("beta"),
        classes: case.param("classes"),
        boxes: case.param("boxes"),
    };
    let term = config.init(&student, Some(&teacher), case.device)?;
    let objects = (0..3).map(|image| objects(case, image));
    let objects: Vec<Objects> = objects.collect::<Result<_, Error>>()?;
    let targets = Targets::objects(objects, case.device);
    let pair = Pair {
        teacher: Some(&teacher),
        ..alone(&student, &targets)
    };
    Ok(Answer::new(term.forward(&pair, &STEP)?))
}

pub fn fine_grained(case: &Case) -> Result<Answer, Error> {
    let [mut student, teacher] = two_levels(case);
    let image = case.param_list("image");
    let image = [image[0] as usize, image[1] as usize];
    student.boxes = Some(BoxRows::new(image, Vec::new()));
    let config = FineGrainedConfig {
        levels: Vec::new(),
        threshold: case.param("threshold"),
        sizes: case.param_list("sizes"),
        ratios: case.param_list("ratios"),
    };
    let term = config.init(&student, Some(&teacher), case.device)?;
    let names = [0, 1].map(|level| format!("adapters.{level}"));
    let names = names.map(|path| name(path.clone(), path)).to_vec();
    let (term, adapters) = load(term, names, case);
    let objects = |boxes: Vec<Corners>| Objects::new(boxes.clone(), vec![1; boxes.len()]);
    let objects = vec![
        objects(case.boxes("boxes0"))?,
        objects(case.boxes("boxes1"))?,
        Objects::default(),
    ];
    let targets = Targets::objects(objects, case.device);
    let pair = Pair {
        teacher: Some(&teacher),
        ..alone(&student, &targets)
    };
    Ok(Answer {
        adapters: Some(adapters),
        ..Answer::new(term.forward(&pair, &STEP)?)
    })
}

pub fn imitation(case: &Case) -> Result<Answer, Error> {
    let [student, teacher] = maps(case);
    let anchors = Anchors {
        sizes: vec![vec![16.0, 32.0, 48.0]],
        ratios: vec![0.5, 1.0, 2.0],
    };
    let anchors = anchors.of_map(0, [8, 10], [8, 8]);
    let mask = imitation_mask(&case.boxes("gt"), &anchors, 80, case.param("threshold"));
    let counts = mask.iter().map(|counts| f64::from(u8::from(*counts)));
    let counts = counts.collect();
    let loss = fine_grained_imitation(student, teacher, &[mask])?;
    Ok(Answer::new(loss).with_value("mask", counts))
}

pub fn bounded_regression(case: &Case) -> Result<Answer, Error> {
    let loss = bounded(
        case.tensor("student"),
        case.tensor("teacher"),
        case.tensor("target"),
        case.param("margin"),
        case.param("nu"),
    );
    loss.map(Answer::new)
}

pub fn soft_classes(case: &Case) -> Result<Answer, Error> {
    let loss = weighted_classes(
        case.tensor("student"),
        case.tensor("teacher"),
        case.param("background_weight"),
    );
    loss.map(Answer::new)
}
