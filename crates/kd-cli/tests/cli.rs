//! What `kd` says and how it ends, above all when something is wrong.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

#[path = "cli/bench.rs"]
mod bench;
#[path = "cli/cluster.rs"]
mod cluster;
#[path = "cli/compare.rs"]
mod compare;
#[path = "cli/deploy.rs"]
mod deploy;
#[path = "cli/detection.rs"]
mod detection;
#[path = "cli/diagnose.rs"]
mod diagnose;
#[path = "cli/eval.rs"]
mod eval;
#[path = "cli/export.rs"]
mod export;
#[path = "cli/hub.rs"]
mod hub;
#[path = "cli/improve.rs"]
mod improve;
#[path = "cli/pairs.rs"]
mod pairs;
#[path = "cli/prune.rs"]
mod prune;
#[path = "cli/quantise.rs"]
mod quantise;
mod run;
#[path = "cli/search.rs"]
mod search;
#[path = "cli/several_gpus.rs"]
mod several_gpus;
#[path = "cli/study.rs"]
mod study;
#[path = "cli/teacher.rs"]
mod teacher;
#[path = "cli/watch.rs"]
mod watch;
#[path = "cli/workers.rs"]
mod workers;

use std::{fs, path::Path};

use run::{Finished, TINY, finish, kd};
use tempfile::TempDir;

/// Calls `kd` in a folder that holds the tiny recipe, changed by `edit`.
fn call_with(recipe: &str, arguments: &[&str]) -> (TempDir, Finished) {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("tiny.toml"), recipe).expect("the recipe is written");
    let finished = finish(kd(folder.path(), arguments));
    (folder, finished)
}

fn call(arguments: &[&str]) -> Finished {
    call_with(TINY, arguments).1
}

/// A call that must fail with `code`, once, and say every one of `parts`.
fn fails(finished: &Finished, code: i32, parts: &[&str]) {
    let Finished { stderr, .. } = finished;
    assert_eq!(finished.code, Some(code), "{stderr}");
    assert_eq!(stderr.matches("error:").count(), 1, "{stderr}");
    for part in parts {
        assert!(stderr.contains(part), "`{part}` is not in: {stderr}");
    }
    assert!(
        !stderr.contains("panicked") && !stderr.contains("backtrace"),
        "{stderr}"
    );
}

#[test]
fn help_tells_a_newcomer_where_to_begin() {
    let help = call(&["--help"]);
    assert_eq!(help.code, Some(0));
    for part in ["kd train recipes/quickstart.toml", "Exit codes", "130"] {
        assert!(help.stdout.contains(part), "{}", help.stdout);
    }
}

#[test]
fn an_unknown_device_is_a_usage_error() {
    let finished = call(&["train", "tiny.toml", "--device", "flx"]);
    fails(&finished, 2, &["`flex`", "--device"]);
}

#[test]
#[cfg(not(feature = "cuda"))]
fn a_device_that_is_not_built_in_says_how_to_build_it() {
    let finished = call(&["train", "tiny.toml", "--device", "cuda:1"]);
    fails(
        &finished,
        2,
        &["cargo build -p kd-cli --features cuda", "--backend cuda"],
    );
}

#[test]
fn a_typo_in_a_recipe_is_shown_with_its_line() {
    let recipe = TINY.replace("epochs = 1", "epoch = 1");
    let line = recipe.lines().position(|l| l.starts_with("epoch")).unwrap() + 1;
    let (_folder, finished) = call_with(&recipe, &["train", "tiny.toml"]);
    let place = format!("tiny.toml:{line}");
    fails(&finished, 3, &[&place, "`epoch`", "did you mean `epochs`"]);
}

#[test]
fn an_override_of_an_unknown_key_names_it() {
    let finished = call(&["train", "tiny.toml", "--set", "train.epoch=1"]);
    fails(&finished, 3, &["train.epoch=1", "did you mean `epochs`"]);
    let finished = call(&["train", "tiny.toml", "--set", "train.epochs"]);
    fails(&finished, 3, &["key=value"]);
}

#[test]
fn an_unknown_model_gets_the_nearest_name() {
    let finished = call(&["train", "tiny.toml", "--set", "student.model=resnet9"]);
    fails(&finished, 3, &["resnet9", "`resnet8`"]);
    let finished = call(&["models", "resnet9"]);
    fails(&finished, 3, &["resnet9", "`resnet8`"]);
}

