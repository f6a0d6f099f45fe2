//! Images with boxes.

use serde::Serialize;

use crate::summary::Picture;

use super::classes::name_of;

/// Colours that are seen on photographs, the light and the dark ones.
const COLORS: [&str; 6] = [
    "#FFD60A", "#00C2FF", "#FF2D95", "#7CE000", "#FF7A00", "#B36BFF",
];

/// An image with the boxes of each network.
#[derive(Serialize)]
pub(super) struct Shown<'a> {
    image: &'a str,
    width: usize,
    height: usize,
    panels: Vec<Boxes<'a>>,
}

#[derive(Serialize)]
struct Boxes<'a> {
    title: &'a str,
    count: String,
    boxes: Vec<Shape>,
}

#[derive(Serialize)]
struct Shape {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    color: &'static str,
    /// What a pointer on it says.
    text: String,
}

/// Images with boxes, and the colour of each class that they have.
#[derive(Serialize)]
pub(super) struct Pictures<'a> {
    shown: Vec<Shown<'a>>,
    legend: Vec<(String, &'static str)>,
}

/// Nothing where there is no image.
pub(super) fn pictures<'a>(names: &[String], pictures: &'a [Picture]) -> Option<Pictures<'a>> {
    if pictures.is_empty() {
        return None;
    }
    let panels = pictures.iter().flat_map(|picture| &picture.panels);
    let mut classes: Vec<usize> = panels
        .flat_map(|p| p.boxes.iter().map(|b| b.class))
        .collect();
    classes.sort_unstable();
    classes.dedup();
    Some(Pictures {
        shown: pictures
            .iter()
            .map(|picture| shown(names, picture))
            .collect(),
        legend: classes
            .into_iter()
            .map(|class| (name_of(names, class), color(class)))
            .collect(),
    })
}

fn color(class: usize) -> &'static str {
    COLORS[class % COLORS.len()]
}

fn shown<'a>(names: &[String], picture: &'a Picture) -> Shown<'a> {
    let panels = picture.panels.iter().map(|panel| Boxes {
        title: &panel.title,
        count: match panel.boxes.len() {
            0 => "nothing".into(),
            1 => "1 box".into(),
            count => format!("{count} boxes"),
        },
        boxes: panel
            .boxes
            .iter()
            .map(|shape| {
                let [x1, y1, x2, y2] = shape.corners;
                let name = name_of(names, shape.class);
                Shape {
                    x: x1,
                    y: y1,
                    width: (x2 - x1).max(0.0),
                    height: (y2 - y1).max(0.0),
                    color: color(shape.class),
                    text: match shape.score {
                        None => name,
                        Some(score) => format!("{name}, {:.0} % sure", 100.0 * score),
                    },
                }
            })
            .collect(),
    });
    Shown {
        image: &picture.image,
        width: picture.width,
        height: picture.height,
        panels: panels.collect(),
    }
}
