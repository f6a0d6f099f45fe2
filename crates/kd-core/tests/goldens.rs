//! Every case of the files of losses, and that every method has one.

mod losses;

use burn::tensor::{DType, Device};
use kd_core::methods;

#[test]
fn losses_match_their_golden_values_and_gradients() {
    losses::run(&Device::flex());
}

#[test]
fn terms_with_adapters_match_their_golden_values_and_gradients() {
    losses::run_more(&Device::flex(), DType::F64);
}

#[test]
fn terms_with_adapters_are_the_same_in_single_precision() {
    losses::run_more(&Device::flex(), DType::F32);
}

#[test]
fn losses_of_detectors_match_their_golden_values_and_gradients() {
    losses::run_detection(&Device::flex(), DType::F64);
}

#[test]
fn losses_of_detectors_are_the_same_in_single_precision() {
    losses::run_detection(&Device::flex(), DType::F32);
}

/// Cases that are named otherwise than their methods.
const OTHER_NAMES: [(&str, &str); 13] = [
    ("attention_mse_real_tokens", "tinybert_attention"),
    ("bce_kd", "bce"),
    ("deit_hard", "hard_labels"),
    ("gkd_beta", "gjsd"),
    ("hcl", "reviewkd"),
    ("hidden_mse_real_tokens", "tinybert_hidden"),
    ("label_smoothing_ce", "cross_entropy"),
    ("minilm_v1", "minilm"),
    ("mse_logits", "squared_logits"),
    ("roi_loss", "detection_loss"),
    ("rpn_loss", "detection_loss"),
    ("ssd_multibox_loss", "detection_loss"),
    ("takd", "kd"),
];

/// The method that a case stands for: the longest name that the case's begins with.
fn method_of(case: &str) -> Option<&'static str> {
    let begins = |name: &str| {
        let rest = case.strip_prefix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
    };
    if let Some((_, method)) = OTHER_NAMES.iter().find(|(name, _)| begins(name)) {
        return Some(method);
    }
    let names = methods().into_iter().map(|method| method.name);
    names
        .filter(|name| begins(name))
        .max_by_key(|name| name.len())
}

#[test]
fn every_method_has_a_case_and_the_readme_counts_them() {
    let mut cases = Vec::new();
    for (file, list) in [
        ("losses.json", "cases"),
        ("losses_more.json", "cases"),
        ("detection_losses.json", "cases"),
        ("box_head.json", "cases"),
        ("matched_detections.json", "cases"),
        ("fine_grained.json", "cases"),
        ("fbkd.json", "cases"),
        ("retinanet.json", "cases"),
        ("transformers_more.json", "losses"),
    ] {
        let golden = kd_goldens::read(file);
        let listed = golden[list].as_array().expect("a list of cases").iter();
        cases.extend(listed.map(|case| case["name"].as_str().expect("a name").to_owned()));
    }
    let covered: Vec<&str> = cases.iter().filter_map(|case| method_of(case)).collect();
    let names: Vec<&str> = methods().iter().map(|method| method.name).collect();
    let without: Vec<&&str> = names.iter().filter(|n| !covered.contains(n)).collect();
    assert!(without.is_empty(), "no golden case for {without:?}");

    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
    let readme = std::fs::read_to_string(readme).expect("the README");
    let said = format!("all {} methods, {} cases", names.len(), cases.len());
    assert!(readme.contains(&said), "the README does not say `{said}`");
}
