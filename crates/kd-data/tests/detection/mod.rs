//! Evaluation of detectors against `pycocotools` and `detectron2`.

use std::collections::BTreeMap;

use kd_data::detection::evaluation::{
    FoundObject, TrueObject, VocCurve, VocEdges, VocFound, VocObject, evaluate_coco, evaluate_voc,
};
use kd_goldens::{Comparison, Report};
use serde_json::Value;

/// What may differ: the order of sums.
const TOLERANCE: f64 = 1e-9;

/// Places of ids in their order, as both files number images and classes.
fn places(items: &Value) -> BTreeMap<i64, usize> {
    let ids = items.as_array().unwrap().iter();
    let mut ids: Vec<i64> = ids.map(|item| item["id"].as_i64().unwrap()).collect();
    ids.sort_unstable();
    (0..).zip(ids).map(|(place, id)| (id, place)).collect()
}

fn bbox(item: &Value) -> [f64; 4] {
    std::array::from_fn(|i| item["bbox"][i].as_f64().unwrap())
}

#[test]
fn coco_evaluation_is_that_of_pycocotools() {
    let [truth, found, want] =
        ["gt", "dt", "expected"].map(|part| kd_goldens::read(&format!("coco/coco_{part}.json")));
    let images = places(&truth["images"]);
    let classes = places(&truth["categories"]);
    let place = |item: &Value, key: &str, places: &BTreeMap<i64, usize>| {
        places[&item[key].as_i64().unwrap()]
    };
    let objects: Vec<TrueObject> = truth["annotations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| TrueObject {
            image: place(item, "image_id", &images),
            class: place(item, "category_id", &classes),
            bbox: bbox(item),
            area: item["area"].as_f64().unwrap(),
            crowd: item["iscrowd"] == 1,
        })
        .collect();
    let found: Vec<FoundObject> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|item| FoundObject {
            image: place(item, "image_id", &images),
            class: place(item, "category_id", &classes),
            bbox: bbox(item),
            score: item["score"].as_f64().unwrap(),
        })
        .collect();
    assert!(objects.iter().any(|object| object.crowd), "a crowd");
    let scores = evaluate_coco(&objects, &found, classes.len());
    let mut largest = 0.0_f64;
    let mut compare = |name: &str, got: Option<f64>, want: &Value| {
        assert_eq!(got.is_none(), want.is_null(), "{name}");
        let difference = got.unwrap_or(0.0) - want.as_f64().unwrap_or(0.0);
        assert!(difference.abs() <= TOLERANCE, "{name}: {difference:e}");
        largest = largest.max(difference.abs());
    };
    for (name, got) in scores.summary() {
        compare(name, got, &want["summary"][name]);
    }
    for (id, class) in &classes {
        let want = &want["per_class_AP"][id.to_string()];
        compare(&format!("AP of {id}"), scores.ap_by_class[*class], want);
    }
    let curves = kd_goldens::read("coco/coco_curves.json");
    for (id, class) in &classes {
        let (want, got) = (&curves["classes"][id.to_string()], &scores.classes[*class]);
        let counts: Vec<usize> = serde_json::from_value(want["objects"].clone()).unwrap();
        assert_eq!(got.objects.to_vec(), counts, "objects of {id}");
        for (size, ap) in got.ap.into_iter().enumerate() {
            compare(&format!("AP of {id}, size {size}"), ap, &want["ap"][size]);
        }
        for (key, got) in ["precision50", "precision75"]
            .into_iter()
            .zip(&got.precision)
        {
            let want = want[key].as_array().unwrap();
            assert_eq!(got.len(), want.len(), "{key} of {id}");
            for (recall, (got, want)) in got.iter().zip(want).enumerate() {
                compare(&format!("{key} of {id} at {recall} %"), Some(*got), want);
            }
        }
    }
    println!("largest difference {largest:e}");
}

fn rows<const N: usize>(case: &Value, name: &str) -> Vec<[f64; N]> {
    let rows = case["inputs"][name]["values"].as_array().unwrap().iter();
    rows.map(|row| std::array::from_fn(|i| row[i].as_f64().unwrap()))
        .collect()
}

fn voc(case: &Value, found: &mut Comparison) {
    let objects: Vec<VocObject> = rows::<6>(case, "gt")
        .into_iter()
        .map(|[image, x1, y1, x2, y2, difficult]| VocObject {
            image: image as usize,
            corners: [x1, y1, x2, y2],
            difficult: difficult != 0.0,
        })
        .collect();
    let detections: Vec<VocFound> = rows::<6>(case, "dt")
        .into_iter()
        .map(|[image, score, x1, y1, x2, y2]| VocFound {
            image: image as usize,
            corners: [x1, y1, x2, y2],
            score,
        })
        .collect();
    for threshold in ["0.5", "0.7"] {
        let edges = VocEdges::Inclusive;
        let curve: VocCurve =
            evaluate_voc(&objects, &detections, threshold.parse().unwrap(), edges);
        let want = |name: &str| &case["outputs"][format!("{name}_{threshold}")]["values"];
        let list = |name: &str| -> Vec<f64> { serde_json::from_value(want(name).clone()).unwrap() };
        for (name, got) in [("recall", &curve.recall), ("precision", &curve.precision)] {
            found.close_all(name, got, &list(name), TOLERANCE, 0.0);
        }
        for (name, got) in [("ap_all_point", curve.ap), ("ap_11_point", curve.ap_2007)] {
            let want = want(name).as_f64().unwrap();
            found.close(name, got.unwrap(), want, TOLERANCE, 0.0);
        }
    }
}

#[test]
fn voc_evaluation_is_that_of_its_development_kit() {
    let file = "detection_losses.json";
    let golden = kd_goldens::read(file);
    let name = "voc_average_precision";
    let mut cases = golden["cases"].as_array().unwrap().iter();
    let case = cases.find(|case| case["name"] == name).unwrap();
    let mut report = Report::new(file, &[]);
    report.case(name, |found| voc(case, found));
    report.finish();
}
