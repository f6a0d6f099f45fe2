//! `cargo xtask goldens`.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{ExitCode, Output},
};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Deserialize;

use crate::kd;

/// The golden files that a test reads: file, crate, and name of the test in the crate's `tests/goldens.rs`.
const READERS: [(&str, &str, &str); 19] = [
    (
        "box_head.json",
        "kd-core",
        "losses_of_detectors_match_their_golden_values_and_gradients",
    ),
    (
        "detection_losses.json",
        "kd-core",
        "losses_of_detectors_match_their_golden_values_and_gradients",
    ),
    (
        "detection_losses.json",
        "kd-data",
        "detection::voc_evaluation_is_that_of_its_development_kit",
    ),
    (
        "matched_detections.json",
        "kd-core",
        "losses_of_detectors_match_their_golden_values_and_gradients",
    ),
    (
        "retinanet.json",
        "kd-core",
        "losses_of_detectors_match_their_golden_values_and_gradients",
    ),
    (
        "fbkd.json",
        "kd-core",
        "losses_of_detectors_match_their_golden_values_and_gradients",
    ),
    (
        "fine_grained.json",
        "kd-core",
        "losses_of_detectors_match_their_golden_values_and_gradients",
    ),
    (
        "detectors.json",
        "kd-models",
        "detectors::detectors_compute_what_torchvision_does",
    ),
    (
        "detectors_more.json",
        "kd-models",
        "detectors::more::other_detectors_and_what_they_tell_are_torchvisions",
    ),
    (
        "images.json",
        "kd-data",
        "images_are_those_of_pillow_and_torchvision",
    ),
    (
        "timm_augment.json",
        "kd-data",
        "augmentation_is_that_of_timm",
    ),
    (
        "losses.json",
        "kd-core",
        "losses_match_their_golden_values_and_gradients",
    ),
    (
        "losses_more.json",
        "kd-core",
        "terms_with_adapters_match_their_golden_values_and_gradients",
    ),
    (
        "models.json",
        "kd-models",
        "networks_compute_what_their_references_do",
    ),
    (
        "models_more.json",
        "kd-models",
        "networks_for_large_images_show_and_learn_what_torchvision_does",
    ),
    (
        "training.json",
        "kd-train",
        "training_follows_the_reference",
    ),
    (
        "transformers.json",
        "kd-models",
        "transformers::transformers_compute_what_their_references_do",
    ),
    (
        "transformers_more.json",
        "kd-models",
        "transformers::transformers_and_their_pieces_compute_what_their_references_do",
    ),
    (
        "wordpiece.json",
        "kd-data",
        "texts_are_split_as_by_hugging_faces_tokenizers",
    ),
];

/// Options of the job.
#[derive(Args)]
pub struct Arguments {
    /// Folder of golden files [default: tests/goldens of the repository].
    folder: Option<PathBuf>,
}

/// Compares with every golden file of a folder and prints a line for each; fails when a case is not met without a
/// documented reason, or a file cannot be read.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let root = kd::repository()?;
    let folder = match &arguments.folder {
        Some(folder) => {
            std::path::absolute(folder).with_context(|| format!("resolve {}", folder.display()))?
        }
        None => root.join("tests/goldens"),
    };
    let files = json_files(&folder)?;
    // Several crates may read cases of one file.
    let mut found: BTreeMap<String, Vec<Case>> = BTreeMap::new();
    for package in ["kd-core", "kd-data", "kd-models", "kd-train"] {
        let tests = READERS
            .iter()
            .filter(|(file, of, _)| *of == package && files.iter().any(|name| name == file));
        let tests: Vec<&str> = tests.map(|(_, _, test)| *test).collect();
        if !tests.is_empty() {
            for (file, cases) in compare(&root, &folder, package, &tests)? {
                found.entry(file).or_default().extend(cases);
            }
        }
    }
    let mut all_met = true;
    for file in &files {
        let outcome = Outcome::of(&folder, file, found.remove(file));
        all_met &= outcome.is_met();
        print!("{}", outcome.text(file));
    }
    if all_met {
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}

/// Names of the JSON files of a folder, sorted.
fn json_files(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry
            .with_context(|| format!("read {}", folder.display()))?
            .path();
        let is_json = path
            .extension()
            .is_some_and(|extension| extension == "json");
        if let (true, true, Some(name)) = (is_json, path.is_file(), path.file_name()) {
            names.push(name.to_string_lossy().into_owned());
        }
    }
    if names.is_empty() {
        bail!("{} has no .json file", folder.display());
    }
    names.sort();
    Ok(names)
}

/// What a test says of one case.
#[derive(Clone, Debug, Deserialize)]
struct Case {
    file: String,
    case: String,
    met: bool,
    says: String,
    documented: Option<String>,
}

