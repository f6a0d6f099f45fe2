//! Teacher and student as `kd bench deploy --run` measured them.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::words::{prefixed, significant};
use crate::error::Error;
use crate::folder::kept_json;
use crate::summary::Summary;
use crate::{Better, Role, Unit};

/// What the file says, as far as the page shows it.
#[derive(Deserialize)]
pub(super) struct Measured {
    networks: Vec<Network>,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Network {
    name: String,
    file_bytes: u64,
    peak_bytes: Option<u64>,
}

#[derive(Deserialize)]
struct Row {
    network: String,
    runtime: String,
    threads: usize,
    batch: usize,
    median_ms: Option<f64>,
    p95_ms: Option<f64>,
    images_per_second: Option<f64>,
}

/// Reads `deploy.json` of a run folder, if there is one.
pub(super) fn read(folder: &Path) -> Result<Option<Measured>, Error> {
    kept_json(
        folder.join("deploy.json"),
        "not what `kd bench deploy --run` writes",
        "measure again, or delete the file",
    )
}

/// The section of the page.
#[derive(Serialize)]
pub(super) struct Section {
    /// What it comes to, in a sentence.
    sentence: Option<String>,
    /// Name, file and peak memory of each network.
    sizes: Vec<[String; 3]>,
    settings: Vec<Setting>,
}

/// All runtimes in one setting.
#[derive(Serialize)]
struct Setting {
    title: String,
    bars: Vec<Bar>,
}

/// A network in a runtime.
#[derive(Serialize)]
struct Bar {
    name: String,
    /// In percent of the longest bar.
    width: f64,
    said: String,
    hint: String,
    /// Whether another runtime's bars stand above.
    first: bool,
}

impl Measured {
    pub fn section(&self, summary: &Summary) -> Section {
        let mut settings: Vec<(usize, usize)> = Vec::new();
        for row in &self.rows {
            if !settings.contains(&(row.batch, row.threads)) {
                settings.push((row.batch, row.threads));
            }
        }
        let bytes = |bytes: u64| prefixed(bytes as f64, "B");
        let sizes = self.networks.iter().map(|network| {
            let peak = network.peak_bytes.map_or("–".into(), bytes);
            [network.name.clone(), bytes(network.file_bytes), peak]
        });
        Section {
            sentence: self.sentence(summary),
            sizes: sizes.collect(),
            settings: settings.into_iter().map(|at| self.setting(at)).collect(),
        }
    }

    fn setting(&self, (batch, threads): (usize, usize)) -> Setting {
        // Milliseconds of one image, images a second of several.
        let value = |row: &Row| match batch {
            1 => row.median_ms,
            _ => row.images_per_second,
        };
        let all = self.rows.iter();
        let mut rows: Vec<&Row> = all
            .filter(|row| (row.batch, row.threads) == (batch, threads))
            .collect();
        let order: Vec<String> = rows.iter().map(|row| row.runtime.clone()).collect();
        rows.sort_by_key(|row| order.iter().position(|runtime| *runtime == row.runtime));
        let values = rows.iter().filter_map(|row| value(row));
        let longest = values.fold(f64::MIN_POSITIVE, f64::max);
        let bar = |(place, row): (usize, &&Row)| Bar {
            name: format!("{}, {}", row.network, row.runtime),
            width: 100.0 * value(row).unwrap_or(0.0) / longest,
            said: match value(row) {
                None => "failed".into(),
                Some(value) if batch == 1 => format!("{} ms", significant(value, 3)),
                Some(value) => format!("{value:.0}/s"),
            },
            hint: match row.p95_ms {
                Some(p95) => format!("95th percentile {} ms", significant(p95, 3)),
                None => String::new(),
            },
            first: place > 0 && rows[place - 1].runtime != row.runtime,
        };
        let images = match batch {
            1 => "One image".to_owned(),
            batch => format!("Images in batches of {batch}"),
        };
        let threads = match threads {
            1 => "one thread".to_owned(),
            threads => format!("{threads} threads"),
        };
        Setting {
            title: format!("{images}, {threads}"),
            bars: rows.iter().enumerate().map(bar).collect(),
        }
    }

    /// How much faster the student is, and what that costs.
    fn sentence(&self, summary: &Summary) -> Option<String> {
        let one = |network: &str| {
            let ours = |row: &&Row| (row.runtime.as_str(), row.threads, row.batch) == ("kd", 1, 1);
            let mut rows = self.rows.iter().filter(|row| row.network == network);
            rows.find(ours)?.median_ms
        };
        let (student, teacher) = (one("student")?, one("teacher")?);
        let times = match teacher >= student {
            true => format!("{} times as fast", significant(teacher / student, 2)),
            false => format!("{} times as slow", significant(student / teacher, 2)),
        };
        let [student_ms, teacher_ms] = [student, teacher].map(|ms| significant(ms, 3));
        let cost = cost(summary).unwrap_or_default();
        Some(format!(
            "With kd on one thread the student answers one image in {student_ms} ms and the teacher in {teacher_ms} ms: \
             it is {times}{cost}."
        ))
    }
}

/// How far the student's first score is from the teacher's.
fn cost(summary: &Summary) -> Option<String> {
    let mean = |role: Role| {
        let of_role = summary.networks.iter().filter(|n| n.role == role);
        let scores: Vec<f64> = of_role
            .filter_map(|n| Some(n.test.first()?.value))
            .collect();
        (!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64)
    };
    let student = mean(Role::Distilled).or_else(|| mean(Role::Baseline))?;
    let gap = student - mean(Role::Teacher)?;
    let what = summary.networks.first()?.test.first()?;
    if gap == 0.0 {
        return Some(format!(", with the same test {}", what.title));
    }
    let word = match (what.better, gap > 0.0) {
        (Better::Higher, true) | (Better::Lower, false) => "better",
        _ => "worse",
    };
    let gap = significant(gap.abs(), 3);
    let points = match what.unit {
        Unit::Percent => " points",
        _ => "",
    };
    Some(format!(
        ", and its test {} is {gap}{points} {word}",
        what.title
    ))
}
