//! The report of a run while it is watched: what trains now, and for how much longer.

use std::path::Path;

use minijinja::{Environment, context};
use serde::Serialize;

use crate::Role;
use crate::error::Error;

use super::read::{self, History, RunFolder};
use super::table::title;
use super::words::{duration, significant};
use super::{HOVER, STYLE};

const LIVE: &str = include_str!("live.js");
const LIST: &str = include_str!("live.html.j2");

/// What a reader must not take from it.
const CAUTION: &str = "It has no summary.json: it is still running, or it was stopped. Nothing here is measured on \
                       the test split.";

/// A run as a line of a list.
#[derive(Serialize)]
pub(crate) struct Entry {
    /// Name of its folder.
    pub name: String,
    /// Where its page is, relative to the list.
    pub link: String,
    /// What it says of itself.
    pub says: String,
    pub facts: Vec<(&'static str, String)>,
}

/// The report of a run folder as a page that follows the run; `version` is what the files were before they were
/// read.
pub(crate) fn page(folder: &Path, version: &str) -> Result<String, Error> {
    let run = read::run_folder(folder)?;
    let context = match &run.summary {
        Some(summary) => super::finished(summary, &run)?,
        None => {
            let context = super::unfinished_page(folder, &run)?;
            context! { evidence => CAUTION, facts => facts(&run), ..context }
        }
    };
    let context = context! { live => LIVE, version => version, ..context };
    super::page(&run, context)
}

/// A line about a run folder; what is wrong with it where it cannot be read.
pub(crate) fn entry(folder: &Path, name: String, link: String) -> Entry {
    let (says, facts) = match read::run_folder(folder) {
        Ok(run) => match &run.summary {
            Some(summary) => (super::verdict::headline(summary).headline, Vec::new()),
            None => (super::unfinished::headline(&run.trainings), facts(&run)),
        },
        Err(error) => (error.to_string(), Vec::new()),
    };
    Entry {
        name,
        link,
        says,
        facts,
    }
}

/// A page of runs, or one that says why there is no page.
pub(crate) fn list(
    name: &str,
    entries: &[Entry],
    results: bool,
    problem: Option<&str>,
    version: &str,
) -> Result<String, Error> {
    let failed = |problem: minijinja::Error| Error::Report(format!("{problem:#}"));
    let mut templates = Environment::new();
    templates.add_template("live.html", LIST).map_err(failed)?;
    let context = context! {
        style => STYLE,
        hover => HOVER,
        live => LIVE,
        version => version,
        name => name,
        entries => entries,
        results => results,
        problem => problem,
    };
    let page = templates.get_template("live.html").map_err(failed)?;
    page.render(context).map_err(failed)
}

/// Name and value of what happens now.
fn facts(run: &RunFolder) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    let current = run.last.as_ref();
    if let Some((key, history)) = current.and_then(|key| run.trainings.get_key_value(key)) {
        let (role, seed) = key;
        let epochs = epochs(&run.recipe, role);
        facts.push(("Training", format!("{}, seed {seed}", title(role))));
        facts.push(("Epochs done", done(history, epochs)));
        let left = match (epochs, history.epochs.is_empty()) {
            (None, _) => "unknown: recipe.toml names no epochs".into(),
            (_, true) => "known after the first epoch".into(),
            (Some(epochs), _) => match seconds_left(history, epochs) {
                0.0 => "nothing".into(),
                left => format!("about {}, evaluation not counted", duration(left)),
            },
        };
        facts.push(("Left of this training", left));
        if let Some((_, step)) = history.steps.last_key_value() {
            let loss = format!("{} at step {}", significant(step.loss, 4), step.step);
            facts.push(("Loss", loss));
        }
    }
    if let Some(epoch) = &run.evaluated {
        let scores = epoch.validation.iter();
        let scores: Vec<_> = scores
            .map(|score| format!("{} {}", score.title, score.show(score.value)))
            .collect();
        let text = format!(
            "{}, seed {}, epoch {}: {}",
            title(&epoch.role),
            epoch.seed,
            epoch.epoch,
            scores.join(", ")
        );
        facts.push(("Last evaluation", text));
    }
    facts
}

fn done(history: &History, epochs: Option<usize>) -> String {
    let done = history
        .epochs
        .last_key_value()
        .map_or(0, |(epoch, _)| *epoch);
    match epochs {
        Some(epochs) => format!("{done} of {epochs}"),
        None => done.to_string(),
    }
}

/// Epochs of a network's budget, as the resolved recipe has them.
fn epochs(recipe: &str, role: &Role) -> Option<usize> {
    let recipe: toml::Table = recipe.parse().ok()?;
    let of = |keys: &[&str]| {
        let mut keys = keys.iter();
        let first = recipe.get(*keys.next()?)?;
        keys.try_fold(first, |value, key| value.get(key))?
            .as_integer()
    };
    let own = match role {
        Role::Teacher => of(&["teacher", "train", "epochs"]),
        Role::Stage(name) => of(&["stages", name, "train", "epochs"]),
        _ => None,
    };
    let epochs = own.or_else(|| of(&["train", "epochs"]))?;
    usize::try_from(epochs).ok()
}

