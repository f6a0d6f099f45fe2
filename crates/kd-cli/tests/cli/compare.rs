//! Runs side by side.

use std::fs;

use super::{
    TINY, call, call_with, fails,
    run::{finish, kd},
};

#[test]
fn runs_are_compared_seed_by_seed() {
    let (folder, first) = call_with(TINY, &["train", "tiny.toml", "--out", "runs/a"]);
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    let ask = |arguments: &[&str]| finish(kd(folder.path(), arguments));
    let again = [
        "train",
        "tiny.toml",
        "--out",
        "runs/b",
        "--set",
        "train.lr.peak=0.04",
    ];
    assert_eq!(ask(&again).code, Some(0));

    let told = ask(&["compare", "runs/a", "runs/b", "--html", "runs/both.html"]);
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    for part in ["| a ", "| b ", "top-1"] {
        assert!(told.stdout.contains(part), "{}", told.stdout);
    }
    let page = fs::read_to_string(folder.path().join("runs/both.html")).unwrap();
    assert!(
        page.contains("href=\"b/report.html\"") && page.contains("train.lr.peak"),
        "{page}"
    );

    let other = [
        "train",
        "tiny.toml",
        "--out",
        "runs/c",
        "--set",
        "data.test_limit=9",
    ];
    assert_eq!(ask(&other).code, Some(0));
    fails(
        &ask(&["compare", "runs/a", "runs/c"]),
        3,
        &["runs/c measured other images than runs/a"],
    );
    fails(
        &ask(&["compare", "runs/a", "runs"]),
        3,
        &["summary.json", "`kd train` finished"],
    );
    fails(&call(&["compare", "runs/a"]), 2, &["RUN"]);
}
