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

/// The tables of the augmentation, each with its keys and their defaults in the rows below it.
#[test]
fn it_gives_every_kind_of_augmentation_with_its_defaults() {
    let page = recipes_page();
    let around = "name = \"x\"\nstudent.model = \"resnet8\"\nobjective.cross_entropy = {}\n\
                  train = { epochs = 1, lr.peak = 0.1 }\n";
    let data = |text: &str| -> toml::Table {
        let recipe = load(&format!("{around}[data]\n{text}")).to_toml().unwrap();
        let recipe: toml::Table = recipe.parse().unwrap();
        recipe["data"].as_table().unwrap().clone()
    };
    let mut tables = Vec::new();
    for name in [
        "random_resized_crop",
        "rand_augment",
        "timm_rand_augment",
        "trivial_augment",
        "color_jitter",
        "random_erasing",
    ] {
        let resolved = data(&format!("augment.{name} = {{}}"));
        tables.push((
            format!("data.augment.{name}"),
            resolved["augment"][name].clone(),
        ));
    }
    let mut mix = data("mix.mixup_alpha = 0.2")["mix"].clone();
    mix.as_table_mut()
        .unwrap()
        .insert("mixup_alpha".into(), 0.0.into());
    tables.push(("data.mix".into(), mix));
    for (table, keys) in tables {
        let start = format!("| `[{table}]` |");
        let mut rows = page.lines().skip_while(|line| !line.starts_with(&start));
        assert!(rows.next().is_some(), "no row {start}");
        let rows: Vec<_> = rows.take_while(|line| line.starts_with("| `.")).collect();
        let keys = keys.as_table().unwrap();
        for (key, default) in keys {
            let row = format!("| `.{key}` | `{default}` |");
            assert!(
                rows.iter().any(|line| line.starts_with(&row)),
                "no row {row}"
            );
        }
        assert_eq!(rows.len(), keys.len(), "{table}");
    }
}

#[test]
fn its_image_folder_of_any_size_loads() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/data.md");
    let page = std::fs::read_to_string(page).unwrap();
    let blocks: Vec<_> = toml_blocks(&page).collect();
    assert_eq!(blocks.len(), 1);
    let recipe = load(&format!(
        "name = \"x\"\nstudent.model = \"resnet8\"\nobjective.cross_entropy = {{}}\n\
         train = {{ epochs = 1, lr.peak = 0.1 }}\n{}",
        blocks[0]
    ));
    assert_eq!(recipe.data.fit().map(|fit| fit.resize), Some(256));
    assert!(recipe.data.augment.random_resized_crop.is_some());
}