#[test]
fn a_missing_recipe_is_named() {
    let finished = call(&["train", "none.toml"]);
    fails(&finished, 3, &["none.toml"]);
}

#[test]
fn missing_weights_are_named() {
    let finished = call(&["train", "tiny.toml", "--set", "teacher.weights=none.pth"]);
    fails(&finished, 3, &["none.pth"]);
    let finished = call(&[
        "eval",
        "--model",
        "resnet8",
        "--weights",
        "none.pth",
        "--data",
        "fashion_mnist_small",
    ]);
    fails(&finished, 3, &["none.pth"]);
}

#[test]
fn data_of_an_unknown_name_get_the_nearest() {
    let finished = call(&["train", "tiny.toml", "--set", "data.name=cifar_100"]);
    fails(&finished, 3, &["cifar_100", "`cifar100`"]);
}

#[test]
fn data_are_looked_for_where_the_environment_says() {
    let overrides = ["data.name=cifar10", "data.download=false"];
    let mut arguments = vec!["train", "tiny.toml"];
    arguments.extend(overrides.iter().flat_map(|o| ["--set", o]));
    let looked_in = |arguments: &[&str], place: &str| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("tiny.toml"), TINY).unwrap();
        let mut command = kd(folder.path(), arguments);
        command.env("KD_DATA", "sets");
        let place = format!("looked for: {place}/cifar-10-batches-bin");
        fails(&finish(command), 3, &[&place, "KD_DATA"]);
    };
    looked_in(&arguments, "sets");
    arguments.extend(["--set", "data.dir=mine"]);
    looked_in(&arguments, "mine");
}

#[test]
fn an_image_folder_without_images_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tiny.toml"), TINY).unwrap();
    fs::create_dir_all(folder.path().join("images/train/cat")).unwrap();
    let arguments = [
        "train",
        "tiny.toml",
        "--set",
        "data.name=folder",
        "--set",
        "data.dir=images",
        "--set",
        "data.size=32",
    ];
    fails(&finish(kd(folder.path(), &arguments)), 3, &["images"]);
}

#[test]
fn rkd_refuses_a_batch_of_one() {
    let recipe = TINY
        .replace("objective.kd", "objective.rkd")
        .replace("batch = 32", "batch = 1");
    let (_folder, finished) = call_with(&recipe, &["train", "tiny.toml", "--quiet"]);
    fails(&finished, 3, &["rkd"]);
}

#[test]
fn a_run_folder_that_cannot_be_written_is_named() {
    let finished = call(&["train", "tiny.toml", "--out", "tiny.toml/run"]);
    fails(&finished, 1, &["tiny.toml/run"]);
}

#[test]
fn a_study_and_a_recipe_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tiny.toml"), TINY).unwrap();
    let study = "recipe = \"tiny.toml\"\n[variants.kd]\n";
    fs::write(folder.path().join("study.toml"), study).unwrap();
    let train = finish(kd(folder.path(), &["train", "study.toml"]));
    fails(
        &train,
        3,
        &["study.toml: this is a study", "`kd study study.toml`"],
    );
    let study = finish(kd(folder.path(), &["study", "tiny.toml"]));
    fails(
        &study,
        3,
        &["tiny.toml: this is a recipe", "`kd train tiny.toml`"],
    );
}

#[test]
fn a_report_needs_a_run_folder() {
    let folder = tempfile::tempdir().unwrap();
    let finished = finish(kd(folder.path(), &["report", "."]));
    fails(&finished, 3, &["summary.json"]);
}

#[test]
fn a_backtrace_setting_adds_no_noise() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = kd(folder.path(), &["train", "none.toml"]);
    command.env("RUST_BACKTRACE", "1");
    let finished = finish(command);
    fails(&finished, 3, &["none.toml"]);
    assert_eq!(
        finished.stderr.trim_end().lines().count(),
        1,
        "{}",
        finished.stderr
    );
}

