//! Every case of `pruning.json`, and masked networks against pruned ones.

mod pruned;

#[test]
fn groups_are_the_golden_ones() {
    pruned::golden::groups();
}

#[test]
fn scores_are_the_golden_ones() {
    pruned::golden::scores();
}

#[test]
fn plans_leave_the_golden_networks() {
    pruned::golden::plans();
}

#[test]
fn detectors_compute_the_same_masked_and_pruned() {
    pruned::detectors::masked_is_pruned();
}

#[test]
fn every_family_computes_the_same_masked_and_pruned() {
    pruned::registry::masked_is_pruned();
}
