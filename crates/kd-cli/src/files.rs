//! Writing results.

use std::{fs, path::Path};

use anyhow::{Context, Result};

/// Writes a file whole or not at all.
pub fn write(path: &Path, text: &str) -> Result<()> {
    let draft = path.with_added_extension("tmp");
    fs::write(&draft, text)
        .and_then(|()| fs::rename(&draft, path))
        .with_context(|| format!("write {}", path.display()))
}
