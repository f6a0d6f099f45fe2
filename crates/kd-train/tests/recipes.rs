//! Recipes: the shipped ones are valid, and mistakes are shown with file, line, key and cure.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use kd_core::{Output, Taps};
use kd_data::detection::DetectionConfig;
use kd_models::detection::DETECTORS;
use kd_models::{Backbone, Network, NetworkConfig, TextNetwork, TokenBatch, text_model};
use kd_train::{ObjectDetection, Recipe, Silent, StageSpec, check};

const GOOD: &str = r#"name = "test"

[data]
name = "fashion_mnist_small"

[teacher]
model = "resnet20"
weights = "teacher.safetensors"

[student]
model = "resnet8"

[objective.cross_entropy]
weight = 0.1

[objective.kd]
weight = { schedule = "linear_warmup", to = 0.9, epochs = 2 }
temperature = 4.0

[train]
epochs = 2
optimizer = { name = "adamw", weight_decay = 0.1 }

[train.lr]
peak = 0.1
shape = { name = "multi_step", milestones = [1] }
"#;

fn shipped() -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                // Studies and searches change recipes and are none.
                if !path.ends_with("studies") && !path.ends_with("search") {
                    walk(&path, found);
                }
            } else if path.extension().is_some_and(|e| e == "toml") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../recipes");
    walk(Path::new(folder), &mut found);
    found
}

/// Writes a recipe into a folder of its own and loads it.
fn load(text: &str, overrides: &[&str]) -> Result<Recipe, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("recipe.toml");
    std::fs::write(&file, text).unwrap();
    let overrides: Vec<String> = overrides.iter().map(|o| o.to_string()).collect();
    Recipe::load(&file, &overrides).map_err(|e| e.to_string())
}

fn mistake(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    load(&GOOD.replacen(from, to, 1), &[]).unwrap_err()
}

#[test]
fn shipped_recipes_are_valid_and_survive_a_round_trip() {
    let recipes = shipped();
    assert!(recipes.len() >= 54, "{recipes:?}");
    for path in recipes {
        let recipe = Recipe::load(&path, &[]).unwrap();
        if let Some(detection) = &recipe.detection {
            detection.validate().unwrap();
            let known = |name: &str| DETECTORS.iter().any(|(known, ..)| *known == name);
            assert!(known(&recipe.student.model), "{}", path.display());
            assert!(recipe.teacher.as_ref().is_none_or(|t| known(&t.model)));
            let again = load(&recipe.to_toml().unwrap(), &[]).unwrap();
            assert_eq!(again, recipe, "{}", path.display());
            continue;
        }
        let known = |model: &str| match recipe.text {
            Some(_) => text_model(model).is_ok(),
            None => kd_models::find(model).is_ok(),
        };
        assert!(known(&recipe.student.model), "{}", path.display());
        if let Some(teacher) = &recipe.teacher {
            assert!(known(&teacher.model), "{}", path.display());
            // The hub is asked in a run.
            let file = |path: &&PathBuf| !path.starts_with("hf:");
            if let Some(weights) = teacher.weights.as_ref().filter(file) {
                assert!(weights.exists(), "{}", weights.display());
            }
        }
        if recipe.text.is_none() {
            recipe.data.validate().unwrap();
        }
        let again = load(&recipe.to_toml().unwrap(), &[]).unwrap();
        assert_eq!(again, recipe, "{}", path.display());
    }
}

/// The recipes of the two pairs of CIFAR-100, with their text, folder and file.
fn of_pairs() -> Vec<(String, String, String)> {
    let part = |part: &std::ffi::OsStr| part.to_str().unwrap().to_owned();
    let paths = shipped().into_iter();
    let of_pair = paths
        .filter(|path| part(path.parent().unwrap().file_name().unwrap()).contains("resnet32x4-"));
    let read = |path: PathBuf| {
        let folder = part(path.parent().unwrap().file_name().unwrap());
        let text = std::fs::read_to_string(&path).unwrap();
        (text, folder, part(path.file_stem().unwrap()))
    };
    of_pair.map(read).collect()
}

