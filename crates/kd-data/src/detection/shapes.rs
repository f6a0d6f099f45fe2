//! Drawn images with boxes, for tests and trials: they need no file.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Annotated, Annotation, Classes, Counts, DetectionSet};
use crate::Bitmap;
use crate::random::Stream;

/// Width and height of an image in pixels.
const IMAGE: [usize; 2] = [160, 120];
/// Objects of an image, at most.
const MOST: usize = 4;
/// Sides of an object in pixels, at least and at most.
const SIDES: [f64; 2] = [20.0, 64.0];
/// What is drawn, in the order of the classes.
const NAMES: [&str; 3] = ["disc", "square", "triangle"];
/// Tells the draws of this apart from others of the same seed.
const DRAWN: u64 = 0x5AA9_E500;

/// So many images of discs, squares and triangles on noise, up to four in an image, drawn from a seed.
///
/// A later object never covers more than a quarter of an earlier one's box.
pub fn shapes(count: usize, seed: u64) -> DetectionSet {
    let images: Vec<Annotated> = (0..count).map(|index| image(index, seed)).collect();
    let counts = Counts {
        images: count,
        boxes: images.iter().map(|image| image.objects.len()).sum(),
        ..Counts::default()
    };
    DetectionSet {
        classes: Classes::numbered(&NAMES),
        images,
        counts,
    }
}

fn image(index: usize, seed: u64) -> Annotated {
    let mut random = Stream::new([seed, DRAWN, index as u64, 0]);
    let [width, height] = IMAGE;
    let base = [0; 3].map(|_: u8| random.between([40.0, 215.0]));
    let mut bitmap = Bitmap {
        width,
        height,
        channels: 3,
        bytes: (0..3 * width * height)
            .map(|i| (base[i % 3] + 12.0 * random.normal()).clamp(0.0, 255.0) as u8)
            .collect(),
    };
    let mut objects: Vec<Annotation> = Vec::new();
    for _ in 0..1 + random.below(MOST) {
        let side = random.between(SIDES).round();
        let [left, top] = IMAGE.map(|most| random.between([0.0, most as f64 - side]).round());
        let class = 1 + random.below(NAMES.len());
        // Away from the background in every channel.
        let colour = base.map(|value| (value + random.between([90.0, 165.0])) % 256.0);
        let corners = [left, top, left + side, top + side];
        if objects.iter().any(|known| covers(&corners, &known.corners)) {
            continue;
        }
        draw(&mut bitmap, class, corners, colour.map(|value| value as u8));
        objects.push(Annotation {
            class,
            corners,
            bbox: [left, top, side, side],
            area: side * side,
            crowd: false,
            difficult: false,
        });
    }
    Annotated {
        path: PathBuf::from(format!("shape {index} of seed {seed}")),
        drawn: Some(Arc::new(bitmap)),
        id: index as i64,
        width,
        height,
        objects,
    }
}

/// Whether a box covers more than a quarter of another.
fn covers([x1, y1, x2, y2]: &[f64; 4], other: &[f64; 4]) -> bool {
    let width = (x2.min(other[2]) - x1.max(other[0])).max(0.0);
    let height = (y2.min(other[3]) - y1.max(other[1])).max(0.0);
    width * height > 0.25 * (other[2] - other[0]) * (other[3] - other[1])
}

fn draw(bitmap: &mut Bitmap, class: usize, [x1, y1, x2, y2]: [f64; 4], colour: [u8; 3]) {
    let side = x2 - x1;
    for y in y1 as usize..y2 as usize {
        for x in x1 as usize..x2 as usize {
            // From −1 to 1 across the box.
            let [u, v] =
                [(x, x1), (y, y1)].map(|(at, first)| 2.0 * (at as f64 + 0.5 - first) / side - 1.0);
            let inside = match class {
                1 => u * u + v * v <= 1.0,
                2 => true,
                _ => u.abs() <= 0.5 * (v + 1.0),
            };
            if inside {
                let at = 3 * (y * bitmap.width + x);
                bitmap.bytes[at..at + 3].copy_from_slice(&colour);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawings_follow_from_the_seed_and_lie_in_their_boxes() {
        let set = shapes(40, 3);
        assert_eq!(set, shapes(40, 3));
        assert_ne!(set.images[0], shapes(40, 4).images[0]);
        let mut seen = [0; 4];
        for (index, image) in set.images.iter().enumerate() {
            assert!(!image.objects.is_empty() && image.objects.len() <= MOST);
            let picture = set.picture(index).unwrap();
            for object in &image.objects {
                seen[object.class] += 1;
                let [x1, y1, x2, y2] = object.corners;
                assert!(x1 >= 0.0 && y1 >= 0.0 && x2 <= 160.0 && y2 <= 120.0);
                // The last row of every shape reaches the middle.
                let middle = ((x1 + x2) / 2.0) as usize;
                let below = picture.pixel(middle, y2 as usize - 1);
                assert_eq!(below.len(), 3);
            }
        }
        assert!(seen[1..].iter().all(|count| *count > 15), "{seen:?}");
    }
}
