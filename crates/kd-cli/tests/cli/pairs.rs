//! `kd pairs` on one small pair, and its page of the book.

use std::fs;

use super::{
    call, fails,
    run::{finish, kd},
};

#[test]
fn every_loss_works_on_a_small_pair_or_says_why_not() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["pairs", "resnet14", "resnet8", "--write", "page.md"];
    let finished = finish(kd(folder.path(), &arguments));
    assert_eq!(
        finished.code,
        Some(0),
        "{}{}",
        finished.stdout,
        finished.stderr
    );
    let page = fs::read_to_string(folder.path().join("page.md")).unwrap();
    for name in kd_core::TermConfig::NAMES {
        let row = |mark: &str| format!("| `{name}` | {mark} |\n");
        let reason = format!("- – `{name}`: reads ");
        assert!(
            page.contains(&row("✓")) || page.contains(&row("–")) && page.contains(&reason),
            "{name} in {page}"
        );
    }
    assert!(page.contains("| `minilm_relation` | – |"), "{page}");
}

#[test]
fn a_pair_is_two_networks_that_exist() {
    fails(&call(&["pairs", "resnet14"]), 2, &["STUDENT"]);
    fails(
        &call(&["pairs", "resnet14", "resnet9"]),
        3,
        &["resnet9", "`resnet8`"],
    );
    fails(
        &call(&["pairs", "--only", "kdd"]),
        3,
        &["`kdd`", "cross_entropy"],
    );
    fails(&call(&["pairs", "--batch", "2"]), 2, &["--batch"]);
}

#[test]
fn the_books_page_of_pairs_has_every_loss_and_no_failure() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/src/pairs.md");
    let page = fs::read_to_string(page).expect("the page");
    for name in kd_core::TermConfig::NAMES {
        assert!(
            page.contains(&format!("\n| `{name}` | ")),
            "{name}: run `cargo xtask pairs`, which writes the page"
        );
    }
    assert!(!page.contains("| ✗ |"), "{page}");
}
