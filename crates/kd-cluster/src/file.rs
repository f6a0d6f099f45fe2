//! Job files on the disk.

use std::fs;
use std::path::Path;

use crate::Error;
use crate::error::io;

/// A file of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct File {
    /// Its place in the folder of job files, with `/`.
    pub name: String,
    /// Its content.
    pub text: String,
}

impl File {
    pub(crate) fn new(name: &str, text: String) -> Self {
        Self {
            name: name.into(),
            text,
        }
    }

    fn is_script(&self) -> bool {
        self.text.starts_with("#!")
    }
}

/// Writes files into a folder, which is made where there is none. Scripts can be executed.
///
/// # Errors
/// When a file cannot be written.
pub fn write(files: &[File], folder: &Path) -> Result<(), Error> {
    for file in files {
        let path = folder.join(&file.name);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(io("create", parent))?;
        fs::write(&path, &file.text).map_err(io("write", &path))?;
        #[cfg(unix)]
        if file.is_script() {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(&path, mode).map_err(io("make executable", &path))?;
        }
    }
    Ok(())
}
