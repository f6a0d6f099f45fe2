//! The same numbers on every backend of this build.
//!
//! `KD_TEST_DEVICES` lists the devices (as `--device` names them, comma-separated) that must be
//! tested; without it, only the default one is, which needs no driver.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

// Terms with adapters run in double precision, which some devices do not have.
#[allow(dead_code)]
#[path = "../../kd-core/tests/losses/mod.rs"]
mod losses;
mod run;

// The table of devices is private to the binary; here it opens them for the loss goldens.
#[allow(dead_code)]
#[path = "../src/device.rs"]
mod device;

use std::{fs, path::Path};

use run::{TINY, finish, kd};
use serde_json::Value;

fn devices() -> Vec<String> {
    let listed = std::env::var("KD_TEST_DEVICES").unwrap_or_default();
    let listed: Vec<String> = listed
        .split(',')
        .filter(|name| !name.is_empty())
        .map(String::from)
        .collect();
    if listed.is_empty() {
        vec![device::preferred().expect("a backend").to_string()]
    } else {
        listed
    }
}

#[test]
fn losses_match_their_golden_values_on_every_device() {
    for name in devices() {
        println!("loss goldens on {name}");
        let selection = device::parse(&name).unwrap_or_else(|e| panic!("{name}: {e}"));
        losses::run(&selection.open().unwrap());
    }
}

#[test]
fn a_distillation_starts_the_same_on_every_device() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tiny.toml"), TINY).unwrap();
    let losses: Vec<(String, f64)> = devices()
        .into_iter()
        .map(|name| {
            let loss = first_epoch_loss(folder.path(), &name);
            println!("first-epoch loss on {name}: {loss:.6}");
            (name, loss)
        })
        .collect();
    let (first, want) = &losses[0];
    for (name, loss) in &losses[1..] {
        assert!(
            (loss - want).abs() < 1e-3,
            "{name}: {loss}, {first}: {want}"
        );
    }
}

/// Runs the tiny recipe on a device; the distilled student's mean loss over its first epoch.
fn first_epoch_loss(folder: &Path, device: &str) -> f64 {
    let out = format!("run-{}", device.replace(':', "-"));
    let finished = finish(kd(
        folder,
        &["train", "tiny.toml", "--device", device, "--out", &out],
    ));
    assert_eq!(finished.code, Some(0), "{device}: {}", finished.stderr);
    print!("{}", finished.stdout);

    let summary = fs::read_to_string(folder.join(&out).join("summary.json")).expect("a summary");
    let summary: Value = serde_json::from_str(&summary).expect("JSON");
    assert_eq!(summary["device"], device);

    let metrics = fs::read_to_string(folder.join(&out).join("metrics.jsonl")).expect("metrics");
    metrics
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .find(|r| r["kind"] == "epoch" && r["role"] == "distilled" && r["epoch"] == 1)
        .and_then(|record| record["loss"].as_f64())
        .unwrap_or_else(|| panic!("{device}: no epoch record in {metrics}"))
}
