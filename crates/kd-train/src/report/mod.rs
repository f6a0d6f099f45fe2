//! `report.html`: what a run did, on one page that needs nothing else.

mod axis;
mod classes;
mod compression;
mod curves;
mod deployed;
mod downsample;
pub(crate) mod live;
mod moments;
mod objects;
mod palette;
mod pictures;
mod plots;
pub(crate) mod read;
mod seeds;
mod table;
mod teacher_softmax;
mod unfinished;
mod verdict;
pub(crate) mod words;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use minijinja::{Environment, Value, context};

use crate::Role;
use crate::error::Error;
use crate::folder::write_atomically;
use crate::summary::{Picture, Summary};

use read::RunFolder;
use words::count;

const TEMPLATE: &str = include_str!("report.html.j2");
const PICTURES: &str = include_str!("pictures.html.j2");
const PREDICTIONS: &str = include_str!("predictions.html.j2");
const STYLE: &str = include_str!("report.css");
const HOVER: &str = include_str!("hover.js");

/// Writes `report.html` into a run folder, from its `summary.json`, `metrics.jsonl` and
/// `recipe.toml`, and returns its path.
///
/// The page loads nothing from anywhere, and works without scripts. What a run did not measure is
/// left out with a sentence that says why. A run without a `summary.json` is still running or was stopped:
/// its page says so, and shows what the metrics hold.
///
/// # Errors
/// [`Error::Format`] when a file is missing or not what it should be,
/// [`Error::Io`] when one cannot be read or the report cannot be written.
pub fn write(folder: &Path) -> Result<PathBuf, Error> {
    let run = read::run_folder(folder)?;
    let diagnosis = crate::diagnose::kept(folder)?;
    let diagnosis = diagnosis.map(|found| found.to_fragment()).transpose()?;
    let context = match &run.summary {
        Some(summary) => {
            let deployed = deployed::read(folder)?.map(|measured| measured.section(summary));
            context! { deployed, ..finished(summary, &run)? }
        }
        None => unfinished_page(folder, &run)?,
    };
    let page = page(&run, context! { diagnosis => diagnosis, ..context })?;
    let path = folder.join("report.html");
    write_atomically(&path, page.as_bytes())?;
    Ok(path)
}

fn page(run: &RunFolder, context: Value) -> Result<String, Error> {
    let failed = |problem: minijinja::Error| Error::Report(format!("{problem:#}"));
    let mut templates = Environment::new();
    // The name's ending makes every value escaped as HTML.
    templates
        .add_template("report.html", TEMPLATE)
        .and_then(|()| templates.add_template("pictures.html", PICTURES))
        .map_err(failed)?;
    let context = context! {
        style => format!("{STYLE}{}", kd_diagnose::STYLE),
        hover => HOVER,
        recipe => run.recipe,
        ..context
    };
    templates
        .get_template("report.html")
        .and_then(|template| template.render(context))
        .map_err(failed)
}

/// A page of images with the boxes that a network found in them, by the names of its classes.
pub(crate) fn predictions(
    name: &str,
    classes: &[String],
    pictures: &[Picture],
    sure: f64,
) -> Result<String, Error> {
    let failed = |problem: minijinja::Error| Error::Report(format!("{problem:#}"));
    let mut templates = Environment::new();
    templates
        .add_template("predictions.html", PREDICTIONS)
        .and_then(|()| templates.add_template("pictures.html", PICTURES))
        .map_err(failed)?;
    let context = context! {
        style => STYLE,
        name => name,
        sure => format!("{:.0}", 100.0 * sure),
        pictures => pictures::pictures(classes, pictures),
    };
    templates
        .get_template("predictions.html")
        .and_then(|template| template.render(context))
        .map_err(failed)
}

/// What the page of a finished run shows.
fn finished(summary: &Summary, run: &RunFolder) -> Result<Value, Error> {
    let headline = verdict::headline(summary);
    let seeds = run.trainings.keys().map(|(_, seed)| seed);
    Ok(context! {
        name => summary.name,
        finished => true,
        headline => headline.headline,
        evidence => headline.evidence,
        caution => headline.caution,
        why => summary.why(),
        why_word => summary.why_word(),
        facts => facts(summary),
        table => table::table(summary),
        compression => compression::section(summary),
        seeds => table::seeds(summary),
        bands => seeds.collect::<BTreeSet<_>>().len() > 1,
        figures => curves::figures(Some(summary), &run.trainings)?,
        no_validation => summary.data.validation == 0,
        samples => teacher_softmax::samples(summary),
        objects => objects::section(summary)?,
        pictures => pictures::pictures(&summary.data.classes, &summary.pictures),
        first_score => summary.first_title(),
        no_temperature => no_temperature(summary),
        differences => classes::differences(summary),
        has_teacher => has_teacher(summary),
        command => command(summary),
    })
}

/// What the page of a run without results shows.
fn unfinished_page(folder: &Path, run: &RunFolder) -> Result<Value, Error> {
    let name = run.recipe.parse::<toml::Table>().ok();
    let name = name.and_then(|recipe| Some(recipe.get("name")?.as_str()?.to_owned()));
    let folder = folder.file_name().unwrap_or_default().to_string_lossy();
    let seeds = run.trainings.keys().map(|(_, seed)| seed);
    Ok(context! {
        name => name.unwrap_or(folder.into_owned()),
        finished => false,
        headline => unfinished::headline(&run.trainings),
        evidence => unfinished::CAUTION,
        caution => true,
        table => unfinished::table(&run.trainings),
        bands => seeds.collect::<BTreeSet<_>>().len() > 1,
        figures => curves::figures(None, &run.trainings)?,
        command => "kd train recipe.toml",
    })
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
    if let Some(student) = &summary.student {
        facts.push(("Student's file", student.sentence()));
    }
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
