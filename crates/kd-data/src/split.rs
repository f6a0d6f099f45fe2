//! Which images train, validate and test.

use crate::random::Stream;
use crate::{DataConfig, Dataset, Error, Images};

/// Indices into [`Dataset::train`] (training, validation) and [`Dataset::test`], ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splits {
    /// Images that the network learns from.
    pub train: Vec<usize>,
    /// Images that select what is kept; from the training set.
    pub validation: Vec<usize>,
    /// Images that are read once, at the end.
    pub test: Vec<usize>,
}

/// All indices in an order of which every stretch mirrors the class frequencies.
///
/// Image `r` of the `n` of its class, shuffled, stands at `(r + 1/2) / n`. So any first `k` hold
/// each class in its share to within one image, and a smaller subset is part of a larger one.
pub fn stratified_order(labels: &[u32], seed: u64) -> Vec<usize> {
    let classes = labels.iter().max().map_or(0, |&last| last as usize + 1);
    let mut members = vec![Vec::new(); classes];
    for (index, &label) in labels.iter().enumerate() {
        members[label as usize].push(index);
    }
    // One order of the classes for ties keeps every stretch of a balanced set balanced.
    let mut rank: Vec<usize> = (0..classes).collect();
    Stream::new([seed, SPLIT, u64::MAX, 0]).shuffle(&mut rank);
    let mut keyed = Vec::with_capacity(labels.len());
    for (class, mut indices) in members.into_iter().enumerate() {
        Stream::new([seed, SPLIT, class as u64, 0]).shuffle(&mut indices);
        let n = indices.len() as f64;
        let place = |(r, index): (usize, usize)| ((r as f64 + 0.5) / n, rank[class], index);
        keyed.extend(indices.into_iter().enumerate().map(place));
    }
    keyed.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    keyed.into_iter().map(|(_, _, index)| index).collect()
}

/// Keeps these draws apart from others of the same seed.
const SPLIT: u64 = 0x73_706c_6974;

/// Draws the splits: a pure function of the labels, the limits and `split_seed`.
///
/// Validation is held out of the training set first, so it is never trained on whatever
/// `train_limit` is; with a `train_limit`, validation shrinks so that its share stays.
///
/// # Errors
/// [`Error::Config`] when a limit is 0 or larger than what there is, or when `validation` leaves
/// nothing on one side.
pub fn split(dataset: &Dataset, config: &DataConfig) -> Result<Splits, Error> {
    config.validate()?;
    let (train, validation) = if dataset.train.is_empty() {
        (Vec::new(), Vec::new())
    } else {
        split_training(&dataset.train, config)?
    };
    let mut test = stratified_order(&dataset.test.labels, config.split_seed);
    if let Some(limit) = config.test_limit {
        if limit > test.len() {
            let expected = format!("the test set has {} images", test.len());
            return Err(Error::config("test_limit", limit, expected));
        }
        test.truncate(limit);
    }
    test.sort_unstable();
    Ok(Splits {
        train,
        validation,
        test,
    })
}

