//! Reading STUDY.toml: one recipe and its variants.

use std::path::{Path, PathBuf};

use kd_core::nearest_name;
use kd_data::hub::Address;
use serde::Deserialize;
use toml::{Table, Value};

use super::fair;
use crate::folder::io;
use crate::recipe::backslash_hint;
use crate::{Error, Recipe};

/// A study, checked as far as it can be without data.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Study {
    /// Its name; its folder is called so where no other is given.
    pub name: String,
    /// The recipe that all variants change.
    pub recipe: PathBuf,
    /// How often each variant is trained: with the recipe's seed and the ones after it.
    pub seeds: usize,
    /// At least one; the first trains the student alone for all that do not.
    pub variants: Vec<Variant>,
}

/// A recipe of a study.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Variant {
    /// Its name, and its folder's in that of the study.
    pub name: String,
    /// What it changes, as `--set` would say it.
    pub changes: Vec<String>,
    /// The recipe with these changes.
    pub recipe: Recipe,
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: Option<String>,
    recipe: PathBuf,
    #[serde(default = "three")]
    seeds: usize,
    #[serde(default)]
    base: Table,
    variants: Table,
}

fn three() -> usize {
    3
}

/// Tables that stand for one choice, whose keys depend on it: a variant's takes the place of the
/// recipe's, where the keys of other tables replace those of the same name; `*` is any name.
const CHOICES: [&str; 11] = [
    "objective",
    "data.augment",
    "data.normalize",
    "teacher.normalize",
    "train.optimizer",
    "train.lr.shape",
    "teacher.train.optimizer",
    "teacher.train.lr.shape",
    "stages.*.objective",
    "stages.*.train.optimizer",
    "stages.*.train.lr.shape",
];

/// Keys that hold a path relative to the file, or an address of the hub; `*` is any name.
const PATHS: [&str; 4] = [
    "teacher.weights",
    "teacher.cache.path",
    "student.weights",
    "stages.*.weights",
];

/// Whether a key is one of `patterns`.
fn is_one(key: &str, patterns: &[&str]) -> bool {
    let parts: Vec<_> = key.split('.').collect();
    patterns.iter().any(|pattern| {
        let wanted: Vec<_> = pattern.split('.').collect();
        let mut pairs = wanted.iter().zip(&parts);
        wanted.len() == parts.len() && pairs.all(|(want, part)| *want == "*" || want == part)
    })
}

/// What is wrong with a study of nothing.
pub(super) const NO_VARIANTS: &str =
    "there are no variants: add at least one table [variants.NAME]";

impl Study {
    /// Reads a study. `overrides` of the form `key.path=value` change every variant, and `seeds`, when
    /// given, take the place of the file's.
    ///
    /// # Errors
    /// [`Error::Io`] when a file cannot be read, [`Error::Recipe`] that names the file, the variant, the
    /// key and the nearest valid one when it is wrong, [`Error::Variant`] when a variant cannot be read.
    pub fn load(path: &Path, overrides: &[String], seeds: Option<usize>) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(io("read the study", path))?;
        if let Ok(table) = text.parse::<Table>()
            && !table.contains_key("variants")
            && table.contains_key("student")
        {
            return Err(Error::Recipe(format!(
                "{}: this is a recipe, not a study: run it with `kd train {0}`",
                path.display()
            )));
        }
        let written: Written = toml::from_str(&text).map_err(|e| in_file(path, &text, &e))?;
        let wrong = |problem: &str| Error::Recipe(format!("{}: {problem}", path.display()));
        let folder = path.parent().unwrap_or(Path::new(""));
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let seeds = seeds.unwrap_or(written.seeds);
        if seeds == 0 {
            return Err(wrong("seeds = 0: must be at least 1"));
        }
        if written.variants.is_empty() {
            return Err(wrong(NO_VARIANTS));
        }
        let mut study = Self {
            name: written.name.unwrap_or_else(|| stem.into_owned()),
            recipe: folder.join(&written.recipe),
            seeds,
            variants: Vec::new(),
        };
        // What is wrong without any variant is said without one.
        Recipe::load(&study.recipe, &[])?;
        Recipe::load(&study.recipe, overrides)?;
        let shared = Shared {
            path,
            base: changes_of(&written.base, folder)?,
            overrides,
        };
        for (name, value) in &written.variants {
            let variant = shared.variant(&study, name, value)?;
            study.variants.push(variant);
        }
        Ok(study)
    }
}

/// What all variants of a file share.
struct Shared<'a> {
    path: &'a Path,
    base: Vec<String>,
    overrides: &'a [String],
}

