//! Boxes stay at what they are of.

use super::*;
use crate::detection::Annotation;

/// A dark image with a bright rectangle, which is the object.
fn scene(corners: [usize; 4]) -> Scene {
    let [x1, y1, x2, y2] = corners;
    let (width, height) = (60, 40);
    let inside = |x: usize, y: usize| (x1..x2).contains(&x) && (y1..y2).contains(&y);
    let pixels = (0..width * height).map(|i| match inside(i % width, i / width) {
        true => [250, 240, 230],
        false => [1, 2, 3],
    });
    let corners = corners.map(|edge| edge as f64);
    Scene {
        image: Bitmap {
            width,
            height,
            channels: 3,
            bytes: pixels.flatten().collect(),
        },
        objects: vec![at(
            Annotation {
                class: 4,
                corners,
                bbox: [0.0; 4],
                area: 0.0,
                crowd: false,
                difficult: true,
            },
            corners,
        )],
    }
}

/// The bright rectangle of an image; none where there is no bright pixel.
fn bright(image: &Bitmap) -> Option<[f64; 4]> {
    let at = |x: &usize, y: usize| image.pixel(*x, y)[0] == 250;
    let rows = (0..image.height).filter(|y| (0..image.width).any(|x| at(&x, *y)));
    let rows: Vec<usize> = rows.collect();
    let columns = (0..image.width).filter(|x| (0..image.height).any(|y| at(x, y)));
    let columns: Vec<usize> = columns.collect();
    let edges = [
        *columns.first()?,
        *rows.first()?,
        columns.last()? + 1,
        rows.last()? + 1,
    ];
    Some(edges.map(|edge| edge as f64))
}

const OBJECT: [usize; 4] = [12, 9, 31, 25];

#[test]
fn every_step_moves_the_box_with_the_pixels() {
    let flips = BoxAugment {
        flip: 0.5,
        flip_vertical: 0.5,
        ..BoxAugment::default()
    };
    let zoom = BoxAugment {
        zoom_out: Some(ZoomOut::default()),
        ..BoxAugment::default()
    };
    let crop = BoxAugment {
        crop: Some(IouCrop::default()),
        ..BoxAugment::default()
    };
    let all = BoxAugment {
        zoom_out: Some(ZoomOut::default()),
        flip_vertical: 0.5,
        ..BoxAugment::ssdlite()
    };
    for augment in [flips, zoom, crop, all] {
        let mut changed = 0;
        for index in 0..200 {
            let seen = augment.apply(scene(OBJECT), 7, 1, index);
            let [object] = seen.objects[..] else {
                panic!("one object");
            };
            assert_eq!(Some(object.corners), bright(&seen.image), "{augment:?}");
            assert!(object.class == 4 && object.difficult);
            let [x1, y1, x2, y2] = object.corners;
            assert_eq!(object.bbox, [x1, y1, x2 - x1, y2 - y1]);
            changed += usize::from(seen != scene(OBJECT));
        }
        assert!((60..=200).contains(&changed), "{changed} of {augment:?}");
    }
}

#[test]
fn a_crop_keeps_its_sides_aspect_and_an_object() {
    let crop = IouCrop {
        options: vec![0.3],
        ..IouCrop::default()
    };
    let augment = BoxAugment {
        crop: Some(crop),
        ..BoxAugment::default()
    };
    for index in 0..200 {
        let seen = augment.apply(scene(OBJECT), 7, 1, index);
        let (width, height) = (seen.image.width as f64, seen.image.height as f64);
        assert!((18.0..=60.0).contains(&width) && (12.0..=40.0).contains(&height));
        assert!((0.5..=2.0).contains(&(width / height)));
        // The part overlaps the object by 0.3, so the object fills nearly as much of the part.
        assert!(seen.objects[0].area / (width * height) >= 0.29);
    }
}

#[test]
fn draws_follow_from_seed_epoch_and_index_and_colours_change() {
    let augment = BoxAugment::ssd();
    let see = |seed, epoch, index| augment.apply(scene(OBJECT), seed, epoch, index);
    assert_eq!(see(1, 2, 3), see(1, 2, 3));
    let others = [see(2, 2, 3), see(1, 3, 3), see(1, 2, 4), see(1, 2, 3)];
    assert!(others.windows(2).any(|pair| pair[0] != pair[1]));
    let colours = BoxAugment {
        photometric: Some(Photometric::default()),
        ..BoxAugment::default()
    };
    let seen = |index| colours.apply(scene(OBJECT), 1, 1, index);
    let same = (0..100)
        .filter(|index| seen(*index) == scene(OBJECT))
        .count();
    assert!(same < 20, "{same}");
    assert!((0..100).all(|index| seen(index).objects == scene(OBJECT).objects));
}

#[test]
fn an_image_without_objects_is_not_cropped() {
    let empty = Scene {
        objects: Vec::new(),
        ..scene(OBJECT)
    };
    let augment = BoxAugment {
        crop: Some(IouCrop::default()),
        ..BoxAugment::default()
    };
    assert_eq!(augment.apply(empty.clone(), 1, 1, 1), empty);
}
