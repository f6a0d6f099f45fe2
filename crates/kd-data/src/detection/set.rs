//! Images with their objects.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::evaluation::TrueObject;
use super::{Classes, Counts, Scene};
use crate::{Bitmap, Error, sets};

/// An object of an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Annotation {
    /// Its class, from 1 on.
    pub class: usize,
    /// x1, y1, x2, y2 in continuous pixels, within the image.
    pub corners: [f64; 4],
    /// Its box as the file has it, cut nowhere: x1, y1, width, height. COCO's evaluation takes it.
    pub bbox: [f64; 4],
    /// Its area in pixels² as the file says, else width times height.
    pub area: f64,
    /// Whether it stands for a crowd.
    pub crowd: bool,
    /// Whether VOC calls it difficult.
    pub difficult: bool,
}

/// An image with its objects.
#[derive(Clone, Debug, PartialEq)]
pub struct Annotated {
    /// Its file.
    pub path: PathBuf,
    /// Its pixels, of an image that was drawn and has no file.
    pub drawn: Option<Arc<Bitmap>>,
    /// Its id in COCO's file; of VOC, its place in the list.
    pub id: i64,
    /// Width in pixels, as its annotation says.
    pub width: usize,
    /// Height in pixels, as its annotation says.
    pub height: usize,
    /// Its objects. There may be none.
    pub objects: Vec<Annotation>,
}

/// A set of images with their objects.
#[derive(Clone, Debug, PartialEq)]
pub struct DetectionSet {
    /// The classes.
    pub classes: Classes,
    /// The images, in the order of their ids.
    pub images: Vec<Annotated>,
    /// What was not taken as it is.
    pub counts: Counts,
}

impl DetectionSet {
    /// The pixels of an image, of the size that its annotation says.
    ///
    /// Cameras store a turned picture and write into its EXIF tag how it is to be turned. Annotations are made of the
    /// one or of the other. The size tells: the picture is turned, and if then its sides are exchanged, it is taken
    /// as it is stored.
    ///
    /// # Errors
    /// When the file cannot be read, or has another size either way.
    ///
    /// # Panics
    /// When there is no such image.
    pub fn picture(&self, index: usize) -> Result<Bitmap, Error> {
        let Annotated {
            path,
            drawn,
            width,
            height,
            ..
        } = &self.images[index];
        if let Some(drawn) = drawn {
            return Ok(Bitmap::clone(drawn));
        }
        let size = |bitmap: &Bitmap| (bitmap.width, bitmap.height);
        let upright = sets::bitmap(path)?;
        let found = size(&upright);
        if found == (*width, *height) {
            return Ok(upright);
        }
        if found == (*height, *width) {
            let stored = sets::stored_bitmap(path)?;
            if size(&stored) == (*width, *height) {
                return Ok(stored);
            }
        }
        let (is_wide, is_high) = found;
        Err(Error::format(
            path,
            format!(
                "the picture has {is_wide}x{is_high} pixels and its annotation says {width}x{height}, so its boxes would \
                 be elsewhere; correct width and height, or put the right picture here"
            ),
        ))
    }

    /// An image with the objects that a network is to find in it: all but crowds.
    ///
    /// # Errors
    /// As [`DetectionSet::picture`].
    ///
    /// # Panics
    /// When there is no such image.
    pub fn scene(&self, index: usize) -> Result<Scene, Error> {
        let objects = self.images[index].objects.iter();
        Ok(Scene {
            image: self.picture(index)?,
            objects: objects.filter(|object| !object.crowd).copied().collect(),
        })
    }

    /// The set with the ids of classes as their numbers; none where an id is below 1 or above 1000.
    pub(super) fn by_id(mut self) -> Option<Self> {
        let (classes, numbers) = self.classes.by_id()?;
        for object in self.images.iter_mut().flat_map(|image| &mut image.objects) {
            object.class = numbers[object.class - 1];
        }
        self.classes = classes;
        Some(self)
    }

    /// The set with some of its images, by their places.
    ///
    /// # Panics
    /// When there is no such image.
    pub fn only(&self, places: &[usize]) -> Self {
        let images: Vec<Annotated> = places.iter().map(|i| self.images[*i].clone()).collect();
        let mut counts = self.counts.clone();
        counts.images = images.len();
        counts.empty_images = images.iter().filter(|i| i.objects.is_empty()).count();
        counts.boxes = images.iter().map(|i| i.objects.len()).sum();
        Self {
            classes: self.classes.clone(),
            images,
            counts,
        }
    }

