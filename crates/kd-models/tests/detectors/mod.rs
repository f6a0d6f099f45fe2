//! Detectors against torchvision: keys, maps, heads, boxes and losses of formula weights.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use kd_core::detection::losses::{Multibox, multibox};
use kd_core::detection::{Corners, Objects, RegionOfInterest};
use kd_goldens::{Comparison, Report, read, write_weights};
use kd_models::detection::{
    FasterRcnn, FasterRcnnBody, FasterRcnnConfig, ProposalFilter, Ssd, SsdConfig, SsdOutput,
};
use safetensors::SafeTensors;
use serde_json::Value;

use super::{check, dims, tensor};

mod more;
mod shapes;

#[test]
fn detectors_compute_what_torchvision_does() {
    let golden = read("detectors.json");
    let salt = golden["salt"].as_str().unwrap();
    let mut report = Report::new("detectors.json", &[]);
    for case in golden["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        report.case(name, |found| match name {
            "ssd300_vgg16" => ssd(salt, case, found),
            "fasterrcnn_resnet50_fpn" => faster_rcnn(salt, case, found),
            _ => found.fail("no detector here has this name"),
        });
    }
    report.finish();
}

fn boxes(value: &Value) -> Vec<Corners> {
    serde_json::from_value(value.clone()).unwrap()
}

fn check_boxes(what: &str, want: &Value, got: &[Corners], found: &mut Comparison) {
    let data = TensorData::new(got.concat(), [got.len(), 4]);
    check(
        what,
        want,
        &Tensor::<2>::from_data(data, &Device::flex()),
        found,
    );
}

fn classes(case: &Value) -> usize {
    case["num_classes"].as_u64().unwrap() as usize
}

/// The weights of a case, in a file.
fn weights(salt: &str, case: &Value) -> (tempfile::TempDir, BTreeMap<String, Vec<usize>>) {
    let folder = tempfile::tempdir().unwrap();
    let keys = kd_goldens::keys(case);
    write_weights(&folder.path().join("weights.safetensors"), salt, &keys);
    (folder, keys)
}

/// What was saved has the keys and shapes of the file that was loaded, and its values.
fn same_file(folder: &Path, mut keys: BTreeMap<String, Vec<usize>>) {
    keys.retain(|key, _| !key.ends_with("num_batches_tracked"));
    let [before, after] = ["weights", "saved"]
        .map(|name| std::fs::read(folder.join(format!("{name}.safetensors"))).unwrap());
    let before = SafeTensors::deserialize(&before).unwrap();
    let after = SafeTensors::deserialize(&after).unwrap();
    let saved: BTreeMap<String, Vec<usize>> = after
        .iter()
        .map(|(key, view)| (key.to_owned(), view.shape().to_vec()))
        .collect();
    assert_eq!(saved, keys, "saved keys");
    for key in keys.keys() {
        let same = before.tensor(key).unwrap().data() == after.tensor(key).unwrap().data();
        assert!(same, "saved values of {key}");
    }
}

/// Maps, answers and default boxes of an SSD are the case's.
fn one_stage(case: &Value, output: &SsdOutput, defaults: &[Corners], found: &mut Comparison) {
    for (level, want) in case["features"].as_array().unwrap().iter().enumerate() {
        check(&format!("map {level}"), want, &output.maps[level], found);
    }
    check("logits", &case["cls_logits"], &output.logits, found);
    check("offsets", &case["bbox_regression"], &output.offsets, found);
    check_boxes("default boxes", &case["anchors"], defaults, found);
}

