//! What a temperature does to the teacher's softmax on a few test images.

use std::io::Cursor;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use image::{DynamicImage, GrayImage, ImageFormat, RgbImage};
use kd_data::{Bitmap, Images};

use crate::Error;
use crate::evaluate::{Predictions, argmax, softmax};
use crate::summary::{TemperatureSample, TemperatureSummary};
use crate::task::{Shown, Task};

const TEMPERATURES: [f64; 5] = [1.0, 2.0, 4.0, 8.0, 20.0];
const SAMPLES: usize = 4;

/// The images, one a class, whose teacher is right and gives most to the other classes at T = 4:
/// there the dark knowledge can be seen.
pub(crate) fn summarise<T: Task>(
    teacher: &Predictions,
    task: &T,
) -> Result<TemperatureSummary, Error> {
    let mut right: Vec<(f64, usize, usize, &[f32])> = teacher
        .rows()
        .enumerate()
        .filter(|(_, (logits, label))| argmax(logits) == *label)
        .map(|(row, (logits, label))| (1.0 - softmax(logits, 4.0)[label], row, label, logits))
        .collect();
    right.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut samples: Vec<TemperatureSample> = Vec::new();
    for (_, row, label, logits) in right {
        if samples.len() == SAMPLES {
            break;
        }
        if samples.iter().any(|s| s.label == label) {
            continue;
        }
        let (image, text) = match task.show(row)? {
            Shown::Nothing => Default::default(),
            Shown::Image(image) => (image, String::new()),
            Shown::Text(text) => (String::new(), text),
        };
        samples.push(TemperatureSample {
            index: row,
            label,
            image,
            text,
            probabilities: TEMPERATURES.iter().map(|&t| softmax(logits, t)).collect(),
        });
    }
    Ok(TemperatureSummary {
        temperatures: TEMPERATURES.into(),
        samples,
    })
}

/// An image as an address that a page can show.
pub(crate) fn data_url(images: &Images, index: usize) -> Result<String, Error> {
    let planes = &*images.planes(index)?;
    address(Bitmap::from_planes(
        planes,
        images.channels,
        (images.height, images.width),
    ))
}

/// A bitmap as an address that a page can show.
pub(crate) fn address(bitmap: Bitmap) -> Result<String, Error> {
    let (width, height) = (bitmap.width as u32, bitmap.height as u32);
    let image = match bitmap.channels {
        1 => GrayImage::from_raw(width, height, bitmap.bytes).map(DynamicImage::from),
        _ => RgbImage::from_raw(width, height, bitmap.bytes).map(DynamicImage::from),
    };
    let image = image.ok_or_else(|| Error::Report("a test image has no pixels".into()))?;
    let mut png = Cursor::new(Vec::new());
    image
        .write_to(&mut png, ImageFormat::Png)
        .map_err(|e| Error::Report(e.to_string()))?;
    let text = BASE64_STANDARD.encode(png.into_inner());
    Ok(format!("data:image/png;base64,{text}"))
}
