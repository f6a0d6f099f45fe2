//! Folders of a piece of work: a new one for each worker that takes it over, so that a late one writes into no other's.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::error::io;

/// The folder in `unit` of the worker whose lease has a [number](crate::Lease::token): a copy of what the last one before it
/// left to go on from, or a place where there is none yet.
///
/// # Errors
/// When a file cannot be copied.
pub fn attempt(unit: &Path, token: u64) -> Result<PathBuf, Error> {
    fs::create_dir_all(unit).map_err(io("create", unit))?;
    let number = |entry: fs::DirEntry| -> Option<u64> { entry.file_name().to_str()?.parse().ok() };
    let entries = fs::read_dir(unit).map_err(io("read", unit))?;
    let before = entries.flatten().filter_map(number).filter(|n| *n < token);
    let own = unit.join(token.to_string());
    if let Some(before) = before.max()
        && !own.exists()
    {
        let before = unit.join(before.to_string());
        let part = tempfile::TempDir::with_prefix_in("copy-", unit);
        let part = part.map_err(io("write in", unit))?;
        copy(&before, part.path())?;
        fs::rename(part.path(), &own).map_err(io("write", &own))?;
        // It has gone from where it would be removed.
        let _ = part.keep();
    }
    Ok(own)
}

/// Copies a folder whose files another process may still write. States come first, because they count records that are
/// in `metrics.jsonl`, which only grows.
fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    fs::create_dir_all(to).map_err(io("create", to))?;
    let entries = fs::read_dir(from).map_err(io("read", from))?;
    let mut entries: Vec<fs::DirEntry> = entries.flatten().collect();
    entries.sort_by_key(|entry| (entry.path().is_file(), entry.file_name()));
    for entry in entries {
        let (path, place) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &place)?;
            continue;
        }
        match fs::copy(&path, &place) {
            // A file beside its place, which was renamed meanwhile.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            result => {
                result.map_err(io("copy", &path))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_worker_goes_on_in_a_copy_of_the_last() {
        let unit = tempfile::tempdir().unwrap();
        let first = attempt(unit.path(), 1).unwrap();
        fs::create_dir_all(first.join("checkpoints")).unwrap();
        fs::write(first.join("checkpoints/a.state"), "state").unwrap();
        fs::write(first.join("metrics.jsonl"), "1\n").unwrap();
        // Two workers after it left nothing.
        let third = attempt(unit.path(), 4).unwrap();
        assert_ne!(third, first);
        let read = |path: &str| fs::read_to_string(third.join(path)).unwrap();
        assert_eq!(read("checkpoints/a.state"), "state");
        // A late one writes into its own.
        fs::write(first.join("metrics.jsonl"), "1\n2\n").unwrap();
        assert_eq!(read("metrics.jsonl"), "1\n");
        // The same worker finds its own again.
        fs::write(third.join("metrics.jsonl"), "3\n").unwrap();
        assert_eq!(attempt(unit.path(), 4).unwrap(), third);
        assert_eq!(read("metrics.jsonl"), "3\n");
    }
}