/// Steps that are left times the mean seconds of a step so far.
fn seconds_left(history: &History, epochs: usize) -> f64 {
    let Some((_, last)) = history.epochs.last_key_value() else {
        return 0.0;
    };
    let steps = last.step as f64;
    let seconds: f64 = history.epochs.values().map(|epoch| epoch.seconds).sum();
    let all = steps / last.epoch.max(1) as f64 * epochs as f64;
    let logged = history.steps.last_key_value();
    let done = logged.map_or(steps, |(step, _)| steps.max((step + 1) as f64));
    (all - done).max(0.0) * seconds / steps.max(1.0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::Record;
    use crate::report::fake::Fake;

    const RECIPE: &str = "[train]\nepochs = 6\n[teacher.train]\nepochs = 30\n";

    /// A run of 5 epochs of 10 steps which wrote so many records.
    fn running(records: usize) -> tempfile::TempDir {
        let mut fake = Fake::new(3, 1, 5, 10);
        fake.records.truncate(records);
        let folder = fake.folder();
        fs::remove_file(folder.path().join("summary.json")).unwrap();
        fs::write(folder.path().join("recipe.toml"), RECIPE).unwrap();
        folder
    }

    #[test]
    fn a_training_says_how_far_it_is() {
        let run = read::run_folder(running(25).path()).unwrap();
        let history = &run.trainings[&(Role::Baseline, 0)];
        let (_, last) = history.epochs.last_key_value().unwrap();
        let steps = history.steps.last_key_value().unwrap().0 + 1;
        assert!(last.step == 10 * last.epoch && steps > last.step);
        let seconds: f64 = history.epochs.values().map(|e| e.seconds).sum();
        let wanted = (60 - steps) as f64 * seconds / last.step as f64;
        assert!(wanted > 0.0);
        assert!((seconds_left(history, 6) - wanted).abs() < 1e-9 * wanted);
        assert_eq!(seconds_left(history, 1), 0.0);

        let facts = facts(&run);
        let names: Vec<_> = facts.iter().map(|fact| fact.0).collect();
        assert_eq!(
            names,
            [
                "Training",
                "Epochs done",
                "Left of this training",
                "Loss",
                "Last evaluation"
            ]
        );
        assert_eq!(facts[0].1, "Student alone, seed 0");
        assert_eq!(facts[1].1, format!("{} of 6", last.epoch));
        assert!(facts[2].1.starts_with("about "), "{facts:?}");
        assert!(
            facts[4].1.contains(&format!("epoch {}: ", last.epoch)) && facts[4].1.contains("top-1")
        );
    }

    #[test]
    fn budgets_are_those_of_the_network() {
        assert_eq!(epochs(RECIPE, &Role::Distilled), Some(6));
        assert_eq!(epochs(RECIPE, &Role::Teacher), Some(30));
        assert_eq!(epochs(RECIPE, &Role::Stage("a".into())), Some(6));
        assert_eq!(epochs("name = 3", &Role::Teacher), None);
    }

    #[test]
    fn before_the_first_epoch_nothing_is_promised() {
        let run = read::run_folder(running(3).path()).unwrap();
        assert_eq!(facts(&run)[2].1, "known after the first epoch");
        let run = read::run_folder(running(0).path()).unwrap();
        assert!(facts(&run).is_empty());
    }

    #[test]
    fn the_page_grows_with_the_file() {
        let folder = running(4);
        let path = folder.path().join("metrics.jsonl");
        let early = page(folder.path(), "v<1").unwrap();
        assert!(
            early.contains("data-version=\"v&lt;1\"") && early.matches("<script>").count() == 1
        );
        assert!(!early.contains("Last evaluation") && !early.contains("http://127"));
        // Half a line that ends within a character.
        let whole = fs::read(&path).unwrap();
        let torn = [&whole[..], b"{\"kind\":\"step\",\"role\":\"stage:\xc3"].concat();
        fs::write(&path, torn).unwrap();
        assert_eq!(page(folder.path(), "v<1").unwrap(), early);

        let records = Fake::new(3, 1, 5, 10).records;
        let lines = records
            .iter()
            .map(|r: &Record| serde_json::to_string(r).unwrap() + "\n");
        fs::write(&path, lines.collect::<String>()).unwrap();
        let late = page(folder.path(), "v2").unwrap();
        assert!(late.contains("Last evaluation") && late.contains("Student distilled, seed 0"));
        assert!(late.contains("Component kd, before weighting"));
    }

    #[test]
    fn a_finished_run_shows_its_report() {
        let page = page(Fake::new(3, 1, 2, 5).folder().path(), "v").unwrap();
        assert!(page.contains("gained the student") && !page.contains("Left of this training"));
    }

    #[test]
    fn a_list_escapes_what_it_is_told() {
        let entry = entry(Path::new("nowhere"), "<b>".into(), "%3Cb%3E/".into());
        assert!(entry.says.contains("summary.json") && entry.facts.is_empty());
        let page = list("<i>", &[entry], true, Some("<u>"), "v").unwrap();
        // A slash is escaped, too.
        let page = page.replace("&#x2f;", "/");
        assert!(!page.contains("<b>") && !page.contains("<i>") && !page.contains("<u>"));
        assert!(page.contains("%3Cb%3E/") && page.contains("study.html"));
    }
}