#[test]
fn lists_are_complete_and_name_their_details() {
    let models = call(&["models"]);
    assert_eq!(models.code, Some(0), "{}", models.stderr);
    for name in [
        "resnet8x4",
        "wrn_40_2",
        "shufflenet_v2",
        "mobilenet_v2",
        "vgg16_bn_224",
    ] {
        assert!(models.stdout.contains(name), "{}", models.stdout);
    }
    let large = call(&["models", "torchvision.resnet18", "--classes", "1000"]);
    for part in [
        "resnet18_224, ResNet",
        "images of 224x224; divides height and width by 32",
        "11689512",
    ] {
        assert!(large.stdout.contains(part), "{}", large.stdout);
    }
    let small = call(&["models", "--size", "28"]);
    let row = |name: &str| small.stdout.lines().find(|l| l.contains(name)).unwrap();
    assert!(
        row("vgg16_bn_224").contains("too small"),
        "{}",
        small.stdout
    );
    assert!(row("resnet18_224").contains(" 32 "), "{}", small.stdout);
    let vgg = call(&["models", "vgg16_224", "--size", "28"]);
    fails(&vgg, 3, &["size = 28", "use a larger size"]);
    let model = call(&["models", "ShuffleV2"]);
    assert!(
        model.stdout.starts_with("shufflenet_v2"),
        "{}",
        model.stdout
    );
    let methods = call(&["methods"]);
    assert!(methods.stdout.contains("dkd"), "{}", methods.stdout);
    let method = call(&["methods", "kd"]);
    assert!(
        method.stdout.contains("temperature = 4"),
        "{}",
        method.stdout
    );
    fails(&call(&["methods", "kdd"]), 3, &["kdd", "there are"]);
    let typo = call(&["methods", "fitnett"]);
    fails(&typo, 3, &["`fitnett`, did you mean `fitnet`?"]);
    let devices = call(&["devices"]);
    assert!(devices.stdout.contains("flex"), "{}", devices.stdout);
}