    /// SHA-256 of its annotations, of drawn pixels, and of the names and lengths of its files.
    pub fn sha256(&self) -> String {
        let mut hash = Sha256::new();
        for name in self.classes.names() {
            hash.update(name);
            hash.update([0]);
        }
        for image in &self.images {
            let name = image.path.file_name().unwrap_or_default();
            hash.update(name.as_encoded_bytes());
            match &image.drawn {
                Some(drawn) => hash.update(&drawn.bytes),
                None => {
                    let length = std::fs::metadata(&image.path).map_or(0, |file| file.len());
                    hash.update(length.to_le_bytes());
                }
            }
            for side in [image.width, image.height] {
                hash.update((side as u64).to_le_bytes());
            }
            for object in &image.objects {
                hash.update((object.class as u64).to_le_bytes());
                for number in object.corners.iter().chain([&object.area]) {
                    hash.update(number.to_le_bytes());
                }
                hash.update([u8::from(object.crowd), u8::from(object.difficult)]);
            }
        }
        hash.finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// All objects, as COCO's evaluation takes them; classes are numbered from 0, images by their order.
    pub fn truth(&self) -> Vec<TrueObject> {
        let of_image = |(image, annotated): (usize, &Annotated)| {
            let objects = annotated.objects.iter().map(move |object| TrueObject {
                image,
                class: object.class - 1,
                bbox: object.bbox,
                area: object.area,
                crowd: object.crowd,
            });
            objects.collect::<Vec<_>>()
        };
        self.images.iter().enumerate().flat_map(of_image).collect()
    }
}

/// The pixels of a picture, the way up that its EXIF tag says.
///
/// # Errors
/// When the file cannot be read or is no PNG or JPEG.
pub fn read_picture(path: &Path) -> Result<Bitmap, Error> {
    sets::bitmap(path)
}

/// The file of an image, which lies in a folder.
pub(super) fn file_in(folder: &Path, name: &str, of: &Path) -> Result<PathBuf, Error> {
    use std::path::Component;
    let inside = Path::new(name)
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !inside || name.is_empty() {
        return Err(Error::format(
            of,
            format!(
                "the file name `{name}` does not lie in {}; write it relative to that folder, without `..`",
                folder.display()
            ),
        ));
    }
    let path = folder.join(name);
    if path.is_file() {
        return Ok(path);
    }
    Err(Error::format(
        of,
        format!(
            "the image `{name}` is not in {}; copy it there, or take it out of the annotations",
            folder.display()
        ),
    ))
}

/// The part of a box that lies in the image; none where it has no width or no height. Counts what it does.
pub(super) fn within(
    [x1, y1, x2, y2]: [f64; 4],
    [width, height]: [usize; 2],
    counts: &mut Counts,
    what: impl Fn() -> String,
) -> Option<[f64; 4]> {
    let (width, height) = (width as f64, height as f64);
    let cut = [
        x1.clamp(0.0, width),
        y1.clamp(0.0, height),
        x2.clamp(0.0, width),
        y2.clamp(0.0, height),
    ];
    if cut[2] <= cut[0] || cut[3] <= cut[1] {
        counts.drop_box(what);
        return None;
    }
    if cut != [x1, y1, x2, y2] {
        counts.clip_box(what);
    }
    counts.boxes += 1;
    Some(cut)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Cursor;

    use image::{ImageFormat, Rgb, RgbImage};

    use super::*;

    /// A JPEG of 24 × 16 stored pixels, left half dark, whose EXIF tag says that it is to be turned by a quarter.
    fn turned() -> Vec<u8> {
        let pixel = |x: u32, _: u32| Rgb([if x < 12 { 0 } else { 255 }; 3]);
        let mut jpeg = Cursor::new(Vec::new());
        RgbImage::from_fn(24, 16, pixel)
            .write_to(&mut jpeg, ImageFormat::Jpeg)
            .unwrap();
        let jpeg = jpeg.into_inner();
        // One entry: orientation (0x0112), a short, 6.
        let exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
        let length = (exif.len() as u16 + 2).to_be_bytes();
        [&jpeg[..2], &[0xff, 0xe1], &length, exif, &jpeg[2..]].concat()
    }

    #[test]
    fn the_size_of_the_annotation_says_whether_a_picture_was_turned() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jpg");
        fs::write(&path, turned()).unwrap();
        let picture = |width, height| {
            let set = DetectionSet {
                classes: Classes::new(vec![(1, "cell".into())], &path).unwrap(),
                images: vec![Annotated {
                    path: path.clone(),
                    drawn: None,
                    id: 1,
                    width,
                    height,
                    objects: Vec::new(),
                }],
                counts: Counts::default(),
            };
            set.picture(0)
        };
        let upright = picture(16, 24).unwrap();
        assert_eq!((upright.width, upright.height), (16, 24));
        // Dark above, bright below.
        assert!(upright.pixel(8, 2)[0] < 50 && upright.pixel(8, 21)[0] > 200);
        let stored = picture(24, 16).unwrap();
        assert_eq!((stored.width, stored.height), (24, 16));
        assert!(stored.pixel(2, 8)[0] < 50 && stored.pixel(21, 8)[0] > 200);
        let refused = picture(20, 20).unwrap_err().to_string();
        assert!(refused.contains("16x24"), "{refused}");
    }
}