/// Runs tests of a crate on the folder; what they say, by file.
fn compare(
    root: &Path,
    folder: &Path,
    package: &str,
    tests: &[&str],
) -> Result<BTreeMap<String, Vec<Case>>> {
    let report = std::env::temp_dir().join(format!("kd-goldens-{}.jsonl", std::process::id()));
    fs::write(&report, "").with_context(|| format!("write {}", report.display()))?;
    eprintln!("running the golden tests of {package}");
    let output = kd::cargo()
        .current_dir(root)
        .args(["test", "--package", package, "--test", "goldens", "--"])
        .arg("--exact")
        .args(tests)
        .env("KD_GOLDENS", folder)
        .env("KD_GOLDENS_REPORT", &report)
        .output()
        .context("start cargo")?;
    let text = fs::read_to_string(&report).with_context(|| format!("read {}", report.display()));
    let _ = fs::remove_file(&report);
    let mut files: BTreeMap<String, Vec<Case>> = BTreeMap::new();
    for line in text?.lines() {
        let case: Case = serde_json::from_str(line).context("read what a test reports")?;
        files.entry(case.file.clone()).or_default().push(case);
    }
    if files.len() < tests.len() {
        // A test that could not begin says why in its output.
        eprint!("{}", said(&output));
    }
    Ok(files)
}

fn said(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    format!("{err}{out}")
}

/// What there is to say of a file.
enum Outcome {
    Compared(Vec<Case>),
    /// A test reads it, and did not come to its cases.
    NotCompared,
    NotReadYet,
    Broken(String),
}

impl Outcome {
    fn of(folder: &Path, file: &str, cases: Option<Vec<Case>>) -> Self {
        if let Some(cases) = cases {
            return Self::Compared(cases);
        }
        if let Err(problem) = parse(&folder.join(file)) {
            return Self::Broken(format!("{problem:#}"));
        }
        match READERS.iter().any(|(known, _, _)| *known == file) {
            true => Self::NotCompared,
            false => Self::NotReadYet,
        }
    }

    fn is_met(&self) -> bool {
        match self {
            Self::Compared(cases) => cases.iter().all(|c| c.met || c.documented.is_some()),
            Self::NotReadYet => true,
            Self::NotCompared | Self::Broken(_) => false,
        }
    }

    /// A line for the file, and one for every case that is not met.
    fn text(&self, file: &str) -> String {
        let cases = match self {
            Self::Compared(cases) => cases,
            Self::NotCompared => {
                return format!(
                    "{file} cannot be compared: the test that reads it failed before its cases, see above\n"
                );
            }
            Self::NotReadYet => return format!("{file} nothing reads it yet\n"),
            Self::Broken(problem) => return format!("{file} cannot be read: {problem}\n"),
        };
        let met = cases.iter().filter(|case| case.met).count();
        let mut text = format!("{file} {met}/{}\n", cases.len());
        for Case {
            case,
            says,
            documented,
            ..
        } in cases.iter().filter(|case| !case.met)
        {
            let _ = match documented {
                Some(reason) => writeln!(text, "  {case}: documented: {reason} ({says})"),
                None => writeln!(text, "  {case}: differs: {says}"),
            };
        }
        text
    }
}

fn parse(path: &Path) -> Result<()> {
    let text = fs::read_to_string(path)?;
    serde_json::from_str::<serde::de::IgnoredAny>(&text)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(name: &str, met: bool, documented: Option<&str>) -> Case {
        Case {
            file: "x.json".into(),
            case: name.into(),
            met,
            says: "relative error 2.0e-3 of 1e-4 allowed, loss: 1e0 instead of 2e0".into(),
            documented: documented.map(String::from),
        }
    }

    #[test]
    fn a_line_counts_and_names_what_differs() {
        let outcome = Outcome::Compared(vec![
            case("one", true, None),
            case("two", false, None),
            case("three", false, Some("another network")),
        ]);
        assert!(!outcome.is_met());
        let text = outcome.text("x.json");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "x.json 1/3");
        assert!(lines[1].starts_with("  two: differs: relative error 2.0e-3"));
        assert!(lines[2].starts_with("  three: documented: another network"));
        assert!(Outcome::Compared(vec![case("three", false, Some("so"))]).is_met());
    }

    #[test]
    fn files_that_nothing_reads_must_be_json() {
        let folder = std::env::temp_dir().join(format!("kd-goldens-test-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("later.json"), "{\"cases\": []}").unwrap();
        fs::write(folder.join("broken.json"), "{").unwrap();
        fs::write(folder.join("notes.txt"), "").unwrap();
        assert_eq!(json_files(&folder).unwrap(), ["broken.json", "later.json"]);
        let outcome = |file| Outcome::of(&folder, file, None);
        let (later, broken) = (outcome("later.json"), outcome("broken.json"));
        assert_eq!(
            later.text("later.json"),
            "later.json nothing reads it yet\n"
        );
        assert!(later.is_met() && !broken.is_met());
        assert!(
            broken
                .text("broken.json")
                .starts_with("broken.json cannot be read: ")
        );
        fs::remove_dir_all(&folder).unwrap();
        assert!(json_files(&folder).is_err());
    }
}
