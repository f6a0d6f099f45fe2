//! Every trap of annotations: what is taken, what is counted, what is said.

use std::fs;
use std::path::Path;

use image::{Rgb, RgbImage};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::Error;

/// A folder with pictures of 20 × 10 pixels.
fn folder(pictures: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in pictures {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        RgbImage::from_pixel(20, 10, Rgb([9, 8, 7]))
            .save(path)
            .unwrap();
    }
    folder
}

fn image(id: impl Into<Value>, name: &str) -> Value {
    json!({ "id": id.into(), "file_name": name, "width": 20, "height": 10 })
}

fn annotation(image: i64, category: i64, bbox: &[f64]) -> Value {
    json!({ "id": 0, "image_id": image, "category_id": category, "bbox": bbox })
}

/// Two images and two categories, whose ids start from 0 and have gaps.
fn coco() -> Value {
    json!({
        "images": [image(7, "b.png"), image(0, "in/a.png")],
        "categories": [{ "id": 90, "name": "cell" }, { "id": 0, "name": "platelet" }],
        "annotations": [annotation(7, 90, &[2.0, 3.0, 4.0, 5.0])],
    })
}

fn read(value: &Value) -> Result<DetectionSet, Error> {
    let folder = folder(&["in/a.png", "b.png"]);
    let file = folder.path().join("instances.json");
    fs::write(&file, value.to_string()).unwrap();
    read_coco(&file, folder.path(), None)
}

fn refused(value: &Value) -> String {
    read(value).unwrap_err().to_string()
}

#[test]
fn ids_with_gaps_and_from_zero_become_classes_from_one() {
    let set = read(&coco()).unwrap();
    assert_eq!(set.classes.names(), ["platelet", "cell"]);
    assert_eq!((set.classes.id(1), set.classes.id(2)), (Some(0), Some(90)));
    assert_eq!((set.classes.id(0), set.classes.id(3)), (None, None));
    let ids: Vec<i64> = set.images.iter().map(|image| image.id).collect();
    assert_eq!(ids, [0, 7], "in the order of ids");
    let object = set.images[1].objects[0];
    assert_eq!((object.class, object.area), (2, 20.0));
    assert_eq!(object.corners, [2.0, 3.0, 6.0, 8.0]);
    assert_eq!((set.counts.empty_images, set.counts.without_area), (1, 1));
    assert_eq!(set.counts.notes().len(), 2);
}

#[test]
fn boxes_without_a_side_are_left_out_and_boxes_beyond_the_image_cut() {
    let mut value = coco();
    value["annotations"] = json!([
        annotation(7, 0, &[2.0, 3.0, 0.0, 5.0]),
        annotation(7, 0, &[2.0, 3.0, -4.0, 5.0]),
        annotation(7, 0, &[25.0, 3.0, 4.0, 5.0]),
        annotation(7, 0, &[-2.0, 3.0, 4.0, 50.0]),
    ]);
    let set = read(&value).unwrap();
    let counts = &set.counts;
    assert_eq!((counts.dropped, counts.clipped, counts.boxes), (3, 1, 1));
    assert_eq!(set.images[1].objects[0].corners, [0.0, 3.0, 2.0, 10.0]);
    let notes = counts.notes().join("\n");
    assert!(
        notes.contains(
            "left out 3 boxes without a width or a height; the first: [2.0, 3.0, 0.0, 5.0]"
        )
    );
    assert!(notes.contains("cut 1 box to the image"), "{notes}");
}

#[test]
fn crowds_are_kept_apart_and_whole_numbers_may_be_written_as_reals() {
    let mut value = coco();
    value["images"][0]["id"] = json!(7.0);
    value["annotations"][0]["iscrowd"] = json!(1);
    value["annotations"][0]["area"] = json!(3.5);
    value["annotations"][0]["segmentation"] = json!({ "counts": [1, 2], "size": [10, 20] });
    let set = read(&value).unwrap();
    let object = set.images[1].objects[0];
    assert!(object.crowd);
    assert_eq!((object.area, set.counts.crowds), (3.5, 1));
    assert!(set.truth()[0].crowd);
    let folder = folder(&["in/a.png", "b.png"]);
    let file = folder.path().join("instances.json");
    let other = annotation(7, 0, &[1.0, 1.0, 5.0, 5.0]);
    value["annotations"].as_array_mut().unwrap().push(other);
    fs::write(&file, value.to_string()).unwrap();
    let scene = read_coco(&file, folder.path(), None).unwrap().scene(1);
    let classes: Vec<usize> = scene.unwrap().objects.iter().map(|o| o.class).collect();
    assert_eq!(classes, [1], "a crowd is not trained on");
    value["annotations"].as_array_mut().unwrap().truncate(1);
    value["images"][0]["id"] = json!(7.5);
    assert!(refused(&value).contains("7.5 is not a whole number"));
}

