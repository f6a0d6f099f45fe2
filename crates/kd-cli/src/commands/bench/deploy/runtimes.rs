//! Other programs that run networks: ONNX Runtime and OpenVINO, in a process of Python.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::rows::Setting;

/// The names of both, as Python calls their packages.
pub const NAMES: [&str; 2] = ["onnxruntime", "openvino"];

/// A process of Python that times ONNX files. It ends with this value.
pub struct Runtimes {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    versions: Map<String, Value>,
}

#[derive(Deserialize)]
struct Greeting {
    versions: Map<String, Value>,
}

/// What a request is answered with.
#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Failed { error: String },
    Timed { ms: Vec<f64> },
    Done { written: u64 },
}

impl Runtimes {
    /// Starts an interpreter.
    ///
    /// # Errors
    /// When it cannot be started, or does not answer.
    pub fn start(python: &Path) -> Result<Self> {
        let named = || format!("start {}", python.display());
        let mut child = Command::new(python)
            .args(["-c", include_str!("runtimes.py")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(named)?;
        let requests = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().context("read what Python says")?);
        let mut runtimes = Self {
            child,
            requests,
            answers,
            versions: Map::new(),
        };
        let greeting: Greeting = runtimes.answer().with_context(named)?;
        runtimes.versions = greeting.versions;
        Ok(runtimes)
    }

    /// The version of a package, if it is there.
    pub fn version(&self, name: &str) -> Option<&str> {
        self.versions.get(name).and_then(Value::as_str)
    }

    /// Milliseconds of single batches.
    ///
    /// # Errors
    /// What the package says, when it cannot run the file.
    pub fn time(
        &mut self,
        name: &str,
        file: &Path,
        setting: Setting,
        shape: [usize; 3],
        seconds: f64,
    ) -> Result<Vec<f64>> {
        let request = json!({
            "runtime": name,
            "file": file,
            "threads": setting.threads,
            "batch": setting.batch,
            "shape": shape,
            "seconds": seconds,
        });
        match self.ask(&request)? {
            Answer::Timed { ms } => Ok(ms),
            Answer::Failed { error } => bail!("{error}"),
            Answer::Done { .. } => bail!("Python did not say how long it took"),
        }
    }

    /// Runs a file on the images in one file of little-endian floats, and writes its first output to another.
    ///
    /// # Errors
    /// What the package says, when it cannot run the file.
    pub fn run(
        &mut self,
        name: &str,
        file: &Path,
        shape: [usize; 4],
        images: &Path,
        output: &Path,
    ) -> Result<()> {
        let request = json!({
            "runtime": name,
            "file": file,
            "threads": rayon::current_num_threads(),
            "images": images,
            "shape": shape,
            "output": output,
        });
        match self.ask(&request)? {
            Answer::Done { written } if written > 0 => Ok(()),
            Answer::Failed { error } => bail!("{error}"),
            _ => bail!("Python wrote no logits"),
        }
    }

    fn ask(&mut self, request: &Value) -> Result<Answer> {
        let requests = self.requests.as_mut().context("ask Python")?;
        writeln!(requests, "{request}")
            .and_then(|()| requests.flush())
            .context("ask Python")?;
        self.answer()
    }

    fn answer<T: for<'a> Deserialize<'a>>(&mut self) -> Result<T> {
        let mut line = String::new();
        self.answers
            .read_line(&mut line)
            .context("read what Python says")?;
        if line.is_empty() {
            bail!("Python has ended without an answer; what it said is above");
        }
        serde_json::from_str(&line).with_context(|| format!("Python said: {}", line.trim()))
    }
}

impl Drop for Runtimes {
    fn drop(&mut self) {
        // The end of its input is the end of its work.
        drop(self.requests.take());
        let _ = self.child.wait();
    }
}
