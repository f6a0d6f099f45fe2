//! What `detectors.json` leaves out: SSDLite, SSD300 on other trunks, Faster R-CNN on other bodies, RetinaNet, and which boxes
//! are told.

use burn::tensor::{Device, Tensor};
use kd_core::detection::{Corners, RegionOfInterest};
use kd_goldens::{Comparison, Report, read};
use kd_models::detection::{
    Detected, Detector, FasterRcnn, FasterRcnnBody, FasterRcnnConfig, ProposalFilter, Proposals,
    RetinaNet, RetinaNetBody, RetinaNetConfig, RetinaNetOutput, RoiPredictions, SsdConfig, SsdLite,
    SsdNormed, SsdNormedConfig, SsdOutput, SsdTrunk,
};
use serde_json::Value;

use super::{boxes, check, check_boxes, classes, dims, one_stage, same_file, tensor, weights};

#[test]
fn other_detectors_and_what_they_tell_are_torchvisions() {
    let golden = read("detectors_more.json");
    let mut report = Report::new("detectors_more.json", &[]);
    for case in golden["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        report.case(name, |found| match name {
            "ssdlite320_mobilenet_v3_large" => ssdlite(case, found),
            "fasterrcnn_resnet18_fpn" => {
                let config = FasterRcnnConfig::new(FasterRcnnBody::ResNet18, classes(case));
                drop(two_stages(&config, case, found));
            }
            "fasterrcnn_mobilenet_v3_large_320_fpn" => mobilenet_v3(case, found),
            "fasterrcnn_resnet50_fpn_coco" => without_epsilon(case, found),
            "ssd300_resnet18" => normed(SsdTrunk::ResNet18, case, found),
            "ssd300_mobilenet_v2" => normed(SsdTrunk::MobileNetV2, case, found),
            "retinanet_resnet18_fpn" => retinanet(RetinaNetBody::ResNet18, case, found),
            "retinanet_resnet50_fpn" => retinanet(RetinaNetBody::ResNet50, case, found),
            "post_retinanet" => retinanet_post(name, case, found),
            "post_ssd300" | "post_ssdlite320" => ssd_post(name, case, found),
            "post_fasterrcnn" => faster_rcnn_post(name, case, found),
            _ => found.fail("no detector here has this name"),
        });
    }
    report.finish();
}

fn image(case: &Value) -> [usize; 2] {
    let shape = dims(&case["input"]);
    [shape[2], shape[3]]
}

fn input(case: &Value) -> Tensor<4> {
    let shape: [usize; 4] = dims(&case["input"]).try_into().unwrap();
    tensor("input", 1.0, shape, &Device::flex())
}

fn ssdlite(case: &Value, found: &mut Comparison) {
    let (folder, keys) = weights("", case);
    let file = |name: &str| folder.path().join(name);
    let device = Device::flex();
    let network = SsdLite::from_file(classes(case), file("weights.safetensors"), &device).unwrap();
    assert_eq!(
        network.parameters() as u64,
        case["params"].as_u64().unwrap()
    );
    network.save(file("saved.safetensors")).unwrap();
    same_file(folder.path(), keys);
    let output = network.forward(input(case));
    let defaults = network.default_boxes(image(case), &output);
    one_stage(case, &output, &defaults, found);
    // COCO's 90 classes and the background.
    assert_eq!(SsdLite::new(91, &device).unwrap().parameters(), 3_440_060);
}

fn normed(trunk: SsdTrunk, case: &Value, found: &mut Comparison) {
    let (folder, keys) = weights("", case);
    let file = |name: &str| folder.path().join(name);
    let config = SsdNormedConfig::new(trunk, classes(case));
    let device = Device::flex();
    let network = SsdNormed::from_file(&config, file("weights.safetensors"), &device).unwrap();
    assert_eq!(
        network.parameters() as u64,
        case["params"].as_u64().unwrap()
    );
    network.save(file("saved.safetensors")).unwrap();
    same_file(folder.path(), keys);
    let output = network.forward(input(case));
    let defaults = network.default_boxes(image(case), &output);
    one_stage(case, &output, &defaults, found);
}

