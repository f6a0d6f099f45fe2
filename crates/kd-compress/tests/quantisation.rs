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
