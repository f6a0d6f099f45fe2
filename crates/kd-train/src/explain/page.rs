//! `report.html`: the same on one page that loads nothing.

use minijinja::{Environment, context};
use serde::Serialize;

use super::words::{sections, warning};
use super::{Explanation, markdown};
use crate::Error;

const TEMPLATE: &str = include_str!("report.html.j2");
const STYLE: &str = include_str!("../study/study.css");

/// A section as the template has it.
#[derive(Serialize)]
struct Part {
    title: &'static str,
    sentences: Vec<String>,
}

/// A student's alignment as coloured cells.
#[derive(Serialize)]
struct Map {
    name: String,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    level: usize,
    cells: Vec<Cell>,
}

#[derive(Serialize)]
struct Cell {
    text: String,
    /// From 0 to 1.
    shade: f64,
}

pub(super) fn html(found: &Explanation) -> Result<String, Error> {
    let failed = |problem: minijinja::Error| Error::Report(format!("{problem:#}"));
    let mut templates = Environment::new();
    // The name's ending makes every value escaped as HTML.
    templates
        .add_template("report.html", TEMPLATE)
        .map_err(failed)?;
    let parts = sections(found).into_iter().map(|section| Part {
        title: section.title,
        sentences: section.sentences,
    });
    let mut parts: Vec<Part> = parts.collect();
    let conclusion = parts.pop();
    let rows = found
        .students
        .iter()
        .map(|s| markdown::cells(s, &found.results));
    let context = context! {
        style => STYLE,
        name => found.results.name,
        warning => warning(found),
        conclusion => conclusion,
        parts => parts,
        columns => markdown::COLUMNS,
        rows => rows.collect::<Vec<_>>(),
        student_levels => found.setting.student_levels,
        maps => found.students.iter().map(|student| map(found, student)).collect::<Vec<_>>(),
        points => points(found),
        version => found.results.version,
    };
    templates
        .get_template("report.html")
        .and_then(|template| template.render(context))
        .map_err(failed)
}

fn map(found: &Explanation, student: &super::StudentView) -> Map {
    let levels = found.setting.teacher_levels.iter().zip(&student.alignment);
    let cell = |value: &f64| Cell {
        text: format!("{value:.2}"),
        shade: (value.clamp(0.0, 1.0) * 100.0).round() / 100.0,
    };
    Map {
        name: student.name.clone(),
        rows: levels
            .map(|(level, row)| Row {
                level: *level,
                cells: row.iter().map(cell).collect(),
            })
            .collect(),
    }
}

/// A student in the plane of accuracy and correlation of distances, in pixels of a field of 640 × 320.
#[derive(Serialize)]
struct Point {
    name: String,
    x: f64,
    y: f64,
    alone: bool,
}

#[derive(Serialize)]
struct Field {
    points: Vec<Point>,
    left: String,
    right: String,
    low: String,
    high: String,
}

fn points(found: &Explanation) -> Option<Field> {
    let scored = found
        .students
        .iter()
        .filter_map(|s| Some((s, s.score.as_ref()?.mean)));
    let scored: Vec<_> = scored.collect();
    let range = |values: Vec<f64>| {
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        (most > least).then_some((least, most))
    };
    let (left, right) = range(scored.iter().map(|(s, _)| s.distances.mean).collect())?;
    let (low, high) = range(scored.iter().map(|(_, score)| *score).collect())?;
    let share = |value: f64, (from, to): (f64, f64)| (value - from) / (to - from);
    let points = scored.iter().map(|(student, score)| Point {
        name: student.name.clone(),
        x: (70.0 + 460.0 * share(student.distances.mean, (left, right))).round(),
        y: (290.0 - 260.0 * share(*score, (low, high))).round(),
        alone: student.family == "labels",
    });
    Some(Field {
        points: points.collect(),
        left: format!("{left:.2}"),
        right: format!("{right:.2}"),
        low: format!("{low:.1}"),
        high: format!("{high:.1}"),
    })
}