fn retinanet(body: RetinaNetBody, case: &Value, found: &mut Comparison) {
    let (folder, keys) = weights("", case);
    let file = |name: &str| folder.path().join(name);
    let config = RetinaNetConfig::new(body, classes(case));
    let device = Device::flex();
    let network = RetinaNet::from_file(&config, file("weights.safetensors"), &device).unwrap();
    assert_eq!(
        network.parameters() as u64,
        case["params"].as_u64().unwrap()
    );
    network.save(file("saved.safetensors")).unwrap();
    same_file(folder.path(), keys);
    let output = network.forward(input(case), false);
    for (map, name) in output.maps.iter().zip(["0", "1", "2", "p6", "p7"]) {
        check(name, &case["fpn"][name], map, found);
    }
    check("logits", &case["cls_logits"], &output.logits, found);
    check("offsets", &case["bbox_regression"], &output.offsets, found);
    let anchors = network.anchors(image(case), &output);
    check_boxes("anchors", &case["anchors"], &anchors, found);
    // What its head shows is what it says.
    let shown = network.forward(input(case), true);
    let head = shown.head.unwrap();
    for (branch, said) in [(head.classes, shown.logits), (head.boxes, shown.offsets)] {
        for (layer, maps) in branch.hidden.iter().enumerate() {
            let rows = maps.iter().map(|map| branch.behind(layer + 1, map.clone()));
            let off = (Tensor::cat(rows.collect(), 1) - said.clone()).abs().max();
            let (off, scale): (f32, f32) =
                (off.into_scalar(), said.clone().abs().max().into_scalar());
            found.close("head", f64::from(off / scale), 0.0, 1e-5, 1.0);
        }
    }
    if body == RetinaNetBody::ResNet50 {
        // COCO's 90 classes and class 0: torchvision says 34,014,999, without the 53,120 of normalisations that it freezes.
        let network = RetinaNet::new(&RetinaNetConfig::new(body, 91), &device).unwrap();
        assert_eq!(network.parameters(), 34_014_999 + 53_120);
    }
}

fn retinanet_post(name: &str, case: &Value, found: &mut Comparison) {
    let config = RetinaNetConfig {
        width: 8,
        ..RetinaNetConfig::new(RetinaNetBody::ResNet18, classes(case)).with_divisor(8)
    };
    let network = RetinaNet::new(&config, &Device::flex()).unwrap();
    let size: [usize; 2] = dims(&case["image"]).try_into().unwrap();
    let rows = case["rows"].as_u64().unwrap() as usize;
    let sizes: Vec<[usize; 2]> = serde_json::from_value(case["maps"].clone()).unwrap();
    let maps = sizes
        .iter()
        .map(|[h, w]| Tensor::zeros([1, 1, *h, *w], &Device::flex()));
    let logits = formula(format!("{name}/logits"), 3.0, [1, rows, 4]);
    let nothing = logits.clone().narrow(2, 0, 1) * 0.0 - 20.0;
    let output = RetinaNetOutput {
        levels: Vec::new(),
        maps: maps.collect(),
        logits: Tensor::cat(vec![nothing, logits.narrow(2, 1, 3)], 2),
        offsets: formula(format!("{name}/offsets"), 0.5, [1, rows, 4]),
        head: None,
    };
    let told = network
        .detect(&output, size, &RetinaNetConfig::FILTER)
        .unwrap();
    compare(&told[0], &case["found"], found);
}

