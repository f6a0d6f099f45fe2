//! Building the `kd` command and handing over to it.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, ExitCode, ExitStatus},
};

use anyhow::{Context, Result, bail};

use crate::backend::Backend;

/// A call of `kd` to come.
pub struct Kd {
    backend: Backend,
    /// Built in beside the backend.
    features: Vec<String>,
    root: PathBuf,
    /// Where `kd` starts.
    folder: PathBuf,
    arguments: Vec<OsString>,
}

impl Kd {
    /// A call without arguments.
    pub fn new(backend: Backend) -> Result<Self> {
        let root = repository()?;
        Ok(Self {
            backend,
            features: Vec::new(),
            folder: root.clone(),
            root,
            arguments: Vec::new(),
        })
    }

    /// Starts `kd` where the user is, for arguments that are handed on as they are.
    pub fn here(&mut self) -> Result<&mut Self> {
        self.folder = std::env::current_dir().context("find the working directory")?;
        Ok(self)
    }

    /// Builds with more features.
    pub fn features(&mut self, names: &[&str]) -> &mut Self {
        self.features.extend(names.iter().map(|&name| name.into()));
        self
    }

    /// Adds an argument.
    pub fn argument(&mut self, argument: impl Into<OsString>) -> &mut Self {
        self.arguments.push(argument.into());
        self
    }

    /// Adds arguments.
    pub fn arguments<A: AsRef<std::ffi::OsStr>>(
        &mut self,
        arguments: impl IntoIterator<Item = A>,
    ) -> &mut Self {
        self.arguments
            .extend(arguments.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// Adds a path that the user gave. `kd` starts in the repository's root, the user perhaps
    /// did not, so the path is made absolute.
    pub fn path(&mut self, path: &Path) -> Result<&mut Self> {
        Ok(self.argument(absolute(path)?))
    }

    /// Adds `--set KEY=VALUE`.
    pub fn set(&mut self, key: &str, value: impl std::fmt::Display) -> &mut Self {
        self.arguments(["--set".into(), format!("{key}={value}")])
    }

    /// Adds `--set KEY=PATH`, made absolute.
    pub fn set_path(&mut self, key: &str, path: &Path) -> Result<&mut Self> {
        let path = absolute(path)?;
        let text = path
            .to_str()
            .with_context(|| format!("{} is not valid UTF-8", path.display()))?;
        Ok(self.set(key, text))
    }

    /// Adds the user's own `--set` arguments.
    pub fn overrides(&mut self, overrides: &[String]) -> &mut Self {
        for text in overrides {
            self.arguments(["--set", text]);
        }
        self
    }

    /// The arguments in one line.
    #[cfg(test)]
    pub fn line(&self) -> String {
        let words = self.arguments.iter().map(|word| word.to_string_lossy());
        words.collect::<Vec<_>>().join(" ")
    }

    /// Builds `kd`; its path.
    pub fn build(&self) -> Result<PathBuf> {
        let mut cargo = cargo();
        cargo
            .current_dir(&self.root)
            .args(["build", "--package", "kd-cli"]);
        let backend = self.backend.feature();
        for feature in self.features.iter().map(String::as_str).chain(backend) {
            cargo.args(["--features", feature]);
        }
        let status = cargo.status().context("start cargo")?;
        if !status.success() {
            bail!("kd could not be built ({status})");
        }
        // This program and kd are built with one profile into one folder, wherever that is.
        let here = std::env::current_exe().context("find this program's own folder")?;
        let kd = here.with_file_name(format!("kd{}", std::env::consts::EXE_SUFFIX));
        if !kd.exists() {
            bail!("cargo built no {}", kd.display());
        }
        Ok(kd)
    }

    /// Builds `kd`, runs it and returns what it prints.
    pub fn build_and_read(&self) -> Result<String> {
        let output = Command::new(self.build()?)
            .args(&self.arguments)
            .current_dir(&self.folder)
            .stderr(std::process::Stdio::inherit())
            .output()
            .context("start kd")?;
        if !output.status.success() {
            bail!("kd failed ({})", output.status);
        }
        String::from_utf8(output.stdout).context("kd printed text that is not UTF-8")
    }

    /// Builds `kd`, runs it and waits for its end; its exit code.
    pub fn build_and_wait(&self) -> Result<u8> {
        let status = Command::new(self.build()?)
            .args(&self.arguments)
            .current_dir(&self.folder)
            .status()
            .context("start kd")?;
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        Ok(code.unwrap_or(1))
    }

    /// Builds `kd` and becomes it, so that signals and the exit code are its own.
    pub fn build_and_start(&self) -> Result<ExitCode> {
        let mut command = Command::new(self.build()?);
        command.args(&self.arguments).current_dir(&self.folder);
        start(command)
    }
}

/// Builds an example of any crate, as a test of the workspace does; its path.
pub fn example(name: &str) -> Result<PathBuf> {
    let status = cargo()
        .current_dir(repository()?)
        .args(["build", "--quiet", "--workspace", "--example", name])
        .status()
        .context("start cargo")?;
    if !status.success() {
        bail!("the example {name} could not be built ({status})");
    }
    let here = std::env::current_exe().context("find this program's own folder")?;
    let name = format!("examples/{name}{}", std::env::consts::EXE_SUFFIX);
    Ok(here.with_file_name(name))
}

/// Cargo, in an environment like that of a plain call.
pub fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // `cargo run` describes this package in the environment. Build scripts that watch these
    // names would run again, and their crates be compiled again, after every plain build.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&name);
        }
    }
    cargo
}

#[cfg(unix)]
fn start(mut command: Command) -> Result<ExitCode> {
    use std::os::unix::process::CommandExt;
    Err(command.exec()).context("start kd")
}

#[cfg(not(unix))]
fn start(mut command: Command) -> Result<ExitCode> {
    Ok(exit_code(command.status().context("start kd")?))
}

/// The exit code of a child, 1 when a signal ended it.
pub fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}

/// Builds and runs calls one after the other, up to the first that fails; its exit code.
pub fn in_turn(calls: &[Kd]) -> Result<ExitCode> {
    for call in calls {
        let code = call.build_and_wait()?;
        if code != 0 {
            return Ok(ExitCode::from(code));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The folder for results: the one that is given, else `runs/NAME` of the repository.
pub fn results(given: Option<&Path>, name: &str) -> Result<PathBuf> {
    match given {
        Some(out) => std::path::absolute(out).context("resolve --out"),
        None => Ok(repository()?.join("runs").join(name)),
    }
}

/// The repository's root.
pub fn repository() -> Result<PathBuf> {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    here.as_deref()
        .and_then(Path::parent)
        .map(Path::to_owned)
        .context("start this program as `cargo xtask JOB`")
}

/// A path made absolute; an address of the Hugging Face hub stays as it is.
fn absolute(path: &Path) -> Result<PathBuf> {
    if path.to_str().is_some_and(|text| text.starts_with("hf://")) {
        return Ok(path.to_owned());
    }
    std::path::absolute(path).with_context(|| format!("resolve {}", path.display()))
}
