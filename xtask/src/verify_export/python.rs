//! A Python program that answers tasks.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

const SCRIPT: &str = include_str!("verify.py");
const PACKAGES: [&str; 4] = ["numpy", "onnx", "onnxruntime", "openvino"];

/// The Python that was given, or that of a virtual environment with all packages.
pub fn find(given: Option<&Path>, root: &Path) -> Result<PathBuf> {
    if let Some(given) = given {
        return Ok(given.into());
    }
    let folder = root.join("target/verify-export-venv");
    let python = folder.join("bin/python");
    if !python.exists() {
        done(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    }
    done(
        Command::new(&python)
            .args(["-m", "pip", "install", "--quiet"])
            .args(PACKAGES),
    )?;
    Ok(python)
}

fn done(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("start {command:?}"))?;
    if !status.success() {
        bail!("{command:?} failed ({status})");
    }
    Ok(())
}

/// The program, which ends when this does.
pub struct Python {
    child: Child,
    tasks: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Python {
    /// Starts it.
    pub fn start(python: &Path) -> Result<Self> {
        let mut child = Command::new(python)
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", python.display()))?;
        let (tasks, answers) = (child.stdin.take(), child.stdout.take());
        Ok(Self {
            child,
            tasks,
            answers: BufReader::new(answers.context("no standard output")?),
        })
    }

    /// Gives a task and waits for its answer.
    pub fn ask(&mut self, task: &Value) -> Result<Value> {
        let tasks = self.tasks.as_mut().context("no standard input")?;
        writeln!(tasks, "{task}").context("Python ended; are its packages there?")?;
        let mut line = String::new();
        self.answers
            .read_line(&mut line)
            .context("read Python's answer")?;
        let answer: Value =
            serde_json::from_str(&line).context("Python ended without an answer")?;
        match answer.get("error") {
            Some(error) => bail!("{error}"),
            None => Ok(answer),
        }
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // Without tasks to come it ends by itself.
        self.tasks = None;
        let _ = self.child.wait();
    }
}