fn ssd(salt: &str, case: &Value, found: &mut Comparison) {
    let (folder, keys) = weights(salt, case);
    let file = |name: &str| folder.path().join(name);
    let config = SsdConfig::ssd300(classes(case));
    let device = Device::flex();
    let network = Ssd::from_file(&config, file("weights.safetensors"), &device).unwrap();
    assert_eq!(
        network.parameters() as u64,
        case["params"].as_u64().unwrap()
    );
    network.save(file("saved.safetensors")).unwrap();
    same_file(folder.path(), keys);

    let shape: [usize; 4] = dims(&case["input"]).try_into().unwrap();
    let image = [shape[2], shape[3]];
    let output = network.forward(tensor(&format!("{salt}input"), 1.0, shape, &device));
    let defaults = network.default_boxes(image, &output);
    one_stage(case, &output, &defaults, found);

    let targets = &case["targets"];
    let labels: Vec<usize> = serde_json::from_value(targets["labels"].clone()).unwrap();
    let objects = Objects::new(boxes(&targets["boxes"]), labels).unwrap();
    let loss = multibox(
        output.logits.clone(),
        output.offsets.clone(),
        &defaults,
        &[objects],
        &Multibox::default(),
    );
    let loss = loss.unwrap().loss;
    for (name, got) in [
        ("classification", loss.classes),
        ("bbox_regression", loss.boxes),
    ] {
        let want = case["losses"][name].as_f64().unwrap();
        found.close(name, got.into_scalar::<f32>().into(), want, 1e-4, 0.0);
    }
    let detected = network.detect(&output, image, &SsdConfig::FILTER).unwrap();
    assert_eq!((detected.len(), detected[0].len()), (1, 200));
    assert!(detected[0].is_sorted_by(|a, b| a.score >= b.score));
}

fn faster_rcnn(salt: &str, case: &Value, found: &mut Comparison) {
    let (folder, keys) = weights(salt, case);
    let file = |name: &str| folder.path().join(name);
    let config = FasterRcnnConfig::new(FasterRcnnBody::ResNet50, classes(case));
    let device = Device::flex();
    let network = FasterRcnn::from_file(&config, file("weights.safetensors"), &device).unwrap();
    assert_eq!(
        network.parameters() as u64,
        case["params"].as_u64().unwrap()
    );
    network.save(file("saved.safetensors")).unwrap();
    same_file(folder.path(), keys);

    let shape: [usize; 4] = dims(&case["input"]).try_into().unwrap();
    let image = [shape[2], shape[3]];
    let images: Tensor<4> = tensor(&format!("{salt}input"), 1.0, shape, &device);
    let pyramid = network.pyramid(&network.stages(images.clone()));
    for (level, name) in ["0", "1", "2", "3", "pool"].into_iter().enumerate() {
        check(
            &format!("P{level}"),
            &case["fpn"][name],
            &pyramid[level],
            found,
        );
    }
    let proposals = network.propose(&pyramid);
    for level in 0..5 {
        let (objectness, offsets) = (&proposals.objectness[level], &proposals.offsets[level]);
        check(
            "objectness",
            &case["rpn_objectness"][level],
            objectness,
            found,
        );
        check("offsets", &case["rpn_deltas"][level], offsets, found);
    }
    let anchors = config.anchors.of_image(image, &proposals.sizes());
    check_boxes("anchors", &case["anchors"], &anchors, found);
    let (objectness, offsets) = proposals.rows();
    assert_eq!(objectness.dims(), [1, anchors.len()]);
    assert_eq!(offsets.dims(), [1, anchors.len(), 4]);

    let given = boxes(&case["proposals"]).into_iter();
    let regions: Vec<RegionOfInterest> = given
        .map(|corners| RegionOfInterest { image: 0, corners })
        .collect();
    let pooled = network.pool(&pyramid, image, &regions).unwrap();
    check("pooled", &case["roi_align"], &pooled, found);
    let said = network.classify(&pyramid, image, &regions).unwrap();
    check("logits", &case["class_logits"], &said.logits, found);
    check("offsets", &case["box_regression"], &said.offsets, found);

    let few = ProposalFilter {
        an_image: 20,
        ..ProposalFilter::TEST
    };
    let selected = network.select(&proposals, image, &few).unwrap();
    assert_eq!((selected.len(), selected[0].len()), (1, 20));
    let detected = network
        .detect(images, &few, &FasterRcnnConfig::FILTER)
        .unwrap();
    assert!(!detected[0].is_empty() && detected[0].len() <= 100);
}
