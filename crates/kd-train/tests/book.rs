//! The book says what the code does: its recipes load, and it names every key and default.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::path::Path;

use kd_core::terms::methods;
use kd_train::Recipe;

fn recipes_page() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/recipes.md");
    std::fs::read_to_string(page).unwrap()
}

fn toml_blocks(page: &str) -> impl Iterator<Item = &str> {
    page.split("```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
}

fn load(text: &str) -> Recipe {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recipe.toml");
    std::fs::write(&path, text).unwrap();
    Recipe::load(&path, &[]).unwrap_or_else(|problem| panic!("{problem}\n{text}"))
}

#[test]
fn its_recipes_load() {
    let page = recipes_page();
    let whole = toml_blocks(&page).filter(|block| block.starts_with("name ="));
    assert_eq!(whole.map(load).count(), 1);

    let objective = toml_blocks(&page)
        .find(|block| block.contains("term ="))
        .unwrap();
    let around = "name = \"x\"\n[data]\n[student]\nmodel = \"resnet8\"\n\
                  [teacher]\nmodel = \"resnet8\"\n[train]\nepochs = 1\nlr.peak = 0.1\n";
    assert_eq!(
        load(&format!("{around}{objective}")).objective.terms.len(),
        2
    );
}

#[test]
fn it_names_every_key_that_a_resolved_recipe_has() {
    let page = recipes_page();
    let recipe = load(
        toml_blocks(&page)
            .find(|block| block.starts_with("name ="))
            .unwrap(),
    );
    let resolved: toml::Table = recipe.to_toml().unwrap().parse().unwrap();
    for (section, value) in &resolved {
        let keys = match value.as_table() {
            Some(table) if section != "objective" => table.keys().collect(),
            Some(_) => continue,
            None => vec![section],
        };
        for key in keys {
            let named = [format!("`{key}`"), format!("[{section}.{key}]")];
            assert!(
                named.iter().any(|name| page.contains(name)),
                "{section}.{key}"
            );
        }
    }
}

#[test]
fn it_gives_every_method_with_its_defaults() {
    let page = recipes_page();
    for method in methods() {
        let start = format!("| `{}` | `{:?}` |", method.name, method.weight);
        let row = page.lines().find(|line| line.starts_with(&start));
        let row = row.unwrap_or_else(|| panic!("no row {start}"));
        for (key, value) in &method.defaults {
            assert!(
                row.contains(&format!("`{key} = {value}`")),
                "{key} = {value} in {row}"
            );
        }
    }
}
