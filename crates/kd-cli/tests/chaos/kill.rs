//! Starts runs, kills them, and lets them go on.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;
use tempfile::TempDir;

use crate::compare::{Results, differences};
use crate::kinds::{BASE, Kind};

/// Moments in the middle of writing where a run can be made to abort.
const POINTS: [&str; 5] = [
    "state half written",
    "state written",
    "state moved",
    "file written",
    "file named",
];

/// A kind of run, with what an uninterrupted one gives.
pub struct Trial {
    pub kind: Kind,
    expected: Results,
    /// How long that took.
    took: Duration,
    _folder: TempDir,
}

impl Trial {
    pub fn new(kind: Kind) -> Self {
        let folder = folder_of(kind);
        let begin = Instant::now();
        let output = command(kind, folder.path()).output().unwrap();
        assert!(
            output.status.success(),
            "{}: {}",
            kind.name,
            String::from_utf8_lossy(&output.stderr)
        );
        Self {
            kind,
            expected: Results::read(&folder.path().join("run")),
            took: begin.elapsed(),
            _folder: folder,
        }
    }

    /// A run that is killed between once and `most` times, and compared when it is done. Says how often it was.
    pub fn go(&self, draws: &mut StdRng, most: u64) -> u64 {
        let folder = folder_of(self.kind);
        let wanted = draws.random_range(1..=most);
        let mut kills = 0;
        let mut story = Vec::new();
        while kills < wanted {
            let (killed, how) = self.kill(folder.path(), draws);
            story.push(how);
            if killed {
                kills += 1;
                continue;
            }
            if kills > 0 {
                break;
            }
            // It ended before its death: once more from the beginning.
            fs::remove_dir_all(folder.path()).unwrap();
            fs::create_dir(folder.path()).unwrap();
            write(self.kind, folder.path());
        }
        let output = command(self.kind, folder.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        // A study that has finished says so; a run that has is refused, and its results are there.
        let done = output.status.success() || said.contains("already holds a run");
        assert!(done, "{}, {story:?}: {said}", self.kind.name);
        let found = differences(&self.expected, &Results::read(&folder.path().join("run")));
        if !found.is_empty() {
            let kept = folder.keep();
            panic!(
                "{}, {story:?}: {}\n{said}\nkept in {}",
                self.kind.name,
                found.join("\n"),
                kept.display()
            );
        }
        kills
    }

    /// Starts the run and kills it: after a while, or in the middle of writing. Says whether it died.
    fn kill(&self, folder: &Path, draws: &mut StdRng) -> (bool, String) {
        let mut command = command(self.kind, folder);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        if draws.random_bool(0.5) {
            let point = POINTS[draws.random_range(0..POINTS.len())];
            let fault = format!("{point}:{}", draws.random_range(1..=8));
            let status = command.env("KD_FAULT", &fault).status().unwrap();
            return (!status.success() && status.code().is_none(), fault);
        }
        let mut child = command.spawn().unwrap();
        let after = self.took.mul_f64(draws.random_range(0.05..1.0));
        std::thread::sleep(after);
        // SIGKILL on Unix.
        child.kill().unwrap();
        let status = child.wait().unwrap();
        (!status.success(), format!("killed after {after:?}"))
    }
}

fn folder_of(kind: Kind) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(kind, folder.path());
    folder
}

fn write(kind: Kind, folder: &Path) {
    // Keys of no table must come first.
    let (keys, tables) = kind.recipe.split_at(kind.recipe.find('[').unwrap());
    let (name, base) = BASE.split_at(BASE.find('[').unwrap());
    let (top, train): (Vec<&str>, Vec<&str>) = keys
        .lines()
        .partition(|line| !line.trim().starts_with("train."));
    let train = train.join("\n").replace("train.", "");
    let recipe = format!("{name}\n{}\n{base}\n{train}\n{tables}", top.join("\n"));
    fs::write(folder.join("tiny.toml"), recipe).unwrap();
    fs::write(folder.join("study.toml"), kind.study).unwrap();
}

/// The command that starts a run of this kind, and the same that goes on with it.
fn command(kind: Kind, folder: &Path) -> Command {
    let mut command =
        Command::new(std::env::var_os("KD_CHAOS_KD").unwrap_or(env!("CARGO_BIN_EXE_kd").into()));
    let arguments = match kind.study {
        "" => ["train", "tiny.toml"],
        _ => ["study", "study.toml"],
    };
    command
        .args(arguments)
        .args(["--out", "run", "--quiet"])
        .current_dir(folder);
    command
}
