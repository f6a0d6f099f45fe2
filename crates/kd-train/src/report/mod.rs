//! `report.html`: what a run did, on one page that needs nothing else.

mod classes;
mod curves;
mod downsample;
mod plots;
mod read;
mod table;
mod teacher_softmax;
mod verdict;
pub(crate) mod words;

use std::path::{Path, PathBuf};

use minijinja::{Environment, context};

use crate::Role;
use crate::error::Error;
use crate::folder::write_atomically;
use crate::summary::Summary;

use read::RunFolder;
use words::count;

const TEMPLATE: &str = include_str!("report.html.j2");
const STYLE: &str = include_str!("report.css");
const HOVER: &str = include_str!("hover.js");

/// Writes `report.html` into a run folder, from its `summary.json`, `metrics.jsonl` and
/// `recipe.toml`, and returns its path.
///
/// The page loads nothing from anywhere, and works without scripts. What a run did not measure is
/// left out with a sentence that says why.
///
/// # Errors
/// [`Error::Format`] when one of the three files is missing or not what it should be,
/// [`Error::Io`] when one cannot be read or the report cannot be written.
pub fn write(folder: &Path) -> Result<PathBuf, Error> {
    let page = page(&read::run_folder(folder)?)?;
    let path = folder.join("report.html");
    write_atomically(&path, page.as_bytes())?;
    Ok(path)
}

fn page(run: &RunFolder) -> Result<String, Error> {
    let summary = &run.summary;
    let failed = |problem: minijinja::Error| Error::Report(format!("{problem:#}"));
    let mut templates = Environment::new();
    // The name's ending makes every value escaped as HTML.
    templates
        .add_template("report.html", TEMPLATE)
        .map_err(failed)?;
    let verdict = verdict::verdict(summary);
    let context = context! {
        style => STYLE,
        hover => HOVER,
        name => summary.name,
        headline => verdict.headline,
        caveat => verdict.caveat,
        facts => facts(summary),
        table => table::table(summary),
        seeds => table::seeds(summary),
        figures => curves::figures(summary, &run.trainings)?,
        no_validation => summary.data.validation == 0,
        samples => teacher_softmax::samples(summary),
        no_temperature => no_temperature(summary),
        differences => classes::differences(summary),
        has_teacher => has_teacher(summary),
        command => command(summary),
        recipe => run.recipe,
    };
    templates
        .get_template("report.html")
        .and_then(|template| template.render(context))
        .map_err(failed)
}

/// Name and value of what the measurements depend on.
fn facts(summary: &Summary) -> Vec<(&'static str, String)> {
    let data = &summary.data;
    let sizes = format!(
        "{}, {} classes: {} training, {} validation and {} test images",
        data.name,
        data.classes.len(),
        count(data.train as u64),
        count(data.validation as u64),
        count(data.test as u64)
    );
    let threads = match summary.threads {
        1 => "1 CPU thread".into(),
        threads => format!("{threads} CPU threads"),
    };
    let mut facts = vec![
        ("Data", sizes),
        ("SHA-256", data.sha256.chars().take(16).collect()),
        ("Device", format!("{}, {threads}", summary.device)),
        ("Version", format!("kd {}", summary.version)),
    ];
    if let Some(cache) = &summary.cache {
        let text = format!(
            "saved {:.1} % of the teacher's work: {} of {} images were answered from it ({})",
            cache.saved,
            count(cache.hits),
            count(cache.hits + cache.misses),
            words::prefixed(cache.bytes as f64, "B")
        );
        facts.push(("Teacher cache", text));
    }
    facts
}

/// What repeats the run, given its resolved recipe.
fn command(summary: &Summary) -> String {
    let of = |role| summary.networks.iter().filter(|a| a.role == role).count();
    let seeds = match of(Role::Distilled).max(of(Role::Baseline)) {
        0 | 1 => String::new(),
        seeds => format!(" --seeds {seeds}"),
    };
    format!("kd train recipe.toml --device {}{seeds}", summary.device)
}

fn has_teacher(summary: &Summary) -> bool {
    summary.networks.iter().any(|a| a.role == Role::Teacher)
}

fn no_temperature(summary: &Summary) -> &'static str {
    match (has_teacher(summary), &summary.temperature) {
        (false, _) => "This run has no teacher whose softmax could be shown.",
        (true, None) => "This run recorded no softmax of the teacher.",
        (true, Some(_)) => "There is no test image that the teacher classifies right.",
    }
}

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