#[test]
fn a_recipe_of_a_pair_is_named_after_its_file_and_says_what_is_published() {
    let recipes = of_pairs();
    assert!(recipes.len() >= 43, "{}", recipes.len());
    for (text, pair, method) in recipes {
        let name = format!("name = \"cifar100-{method}-{pair}\"\n");
        assert!(text.contains(&name), "{pair}/{method}: {name}");
        let says = [
            "\n# Published: ",
            "\n# No figure is published",
            "\n# No published figure is known",
        ];
        assert!(
            says.iter().any(|says| text.contains(says)),
            "{pair}/{method}"
        );
        let student = pair.trim_start_matches("resnet32x4-");
        for line in [
            "[teacher]\nmodel = \"resnet32x4\"\n".to_owned(),
            format!("[student]\nmodel = \"{student}\"\n"),
        ] {
            assert!(text.contains(&line), "{pair}/{method}: {line}");
        }
    }
}

#[test]
fn every_term_of_a_shipped_recipe_fits_its_networks() {
    let device = Device::default();
    let mut shown = BTreeMap::new();
    for path in shipped() {
        let recipe = Recipe::load(&path, &[]).unwrap();
        if let Some(detection) = &recipe.detection {
            let drawn = DetectionConfig {
                size: detection.size,
                ..DetectionConfig::default()
            };
            let task = ObjectDetection::load(&drawn, &mut Silent).unwrap();
            check(&recipe, &task, &device).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            continue;
        }
        let (classes, channels, size) = match recipe.data.name.as_str() {
            "cifar100" => (100, 3, 32),
            "cifar10" => (10, 3, 32),
            "fashion_mnist_small" => (10, 1, 28),
            // Sentences have classes and no pixels.
            "" => (2, 0, 0),
            "folder" => (1000, 3, recipe.data.size.unwrap()),
            other => panic!("{}: what shape has {other}?", path.display()),
        };
        let mut show = |model: &str| -> Output {
            let dry_run = || {
                if recipe.text.is_some() {
                    let network = TextNetwork::new(&text_model(model).unwrap(), &device);
                    let ids = Tensor::<2, Int>::zeros([2, 8], &device);
                    let mask = ids.clone().equal_elem(0);
                    return network
                        .unwrap()
                        .valid()
                        .forward(TokenBatch::new(ids, mask), &Taps::all());
                }
                let config = NetworkConfig::new(model, classes, channels);
                let network = Network::new(&config, &device).unwrap().valid();
                network.forward(
                    Tensor::zeros([2, channels, size, size], &device),
                    &Taps::all(),
                )
            };
            let key = (model.to_owned(), classes);
            shown.entry(key).or_insert_with(dry_run).clone()
        };
        for stage in recipe.stages.values().chain([&recipe.student]) {
            let student = show(&stage.model);
            let teacher = first_teacher(&recipe, stage).map(&mut show);
            let objective = recipe.objective_of(stage).with_samples(64).unwrap();
            objective
                .init(&student, teacher.as_ref(), &device.clone().autodiff())
                .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        }
    }
}

/// The network of the first one that a stage learns from.
fn first_teacher<'a>(recipe: &'a Recipe, stage: &'a StageSpec) -> Option<&'a str> {
    let teacher = recipe.teacher.as_ref().map(|t| t.model.as_str());
    match &stage.teachers {
        Some(names) => {
            let name = names.first()?;
            let stage = recipe.stages.get(name).map(|s| s.model.as_str());
            stage.or(teacher)
        }
        None if stage.mutual => stage.peers.first().map(String::as_str),
        None => teacher,
    }
}