impl Shared<'_> {
    /// The variant that stands after those of `study`.
    fn variant(&self, study: &Study, name: &str, value: &Value) -> Result<Variant, Error> {
        let place = format!("{}: variant `{name}`", self.path.display());
        let wrong = |problem: String| Error::Recipe(format!("{place}: {problem}"));
        let mut keys = keys_of(name, value).map_err(wrong)?;
        let first = study.variants.first();
        let compare = keys.remove("compare");
        let compare = compares(compare.as_ref(), first.is_none()).map_err(wrong)?;
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let changes = changes_of(&keys, folder)?;
        let fixed = [
            format!("name={}", Value::String(format!("{}-{name}", study.name))),
            format!("compare={compare}"),
        ];
        let all = [&self.base, &changes, self.overrides, &fixed].concat();
        let recipe = Recipe::load(&study.recipe, &all)
            .map_err(|error| in_variant(error, place.clone(), &study.recipe, &all))?;
        if let (false, Some(first)) = (compare, first)
            && let Some(problem) = fair::problem(&first.name, &first.recipe, &recipe)?
        {
            return Err(wrong(problem));
        }
        Ok(Variant {
            name: name.into(),
            changes,
            recipe,
        })
    }
}

/// The keys of a variant.
fn keys_of(name: &str, value: &Value) -> Result<Table, String> {
    check_name(name)?;
    let Value::Table(keys) = value else {
        return Err(format!("must be a table of changes, not {value}"));
    };
    if keys.contains_key("name") {
        return Err("`name` is no change: the variant has its own; remove the key".into());
    }
    Ok(keys.clone())
}

/// Whether a variant trains the student alone.
fn compares(key: Option<&Value>, first: bool) -> Result<bool, String> {
    match (key, first) {
        (None, first) => Ok(first),
        (Some(Value::Boolean(false)), true) => Err(
            "the first variant trains the student alone for the others: remove \
                 `compare = false`, or put another variant first"
                .into(),
        ),
        (Some(Value::Boolean(compare)), _) => Ok(*compare),
        (Some(other), _) => Err(format!("compare = {other}: must be true or false")),
    }
}

/// A variant's name is also its folder's.
fn check_name(name: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_+.".contains(c);
    if name.chars().all(fits) && !name.starts_with('.') && !name.is_empty() {
        Ok(())
    } else {
        Err("the name becomes a folder: use letters, digits, `-`, `_`, `+` and `.`".into())
    }
}

/// The changes of a table as `--set` spells them.
pub(crate) fn changes_of(table: &Table, folder: &Path) -> Result<Vec<String>, Error> {
    fn collect(
        table: &Table,
        above: &str,
        folder: &Path,
        found: &mut Vec<String>,
    ) -> Result<(), Error> {
        for (key, value) in table {
            let key = match above {
                "" => key.clone(),
                above => format!("{above}.{key}"),
            };
            match value {
                Value::Table(inner) if !inner.is_empty() && !is_one(&key, &CHOICES) => {
                    collect(inner, &key, folder, found)?;
                }
                // As with `--set`, an empty value takes the key out.
                Value::String(text) if text.is_empty() => found.push(format!("{key}=")),
                Value::String(text)
                    if is_one(&key, &PATHS) && Address::of_path(Path::new(text))?.is_none() =>
                {
                    let file = std::path::absolute(folder.join(text))
                        .map_err(io("resolve the path", Path::new(text)))?;
                    let file = Value::String(file.to_string_lossy().into_owned());
                    found.push(format!("{key}={file}"));
                }
                value => found.push(format!("{key}={value}")),
            }
        }
        Ok(())
    }
    let mut found = Vec::new();
    collect(table, "", folder, &mut found)?;
    Ok(found)
}

/// Names the line of a mistake, and the nearest valid key.
pub(crate) fn in_file(path: &Path, text: &str, error: &toml::de::Error) -> Error {
    let start = error.span().map_or(0, |span| span.start.min(text.len()));
    let line = text[..start].matches('\n').count() + 1;
    let message = error.message().trim_end();
    let mut names = message.split('`').skip(1).step_by(2);
    let given = names.next().filter(|_| message.starts_with("unknown "));
    let nearest = given.and_then(|given| nearest_name(given, names));
    let hint = nearest.map_or(String::new(), |name| format!("; did you mean `{name}`?"));
    let backslash = backslash_hint(text, error);
    Error::Recipe(format!(
        "{}:{line}: {message}{hint}{backslash}",
        path.display()
    ))
}

/// A mistake in a variant, without the overrides that it was turned into.
pub(crate) fn in_variant(
    error: Error,
    variant: String,
    recipe: &Path,
    overrides: &[String],
) -> Error {
    let Error::Recipe(message) = &error else {
        return Error::Variant {
            variant,
            source: Box::new(error),
        };
    };
    let all = overrides.join(" --set ");
    let before = format!("{} with --set {all}: ", recipe.display());
    let message = message
        .strip_prefix(&before)
        .or_else(|| message.strip_prefix("--set "))
        .unwrap_or(message);
    Error::Recipe(format!("{variant}: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_relative_to_the_study_and_a_choice_is_taken_whole() {
        let table = "teacher.weights = \"t.pth\"\n\
                     [stages.first]\nweights = \"a.pth\"\nobjective.kd.weight = 1.0\n";
        let found = changes_of(&toml::from_str(table).unwrap(), Path::new("/studies")).unwrap();
        assert_eq!(
            found,
            [
                "teacher.weights=\"/studies/t.pth\"",
                "stages.first.weights=\"/studies/a.pth\"",
                "stages.first.objective={ kd = { weight = 1.0 } }",
            ]
        );
    }
}
