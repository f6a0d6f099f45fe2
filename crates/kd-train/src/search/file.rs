//! Reading SPACE.toml: a recipe and what may vary in it.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use kd_search::{Asha, Method, Point, Sampler, Space};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::folder::io;
use crate::study::file::{changes_of, in_file, in_variant};
use crate::{DataShape, Error, Recipe};

/// A search, checked as far as it can be without data.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Search {
    /// Its name; its folder is called so where no other is given.
    pub name: String,
    /// The recipe that all trials change.
    pub recipe: PathBuf,
    /// Trials, at most.
    pub trials: usize,
    /// How often each trial is trained: with the recipe's seed and the ones after it.
    pub seeds: usize,
    /// How points are chosen.
    pub sampler: Method,
    /// What the points follow from.
    pub seed: u64,
    /// When trials stop early; none where each trains to its end.
    pub asha: Option<Halving>,
    /// What makes a trial good beside its validation score.
    pub(super) costs: Vec<Cost>,
    /// What may vary.
    pub space: Space,
    path: PathBuf,
    /// Changes that all trials share, as `--set` would say them.
    base: Vec<String>,
    overrides: Vec<String>,
}

/// Asynchronous successive halving, as [`Asha`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Halving {
    /// Epochs of the first rung; the last one is `train.epochs`.
    pub least: usize,
    /// Epochs grow by this factor from rung to rung, and one trial of so many goes on.
    #[serde(default = "three")]
    pub eta: usize,
}

/// What makes a trial good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Goal {
    Validation,
    Parameters,
    Macs,
}

/// What a network costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cost {
    Parameters,
    Macs,
}

impl Cost {
    pub fn name(self) -> &'static str {
        match self {
            Self::Parameters => "parameters",
            Self::Macs => "MACs",
        }
    }
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: Option<String>,
    recipe: PathBuf,
    sampler: Method,
    trials: Option<usize>,
    #[serde(default = "one")]
    seeds: usize,
    #[serde(default)]
    seed: u64,
    asha: Option<Halving>,
    #[serde(default = "validation")]
    objectives: Vec<Goal>,
    #[serde(default)]
    base: Table,
    parameters: Table,
}

fn one() -> usize {
    1
}
fn three() -> usize {
    3
}
fn validation() -> Vec<Goal> {
    vec![Goal::Validation]
}

impl Search {
    /// Reads a search. `overrides` of the form `key.path=value` change every trial.
    ///
    /// # Errors
    /// [`Error::Io`] when a file cannot be read, [`Error::Recipe`] that names the file, the key and what would be right when
    /// something is wrong with the search, or with its recipe at an end of a range or with one of the choices.
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(io("read the search", path))?;
        if let Ok(table) = text.parse::<Table>()
            && !table.contains_key("parameters")
        {
            let other = [
                ("variants", "a study", "study"),
                ("student", "a recipe", "train"),
            ];
            if let Some((_, what, command)) = other.iter().find(|o| table.contains_key(o.0)) {
                return Err(Error::Recipe(format!(
                    "{0}: this is {what}, not a search: run it with `kd {command} {0}`",
                    path.display()
                )));
            }
        }
        let written: Written = toml::from_str(&text).map_err(|e| in_file(path, &text, &e))?;
        let wrong = |problem: String| Error::Recipe(format!("{}: {problem}", path.display()));
        let space = Space::from_toml(&written.parameters).map_err(|e| wrong(e.to_string()))?;
        check_names(&space, written.asha.is_some()).map_err(wrong)?;
        let trials = trials(&written, &space).map_err(wrong)?;
        if written.seeds == 0 {
            return Err(wrong("seeds = 0: must be at least 1".into()));
        }
        let costs = costs(&written.objectives).map_err(wrong)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let search = Self {
            name: written.name.unwrap_or_else(|| stem.into_owned()),
            recipe: folder.join(&written.recipe),
            trials,
            seeds: written.seeds,
            sampler: written.sampler,
            seed: written.seed,
            asha: written.asha,
            costs,
            space,
            path: path.into(),
            base: changes_of(&written.base, folder)?,
            overrides: overrides.to_vec(),
        };
        // What is wrong without any trial is said without one.
        Recipe::load(&search.recipe, &[])?;
        Recipe::load(&search.recipe, overrides)?;
        for end in search.space.ends() {
            let recipe = search.recipe_of(&end)?;
            if recipe.data.validation == 0.0 && recipe.detection.is_none() && recipe.text.is_none()
            {
                return Err(wrong(
                    "data.validation = 0 leaves nothing to choose by, and the test split is not for choosing: give a \
                     part of the training images to it in [base], such as data.validation = 0.1"
                        .into(),
                ));
            }
            if !search.costs.is_empty()
                && (recipe.student.prune.is_some() || recipe.student.quantise.is_some())
            {
                return Err(wrong(
                    "objectives `parameters` and `macs` are those of the network as it is named, which `prune` and \
                     `quantise` of [student] change: leave them out"
                        .into(),
                ));
            }
            search.scheduler(&recipe).map_err(wrong)?;
        }
        Ok(search)
    }

    /// The recipe of a trial.
    ///
    /// # Errors
    /// [`Error::Recipe`] that names the values which the recipe does not take.
    pub fn recipe_of(&self, point: &Point) -> Result<Recipe, Error> {
        let values = self.space.assignments(point);
        let fixed = [
            format!("name={}", Value::String(format!("{}-trial", self.name))),
            "compare=false".into(),
        ];
        let all = [&self.base, &self.overrides, &values, &fixed[..]].concat();
        let place = format!("{}: with {}", self.path.display(), values.join(", "));
        Recipe::load(&self.recipe, &all).map_err(|e| in_variant(e, place, &self.recipe, &all))
    }

    /// Checks the recipe at every end of the space as its run will, without reading the data. A set whose shape is not known
    /// beforehand is left to its run.
    ///
    /// # Errors
    /// [`Error::Variant`]: what the first wrong trial would fail with, with its values.
    pub fn check(&self, device: &Device) -> Result<(), Error> {
        for end in self.space.ends() {
            let recipe = self.recipe_of(&end)?;
            let Some(data) = DataShape::known(&recipe) else {
                continue;
            };
            crate::check(&recipe, &data, device).map_err(|source| Error::Variant {
                variant: format!("with {}", self.space.assignments(&end).join(", ")),
                source: Box::new(source),
            })?;
        }
        Ok(())
    }

    /// Says which trial trains next.
    pub(super) fn scheduler(&self, recipe: &Recipe) -> Result<Asha, String> {
        let epochs = recipe.train.epochs;
        let Halving { least, eta } = self.asha.unwrap_or(Halving {
            least: epochs,
            eta: 2,
        });
        Asha::new(least, epochs, eta, self.trials)
            .map_err(|e| format!("[asha] {e}; the most is train.epochs of the recipe with [base]"))
    }

    pub(super) fn points(&self) -> Result<Sampler, Error> {
        Sampler::new(self.space.clone(), self.sampler, self.seed)
            .map_err(|e| Error::Recipe(format!("{}: {e}", self.path.display())))
    }
}

