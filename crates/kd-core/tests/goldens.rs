//! Every case of `losses.json` whose loss this crate has.

mod losses;

#[test]
fn losses_match_their_golden_values_and_gradients() {
    losses::run(&burn::tensor::Device::flex());
}
