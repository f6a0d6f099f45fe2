//! `cargo xtask outside`: what the README tells a user of the crates, tried in a crate of its own.

use std::{fs, path::Path, process::ExitCode};

use anyhow::{Context, Result};

use crate::kd;

/// The section of the README that has the lines.
const SECTION: &str = "## In your own code";
/// Where the README says that this repository is.
const CLONE: &str = "../kd/";

/// Makes a crate outside the workspace from the README's dependency lines and its example, and runs it.
pub fn run() -> Result<ExitCode> {
    let root = kd::repository()?;
    let readme = fs::read_to_string(root.join("README.md")).context("read README.md")?;
    let (_, section) = readme
        .split_once(SECTION)
        .with_context(|| format!("README.md has no section `{SECTION}`"))?;
    let manifest = block(section, "toml")?;
    let example = block(section, "rust")?;

    let folder = std::env::temp_dir().join(format!("kd-outside-{}", std::process::id()));
    let made = make(&folder, &root, manifest, example).and_then(|()| start(&folder));
    fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    made
}

/// The first code block of a language.
fn block<'a>(text: &'a str, language: &str) -> Result<&'a str> {
    let (_, rest) = text
        .split_once(&format!("```{language}\n"))
        .with_context(|| format!("`{SECTION}` of README.md has no block of {language}"))?;
    let (block, _) = rest.split_once("```").context("a block without an end")?;
    Ok(block)
}

fn make(folder: &Path, root: &Path, manifest: &str, example: &str) -> Result<()> {
    let manifest = manifest.replace(CLONE, &format!("{}/", root.display()));
    let package =
        "[package]\nname = \"outside\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n";
    let failed = || format!("write in {}", folder.display());
    fs::create_dir_all(folder.join("src")).with_context(failed)?;
    fs::write(folder.join("Cargo.toml"), format!("{package}{manifest}")).with_context(failed)?;
    fs::write(folder.join("src/main.rs"), example).with_context(failed)?;
    // The same versions as here, so that what is built can be shared.
    fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock")).with_context(failed)?;
    Ok(())
}

fn start(folder: &Path) -> Result<ExitCode> {
    let status = kd::cargo()
        .args(["run", "--quiet"])
        .current_dir(folder)
        .status()
        .context("start cargo")?;
    Ok(kd::exit_code(status))
}
