//! Annotations in COCO's JSON.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::number::Whole;
use super::set::{file_in, within};
use super::{Annotated, Annotation, Classes, Counts, DetectionSet};
use crate::Error;

#[derive(Deserialize)]
struct File {
    images: Vec<Image>,
    #[serde(default)]
    annotations: Vec<Box>,
    categories: Vec<Category>,
}

#[derive(Deserialize)]
struct Image {
    id: Whole,
    file_name: String,
    width: Whole,
    height: Whole,
}

#[derive(Deserialize)]
struct Category {
    id: Whole,
    name: String,
}

#[derive(Deserialize)]
struct Box {
    image_id: Whole,
    category_id: Whole,
    bbox: Vec<f64>,
    area: Option<f64>,
    iscrowd: Option<Whole>,
}

/// Reads COCO's JSON of boxes, `instances_*.json`; image files lie in `folder`.
///
/// Ids may have gaps, start from 0, or be written as `7.0`. Classes are numbered from 1 in the order of their ids, or
/// as `classes` has them: those of the training set, for a validation set. Of the annotations' ids nothing depends.
/// A missing `iscrowd` is 0, a missing `area` width times height. Outlines (`segmentation`) are not read.
///
/// # Errors
/// When the file cannot be read, an id is there twice or is not listed, a box is not four numbers, an image is missing
/// or lies outside of `folder`, or the categories are not those of `classes`.
pub fn read_coco(
    file: &Path,
    folder: &Path,
    classes: Option<&Classes>,
) -> Result<DetectionSet, Error> {
    let bytes = fs::read(file).map_err(Error::io("reading", file))?;
    let wrong = |problem: String| Error::format(file, problem);
    let parsed: File = serde_json::from_slice(&bytes).map_err(|e| {
        wrong(format!(
            "not COCO's JSON of boxes ({e}); it has the lists `images`, `annotations` and `categories`"
        ))
    })?;
    drop(bytes);
    let named = parsed.categories.into_iter().map(|c| (c.id.0, c.name));
    let own = Classes::new(named.collect(), file)?;
    if own.is_empty() {
        return Err(wrong(
            "it lists no category, so there is no class to find".into(),
        ));
    }
    let classes = match classes {
        Some(given) if *given != own => {
            return Err(wrong(format!(
                "its categories are {}, and those of the training set {}; both need the same ids and names, or every \
                 score is 0",
                own.listed(),
                given.listed()
            )));
        }
        _ => own,
    };
    let mut counts = Counts::default();
    let mut images: BTreeMap<i64, Annotated> = BTreeMap::new();
    for image in parsed.images {
        let image = annotated(&image, file, folder)?;
        let (id, path) = (image.id, image.path.clone());
        if let Some(other) = images.insert(id, image) {
            return Err(wrong(format!(
                "the images {} and {} both have the id {id}; give each its own",
                other.path.display(),
                path.display()
            )));
        }
    }
    for (place, annotation) in parsed.annotations.iter().enumerate() {
        let id = annotation.image_id.0;
        let image = images.get_mut(&id).ok_or_else(|| {
            wrong(format!(
                "annotations[{place}] is of image {id}, which is not among `images`"
            ))
        })?;
        let object = object(annotation, image, &classes, &mut counts)
            .map_err(|problem| wrong(format!("annotations[{place}] of image {id}: {problem}")))?;
        image.objects.extend(object);
    }
    let images: Vec<Annotated> = images.into_values().collect();
    if images.is_empty() {
        return Err(wrong("it lists no image".into()));
    }
    counts.images = images.len();
    counts.empty_images = images.iter().filter(|i| i.objects.is_empty()).count();
    Ok(DetectionSet {
        classes,
        images,
        counts,
    })
}

fn annotated(image: &Image, file: &Path, folder: &Path) -> Result<Annotated, Error> {
    let name = &image.file_name;
    let side = |key: &str, side: Whole| {
        usize::try_from(side.0)
            .ok()
            .filter(|side| (1..=MOST).contains(side))
            .ok_or_else(|| {
                Error::format(
                    file,
                    format!(
                        "the image `{name}` has {key} {}; it is at least 1 pixel",
                        side.0
                    ),
                )
            })
    };
    Ok(Annotated {
        path: file_in(folder, name, file)?,
        drawn: None,
        id: image.id.0,
        width: side("width", image.width)?,
        height: side("height", image.height)?,
        objects: Vec::new(),
    })
}

/// The longest side of an image in pixels.
const MOST: usize = 1 << 24;

fn object(
    annotation: &Box,
    image: &Annotated,
    classes: &Classes,
    counts: &mut Counts,
) -> Result<Option<Annotation>, String> {
    let bbox: [f64; 4] = annotation.bbox[..]
        .try_into()
        .ok()
        .filter(|bbox: &[f64; 4]| bbox.iter().all(|v| v.is_finite()))
        .ok_or_else(|| {
            format!(
                "bbox = {:?}; it is x, y, width and height in pixels",
                annotation.bbox
            )
        })?;
    let id = annotation.category_id.0;
    let class = classes
        .of_id(id)
        .ok_or_else(|| format!("category_id = {id} is not among `categories`"))?;
    let [x, y, width, height] = bbox;
    let what = || format!("{bbox:?} (x, y, width, height) of {}", image.path.display());
    let corners = [x, y, x + width, y + height];
    let Some(corners) = within(corners, [image.width, image.height], counts, what) else {
        return Ok(None);
    };
    let crowd = annotation.iscrowd.is_some_and(|crowd| crowd.0 != 0);
    counts.crowds += usize::from(crowd);
    counts.without_area += usize::from(annotation.area.is_none());
    Ok(Some(Annotation {
        class,
        corners,
        bbox,
        area: annotation.area.unwrap_or(width * height),
        crowd,
        difficult: false,
    }))
}
