//! Trials beside each other, each in a process of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::trial::TrialOptions;
use crate::Error;
use crate::folder::{io, write_atomically};

/// Makes the command that trains a recipe, given its file, as [`super::train_trial`] does.
pub type Start<'a> = dyn Fn(&Path, &TrialOptions) -> Command + 'a;

/// A process, and where what it says is kept.
pub(super) struct Worker {
    child: Child,
    log: PathBuf,
}

impl Worker {
    /// Starts a process for a trial; its recipe is written beside its run folders.
    pub fn start(start: &Start<'_>, recipe: &str, options: &TrialOptions) -> Result<Self, Error> {
        let file = options.out.with_extension("toml");
        write_atomically(&file, recipe.as_bytes())?;
        let log = options.out.with_extension("log");
        let said = File::create(&log).map_err(io("create", &log))?;
        let child = start(&file, options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            .spawn();
        let child = child.map_err(io("start a process for", &file))?;
        Ok(Self { child, log })
    }

    /// Whether it has ended.
    ///
    /// # Errors
    /// What it failed with.
    pub fn ended(&mut self) -> Result<bool, Error> {
        let status = self.child.try_wait();
        let Some(status) = status.map_err(io("wait for the process that writes", &self.log))?
        else {
            return Ok(false);
        };
        if status.success() {
            return Ok(true);
        }
        let said = std::fs::read_to_string(&self.log).unwrap_or_default();
        let problem = said
            .split_once("error: ")
            .map_or("", |(_, problem)| problem.trim_end());
        Err(Error::Recipe(match problem {
            "" => format!(
                "its process ended with {status}; what it said is in {}",
                self.log.display()
            ),
            problem => problem.into(),
        }))
    }
}

impl Drop for Worker {
    /// What it trained so far is kept, as that of any interrupted run is.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits a moment.
pub(super) fn moment() {
    std::thread::sleep(Duration::from_millis(50));
}