#[test]
fn a_run_writes_its_folder_and_plain_lines_to_a_pipe() {
    let (folder, finished) = call_with(TINY, &["train", "tiny.toml"]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(!finished.stderr.contains('\u{1b}'), "{}", finished.stderr);
    for part in [
        "fashion_mnist_small: 10 classes; 64 training, 7 validation and 32 test samples; device flex, ",
        "student distilled, seed 1, epoch 1/1",
        "cross_entropy",
        "kd",
    ] {
        assert!(finished.stderr.contains(part), "{}", finished.stderr);
    }
    for part in [
        "teacher (resnet8)",
        "student alone",
        "distilled minus alone",
        "student.safetensors is the student distilled, seed 1",
        "runs/tiny",
    ] {
        assert!(finished.stdout.contains(part), "{}", finished.stdout);
    }
    let run = folder.path().join("runs/tiny");
    for file in [
        "recipe.toml",
        "metrics.jsonl",
        "student.safetensors",
        "summary.json",
        "report.html",
    ] {
        assert!(run.join(file).is_file(), "{file}");
    }
    evaluate_student(folder.path());
    stops_when_asked(folder.path(), "-INT", 130);
    stops_when_asked(folder.path(), "-TERM", 143);
    reports_an_unfinished_run(folder.path());
}

/// The run that was stopped has metrics.
fn reports_an_unfinished_run(folder: &Path) {
    let finished = finish(kd(folder, &["report", "runs/long-INT"]));
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(
        finished.stderr.contains("not finished"),
        "{}",
        finished.stderr
    );
    let page = fs::read_to_string(folder.join("runs/long-INT/report.html")).unwrap();
    assert!(page.contains("This run is not finished"));
    let eval = finish(kd(folder, &["eval", "runs/long-INT"]));
    fails(
        &eval,
        3,
        &["student.safetensors", "checkpoints", "--weights"],
    );
}

/// The student of the run, through `kd eval`.
fn evaluate_student(folder: &Path) {
    let arguments = [
        "eval",
        "--model",
        "resnet8",
        "--weights",
        "runs/tiny/student.safetensors",
        "--data",
        "fashion_mnist_small",
    ];
    let finished = finish(kd(folder, &arguments));
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(finished.stdout.contains("top-1"), "{}", finished.stdout);

    export::export_student(folder);

    // The run folder knows all of it; the numbers are those of its summary.
    let of_run = finish(kd(folder, &["eval", "runs/tiny"]));
    assert_eq!(of_run.code, Some(0), "{}", of_run.stderr);
    let says = "resnet8 on 32 test images of fashion_mnist_small";
    assert!(of_run.stdout.contains(says), "{}", of_run.stdout);
    let summary = fs::read_to_string(folder.join("runs/tiny/summary.json")).unwrap();
    let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
    let networks = summary["networks"].as_array().unwrap();
    let distilled = networks.iter().find(|n| n["role"] == "distilled").unwrap();
    let top1 = distilled["test"]["list"][0]["value"].as_f64().unwrap();
    let shown = format!("{top1:.2} %");
    assert!(of_run.stdout.contains(&shown), "{shown}: {}", of_run.stdout);
    let teacher = "runs/tiny/checkpoints/teacher-seed1.safetensors";
    let of_teacher = finish(kd(folder, &["eval", "runs/tiny", "--weights", teacher]));
    assert_eq!(of_teacher.code, Some(0), "{}", of_teacher.stderr);
    fails(
        &finish(kd(folder, &["eval", "runs"])),
        3,
        &["runs", "holds no recipe.toml"],
    );
    fails(&finish(kd(folder, &["eval"])), 2, &["RUN"]);

    let mut of_another = arguments;
    of_another[2] = "resnet20";
    let finished = finish(kd(folder, &of_another));
    fails(&finished, 3, &["student.safetensors", "missing"]);
}

/// A run that would take hours is asked to stop, and goes on.
fn stops_when_asked(folder: &Path, signal: &str, code: i32) {
    use std::{
        io::{BufRead, BufReader},
        process::{Command, Stdio},
    };

    let out = format!("runs/long{signal}");
    let arguments = [
        "train",
        "tiny.toml",
        "--set",
        "train.epochs=100000",
        "--out",
        &out,
    ];
    let resumed = ["train", "--resume", &out];
    for (arguments, first) in [
        (arguments.as_slice(), "epoch 1/"),
        (&resumed, "goes on in epoch"),
    ] {
        let mut child = kd(folder, arguments)
            .stderr(Stdio::piped())
            .spawn()
            .expect("kd starts");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let begun = lines
            .by_ref()
            .any(|line| line.expect("text").contains(first));
        assert!(begun, "{first} was not told");
        let pid = child.id().to_string();
        let killed = Command::new("kill").args([signal, &pid]).status();
        assert!(killed.expect("kill starts").success());
        let rest: Vec<_> = lines.map_while(Result::ok).collect();
        assert_eq!(
            child.wait().expect("kd ends").code(),
            Some(code),
            "{rest:?}"
        );
        for part in [
            "error: stopped in epoch",
            &format!("to go on: kd train --resume {out}"),
        ] {
            assert!(rest.iter().any(|l| l.starts_with(part)), "{rest:?}");
        }
    }
}

#[test]
fn runs_that_start_together_get_names_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tiny.toml"), TINY).unwrap();
    let start = || {
        let mut command = kd(folder.path(), &["train", "tiny.toml", "--fresh", "--quiet"]);
        command.stdout(std::process::Stdio::null()).spawn().unwrap()
    };
    let runs = [start(), start(), start()];
    for mut run in runs {
        assert!(run.wait().unwrap().success());
    }
    for name in ["tiny", "tiny-2", "tiny-3"] {
        let summary = folder.path().join("runs").join(name).join("summary.json");
        assert!(summary.exists(), "{name}");
    }
}

#[test]
fn resuming_says_what_is_there() {
    let (folder, finished) = call_with(TINY, &["train", "--resume", "runs/tiny"]);
    fails(&finished, 3, &["there is no run in runs/tiny"]);
    let run = |arguments: &[&str]| finish(kd(folder.path(), arguments));
    assert_eq!(run(&["train", "tiny.toml"]).code, Some(0));
    let again = run(&["train", "tiny.toml", "--resume", "runs/tiny"]);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert!(again.stderr.contains("is finished"), "{}", again.stderr);
    assert!(
        again.stdout.contains("distilled minus alone"),
        "{}",
        again.stdout
    );
}

