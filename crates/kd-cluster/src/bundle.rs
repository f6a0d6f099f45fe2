//! The study and its recipe, for machines that do not have them.

use std::path::{Component, Path, PathBuf};

use crate::error::{io, wrong};
use crate::{Error, File};

/// The folder of a bundle in that of the job files.
const FOLDER: &str = "study";

/// A study and its recipe, with the places that they have to each other.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// Both, in a folder of their own.
    pub files: Vec<File>,
    /// The study among them.
    pub study: String,
}

impl Bundle {
    /// Reads a study and its recipe.
    ///
    /// # Errors
    /// When one cannot be read, or its place has a name that is not UTF-8.
    pub fn read(study: &Path, recipe: &Path) -> Result<Self, Error> {
        let whole = |path: &Path| path.canonicalize().map_err(io("read", path));
        let [study, recipe] = [whole(study)?, whole(recipe)?];
        let common = common(&study, &recipe);
        let file = |path: &Path| -> Result<File, Error> {
            let inside = path.strip_prefix(&common).unwrap_or(path);
            let parts = inside.iter().map(|part| part.to_str());
            let parts = parts.collect::<Option<Vec<&str>>>();
            let parts =
                parts.ok_or_else(|| wrong("STUDY", format!("{} is not UTF-8", path.display())))?;
            let text = std::fs::read_to_string(path).map_err(io("read", path))?;
            Ok(File::new(&format!("{FOLDER}/{}", parts.join("/")), text))
        };
        let files = vec![file(&study)?, file(&recipe)?];
        Ok(Self {
            study: files[0].name.clone(),
            files,
        })
    }
}

/// The folder in which both are.
fn common(a: &Path, b: &Path) -> PathBuf {
    let folders = |path: &Path| -> Vec<PathBuf> {
        let parts = path.parent().into_iter().flat_map(Path::components);
        parts
            .map(|part: Component<'_>| PathBuf::from(part.as_os_str()))
            .collect()
    };
    let (a, b) = (folders(a), folders(b));
    let same = a.iter().zip(&b).take_while(|(a, b)| a == b);
    same.map(|(part, _)| part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_study_finds_its_recipe_in_the_bundle() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("recipes");
        std::fs::create_dir_all(root.join("studies")).unwrap();
        std::fs::write(root.join("studies/a.toml"), "recipe = \"../b.toml\"").unwrap();
        std::fs::write(root.join("b.toml"), "name = \"b\"").unwrap();
        let study = root.join("studies/a.toml");
        let bundle = Bundle::read(&study, &root.join("studies/../b.toml")).unwrap();
        assert_eq!(bundle.study, "study/studies/a.toml");
        let names: Vec<&str> = bundle.files.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, ["study/studies/a.toml", "study/b.toml"]);
        assert_eq!(bundle.files[1].text, "name = \"b\"");
        let beside = Bundle::read(&root.join("b.toml"), &root.join("b.toml")).unwrap();
        assert_eq!(beside.study, "study/b.toml");
        let missing = Bundle::read(&root.join("c.toml"), &root.join("b.toml"));
        assert!(missing.unwrap_err().to_string().contains("c.toml"));
    }
}
