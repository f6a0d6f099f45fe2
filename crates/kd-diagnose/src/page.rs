//! A diagnosis as a page that loads nothing.

use minijinja::{Environment, context};
use serde::Serialize;

use crate::Error;
use crate::finding::{Diagnosis, Finding, Level, Plot};
use crate::svg::{lines, short};

const PAGE: &str = include_str!("page.html.j2");
const FINDINGS: &str = include_str!("findings.html.j2");
/// The style of the findings, inside `.findings`.
pub const STYLE: &str = include_str!("findings.css");

#[derive(Serialize)]
struct Shown<'a> {
    word: &'static str,
    class: &'static str,
    finding: &'a Finding,
    number: String,
    plots: Vec<Drawn>,
}

#[derive(Default, Serialize)]
struct Drawn {
    title: String,
    legend: Vec<String>,
    svg: String,
    bars: Vec<DrawnBar>,
    columns: Vec<String>,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct DrawnBar {
    name: String,
    text: String,
    /// Percent of the track.
    width: f64,
    negative: bool,
    marked: bool,
}

#[derive(Serialize)]
struct Row {
    name: String,
    cells: Vec<Cell>,
}

#[derive(Serialize)]
struct Cell {
    text: String,
    shade: f64,
    negative: bool,
}

impl Diagnosis {
    /// The findings as a part of a page, whose style is [`STYLE`].
    ///
    /// # Errors
    /// [`Error`] when the page cannot be made.
    pub fn to_fragment(&self) -> Result<String, Error> {
        render(self, "findings.html", "")
    }

    /// A page of its own, under a name.
    ///
    /// # Errors
    /// [`Error`] when the page cannot be made.
    pub fn to_html(&self, name: &str) -> Result<String, Error> {
        render(self, "page.html", name)
    }
}

fn render(found: &Diagnosis, template: &str, name: &str) -> Result<String, Error> {
    let failed = |problem: minijinja::Error| Error(format!("diagnosis page: {problem:#}"));
    let mut templates = Environment::new();
    // The names' endings make every value escaped as HTML.
    templates
        .add_template("page.html", PAGE)
        .and_then(|()| templates.add_template("findings.html", FINDINGS))
        .map_err(failed)?;
    let shown = found.findings.iter().map(|finding| {
        let (word, class) = match finding.level {
            Level::Problem => ("problem", "problem"),
            Level::Notice => ("notice", "notice"),
            Level::Fine => ("as it should be", "fine"),
        };
        Shown {
            word,
            class,
            number: short(finding.number),
            plots: finding.plots.iter().map(drawn).collect(),
            finding,
        }
    });
    let context = context! {
        name => name,
        style => STYLE,
        problems => found.problems().count(),
        diagnosis => found,
        findings => shown.collect::<Vec<_>>(),
    };
    templates
        .get_template(template)
        .and_then(|template| template.render(context))
        .map_err(failed)
}

/// A text inside an image.
fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;")
}

fn drawn(plot: &Plot) -> Drawn {
    match plot {
        Plot::Bars { title, bars } => {
            let most = bars.iter().map(|bar| bar.value.abs()).fold(0.0, f64::max);
            let bars = bars.iter().map(|bar| DrawnBar {
                name: bar.name.clone(),
                text: short(bar.value),
                width: match most > 0.0 {
                    true => (1000.0 * bar.value.abs() / most).round() / 10.0,
                    false => 0.0,
                },
                negative: bar.value < 0.0,
                marked: bar.marked,
            });
            Drawn {
                title: title.clone(),
                bars: bars.collect(),
                ..Drawn::default()
            }
        }
        Plot::Lines {
            title,
            x,
            log,
            lines: drawn,
            mark,
        } => {
            let mark = mark.as_ref().map(|(at, name)| (*at, escaped(name)));
            let mark = mark.as_ref().map(|(at, name)| (*at, name.as_str()));
            Drawn {
                title: title.clone(),
                legend: drawn.iter().map(|line| line.name.clone()).collect(),
                svg: lines(drawn, &escaped(x), *log, mark),
                ..Drawn::default()
            }
        }
        Plot::Heat {
            title,
            rows,
            columns,
            values,
        } => {
            let cell = |value: &f64| Cell {
                text: format!("{value:.2}").replace('-', "−"),
                shade: (value.abs().clamp(0.0, 1.0) * 100.0).round() / 100.0,
                negative: *value < 0.0,
            };
            let rows = rows.iter().zip(values).map(|(name, row)| Row {
                name: name.clone(),
                cells: row.iter().map(cell).collect(),
            });
            Drawn {
                title: title.clone(),
                columns: columns.clone(),
                rows: rows.collect(),
                ..Drawn::default()
            }
        }
    }
}
