//! `hf://organisation/name@revision/file`.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use crate::Error;

const SCHEME: &str = "hf://";

/// A repository of the hub, and what of it is meant.
///
/// ```
/// use kd_data::hub::Address;
///
/// let address: Address = "hf://timm/resnet18.a1_in1k@main/model.safetensors".parse()?;
/// assert_eq!(address.repository, "timm/resnet18.a1_in1k");
/// assert_eq!(address.revision.as_deref(), Some("main"));
/// assert_eq!(address.file.as_deref(), Some("model.safetensors"));
/// # Ok::<(), kd_data::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// `organisation/name`.
    pub repository: String,
    /// A branch, a tag or a commit; `main` when absent.
    pub revision: Option<String>,
    /// Path of a file in the repository; its weights with what describes them when absent.
    pub file: Option<String>,
}

impl Address {
    /// The address that stands in the place of a path; none for a path.
    ///
    /// # Errors
    /// [`Error::Hub`] when it begins like an address and is none.
    pub fn of_path(path: &Path) -> Result<Option<Self>, Error> {
        match path.to_str() {
            Some(text) if text.starts_with(SCHEME) => text.parse().map(Some),
            _ => Ok(None),
        }
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |problem: &str| Error::Hub {
            address: text.to_owned(),
            problem: format!(
                "{problem}; write hf://organisation/name, hf://organisation/name@revision or \
                              hf://organisation/name@revision/file"
            ),
        };
        let rest = text
            .strip_prefix(SCHEME)
            .ok_or_else(|| wrong("this is no address of the hub"))?;
        let (organisation, rest) = rest.split_once('/').unwrap_or((rest, ""));
        let (name, rest) = match rest.find(['/', '@']) {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        if !is_name(organisation) || !is_name(name) {
            return Err(wrong("the hub's repositories are called organisation/name"));
        }
        let (revision, rest) = match rest.strip_prefix('@') {
            Some(rest) => {
                let (revision, rest) = split_revision(rest);
                if !revision.split('/').all(is_name) {
                    return Err(wrong("the revision is no branch, tag or commit"));
                }
                (Some(revision.to_owned()), rest)
            }
            None => (None, rest),
        };
        let file = rest.strip_prefix('/').unwrap_or(rest);
        let file = file.strip_suffix('/').unwrap_or(file);
        if !file.is_empty() && !is_file(file) {
            return Err(wrong("the file is no path within the repository"));
        }
        Ok(Self {
            repository: format!("{organisation}/{name}"),
            revision,
            file: (!file.is_empty()).then(|| file.to_owned()),
        })
    }
}

/// Requests for changes are revisions of three parts: `refs/pr/7`.
fn split_revision(text: &str) -> (&str, &str) {
    let parts = match text.starts_with("refs/") {
        true => 3,
        false => 1,
    };
    let end = text.match_indices('/').nth(parts - 1);
    end.map_or((text, ""), |(at, _)| text.split_at(at))
}

fn is_name(text: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !text.is_empty() && !text.contains("..") && !text.starts_with('.') && text.chars().all(known)
}

/// Whether a path stays within a folder, on every system.
pub(super) fn is_file(path: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && !part.contains(|c: char| c.is_control() || "\\:".contains(c))
    };
    path.split('/').all(part)
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.repository)?;
        if let Some(revision) = &self.revision {
            write!(f, "@{revision}")?;
        }
        match &self.file {
            Some(file) => write!(f, "/{file}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_read_and_written_the_same() {
        for (text, revision, file) in [
            ("hf://timm/resnet18.a1_in1k", None, None),
            ("hf://a/b@main", Some("main"), None),
            (
                "hf://a/b/model.safetensors",
                None,
                Some("model.safetensors"),
            ),
            ("hf://a/b@v1.0/sub/f.pth", Some("v1.0"), Some("sub/f.pth")),
            ("hf://a/b@refs/pr/7", Some("refs/pr/7"), None),
            ("hf://a/b@refs/pr/7/x.bin", Some("refs/pr/7"), Some("x.bin")),
            (
                "hf://a/b/with space@2x.pth",
                None,
                Some("with space@2x.pth"),
            ),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.revision.as_deref(), revision, "{text}");
            assert_eq!(address.file.as_deref(), file, "{text}");
            assert_eq!(address.to_string(), text);
        }
        let slash: Address = "hf://a/b/".parse().unwrap();
        assert_eq!(slash.to_string(), "hf://a/b");
    }

    #[test]
    fn what_leaves_the_repository_or_is_none_is_refused() {
        for text in [
            "hf://",
            "hf://bert",
            "hf:///b",
            "hf://a/../b",
            "hf://a/..",
            "hf://a/b@",
            "hf://a/b@../x",
            "hf://a/b@refs/../x/y",
            "hf://a/b/../../etc/passwd",
            "hf://a/b/c:d",
            "hf://a/b/c\\..\\d",
            "hf://a/b//c/",
            "hf://a b/c",
        ] {
            let Err(error) = text.parse::<Address>() else {
                panic!("{text} is taken");
            };
            let message = error.to_string();
            assert!(
                message.contains("write hf://organisation/name"),
                "{message}"
            );
        }
        assert_eq!(Address::of_path(Path::new("a/hf.pth")).unwrap(), None);
        assert!(Address::of_path(Path::new("hf://a")).is_err());
    }
}