fn split_training(images: &Images, config: &DataConfig) -> Result<(Vec<usize>, Vec<usize>), Error> {
    let order = stratified_order(&images.labels, config.split_seed);
    let held = (config.validation * order.len() as f64).round() as usize;
    let left = order.len() - held;
    if config.validation > 0.0 && (held == 0 || left == 0) {
        let expected = format!(
            "of {} training images that leaves {left} to train on and {held} to validate with; \
             both need at least one",
            order.len()
        );
        return Err(Error::config("validation", config.validation, expected));
    }
    let (mut validation, mut train) = (order[..held].to_vec(), order[held..].to_vec());
    if let Some(limit) = config.train_limit {
        if limit > left {
            let expected = format!(
                "{left} images are left to train on ({} in the training set, {held} held out \
                 by data.validation = {})",
                order.len(),
                config.validation
            );
            return Err(Error::config("train_limit", limit, expected));
        }
        train.truncate(limit);
        let share = limit as f64 / left as f64;
        let fewer = (held as f64 * share).round().max(1.0) as usize;
        validation.truncate(fewer);
    }
    train.sort_unstable();
    validation.sort_unstable();
    Ok((train, validation))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::*;

    fn dataset(train: &[usize], test: &[usize]) -> Dataset {
        let images = |counts: &[usize]| {
            let mut labels: Vec<u32> = Vec::new();
            for (class, &n) in counts.iter().enumerate() {
                labels.extend(std::iter::repeat_n(class as u32, n));
            }
            let pixels = vec![0; labels.len()];
            Arc::new(Images {
                pixels,
                labels,
                ..Images::empty(1, 1, 1)
            })
        };
        Dataset {
            name: "t".into(),
            classes: train.iter().map(|n| n.to_string()).collect(),
            coarse_classes: Vec::new(),
            train: images(train),
            test: images(test),
            mean: vec![0.0],
            std: vec![1.0],
            sha256: String::new(),
            source: String::new(),
        }
    }

    fn counts(images: &Images, indices: &[usize], classes: usize) -> Vec<usize> {
        let mut counts = vec![0; classes];
        indices
            .iter()
            .for_each(|&i| counts[images.labels[i] as usize] += 1);
        counts
    }

    fn config(limit: Option<usize>, validation: f64) -> DataConfig {
        DataConfig {
            train_limit: limit,
            validation,
            ..DataConfig::default()
        }
    }

    #[test]
    fn shares_are_kept_and_nothing_is_in_two_splits() {
        let data = dataset(&[100; 10], &[20; 10]);
        let splits = split(&data, &config(None, 0.1)).unwrap();
        assert_eq!(counts(&data.train, &splits.validation, 10), [10; 10]);
        assert_eq!(counts(&data.train, &splits.train, 10), [90; 10]);
        assert_eq!(splits.test, (0..200).collect::<Vec<_>>());
        let all: BTreeSet<_> = splits.train.iter().chain(&splits.validation).collect();
        assert_eq!(all.len(), 1000);
        assert_eq!(split(&data, &config(None, 0.1)).unwrap(), splits);
        let other = DataConfig {
            split_seed: 1,
            ..config(None, 0.1)
        };
        assert_ne!(split(&data, &other).unwrap().validation, splits.validation);
        assert!(
            split(&data, &config(None, 0.0))
                .unwrap()
                .validation
                .is_empty()
        );
    }

    #[test]
    fn limits_are_balanced_nested_and_keep_validation_apart() {
        let data = dataset(&[100; 10], &[20; 10]);
        let held: BTreeSet<usize> = split(&data, &config(None, 0.1))
            .unwrap()
            .validation
            .into_iter()
            .collect();
        let mut previous: Vec<usize> = Vec::new();
        for limit in [1, 3, 10, 95, 333, 900] {
            let splits = split(&data, &config(Some(limit), 0.1)).unwrap();
            assert_eq!(splits.train.len(), limit);
            let counts = counts(&data.train, &splits.train, 10);
            let (low, high) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            assert!(high - low <= 1, "{limit}: {counts:?}");
            assert!(splits.train.iter().all(|i| !held.contains(i)));
            assert!(splits.validation.iter().all(|i| held.contains(i)));
            assert_eq!(
                splits.validation.len(),
                (limit as f64 / 9.0).round().max(1.0) as usize
            );
            assert!(previous.iter().all(|i| splits.train.contains(i)));
            previous = splits.train;
        }
        let tested = split(
            &data,
            &DataConfig {
                test_limit: Some(25),
                ..config(None, 0.1)
            },
        )
        .unwrap();
        let counts = counts(&data.test, &tested.test, 10);
        assert!(counts.iter().all(|n| (2..=3).contains(n)), "{counts:?}");
    }

    #[test]
    fn rare_classes_keep_their_share() {
        let data = dataset(&[900, 90, 10], &[1, 1, 1]);
        let splits = split(&data, &config(Some(400), 0.1)).unwrap();
        for (kept, share) in counts(&data.train, &splits.train, 3)
            .iter()
            .zip([360, 36, 4])
        {
            assert!(kept.abs_diff(share) <= 1, "{kept} of {share}");
        }
        assert_eq!(
            counts(&data.train, &splits.validation, 3)
                .iter()
                .sum::<usize>(),
            44
        );
    }

    #[test]
    fn what_cannot_be_is_an_error_that_says_what_there_is() {
        let data = dataset(&[10; 10], &[2; 10]);
        for (config, part) in [
            (config(Some(0), 0.1), "data.train_limit = 0: at least 1"),
            (
                config(Some(91), 0.1),
                "90 images are left to train on (100 in the training set",
            ),
            (
                DataConfig {
                    test_limit: Some(21),
                    ..config(None, 0.1)
                },
                "the test set has 20",
            ),
            (config(None, 0.001), "100 to train on and 0 to validate"),
            (config(None, 0.999), "0 to train on and 100 to validate"),
        ] {
            let error = split(&data, &config).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_test_set_alone_splits_too() {
        let splits = split(&dataset(&[], &[2; 10]), &config(Some(50), 0.1)).unwrap();
        assert!(splits.train.is_empty() && splits.validation.is_empty());
        assert_eq!(splits.test.len(), 20);
    }
}