#[test]
fn what_cannot_be_meant_is_an_error_that_says_where() {
    let changed = |change: fn(&mut Value)| {
        let mut value = coco();
        change(&mut value);
        refused(&value)
    };
    for (says, change) in [
        (
            "both have the id 7",
            (|v| v["images"][1]["id"] = json!(7)) as fn(&mut Value),
        ),
        ("both have the id 90", |v| {
            v["categories"][1]["id"] = json!(90)
        }),
        ("annotations[0] is of image 8", |v| {
            v["annotations"][0]["image_id"] = json!(8)
        }),
        ("category_id = 5 is not among", |v| {
            v["annotations"][0]["category_id"] = json!(5)
        }),
        ("bbox = [1.0, 2.0]", |v| {
            v["annotations"][0]["bbox"] = json!([1.0, 2.0])
        }),
        ("`../b.png` does not lie in", |v| {
            v["images"][0]["file_name"] = json!("../b.png")
        }),
        ("`/b.png` does not lie in", |v| {
            v["images"][0]["file_name"] = json!("/b.png")
        }),
        ("`c.png` is not in", |v| {
            v["images"][0]["file_name"] = json!("c.png")
        }),
        ("width 0; it is at least 1", |v| {
            v["images"][0]["width"] = json!(0)
        }),
        ("missing field `categories`", |v| {
            drop(v.as_object_mut().unwrap().remove("categories"))
        }),
        ("lists no category", |v| v["categories"] = json!([])),
        ("lists no image", |v| {
            (v["images"], v["annotations"]) = (json!([]), json!([]))
        }),
        ("expected a whole number", |v| {
            v["images"][0]["id"] = json!("7")
        }),
    ] {
        let said = changed(change);
        assert!(said.contains(says), "{says}: {said}");
        assert!(said.contains("instances.json"), "{said}");
    }
}

#[test]
fn a_validation_set_has_the_classes_of_the_training_set() {
    let folder = folder(&["in/a.png", "b.png"]);
    let file = folder.path().join("val.json");
    let classes = read(&coco()).unwrap().classes;
    fs::write(&file, coco().to_string()).unwrap();
    assert!(read_coco(&file, folder.path(), Some(&classes)).is_ok());
    let mut other = coco();
    other["categories"][0]["id"] = json!(91);
    fs::write(&file, other.to_string()).unwrap();
    let refused = read_coco(&file, folder.path(), Some(&classes)).unwrap_err();
    assert!(refused.to_string().contains("training set"), "{refused}");
}

#[test]
fn a_picture_of_another_size_than_its_annotation_is_an_error() {
    let folder = folder(&["in/a.png", "b.png"]);
    let file = folder.path().join("instances.json");
    fs::write(&file, coco().to_string()).unwrap();
    let mut set = read_coco(&file, folder.path(), None).unwrap();
    let picture = set.picture(0).unwrap();
    assert_eq!((picture.width, picture.height), (20, 10));
    set.images[0].width = 10;
    set.images[0].height = 20;
    let refused = set.picture(0).unwrap_err().to_string();
    assert!(
        refused.contains("20x10") && refused.contains("10x20"),
        "{refused}"
    );
}

/// A folder of VOC with one annotation.
fn voc(annotation: &str) -> TempDir {
    let folder = folder(&["JPEGImages/a.png"]);
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("ImageSets/Main/train.txt", "a  1\r\n");
    write("Annotations/a.xml", annotation);
    folder
}

fn object(name: &str, [x1, y1, x2, y2]: [f64; 4], rest: &str) -> String {
    format!(
        "<object><name>{name}</name>{rest}<bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax>\
         <ymax>{y2}</ymax></bndbox></object>"
    )
}

fn annotated(objects: &str) -> String {
    format!(
        "\u{feff}<annotation><filename>a.jpg</filename><size><width>20</width><height>10</height></size>{objects}\
         </annotation>"
    )
}

fn read_split(folder: &Path, one_based: bool) -> Result<DetectionSet, Error> {
    read_voc(folder, "train", VocOptions { one_based })
}