/// A network with the weights of a case, whose pyramid, proposals and box head are the case's.
fn two_stages(config: &FasterRcnnConfig, case: &Value, found: &mut Comparison) -> FasterRcnn {
    let (folder, keys) = weights("", case);
    let file = |name: &str| folder.path().join(name);
    let network =
        FasterRcnn::from_file(config, file("weights.safetensors"), &Device::flex()).unwrap();
    assert_eq!(
        network.parameters() as u64,
        case["params"].as_u64().unwrap()
    );
    network.save(file("saved.safetensors")).unwrap();
    same_file(folder.path(), keys);
    let pyramid = network.pyramid(&network.stages(input(case)));
    assert_eq!(pyramid.len(), case["fpn"].as_object().unwrap().len());
    let names = (0..pyramid.len() - 1).map(|level| level.to_string());
    for (map, name) in pyramid.iter().zip(names.chain(["pool".into()])) {
        check(&name, &case["fpn"][&name], map, found);
    }
    let proposals = network.propose(&pyramid);
    for level in 0..pyramid.len() {
        let objectness = &case["rpn_objectness"][level];
        check(
            "objectness",
            objectness,
            &proposals.objectness[level],
            found,
        );
        check(
            "offsets",
            &case["rpn_deltas"][level],
            &proposals.offsets[level],
            found,
        );
    }
    let regions = regions(&boxes(&case["proposals"]));
    let said = network.classify(&pyramid, image(case), &regions).unwrap();
    check("logits", &case["class_logits"], &said.logits, found);
    check("offsets", &case["box_regression"], &said.offsets, found);
    network
}

fn mobilenet_v3(case: &Value, found: &mut Comparison) {
    let config = FasterRcnnConfig::mobilenet_v3_320(classes(case));
    let network = two_stages(&config, case, found);
    let pyramid = network.pyramid(&network.stages(input(case)));
    let proposals = network.propose(&pyramid);
    let anchors = config.anchors.of_image(image(case), &proposals.sizes());
    check_boxes("anchors", &case["anchors"], &anchors, found);
    let [_, test] = &config.proposals;
    let selected = network.select(&proposals, image(case), test).unwrap();
    assert_eq!(selected[0].len() as u64, case["filtered"][0]);
    check_boxes("filtered", &case["filtered"][1], &selected[0][..8], found);
}

/// What torchvision adds to the variances of its own weights of COCO: nothing.
fn without_epsilon(case: &Value, found: &mut Comparison) {
    let (folder, _) = weights("", case);
    let path = folder.path().join("weights.safetensors");
    let device = Device::flex();
    let detector = Detector::from_file(
        "fasterrcnn_resnet50_fpn_coco",
        classes(case),
        &path,
        &device,
    );
    let Detector::FasterRcnn(network) = detector.unwrap() else {
        panic!("two stages");
    };
    let maps = |network: &FasterRcnn| network.pyramid(&network.stages(input(case)));
    let without = maps(&network);
    for (level, name) in ["0", "1", "2", "3", "pool"].into_iter().enumerate() {
        check(name, &case["fpn"][name], &without[level], found);
    }
    // The usual network is another one, by more than rounding.
    let usual = FasterRcnnConfig::new(FasterRcnnBody::ResNet50, classes(case));
    let usual = maps(&FasterRcnn::from_file(&usual, &path, &device).unwrap());
    let off: f32 = (without[3].clone() - usual[3].clone())
        .abs()
        .mean()
        .into_scalar();
    let scale: f32 = without[3].clone().abs().mean().into_scalar();
    assert!(off > 1e-5 * scale, "{off} of {scale}");
}

fn regions(boxes: &[Corners]) -> Vec<RegionOfInterest> {
    let region = |corners: &Corners| RegionOfInterest {
        image: 0,
        corners: *corners,
    };
    boxes.iter().map(region).collect()
}

fn formula<const D: usize>(key: String, scale: f64, shape: [usize; D]) -> Tensor<D> {
    tensor(&key, scale, shape, &Device::flex())
}

