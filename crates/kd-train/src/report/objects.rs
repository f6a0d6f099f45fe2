//! How the objects of each class were found: precision against recall, and average precision by size.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::Role;
use crate::error::Error;
use crate::score::ClassFound;
use crate::summary::Summary;

use super::axis::Scale;
use super::classes::class_name;
use super::downsample::Line;
use super::palette::Pens;
use super::plots::{Axes, Figure, figure};
use super::seeds::{Points, over_seeds};
use super::table::title;
use super::words::{count, spread};

/// Classes that have curves of their own, at most.
const CLASSES: usize = 6;
const SIZES: [&str; 4] = ["", "small", "medium", "large"];
const OVERLAPS: [&str; 2] = ["0.50", "0.75"];

/// What the template shows.
#[derive(Serialize)]
pub(super) struct Objects {
    figures: Vec<Figure>,
    /// Which classes have no curves of their own.
    left_out: Option<String>,
    networks: Vec<String>,
    rows: Vec<Row>,
}

/// A class, or its objects of one size.
#[derive(Serialize)]
struct Row {
    class: String,
    size: &'static str,
    objects: String,
    cells: Vec<Cell>,
}

#[derive(Serialize)]
struct Cell {
    text: String,
    width: f64,
}

/// A network with what each of its seeds found.
struct Network<'a> {
    role: &'a Role,
    seeds: Vec<&'a [ClassFound]>,
}

/// Nothing where no network finds objects.
pub(super) fn section(summary: &Summary) -> Result<Option<Objects>, Error> {
    let roles = summary.distinct_roles().into_iter();
    let networks = roles.map(|role| network(summary, role));
    let networks: Vec<Network> = networks.filter(|n| !n.seeds.is_empty()).collect();
    // The objects are those of the test split, whatever the network.
    let Some(split) = networks.first().and_then(|n| n.seeds.first()) else {
        return Ok(None);
    };
    let shown = most_seen(split);
    let pens = Pens::new(networks.iter().map(|n| n.role), BTreeSet::new());
    let mut figures = Vec::new();
    let with_objects = split.iter().filter(|class| class.objects[0] > 0).count();
    if with_objects > 1 {
        let heading = format!("Mean of {with_objects} classes");
        figures.extend(curves(&heading, &networks, &pens, None)?);
    }
    for &class in &shown {
        let heading = class_name(summary, class);
        figures.extend(curves(&heading, &networks, &pens, Some(class))?);
    }
    let left_out = (shown.len() < with_objects).then(|| {
        format!("The {CLASSES} classes of {with_objects} with the most objects have curves of their own.")
    });
    let rows = split.iter().enumerate().flat_map(|(class, found)| {
        let name = class_name(summary, class);
        let networks = &networks;
        (0..SIZES.len()).filter_map(move |size| row(&name, class, size, found, networks))
    });
    Ok(Some(Objects {
        left_out,
        networks: networks.iter().map(|n| title(n.role)).collect(),
        rows: rows.collect(),
        figures,
    }))
}

fn network<'a>(summary: &'a Summary, role: &'a Role) -> Network<'a> {
    let measured = summary.networks.iter().filter(|n| n.role == *role);
    let found = measured.map(|n| n.test.found.as_slice());
    Network {
        role,
        seeds: found.filter(|found| !found.is_empty()).collect(),
    }
}

/// The classes that have the most objects, in their order.
fn most_seen(split: &[ClassFound]) -> Vec<usize> {
    let mut classes: Vec<usize> = (0..split.len())
        .filter(|class| split[*class].objects[0] > 0)
        .collect();
    classes.sort_by_key(|class| std::cmp::Reverse(split[*class].objects[0]));
    classes.truncate(CLASSES);
    classes.sort_unstable();
    classes
}

/// Precision against recall at both overlaps, of a class or of the mean of all.
fn curves(
    heading: &str,
    networks: &[Network],
    pens: &Pens,
    class: Option<usize>,
) -> Result<Vec<Figure>, Error> {
    let mut figures = Vec::new();
    for (place, overlap) in OVERLAPS.into_iter().enumerate() {
        let lines = networks.iter().map(|network| {
            let seeds = network.seeds.iter().map(|found| match class {
                Some(class) => points(&found[class..=class], place),
                None => points(found, place),
            });
            let (points, band) = over_seeds(&seeds.collect::<Vec<Points>>());
            Line {
                name: title(network.role),
                color: pens.network(network.role),
                dashed: false,
                points,
                band,
            }
        });
        let axes = Axes {
            x: "recall, %",
            y: "precision, %".into(),
            scale: Scale::Percent,
        };
        let heading = format!("{heading}, IoU {overlap}");
        figures.extend(figure(heading, axes, &lines.collect::<Vec<_>>())?);
    }
    Ok(figures)
}

/// The mean curve of the classes that have objects.
fn points(classes: &[ClassFound], place: usize) -> Points {
    let curves = classes.iter().map(|class| &class.precision[place]);
    let curves: Vec<&Vec<f64>> = curves.filter(|curve| !curve.is_empty()).collect();
    let length = curves.iter().map(|curve| curve.len()).min().unwrap_or(0);
    (0..length)
        .map(|recall| {
            let sum: f64 = curves.iter().map(|curve| curve[recall]).sum();
            (recall as f64, sum / curves.len() as f64)
        })
        .collect()
}

/// Nothing for a size that a class has no object of.
fn row(
    name: &str,
    class: usize,
    size: usize,
    found: &ClassFound,
    networks: &[Network],
) -> Option<Row> {
    let objects = found.objects[size];
    let cells = networks.iter().map(|network| {
        let seeds = network
            .seeds
            .iter()
            .filter_map(|found| found.get(class)?.ap[size]);
        match spread(&seeds.collect::<Vec<_>>()) {
            Some((ap, _)) => Cell {
                text: format!("{ap:.2}"),
                width: ap,
            },
            None => Cell {
                text: "–".into(),
                width: 0.0,
            },
        }
    });
    (objects > 0 || size == 0).then(|| Row {
        class: name.into(),
        size: SIZES[size],
        objects: count(objects as u64),
        cells: cells.collect(),
    })
}