#[test]
fn every_key_survives_a_round_trip() {
    let full = GOOD.replace(
        "[train]\n",
        "[teacher.train]\nepochs = 3\nlr = { peak = 0.2, warmup_epochs = 0.5 }\n\n[train]\n\
         batch = 32\naccumulate = 2\nclip_norm = 5.0\nema = 0.999\npatience = 4\n\
         batches_per_epoch = 7\nlog_every = 3\n",
    );
    let recipe = load(&full, &[]).unwrap();
    assert_eq!(load(&recipe.to_toml().unwrap(), &[]).unwrap(), recipe);
}

#[test]
fn overrides_replace_and_add() {
    let recipe = load(
        GOOD,
        &[
            "train.epochs=5",
            "student.model=resnet14",
            "objective.kd.temperature=2",
            "data.train_limit=100",
            "objective.rkd.weight=0.5",
            "train.optimizer={ name = \"sgd\", momentum = 0.5 }",
        ],
    )
    .unwrap();
    assert_eq!(recipe.train.epochs, 5);
    assert_eq!(recipe.student.model, "resnet14");
    assert_eq!(recipe.data.train_limit, Some(100));
    assert_eq!(recipe.objective.terms.len(), 3);
}

#[test]
fn weights_in_a_recipe_are_relative_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("recipe.toml");
    std::fs::write(&file, GOOD).unwrap();
    let recipe = Recipe::load(&file, &[]).unwrap();
    let weights = recipe.teacher.unwrap().weights.unwrap();
    assert_eq!(weights, folder.path().join("teacher.safetensors"));
}

#[test]
fn a_mistake_has_its_line_key_and_cure() {
    for (from, to, parts) in [
        (
            "epochs = 2\n",
            "epocs = 2\n",
            &["recipe.toml:21:", "`epocs`", "did you mean `epochs`?"][..],
        ),
        (
            "temperature = 4.0",
            "temprature = 4.0",
            &["recipe.toml:18:", "temprature", "`temperature`"],
        ),
        (
            "[objective.kd]",
            "[objective.kdd]",
            &["recipe.toml:16:", "kdd", "`kd`"],
        ),
        (
            "peak = 0.1",
            "peek = 0.1",
            &["recipe.toml:25:", "did you mean `peak`?"],
        ),
        (
            "\"multi_step\"",
            "\"multistep\"",
            &["recipe.toml:26:", "did you mean `multi_step`?"],
        ),
        (
            "\"adamw\"",
            "\"adamww\"",
            &["recipe.toml:22:", "did you mean `adamw`?"],
        ),
        (
            "[student]\nmodel",
            "[student]\nmodell",
            &["recipe.toml:11:", "did you mean `model`?"],
        ),
        (
            "epochs = 2\n",
            "epochs = \"two\"\n",
            &["recipe.toml:21:", "invalid type"],
        ),
        (
            "epochs = 2\n",
            "epochs = 0\n",
            &["train.epochs = 0", "at least 1"],
        ),
        (
            "epochs = 2\n",
            "epochs = 2\nclip_norm = -1.0\n",
            &["train.clip_norm = -1"],
        ),
        (
            "epochs = 2\n",
            "epochs = 2\nema = 1.0\n",
            &["train.ema = 1"],
        ),
        (
            "weight_decay = 0.1",
            "weight_decay = -0.1",
            &["train.optimizer.weight_decay = -0.1"],
        ),
        ("peak = 0.1", "peak = 0.0", &["train.lr.peak = 0"]),
        ("name = \"test\"", "name = \"test", &["recipe.toml:1:"]),
    ] {
        let message = mistake(from, to);
        for part in parts {
            assert!(
                message.contains(part),
                "{to:?} gives {message:?}, without {part:?}"
            );
        }
    }
}