/// Boxes, scores and classes in their order; boxes to a thousandth of a pixel.
fn compare(got: &[Detected], want: &Value, found: &mut Comparison) {
    let corners = boxes(&want["boxes"]);
    let scores: Vec<f64> = serde_json::from_value(want["scores"].clone()).unwrap();
    let labels: Vec<usize> = serde_json::from_value(want["labels"].clone()).unwrap();
    if got.len() != labels.len() {
        return found.fail(format!("{} boxes instead of {}", got.len(), labels.len()));
    }
    for (i, got) in got.iter().enumerate() {
        if got.class != labels[i] {
            found.fail(format!(
                "box {i} is of class {} instead of {}",
                got.class, labels[i]
            ));
        }
        found.close("score", got.score, scores[i], 1e-5, 1.0);
        for (got, want) in got.corners.iter().zip(corners[i]) {
            found.close("edge", *got, want, 1e-3, 1.0);
        }
    }
}

fn ssd_post(name: &str, case: &Value, found: &mut Comparison) {
    let rows = case["rows"].as_u64().unwrap() as usize;
    let scale = |key: &str| case[key].as_f64().unwrap();
    let sizes: Vec<[usize; 2]> = serde_json::from_value(case["maps"].clone()).unwrap();
    let maps = sizes
        .iter()
        .map(|[h, w]| Tensor::zeros([1, 1, *h, *w], &Device::flex()));
    let maps: Vec<Tensor<4>> = maps.collect();
    let shape = [1, rows, classes(case)];
    let output = SsdOutput {
        levels: Vec::new(),
        maps,
        logits: formula(format!("{name}/logits"), scale("logits_scale"), shape),
        offsets: formula(
            format!("{name}/offsets"),
            scale("offsets_scale"),
            [1, rows, 4],
        ),
    };
    let (boxes, size, filter) = match name {
        "post_ssd300" => (SsdConfig::ssd300(4).boxes, 300, SsdConfig::FILTER),
        _ => (SsdLite::boxes(), 320, SsdLite::FILTER),
    };
    let told = output.detect(&boxes, [size; 2], &filter).unwrap();
    compare(&told[0], &case["found"], found);
}

fn faster_rcnn_post(name: &str, case: &Value, found: &mut Comparison) {
    let config = FasterRcnnConfig {
        width: 8,
        hidden: 8,
        ..FasterRcnnConfig::new(FasterRcnnBody::ResNet18, classes(case))
    };
    let network = FasterRcnn::new(&config, &Device::flex()).unwrap();
    let image: [usize; 2] = dims(&case["image"]).try_into().unwrap();
    let sizes: Vec<[usize; 2]> = serde_json::from_value(case["maps"].clone()).unwrap();
    let of_maps = |part: &str, scale: f64, channels: usize| {
        let maps = sizes
            .iter()
            .enumerate()
            .map(|(i, [h, w])| formula(format!("{name}/{part}{i}"), scale, [1, channels, *h, *w]));
        maps.collect::<Vec<Tensor<4>>>()
    };
    let proposals = Proposals {
        objectness: of_maps("objectness", 4.0, 3),
        offsets: of_maps("rpn_offsets", 0.5, 12),
    };
    let filter = ProposalFilter {
        an_image: case["an_image"].as_u64().unwrap() as usize,
        ..ProposalFilter::TEST
    };
    let selected = network.select(&proposals, image, &filter).unwrap();
    let want = boxes(&case["proposals"]);
    found.close(
        "proposals",
        selected[0].len() as f64,
        want.len() as f64,
        1e-12,
        0.0,
    );
    for (got, want) in selected[0].concat().iter().zip(want.concat()) {
        found.close("edge of a proposal", *got, want, 1e-3, 1.0);
    }
    let count = want.len();
    let said = RoiPredictions {
        logits: formula(format!("{name}/logits"), 4.0, [count, 4]),
        offsets: formula(format!("{name}/offsets"), 2.0, [count, 16]),
    };
    let told = network
        .tell(&said, &selected, image, &FasterRcnnConfig::FILTER)
        .unwrap();
    compare(&told[0], &case["found"], found);
}
