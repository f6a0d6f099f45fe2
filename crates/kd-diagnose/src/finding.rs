//! What a diagnosis says.

use serde::{Deserialize, Serialize};

/// How a student falls short of its teacher, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Diagnosis {
    /// Version of this toolkit.
    pub version: String,
    /// Samples of the validation split that were looked at.
    pub validation: usize,
    /// Samples of the training split that were looked at.
    pub train: usize,
    /// Problems first, then notices, then what is as it should be.
    pub findings: Vec<Finding>,
}

impl Diagnosis {
    /// What should be changed.
    pub fn problems(&self) -> impl Iterator<Item = &Finding> {
        let all = self.findings.iter();
        all.filter(|finding| finding.level == Level::Problem)
    }

    /// The finding of a name.
    pub fn get(&self, key: &str) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.key == key)
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Its name in files, such as `temperature`.
    pub key: String,
    /// Its name for people.
    pub title: String,
    /// Whether something should be done.
    pub level: Level,
    /// What was measured, such as `share of the teacher's answers beside its first choice at T = 4`.
    pub what: String,
    /// Its value, in the unit that `what` says.
    pub number: f64,
    /// What counts as a problem or a notice, as the book's table has it.
    pub threshold: String,
    /// What was found, and what to do.
    pub sentence: String,
    /// Classes or samples that are named, such as suspects of wrong labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub named: Vec<String>,
    /// The plots.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plots: Vec<Plot>,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Something should be changed.
    Problem,
    /// Worth knowing, or worth a try.
    Notice,
    /// As it should be.
    Fine,
}

/// Numbers to be drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Plot {
    /// Bars from 0, one a row.
    Bars {
        /// What is drawn, with its unit.
        title: String,
        /// Name and value; marked ones are those that the finding is about.
        bars: Vec<Bar>,
    },
    /// Lines over a shared axis.
    Lines {
        /// What is drawn, with its unit.
        title: String,
        /// Name of the horizontal axis.
        x: String,
        /// Whether that axis is logarithmic.
        log: bool,
        /// The lines.
        lines: Vec<Line>,
        /// A place on the horizontal axis that is marked, with its name.
        mark: Option<(f64, String)>,
    },
    /// Coloured cells.
    Heat {
        /// What is drawn.
        title: String,
        /// Names of the rows.
        rows: Vec<String>,
        /// Names of the columns.
        columns: Vec<String>,
        /// Values row by row.
        values: Vec<Vec<f64>>,
    },
}

/// A bar.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bar {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: f64,
    /// Whether the finding is about it.
    pub marked: bool,
}

/// A line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Its name.
    pub name: String,
    /// Its points.
    pub points: Vec<(f64, f64)>,
}

/// What is the same of all findings of a kind.
pub(crate) struct Kind {
    pub key: &'static str,
    pub title: &'static str,
    pub threshold: &'static str,
}

impl Kind {
    pub fn finding(&self, level: Level, what: &str, number: f64, sentence: String) -> Finding {
        Finding {
            key: self.key.into(),
            title: self.title.into(),
            level,
            what: what.into(),
            number,
            threshold: self.threshold.into(),
            sentence,
            named: Vec::new(),
            plots: Vec::new(),
        }
    }
}

impl Finding {
    pub(crate) fn named(self, named: Vec<String>) -> Self {
        Self { named, ..self }
    }

    pub(crate) fn plot(mut self, plot: Plot) -> Self {
        self.plots.push(plot);
        self
    }
}

/// The level of a thing that is a problem, else a notice, else fine.
pub(crate) fn level(problem: bool, notice: bool) -> Level {
    match (problem, notice) {
        (true, _) => Level::Problem,
        (_, true) => Level::Notice,
        _ => Level::Fine,
    }
}

/// `a`, `a and b`, `a, b and c`.
pub(crate) fn list(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
