//! What a recipe leaves to the weights of its teacher.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod notes;

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use kd_data::{Interpolation, Normalize};
use kd_models::{Network, NetworkConfig, WeightsHeader};
use kd_train::{Recipe, RunOptions, Silent, run};
use serde_json::{Value, json};

use notes::Notes;

const RECIPE: &str = r#"name = "described"
compare = false

[data]
name = "fashion_mnist_small"
train_limit = 64
test_limit = 40
validation = 0.0
augment = "none"

[student]
model = "resnet8"

[objective.kd]

[train]
epochs = 1
batch = 16
lr = { peak = 0.05 }
"#;

struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A folder with weights of a ResNet-8 for ten classes of grey images, and these files beside them.
    fn folder(&self, header: &WeightsHeader, files: &[(&str, Value)]) -> PathBuf {
        let folder = self.path("teacher");
        fs::create_dir_all(&folder).unwrap();
        let network = Network::new(&NetworkConfig::new("resnet8", 10, 1), &Device::flex()).unwrap();
        let weights = folder.join("model.safetensors");
        network.save(weights, &header.entries()).unwrap();
        for (name, content) in files {
            fs::write(folder.join(name), content.to_string()).unwrap();
        }
        folder
    }

    fn recipe(&self, teacher: &str, weights: &Path) -> Recipe {
        let file = self.path("recipe.toml");
        let text = format!(
            "{RECIPE}\n[teacher]\nweights = '{}'\n{teacher}",
            weights.display()
        );
        fs::write(&file, text).unwrap();
        Recipe::load(&file, &[]).unwrap()
    }
}

fn said(notes: &Notes, part: &str) -> bool {
    notes.0.iter().any(|note| note.contains(part))
}

/// What a file says that knows its network and nothing else.
fn of_resnet8() -> WeightsHeader {
    let mut header = WeightsHeader::default();
    header.model = Some("resnet8".into());
    header
}

fn timm() -> Value {
    json!({
        "architecture": "resnet8",
        "num_classes": 10,
        "pretrained_cfg": { "mean": [0.5], "std": [0.25], "input_size": [1, 28, 28] },
    })
}

#[test]
fn what_the_recipe_does_not_say_the_weights_say() {
    let scratch = Scratch::new();
    let folder = scratch.folder(&of_resnet8(), &[("config.json", timm())]);
    let mut notes = Notes::default();
    let recipe = scratch.recipe("", &folder).complete(&mut notes).unwrap();
    let teacher = recipe.teacher.clone().unwrap();
    assert_eq!(teacher.model, "resnet8");
    let given = Normalize::Given {
        mean: vec![0.5],
        std: vec![0.25],
    };
    assert_eq!(teacher.normalize, Some(given));
    assert!(
        said(
            &notes,
            "says: teacher.model = \"resnet8\", teacher.normalize = { mean = [0.5], std = [0.25] }"
        ),
        "{:?}",
        notes.0
    );
    // Once more there is nothing to add.
    let mut again = Notes::default();
    assert_eq!(recipe.clone().complete(&mut again).unwrap(), recipe);
    assert_eq!(again.0, Vec::<String>::new());

    // A run does it by itself, and writes it down.
    let options = RunOptions {
        reuse: false,
        resume: false,
        out: scratch.path("run"),
        seeds: 1,
        device_name: "flex".into(),
    };
    let mut notes = Notes::default();
    run(
        &scratch.recipe("", &folder),
        &options,
        &Device::flex(),
        &mut notes,
    )
    .unwrap();
    assert!(!said(&notes, "warning: teacher.weights"), "{:?}", notes.0);
    let written = Recipe::load(&scratch.path("run/recipe.toml"), &[]).unwrap();
    assert_eq!(written.teacher, recipe.teacher);
}

#[test]
fn what_the_recipe_says_counts_and_a_contradiction_is_told() {
    let scratch = Scratch::new();
    let folder = scratch.folder(&of_resnet8(), &[("config.json", timm())]);
    let mut notes = Notes::default();
    let text = "model = \"resnet14\"\nnormalize = \"dataset\"\n";
    let recipe = scratch.recipe(text, &folder).complete(&mut notes).unwrap();
    let teacher = recipe.teacher.unwrap();
    assert_eq!(
        (teacher.model.as_str(), teacher.normalize),
        ("resnet14", Some(Normalize::Dataset))
    );
    assert!(
        said(
            &notes,
            "they say that they are of a resnet8, and teacher.model = \"resnet14\""
        ),
        "{:?}",
        notes.0
    );
    assert!(!said(&notes, "says:"), "{:?}", notes.0);

    // What they were trained with is told where it is not what they get.
    let options = RunOptions {
        reuse: false,
        resume: false,
        out: scratch.path("run"),
        seeds: 1,
        device_name: "flex".into(),
    };
    let text = "model = \"resnet8\"\nnormalize = \"dataset\"\n";
    let mut notes = Notes::default();
    run(
        &scratch.recipe(text, &folder),
        &options,
        &Device::flex(),
        &mut notes,
    )
    .unwrap();
    assert!(
        said(
            &notes,
            "set teacher.normalize = { mean = [0.5], std = [0.25] }"
        ),
        "{:?}",
        notes.0
    );
}

