//! Batches whose sequences are about as long, so that little is padding.

use crate::random::Stream;

/// Batches in a pool.
const POOL: usize = 50;

/// Places of sequences by batches, in an order that follows from the seed: sequences are shuffled, those of a pool of 50
/// batches sorted by length, and the batches shuffled. The last batch may be smaller.
pub fn pools(lengths: &[usize], batch: usize, seed: u64) -> Vec<Vec<usize>> {
    let order = shuffled(lengths.len(), seed);
    let mut batches = Vec::with_capacity(lengths.len().div_ceil(batch));
    for pool in order.chunks(batch * POOL) {
        let mut pool = pool.to_vec();
        pool.sort_by_key(|place| lengths[*place]);
        batches.extend(pool.chunks(batch).map(<[usize]>::to_vec));
    }
    let order = shuffled(batches.len(), seed.wrapping_add(1));
    order
        .into_iter()
        .map(|at| std::mem::take(&mut batches[at]))
        .collect()
}

/// Numbers from 0 in an order that follows from the seed.
pub(super) fn shuffled(count: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    Stream::new([seed, count as u64, 0, 0]).shuffle(&mut order);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sequence_comes_once_and_little_is_padding() {
        let lengths: Vec<usize> = (0..2003).map(|i| 4 + i * 7 % 41).collect();
        let batches = pools(&lengths, 16, 3);
        let mut all: Vec<usize> = batches.concat();
        all.sort_unstable();
        assert_eq!(all, (0..2003).collect::<Vec<_>>());
        let padded = |batches: &[Vec<usize>]| {
            let of = |batch: &Vec<usize>| {
                batch.len() * batch.iter().map(|place| lengths[*place]).max().unwrap()
            };
            batches.iter().map(of).sum::<usize>() as f64 / lengths.iter().sum::<usize>() as f64
        };
        assert!(padded(&batches) < 1.05, "{}", padded(&batches));
        let as_they_come: Vec<usize> = (0..2003).collect();
        let as_they_come: Vec<Vec<usize>> =
            as_they_come.chunks(16).map(<[usize]>::to_vec).collect();
        assert!(padded(&as_they_come) > 1.5);
        assert_eq!(batches, pools(&lengths, 16, 3));
        assert_ne!(batches, pools(&lengths, 16, 4));
    }
}