#[test]
fn teacher_and_objective_must_agree() {
    let alone = GOOD.replace(
        "[objective.kd]",
        "[objective.other]\nterm = \"cross_entropy\"",
    );
    let alone = alone.replace("temperature = 4.0\n", "");
    let message = load(&alone, &[]).unwrap_err();
    assert!(message.contains("no term of [objective]"), "{message}");
    let message = load(
        &GOOD.replace(
            "[teacher]\nmodel = \"resnet20\"\nweights = \"teacher.safetensors\"\n",
            "",
        ),
        &[],
    )
    .unwrap_err();
    assert!(message.contains("add a [teacher] table"), "{message}");
}

#[test]
fn a_wrong_override_is_named() {
    for (given, part) in [
        ("train.epochs", "key=value"),
        ("train..epochs=1", "empty part"),
        ("name.first=1", "`name` is a value"),
        ("train.epoch=1", "did you mean `epochs`?"),
        ("train.epochs=many", "train.epochs: invalid type"),
        ("train.lr=0.1", "expected a table such as { peak = 0.1 }"),
        ("train.epoch=", "did you mean `epochs`?"),
        ("teacher.wieghts=", "did you mean `weights`?"),
        ("objective.kdd=", "unknown term `kdd`"),
    ] {
        let message = load(GOOD, &[given]).unwrap_err();
        assert!(
            message.contains(given) && message.contains(part),
            "{message}"
        );
    }
}

#[test]
fn what_is_taken_out_need_not_be_there() {
    let elsewhere = "teacher.weights=/elsewhere.pth";
    let whole = load(GOOD, &[elsewhere]).unwrap();
    for given in [
        "teacher.cache.path=",
        "train.ema=",
        "stages.first=",
        "objective.dkd=",
    ] {
        assert_eq!(load(GOOD, &[elsewhere, given]).unwrap(), whole, "{given}");
    }
}

