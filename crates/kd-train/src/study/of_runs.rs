//! Runs that were started one by one, compared as the variants of a study are.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::file::{Study, Variant};
use super::results::{Results, compare};
use crate::recipe::{differences, resolved};
use crate::{Error, Recipe, Summary};

/// Compares the students of finished runs, of which the first is what the others are compared with. Differences are those
/// of equal seeds.
///
/// # Errors
/// [`Error::Format`] for a folder without a finished run; [`Error::Recipe`] for runs that measured another score or on other
/// images.
pub fn of_runs(folders: &[PathBuf]) -> Result<Results, Error> {
    let runs = folders
        .iter()
        .map(|folder| read(folder))
        .collect::<Result<Vec<_>, Error>>()?;
    let nothing = || Error::Recipe("compare at least one run".into());
    let (first_recipe, first) = runs.first().ok_or_else(nothing)?;
    let reference = resolved(first_recipe)?;
    let key = |summary: &Summary| summary.scores().first().map(|score| score.key.clone());
    let mut variants = Vec::new();
    for (folder, (recipe, summary)) in folders.iter().zip(&runs) {
        let other = if key(summary) != key(first) {
            Some("another score")
        } else if summary.data.sha256 != first.data.sha256 || summary.data.test != first.data.test {
            Some("other images")
        } else {
            None
        };
        if let Some(other) = other {
            return Err(Error::Recipe(format!(
                "{} measured {other} than {}, so their students cannot be compared",
                folder.display(),
                folders[0].display()
            )));
        }
        variants.push(Variant {
            name: name(folder, folders),
            changes: differences(&resolved(recipe)?, &reference),
            recipe: recipe.clone(),
        });
    }
    let seeds: BTreeSet<u64> = first.networks.iter().filter_map(|n| n.seed).collect();
    let study = Study {
        name: "runs compared".into(),
        recipe: folders[0].join("recipe.toml"),
        seeds: seeds.len(),
        variants,
    };
    let summaries = runs.iter().map(|(_, summary)| summary.clone());
    let finished: Vec<(&Variant, Summary)> = study.variants.iter().zip(summaries).collect();
    compare(&study, &finished).ok_or_else(nothing)
}

/// The folder's name; its path where another has the same name.
fn name(folder: &Path, all: &[PathBuf]) -> String {
    let last = |path: &Path| {
        path.file_name()
            .map(|name| name.to_string_lossy().into_owned())
    };
    let own = last(folder);
    let alike = all.iter().filter(|other| last(other) == own).count();
    match own {
        Some(own) if alike == 1 => own,
        _ => folder.display().to_string(),
    }
}

fn read(folder: &Path) -> Result<(Recipe, Summary), Error> {
    let path = folder.join("summary.json");
    let wrong = |problem: String| Error::Format {
        path: path.clone(),
        problem,
    };
    let text = std::fs::read_to_string(&path).map_err(|_| {
        wrong("there is no such file: name the folder of a run that `kd train` finished".into())
    })?;
    let summary = Summary::read(&text).map_err(|e| wrong(e.to_string()))?;
    Ok((Recipe::load(&folder.join("recipe.toml"), &[])?, summary))
}