/// Keys that are not for a search.
fn check_names(space: &Space, halves: bool) -> Result<(), String> {
    for parameter in &space.parameters {
        let why = match parameter.name.as_str() {
            "seed" => "seeds = N of the search trains each trial with N seeds",
            "name" | "compare" => "a trial has its own",
            "train.epochs" if halves => "[asha] says how long a trial trains",
            name if name == "data.validation" || name.starts_with("data.validation.") => {
                "trials are compared on one validation split"
            }
            _ => continue,
        };
        return Err(format!(
            "`{}` cannot be searched: {why}; remove it from [parameters]",
            parameter.name
        ));
    }
    Ok(())
}

/// How many trials there are.
fn trials(written: &Written, space: &Space) -> Result<usize, String> {
    let all = space.combinations();
    match (written.sampler, written.trials) {
        (Method::Grid, Some(trials)) => Err(format!(
            "trials = {trials}: a grid tries all its {all} combinations; remove the key, or choose sampler = \"random\""
        )),
        (Method::Grid, None) if all > 10_000 => Err(format!(
            "the grid has {all} combinations: give fewer `steps`, or choose sampler = \"random\" with trials = N"
        )),
        (Method::Grid, None) => Ok(all),
        (_, None) => Err("`trials` is missing: say how many are tried, such as trials = 20".into()),
        (_, Some(0)) => Err("trials = 0: must be at least 1".into()),
        (_, Some(trials)) => Ok(trials),
    }
}

/// What trials are compared by beside the validation score.
fn costs(goals: &[Goal]) -> Result<Vec<Cost>, String> {
    let known = goals
        .iter()
        .enumerate()
        .all(|(at, g)| !goals[..at].contains(g));
    match goals.split_first() {
        Some((Goal::Validation, costs)) if known => Ok(costs
            .iter()
            .filter_map(|goal| match goal {
                Goal::Parameters => Some(Cost::Parameters),
                Goal::Macs => Some(Cost::Macs),
                Goal::Validation => None,
            })
            .collect()),
        _ => Err(
            "objectives begin with \"validation\", by which trials go on, and hold nothing twice: such as [\"validation\", \
             \"parameters\", \"macs\"]"
                .into(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_searches_are_valid() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes/search");
        let mut searches = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let search = Search::load(&path, &[]).unwrap_or_else(|e| panic!("{e}"));
            assert!(search.trials > 1, "{}", path.display());
            searches += 1;
        }
        assert!(searches >= 1);
    }
}
