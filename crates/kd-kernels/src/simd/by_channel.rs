//! What is done to each channel of some pixels by itself.

use super::Simd;

/// Registers of channels that are taken together.
const WIDE: usize = 4;

/// What is done to each channel by itself, for some registers of them at a time.
pub(crate) trait ByChannel {
    fn channels(&self) -> usize;

    /// Does `Z` registers of channels from `channel` on, or one that is not full.
    fn block<S: Simd, const Z: usize>(&mut self, s: S, channel: usize);

    /// Does all channels.
    #[inline(always)]
    fn every_block<S: Simd>(mut self, s: S)
    where
        Self: Sized,
    {
        let channels = self.channels();
        let mut channel = 0;
        while channel + WIDE * S::LANES <= channels {
            self.block::<S, WIDE>(s, channel);
            channel += WIDE * S::LANES;
        }
        while channel < channels {
            self.block::<S, 1>(s, channel);
            channel += S::LANES;
        }
    }
}

/// Channels from `channel` on.
///
/// # Panics
/// When they are not `Z` registers or more, nor one that is not full.
#[inline(always)]
pub(crate) fn left<S: Simd, const Z: usize>(channels: usize, channel: usize) -> usize {
    let left = channels.saturating_sub(channel);
    assert!(left >= Z * S::LANES || (Z == 1 && left > 0));
    left
}

/// The values of `Z` registers of channels from `channel` on.
#[inline(always)]
pub(crate) fn registers<S: Simd, const Z: usize>(
    s: S,
    values: &[f32],
    channel: usize,
) -> [S::V; Z] {
    std::array::from_fn(|z| s.read(&values[channel + z * S::LANES..]))
}
