//! Memory for tests, in which reading or writing what a kernel may not touch shows.

use std::mem::MaybeUninit;

use crate::images::Size;

/// Numbers in `[-1, 1)` that follow from a key.
pub(crate) fn numbers(key: &str, count: usize) -> Vec<f32> {
    let numbers = kd_goldens::uniform(key, count);
    numbers.into_iter().map(|v| v as f32).collect()
}

/// Dense values with a gap of NaN after each pixel but the last.
pub(crate) fn with_gap(values: &[f32], size: Size, gap: usize) -> Vec<f32> {
    let mut spread: Vec<f32> = values
        .chunks(size.channels)
        .flat_map(|pixel| pixel.iter().copied().chain(vec![f32::NAN; gap]))
        .collect();
    spread.truncate(spread.len() - gap);
    spread
}

/// What `fill` writes: every value, and nothing behind the last.
pub(crate) fn written(len: usize, fill: impl FnOnce(&mut [MaybeUninit<f32>])) -> Vec<f32> {
    const UNTOUCHED: u32 = 0x7fc0_1234;
    let mut places = vec![MaybeUninit::new(f32::from_bits(UNTOUCHED)); len + 32];
    fill(&mut places[..len]);
    // SAFETY: they had values from the beginning.
    let values = places
        .into_iter()
        .map(|place| unsafe { place.assume_init() });
    let mut values: Vec<f32> = values.collect();
    for (index, value) in values.iter().enumerate() {
        let untouched = value.to_bits() == UNTOUCHED;
        assert_eq!(untouched, index >= len, "value {index} of {len}");
    }
    values.truncate(len);
    values
}
