//! `cargo xtask book`.

use std::{
    fs, io,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result};

use crate::{
    backend::Backend,
    kd::{self, Kd},
};

/// Writes docs/src/methods.md from the methods' own documentation, then builds the book.
pub fn run() -> Result<ExitCode> {
    let mut kd = Kd::new(Backend::default())?;
    kd.arguments(["methods", "--markdown"]);
    let catalogue = kd.build_and_read()?;

    let root = kd::repository()?;
    let page = root.join("docs/src/methods.md");
    let draft = page.with_extension("md.tmp");
    fs::write(&draft, catalogue)
        .and_then(|()| fs::rename(&draft, &page))
        .with_context(|| format!("write {}", page.display()))?;
    eprintln!("wrote {}", page.display());

    match Command::new("mdbook")
        .arg("build")
        .arg(root.join("docs"))
        .status()
    {
        Ok(status) => Ok(kd::exit_code(status)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            eprintln!("mdbook is not installed, so the book was not built: cargo install mdbook");
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => Err(error).context("start mdbook"),
    }
}