#[test]
fn the_first_pixel_of_voc_is_one_unless_told_otherwise() {
    let objects = object("cell", [3.0, 2.0, 8.0, 9.0], "<difficult>1</difficult>")
        + &object("ball", [1.0, 1.0, 20.0, 10.0], "<part><bndbox/></part>");
    let folder = voc(&annotated(&objects));
    let set = read_split(folder.path(), true).unwrap();
    assert_eq!(set.classes.names(), ["ball", "cell"]);
    let [cell, ball] = set.images[0].objects[..] else {
        panic!("two objects");
    };
    assert_eq!(cell.corners, [2.0, 1.0, 8.0, 9.0]);
    assert_eq!(ball.corners, [0.0, 0.0, 20.0, 10.0]);
    assert!(cell.difficult && !ball.difficult);
    let set = read_split(folder.path(), false).unwrap();
    assert_eq!(set.images[0].objects[0].corners, [3.0, 2.0, 8.0, 9.0]);
    // The name in the file has another ending than the picture.
    assert_eq!(set.picture(0).unwrap().width, 20);
}

#[test]
fn zero_boxes_of_voc_are_counted_and_images_without_objects_kept() {
    let objects =
        object("cell", [3.0, 2.0, 3.0, 2.0], "") + &object("cell", [3.0, 2.0, 30.0, 9.0], "");
    let set = read_split(voc(&annotated(&objects)).path(), true).unwrap();
    assert_eq!((set.counts.dropped, set.counts.clipped), (1, 1));
    let first = set.counts.first_dropped.unwrap();
    assert!(first.starts_with("cell [3.0, 2.0, 3.0, 2.0]"), "{first}");
}

#[test]
fn a_wrong_annotation_of_voc_names_what_is_wrong() {
    let good = object("cell", [3.0, 2.0, 8.0, 9.0], "");
    for (says, text) in [
        ("not XML", "<annotation>".into()),
        ("outermost element is `html`", "<html></html>".into()),
        (
            "not XML",
            format!("<!DOCTYPE a [<!ENTITY b 'c'>]>{}", annotated(&good)),
        ),
        (
            "`xmin` is `left`",
            annotated(&good.replace("<xmin>3", "<xmin>left")),
        ),
        ("has no `bndbox`", annotated(&good.replace("bndbox", "box"))),
        (
            "`name` of `object` is empty",
            annotated(&good.replace("cell", "")),
        ),
        (
            "`difficult` of a `cell`",
            annotated(&good.replace("</name>", "</name><difficult>yes</difficult>")),
        ),
        ("has no `size`", annotated(&good).replace("size>", "seize>")),
        (
            "`width` of `size` is 0",
            annotated(&good).replace("<width>20", "<width>0"),
        ),
    ] {
        let said = read_split(voc(&text).path(), true).unwrap_err().to_string();
        assert!(
            said.contains(says) && said.contains("a.xml"),
            "{says}: {said}"
        );
    }
    let empty = read_split(voc(&annotated("")).path(), true).unwrap_err();
    assert!(empty.to_string().contains("no file in it has an object"));
}

/// BCCD is there as VOC and as COCO's JSON, which was made without the shift of one.
#[test]
fn both_readings_of_bccd_differ_by_the_first_pixel() {
    let Some(data) = std::env::var_os("KD_DATA") else {
        println!("skipped: KD_DATA is not set");
        return;
    };
    let root = Path::new(&data).join("bccd");
    let json = root.join("coco/instances_train.json");
    let coco = read_coco(&json, &root.join("JPEGImages"), None).unwrap();
    let [based, plain] = [true, false].map(|one| read_split(&root, one).unwrap());
    assert_eq!((coco.images.len(), coco.counts.boxes), (205, 2804));
    for set in [&based, &plain] {
        let boxes = set.counts.boxes;
        println!("{boxes} boxes: {}", set.counts.notes().join("; "));
        assert_eq!((set.images.len(), boxes), (205, 2804));
    }
    for ((coco, based), plain) in coco.images.iter().zip(&based.images).zip(&plain.images) {
        assert_eq!(coco.path, based.path);
        for ((coco, based), plain) in coco.objects.iter().zip(&based.objects).zip(&plain.objects) {
            assert_eq!(coco.corners, plain.corners);
            let [x1, y1, x2, y2] = plain.corners;
            let moved = [(x1 - 1.0).max(0.0), (y1 - 1.0).max(0.0), x2, y2];
            assert_eq!(based.corners, moved);
        }
    }
}
