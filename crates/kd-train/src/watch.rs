//! Pages of runs that are watched in a browser: `kd watch`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::Error;
use crate::report::live::{self, Entry};

pub use kd_track::{Answer, Pages};

/// A run folder, or a folder of them such as a study's.
///
/// A run has its page at `/`. In a folder of runs that is a list, and the run `NAME` is at `/NAME/`. Beside every
/// page, `version` says in JSON what its files are at and how old the youngest is; the page asks for it every two
/// seconds.
#[derive(Clone, Debug)]
pub struct Watched {
    folder: PathBuf,
}

impl Watched {
    /// A folder to watch. Its runs may come later when a study has it already.
    ///
    /// # Errors
    /// [`Error::Format`] when it holds no run.
    pub fn new(folder: &Path) -> Result<Self, Error> {
        let watched = Self {
            folder: folder.into(),
        };
        if is_run(folder) || folder.join("study.lock").exists() || !watched.runs().is_empty() {
            return Ok(watched);
        }
        Err(Error::Format {
            path: folder.into(),
            problem: "holds no run: there is no metrics.jsonl in it or in a folder of it; name a folder that \
                      `kd train` or `kd study` writes"
                .into(),
        })
    }

    /// Answers a path of the page.
    pub fn answer(&self, path: &str) -> Answer {
        let alone = is_run(&self.folder);
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match parts.as_slice() {
            [""] if alone => run_page(&self.folder),
            [""] => self.list(),
            ["version"] if alone => version_of(&[&self.folder]),
            ["version"] => {
                let runs = self.runs();
                version_of(&runs.iter().map(|(_, folder)| folder).collect::<Vec<_>>())
            }
            ["study.html"] if !alone => self.results(),
            [run, rest @ ("" | "report.html" | "version")] if !alone => {
                let mut runs = self.runs().into_iter();
                match (runs.find(|(link, _)| link == run), *rest) {
                    (Some((_, folder)), "version") => version_of(&[&folder]),
                    (Some((_, folder)), _) => run_page(&folder),
                    (None, _) => missing(),
                }
            }
            _ => missing(),
        }
    }

    /// Folders with a run, by the names that paths have for them.
    fn runs(&self) -> Vec<(String, PathBuf)> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten();
        let folders = entries.flatten().map(|entry| entry.path());
        let mut runs: Vec<_> = folders
            .filter(|folder| is_run(folder))
            .map(|folder| (encoded(&name(&folder)), folder))
            .collect();
        runs.sort();
        runs
    }

    fn list(&self) -> Answer {
        let runs = self.runs();
        let version = version(&runs.iter().map(|(_, folder)| folder).collect::<Vec<_>>()).0;
        let entries: Vec<Entry> = runs
            .iter()
            .map(|(link, folder)| live::entry(folder, name(folder), format!("{link}/")))
            .collect();
        let results = self.folder.join("study.html").exists();
        html(live::list(
            &name(&self.folder),
            &entries,
            results,
            None,
            &version,
        ))
    }

    fn results(&self) -> Answer {
        match std::fs::read_to_string(self.folder.join("study.html")) {
            Ok(text) => html(Ok(text)),
            Err(_) => missing(),
        }
    }
}

fn is_run(folder: &Path) -> bool {
    folder.join("metrics.jsonl").is_file()
}