#[test]
fn weights_that_do_not_name_a_network_want_one() {
    let scratch = Scratch::new();
    let folder = scratch.folder(&WeightsHeader::default(), &[("config.json", timm())]);
    let error = scratch
        .recipe("", &folder)
        .complete(&mut Silent)
        .unwrap_err()
        .to_string();
    // The one of this name here is not timm's.
    assert!(
        error.contains("(they call it `resnet8`): give teacher.model"),
        "{error}"
    );
    let file = folder.join("model.safetensors");
    let error = scratch
        .recipe("", &file)
        .complete(&mut Silent)
        .unwrap_err()
        .to_string();
    assert!(error.contains("they are of: give teacher.model"), "{error}");
    // A file says it in its own header.
    scratch.folder(&of_resnet8(), &[]);
    let recipe = scratch.recipe("", &file).complete(&mut Silent).unwrap();
    assert_eq!(recipe.teacher.unwrap().model, "resnet8");

    let text = format!("{RECIPE}\n[teacher]\n");
    fs::write(scratch.path("recipe.toml"), text).unwrap();
    let error = Recipe::load(&scratch.path("recipe.toml"), &[]).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("teacher.model: name a network"), "{error}");
}

#[test]
fn the_size_of_an_image_folder_may_be_the_teachers() {
    let scratch = Scratch::new();
    let folder = scratch.folder(&WeightsHeader::default(), &[("config.json", timm())]);
    let recipe = |weights: &str| {
        let text = RECIPE.replace("fashion_mnist_small", "folder");
        let text = format!("{text}\n[teacher]\nmodel = \"resnet8\"\n{weights}");
        fs::write(scratch.path("recipe.toml"), text).unwrap();
        Recipe::load(&scratch.path("recipe.toml"), &[])
    };
    let with = recipe(&format!("weights = '{}'", folder.display())).unwrap();
    let data = with.complete(&mut Silent).unwrap().data;
    assert_eq!((data.size, data.crop_pct), (Some(28), None));
    assert_eq!(data.interpolation, Some(Interpolation::Bilinear));
    let error = recipe("").unwrap_err().to_string();
    assert!(error.contains("data.size"), "{error}");
}

#[test]
fn how_images_come_to_that_size_goes_with_it() {
    let scratch = Scratch::new();
    let mut described = timm();
    described["pretrained_cfg"]["crop_pct"] = json!(0.8);
    described["pretrained_cfg"]["interpolation"] = json!("lanczos");
    let folder = scratch.folder(&of_resnet8(), &[("config.json", described)]);
    let data = |keys: &str, teacher: &str, notes: &mut Notes| {
        let named = format!("\"folder\"\n{keys}");
        let text = RECIPE.replace("\"fashion_mnist_small\"", &named);
        let weights = folder.display();
        let text = format!("{text}\n[teacher]\nweights = '{weights}'\n{teacher}");
        fs::write(scratch.path("recipe.toml"), text).unwrap();
        let recipe = Recipe::load(&scratch.path("recipe.toml"), &[]).unwrap();
        let data = recipe.complete(notes).unwrap().data;
        (data.size, data.resize, data.crop_pct, data.interpolation)
    };
    let (bilinear, lanczos) = (Interpolation::Bilinear, Interpolation::Lanczos);
    for (keys, teacher, want) in [
        ("", "", (Some(28), None, Some(0.8), Some(lanczos))),
        ("size = 28", "", (Some(28), None, Some(0.8), Some(lanczos))),
        ("resize = 30", "", (Some(28), Some(30), None, Some(lanczos))),
        (
            "interpolation = \"bilinear\"",
            "",
            (Some(28), None, Some(0.8), Some(bilinear)),
        ),
        // Images of another size are the recipe's affair.
        ("size = 20", "", (Some(20), None, None, Some(bilinear))),
        (
            "size = 28",
            "size = 28",
            (Some(28), None, None, Some(bilinear)),
        ),
    ] {
        let found = data(keys, teacher, &mut Notes::default());
        assert_eq!(found, want, "{keys} {teacher}");
    }
    let mut notes = Notes::default();
    data("", "", &mut notes);
    let told = "data.size = 28, data.crop_pct = 0.8, data.interpolation = \"lanczos\"";
    assert!(said(&notes, told), "{:?}", notes.0);
}

#[test]
fn an_address_of_the_hub_is_no_path() {
    let scratch = Scratch::new();
    for address in ["hf://timm/resnet18.a1_in1k", "hf://a/b@refs/pr/1/x.pth"] {
        let recipe = scratch.recipe("model = \"resnet8\"", Path::new(address));
        let weights = recipe.teacher.unwrap().weights.unwrap();
        assert_eq!(weights, Path::new(address));
    }
    let text = format!("{RECIPE}\n[teacher]\nmodel = \"resnet8\"\nweights = 'hf://resnet18'\n");
    fs::write(scratch.path("recipe.toml"), text).unwrap();
    let error = Recipe::load(&scratch.path("recipe.toml"), &[])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("hf://resnet18: the hub's repositories are called organisation/name"),
        "{error}"
    );
}