#[test]
fn values_that_make_no_sense_are_refused() {
    for (given, part) in [
        (
            ["name=../elsewhere", "seed=2"],
            "the run folder is called by it",
        ),
        (["train.batch=99999999999", "seed=2"], "must be at most"),
        (
            ["data.validation=0", "train.patience=3"],
            "train.patience waits",
        ),
        (["data.validation=1.5", "seed=2"], "validation = 1.5"),
    ] {
        let message = load(GOOD, &given).unwrap_err();
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn a_windows_path_in_double_quotes_gets_its_cure() {
    let weights = "\"teacher.safetensors\"";
    for path in [
        r#""C:\data\teacher.pth""#,
        r#""C:\Users\me\teacher.pth""#,
        r#""C:\new\teacher.pth""#,
    ] {
        let message = mistake(weights, path);
        assert!(
            message.contains("single quotes") && message.contains("`/`"),
            "{message}"
        );
        let message = load(GOOD, &[&format!("teacher.weights={path}")]).unwrap_err();
        assert!(message.contains("single quotes"), "{message}");
        let message = load(GOOD, &[&format!("data.dir={path}")]).unwrap_err();
        assert!(message.contains("single quotes"), "{message}");
    }
    let single = load(&GOOD.replacen(weights, r"'C:\new\teacher.pth'", 1), &[]).unwrap();
    let read = single.teacher.unwrap().weights.unwrap();
    assert!(
        read.to_str().unwrap().ends_with(r"C:\new\teacher.pth"),
        "{read:?}"
    );
    // Another mistake is not about backslashes.
    let message = mistake("epochs = 2\n", "epochs = 2 \\\n");
    assert!(!message.contains("single quotes"), "{message}");
}

/// A recipe of two teachers, and what it warns of.
fn warned(combine: &str, overrides: &[&str]) -> Vec<String> {
    let stages = format!("[student]\nteachers = [\"teacher\", \"other\"]\ncombine = {combine}\n");
    let text = GOOD.replacen("[student]\n", &stages, 1)
        + "\n[stages.other]\nmodel = \"resnet8\"\nteachers = []\n";
    load(&text, overrides).unwrap().warnings()
}

#[test]
fn a_temperature_of_combine_unlike_that_of_its_term_is_told() {
    assert_eq!(warned("{}", &[]), [""; 0]);
    let found = warned("{ temperature = 2.0 }", &[]);
    assert_eq!(found.len(), 1);
    for part in [
        "student.combine",
        "at temperature 2,",
        "`kd` reads them at 4",
        "set student.combine.temperature",
    ] {
        assert!(found[0].contains(part), "{found:?}");
    }
    // A schedule, a list, a term of another name.
    for (term, part) in [
        (
            "objective.kd.temperature={ schedule = \"cosine\", from = 4.0, to = 1.0 }",
            "at 4 to 1",
        ),
        ("objective.mlkd={}", "`mlkd` reads them at 2 to 3"),
        (
            "objective.hot={ term = \"kd\", temperature = 8.0 }",
            "`hot` reads them at 8",
        ),
    ] {
        let found = warned("{}", &[term]);
        assert!(found.len() == 1 && found[0].contains(part), "{found:?}");
    }
    // A single teacher is not averaged.
    let alone = "student.combine={ temperature = 2.0 }";
    assert_eq!(load(GOOD, &[alone]).unwrap().warnings(), [""; 0]);
}

#[test]
fn a_distillation_of_weight_zero_is_told() {
    let found = load(GOOD, &["objective.kd.weight=0"]).unwrap().warnings();
    assert!(
        found.len() == 1 && found[0].contains("still called distilled"),
        "{found:?}"
    );
    assert_eq!(load(GOOD, &[]).unwrap().warnings(), [""; 0]);
}

#[test]
fn a_network_for_images_of_quite_another_size_is_told() {
    let found = load(GOOD, &["student.model=mobilenet_v2_224"]).unwrap();
    assert_eq!(
        found.warnings(),
        [
            "warning: student.model = \"mobilenet_v2_224\" is made for images of 224×224, and the data have 32×32; \
             `mobilenet_v2` is made for such images"
        ]
    );
    let folder = |size: usize| {
        let size = format!("data.size={size}");
        let overrides = [
            "data.name=folder",
            &size,
            "student.model=mobilenet_v3_small_224",
        ];
        load(GOOD, &overrides).unwrap().warnings()
    };
    // The teacher is a ResNet-20.
    let found = folder(224);
    assert!(
        found.len() == 1 && found[0].contains("teacher.model = \"resnet20\" is made for"),
        "{found:?}"
    );
    assert!(found[0].ends_with("for which size each network is made"));
    assert_eq!(folder(96), [""; 0]);
}

#[test]
fn epochs_of_the_command_line_count_for_every_training() {
    let budgets = [
        "teacher.train={ epochs = 240, lr.peak = 0.1 }",
        "stages.first={ model = \"resnet8\", train = { epochs = 9, lr.peak = 0.1 } }",
    ];
    let given: Vec<&str> = budgets.into_iter().chain(["teacher.weights="]).collect();
    let recipe = load(GOOD, &given).unwrap().with_epochs(1).unwrap();
    assert_eq!(recipe.teacher_plan().unwrap().train.epochs, 1);
    assert!(recipe.plans().iter().all(|plan| plan.train.epochs == 1));
    // A teacher with weights is not trained.
    let loaded = load(GOOD, &budgets).unwrap().with_epochs(1).unwrap();
    assert_eq!(loaded.teacher.unwrap().train.unwrap().epochs, 240);
    // What does not go with it is refused by its key.
    let refused = load(GOOD, &["train.lr.warmup_epochs=2"])
        .unwrap()
        .with_epochs(1);
    let message = refused.unwrap_err().to_string();
    assert!(message.contains("train.lr.warmup_epochs = 2"), "{message}");
}

#[test]
fn a_missing_recipe_is_named() {
    let error = Recipe::load(Path::new("nowhere.toml"), &[]).unwrap_err();
    assert!(error.to_string().contains("nowhere.toml"));
}
