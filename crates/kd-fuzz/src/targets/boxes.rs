//! Annotations of boxes.

use image::ImageFormat;
use kd_data::detection::{VocOptions, read_coco, read_voc};

use super::{Seed, Target, text};
use crate::{Scratch, files};

fn picture() -> Vec<u8> {
    files::picture(ImageFormat::Png)
}

pub(super) fn coco() -> Target {
    fn run(scratch: &Scratch, bytes: &[u8]) -> Result<(), String> {
        scratch.once("coco/images/a.png", picture);
        let file = scratch.file("coco/instances.json", bytes);
        let set = read_coco(&file, &scratch.folder("coco/images"), None).map_err(text)?;
        set.counts.notes();
        // What the size of the picture has to say.
        drop(set.picture(0));
        Ok(())
    }
    let seed = r#"{"images":[{"id":3,"file_name":"a.png","width":17,"height":12},{"id":5.0,"file_name":"a.png","width":
        12,"height":17}],"categories":[{"id":1,"name":"cell"},{"id":90,"name":"ball"}],"annotations":[{"id":0,"image_id":3,
        "category_id":90,"bbox":[1.5,2,4,5],"area":20,"iscrowd":0,"segmentation":[[1,2,3]]},{"image_id":5,"category_id":1,
        "bbox":[-3,2,40,0.5],"iscrowd":1},{"image_id":5,"category_id":1,"bbox":[1,1,0,0]}]}"#;
    Target {
        name: "coco",
        run,
        seeds: vec![Seed::plain(seed)],
        words: &[
            b"\"bbox\":[",
            b"\"iscrowd\":1",
            b"\"file_name\":\"../a.png\"",
            b"null",
            b"-1",
            b"1e308",
            b"9223372036854775807",
        ],
        allowance: 1 << 20,
        multiple: 200,
    }
}

pub(super) fn voc() -> Target {
    fn run(scratch: &Scratch, bytes: &[u8]) -> Result<(), String> {
        scratch.once("voc/JPEGImages/a.png", picture);
        scratch.once("voc/ImageSets/Main/train.txt", || b"a\n".to_vec());
        scratch.file("voc/Annotations/a.xml", bytes);
        let root = scratch.folder("voc");
        let set = read_voc(&root, "train", VocOptions::default()).map_err(text)?;
        set.counts.notes();
        Ok(())
    }
    let seed = "<?xml version=\"1.0\"?><annotation><filename>a.png</filename><size><width>17</width><height>12</height>\
        <depth>3</depth></size><object><name>cell</name><difficult>0</difficult><bndbox><xmin>2</xmin><ymin>3</ymin>\
        <xmax>9</xmax><ymax>30</ymax></bndbox><part><name>hand</name></part></object><object><name>a &amp; b</name><bndbox>\
        <xmin>2</xmin><ymin>3</ymin><xmax>2</xmax><ymax>3</ymax></bndbox></object></annotation>";
    Target {
        name: "voc",
        run,
        seeds: vec![Seed::plain(seed)],
        words: &[
            b"<!DOCTYPE a [<!ENTITY b \"c\">]>",
            b"&b;",
            b"&#65;",
            b"<![CDATA[",
            b"<!--",
            b"-->",
            b"<object>",
            b"</object>",
            b"<bndbox/>",
            b"xmlns=\"a\"",
            b"1e308",
        ],
        allowance: 1 << 20,
        multiple: 200,
    }
}
