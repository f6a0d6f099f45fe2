//! Every case of `quantization.json`.

mod quantised;

#[test]
fn arithmetic_has_its_golden_values_and_gradients() {
    quantised::arithmetic();
}

#[test]
fn observers_find_their_golden_ranges() {
    quantised::observers();
}

#[test]
fn calibration_finds_its_golden_ranges() {
    quantised::calibration();
}

#[test]
fn integer_convolutions_are_equal_in_every_element() {
    quantised::integers();
}

#[test]
fn more_bits_are_nearer_and_floats_stay_where_they_are_kept() {
    quantised::network::bits();
}

#[test]
fn weights_are_rounded_for_what_inputs_have_in_common() {
    quantised::network::learned_rounding();
}

#[test]
fn bad_requests_are_told() {
    quantised::network::refused();
}

#[test]
fn a_transformer_says_that_it_cannot() {
    quantised::network::transformers();
}

#[test]
fn every_family_has_a_file_of_integers() {
    quantised::network::files();
}