#[test]
fn a_recipe_that_is_no_text_is_the_users_mistake() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tiny.toml"), b"name = \"\xff\"").unwrap();
    fails(
        &finish(kd(folder.path(), &["train", "tiny.toml"])),
        3,
        &["tiny.toml", "UTF-8"],
    );
}

#[test]
fn the_books_catalogue_of_methods_is_what_kd_says() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/src/methods.md");
    let page = fs::read_to_string(page).expect("the page");
    let said = call(&["methods", "--markdown"]).stdout;
    assert!(
        page == said,
        "run `cargo xtask book`, which writes the page"
    );
}

#[test]
fn a_network_is_exported_whole_or_refused_with_what_is_possible() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = kd_models::NetworkConfig::new("resnet8", 10, 3);
    let network = kd_models::Network::new(&config, &Default::default()).unwrap();
    let header = [
        ("classes".into(), "10".into()),
        ("model".into(), "resnet8".into()),
    ];
    let weights = folder.path().join("w.safetensors");
    network.save(weights, &header).unwrap();
    let export = |format: &str| {
        let arguments = ["export", "--weights", "w.safetensors", "--format", format];
        finish(kd(
            folder.path(),
            &[&arguments[..], &["--out", "out"]].concat(),
        ))
    };
    let refused = export("timm");
    fails(
        &refused,
        3,
        &["`resnet8` cannot be exported for timm", "as safetensors"],
    );
    assert!(!folder.path().join("out").exists());
    assert_eq!(export("onyx").code, Some(2));
    let written = export("safetensors");
    assert_eq!(written.code, Some(0), "{}", written.stderr);
    assert!(folder.path().join("out/model.safetensors").exists());
    fails(&export("safetensors"), 3, &["out: already exists"]);
}

#[test]
fn converted_weights_measure_the_same_and_nothing_is_written_over() {
    let weights = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../recipes/weights/cifar100_resnet56.safetensors"
    );
    let folder = tempfile::tempdir().expect("a folder");
    let convert = |output: &str| {
        let network = ["--model", "resnet56", "--classes", "100"];
        let arguments = [["convert", weights, output].as_slice(), &network].concat();
        finish(kd(folder.path(), &arguments))
    };
    let finished = convert("copy.safetensors");
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    // The header's entries have no fixed order, the values behind it do.
    let values = |path: &Path| {
        let bytes = fs::read(path).expect("weights");
        let header: [u8; 8] = bytes[..8].try_into().expect("eight bytes");
        bytes[8 + u64::from_le_bytes(header) as usize..].to_vec()
    };
    let copy = values(&folder.path().join("copy.safetensors"));
    assert!(copy == values(Path::new(weights)));
    fails(&convert("copy.safetensors"), 3, &["already exists"]);
    fails(&convert("copy.pth"), 3, &["copy.pth", "*.safetensors"]);
}

#[test]
fn weights_that_name_their_network_need_no_options() {
    let weights = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../recipes/weights/cifar100_resnet56.safetensors"
    );
    let folder = tempfile::tempdir().expect("a folder");
    let convert =
        |arguments: &[&str]| finish(kd(folder.path(), &[&["convert"][..], arguments].concat()));
    let network = ["--model", "resnet56", "--classes", "100"];
    let first = convert(&[&[weights, "first.safetensors"][..], &network].concat());
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    // What was converted says what it is.
    let second = convert(&["first.safetensors", "second.safetensors"]);
    assert_eq!(second.code, Some(0), "{}", second.stderr);

    let hub = folder.path().join("hub");
    fs::create_dir(&hub).expect("a folder");
    fs::copy(weights, hub.join("model.safetensors")).expect("weights");
    fs::write(
        hub.join("config.json"),
        r#"{"num_classes": 100, "architecture": "resnet99"}"#,
    )
    .expect("a description");
    let from_folder = convert(&[&["hub", "third.safetensors"][..], &network[..2]].concat());
    assert_eq!(from_folder.code, Some(0), "{}", from_folder.stderr);

    fs::write(folder.path().join("none.bin"), "no header").expect("a file");
    for (input, parts) in [
        (
            "none.bin",
            ["do not say which network", "give --model and --classes"],
        ),
        ("hf://resnet18", ["hf://resnet18", "organisation/name"]),
    ] {
        fails(&convert(&[input, "x.safetensors"]), 3, &parts);
    }
}
