//! A detector from recipe to boxes on an image.

use std::fs;

use image::{Rgb, RgbImage};

use super::{
    call_with, fails,
    run::{finish, kd},
};

const RECIPE: &str = r#"name = "tiny"

[detection]
name = "shapes"
train_limit = 4
test_limit = 2

[student]
model = "ssd300_vgg16_eighth"

[objective.detection_loss]

[train]
epochs = 1
batch = 2
lr = { peak = 1e-3 }
"#;

#[test]
fn a_detector_is_trained_measured_and_asked() {
    let (folder, trained) = call_with(RECIPE, &["train", "tiny.toml", "--out", "runs/tiny"]);
    assert_eq!(
        trained.code,
        Some(0),
        "{}{}",
        trained.stdout,
        trained.stderr
    );
    assert!(trained.stdout.contains("AP50"), "{}", trained.stdout);
    let page = fs::read_to_string(folder.path().join("runs/tiny/report.html")).unwrap();
    assert!(page.contains("what is there"), "no pictures");
    let named = |name: &&str| page.contains(&format!("</svg>{name}</li>"));
    assert!(
        ["disc", "square", "triangle"].iter().any(named),
        "no legend"
    );
    assert_eq!(page.matches("href=\"data:image").count(), 2);

    let again = finish(kd(folder.path(), &["eval", "runs/tiny"]));
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert!(
        again
            .stdout
            .contains("ssd300_vgg16_eighth on 2 test images of shapes"),
        "{}",
        again.stdout
    );
    let image = RgbImage::from_fn(90, 70, |x, y| Rgb([x as u8, y as u8, 80]));
    image.save(folder.path().join("photo.png")).unwrap();
    let told = finish(kd(
        folder.path(),
        &["predict", "runs/tiny", "photo.png", "--score", "0.0"],
    ));
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    assert!(
        told.stdout.contains("photo.png: 200 objects"),
        "{}",
        told.stdout
    );
    let text = fs::read_to_string(folder.path().join("predictions/predictions.json")).unwrap();
    let list: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(list.len(), 200);
    for found in &list {
        let bbox: Vec<f64> = serde_json::from_value(found["bbox"].clone()).unwrap();
        assert!(
            bbox[0] >= 0.0 && bbox[0] + bbox[2] <= 90.0 + 1e-6,
            "{bbox:?}"
        );
        assert!(
            bbox[1] >= 0.0 && bbox[1] + bbox[3] <= 70.0 + 1e-6,
            "{bbox:?}"
        );
    }
    let page = fs::read_to_string(folder.path().join("predictions/predictions.html")).unwrap();
    assert_eq!(page.matches("</title></rect>").count(), 200);

    let ask = |arguments: &[&str]| finish(kd(folder.path(), arguments));
    let exported = ask(&["export", "runs/tiny", "--onnx", "tiny.onnx", "--nms"]);
    assert_eq!(exported.code, Some(0), "{}", exported.stderr);
    assert!(
        exported.stdout.contains("1 NonMaxSuppression"),
        "{}",
        exported.stdout
    );
    fails(
        &ask(&["eval", "runs/tiny", "--size", "64"]),
        3,
        &["--size", "leave the option out"],
    );
    fails(
        &ask(&["predict", "runs/tiny", "absent.png"]),
        3,
        &["absent.png"],
    );
    fails(
        &ask(&["predict", "runs", "photo.png"]),
        3,
        &["runs", "no [detection]"],
    );
    fails(
        &ask(&["predict", "runs/tiny", "photo.png", "--score", "2"]),
        2,
        &["from 0 to 1"],
    );
}