fn name(folder: &Path) -> String {
    // `.` has a name elsewhere.
    let whole = folder.canonicalize().unwrap_or(folder.into());
    whole
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// A name as a part of an address: all but letters, digits, `-`, `_` and `.` as `%XX`.
fn encoded(name: &str) -> String {
    name.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}

fn run_page(folder: &Path) -> Answer {
    let version = version(&[folder]).0;
    match live::page(folder, &version) {
        Ok(page) => html(Ok(page)),
        // Said on a page that looks again: what is wrong may pass.
        Err(error) => Answer {
            code: 500,
            ..html(live::list(
                &name(folder),
                &[],
                false,
                Some(&error.to_string()),
                &version,
            ))
        },
    }
}

fn html(page: Result<String, Error>) -> Answer {
    match page {
        Ok(text) => Answer {
            code: 200,
            kind: "text/html",
            text,
        },
        Err(error) => Answer::plain(500, error.to_string()),
    }
}

fn missing() -> Answer {
    Answer::plain(404, "there is no such page")
}

fn version_of(folders: &[impl AsRef<Path>]) -> Answer {
    let (version, age) = version(folders);
    Answer {
        code: 200,
        kind: "application/json",
        text: json!({ "version": version, "age": age }).to_string(),
    }
}

/// Sizes and times of the files that pages are made of, and the seconds since the youngest was written.
fn version(folders: &[impl AsRef<Path>]) -> (String, Option<f64>) {
    let mut version = String::new();
    let mut youngest: Option<f64> = None;
    for folder in folders {
        let _ = write!(version, "{}", name(folder.as_ref()));
        for file in ["metrics.jsonl", "recipe.toml", "summary.json"] {
            let Ok(found) = folder.as_ref().join(file).metadata() else {
                version.push_str(" -");
                continue;
            };
            let time = found.modified().ok();
            let since = time.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
            let nanos = since.map_or(0, |since| since.as_nanos());
            let _ = write!(version, " {}:{nanos}", found.len());
            if file == "metrics.jsonl"
                && let Some(age) = time.and_then(|time| time.elapsed().ok())
            {
                let age = age.as_secs_f64();
                youngest = Some(youngest.map_or(age, |least| least.min(age)));
            }
        }
        version.push(';');
    }
    (version, youngest)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const STEP: &str = r#"{"kind":"step","role":"alone","seed":0,"epoch":1,"step":0,"loss":2.5,"components":{"kd":{"value":2.5,"weight":1.0}},"lr":0.1,"gradient_norm":1.0,"images_per_second":64.0}"#;

    fn run(folder: &Path) {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("metrics.jsonl"), format!("{STEP}\n")).unwrap();
        fs::write(folder.join("recipe.toml"), "[train]\nepochs = 3\n").unwrap();
    }

    fn code(watched: &Watched, path: &str) -> u16 {
        watched.answer(path).code
    }

    #[test]
    fn a_folder_without_a_run_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = Watched::new(folder.path()).unwrap_err().to_string();
        assert!(error.contains("holds no run") && error.contains("kd train"));
        // A study that has begun may have none yet.
        fs::write(folder.path().join("study.lock"), "").unwrap();
        let list = Watched::new(folder.path()).unwrap().answer("/");
        assert_eq!((list.code, list.kind), (200, "text/html"));
    }

    #[test]
    fn a_run_is_shown_as_it_grows() {
        let folder = tempfile::tempdir().unwrap();
        run(folder.path());
        let watched = Watched::new(folder.path()).unwrap();
        let page = watched.answer("/");
        assert!(
            page.code == 200 && page.text.contains("0 of 3"),
            "{}",
            page.text
        );
        let before = watched.answer("/version").text;
        let second = STEP.replace("\"step\":0", "\"step\":1");
        let path = folder.path().join("metrics.jsonl");
        fs::write(&path, format!("{STEP}\n{second}\n{{\"kind\"")).unwrap();
        let version = |text: &str| {
            let json: serde_json::Value = serde_json::from_str(text).unwrap();
            assert!(json["age"].as_f64().unwrap() >= 0.0);
            json["version"].clone()
        };
        assert_ne!(version(&watched.answer("/version").text), version(&before));
        assert!(watched.answer("/").text.contains("2.5 at step 1"));
        // A line that is wrong is said on a page that looks again.
        fs::write(&path, format!("nonsense\n{STEP}\n")).unwrap();
        let page = watched.answer("/");
        assert_eq!(page.code, 500);
        assert!(page.text.contains("line 1 is not a record") && page.text.contains("data-version"));
        assert_eq!(code(&watched, "/recipe.toml"), 404);
    }

    #[test]
    fn a_folder_of_runs_lists_them() {
        let folder = tempfile::tempdir().unwrap();
        run(&folder.path().join("kd"));
        run(&folder.path().join("zwei Läufe"));
        fs::create_dir(folder.path().join("other")).unwrap();
        let watched = Watched::new(folder.path()).unwrap();
        // A slash is escaped, too.
        let list = watched.answer("/").text.replace("&#x2f;", "/");
        assert!(
            list.contains("href=\"kd/\"") && list.contains("href=\"zwei%20L%C3%A4ufe/\""),
            "{list}"
        );
        assert!(!list.contains("other"));
        for path in [
            "/kd/",
            "/kd/version",
            "/zwei%20L%C3%A4ufe/",
            "/kd/report.html",
            "/version",
        ] {
            assert_eq!(code(&watched, path), 200, "{path}");
        }
        for path in [
            "/other/",
            "/../",
            "/kd/metrics.jsonl",
            "/..%2F",
            "/study.html",
            "/kd",
        ] {
            assert_eq!(code(&watched, path), 404, "{path}");
        }
        fs::write(folder.path().join("study.html"), "<p>results").unwrap();
        assert_eq!(watched.answer("/study.html").text, "<p>results");
        assert!(watched.answer("/").text.contains("study.html"));
    }
}
