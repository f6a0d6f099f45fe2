//! What weights were trained for, beside what a run uses them for.

use kd_data::{DataConfig, Dataset};
use kd_models::WeightsHeader;

/// Means and deviations that differ by less are the same: the literature rounds them to four digits.
const SAME: f32 = 1e-3;

/// What the header of weights says that are trained on these images.
pub(super) fn header(data: &DataConfig, dataset: &Dataset, size: usize) -> WeightsHeader {
    let mut header = WeightsHeader::default();
    header.size = Some(size);
    header.interpolation = data.resized_by();
    let fit = data.fit();
    header.crop = fit.map(|fit| WeightsHeader::crop_of(fit.size, fit.resize));
    header.mean = Some(dataset.mean.clone());
    header.std = Some(dataset.std.clone());
    header.class_names = Some(dataset.classes.clone());
    header.data = Some(dataset.name.clone());
    header.data_sha256 = Some(dataset.sha256.clone());
    header
}

/// What of a header is left alone together with its classifier: what the network was to tell apart.
pub(super) fn without_classes(mut header: WeightsHeader) -> WeightsHeader {
    (header.data, header.class_names) = (None, None);
    header
}

/// What a header says and is not so `here`, a sentence each. What a header does not say is not doubted.
pub(super) fn between(header: &WeightsHeader, here: &WeightsHeader) -> Vec<String> {
    let mut doubts = Vec::new();
    if let (Some(there), Some(here)) = (&header.data, &here.data)
        && there != here
    {
        doubts.push(format!(
            "these weights were trained on the data set `{there}`, and this one is `{here}`"
        ));
    }
    if let (Some(there), Some(here)) = (&header.class_names, &here.class_names)
        && there != here
    {
        let mut pairs = there.iter().zip(here).enumerate();
        doubts.push(match pairs.find(|(_, (there, here))| there != here) {
            Some((label, (there, here))) => format!(
                "these weights tell other classes apart: class {label} is `{there}` there and `{here}` here; \
                 use weights for these classes"
            ),
            None => format!(
                "these weights tell {} classes apart, and there are {} here",
                there.len(),
                here.len()
            ),
        });
    }
    if let (Some(there), Some(size)) = (header.size, here.size)
        && there != size
    {
        doubts.push(format!(
            "these weights were trained with images of {there}x{there} pixels, and here they get {size}x{size}"
        ));
    }
    if let (Some(mean), Some(std)) = (&header.mean, &header.std)
        && let (Some(here_mean), Some(here_std)) = (&here.mean, &here.std)
        && (differ(mean, here_mean) || differ(std, here_std))
    {
        doubts.push(format!(
            "these weights were trained with images normalised by mean {mean:?} and deviation {std:?}, and here they \
             get mean {here_mean:?} and deviation {here_std:?}; set {{table}}.normalize = {{ mean = {mean:?}, std = \
             {std:?} }}"
        ));
    }
    doubts
}

fn differ(there: &[f32], here: &[f32]) -> bool {
    let apart = |(a, b): (&f32, &f32)| (a - b).abs() > SAME;
    there.len() != here.len() || there.iter().zip(here).any(apart)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> WeightsHeader {
        let mut header = WeightsHeader::default();
        header.size = Some(32);
        header.mean = Some(vec![0.5, 0.4, 0.3]);
        header.std = Some(vec![0.2, 0.2, 0.2]);
        header.class_names = Some(["cat", "dog"].map(String::from).to_vec());
        header.data = Some("folder".into());
        header
    }

    #[test]
    fn the_same_and_the_unknown_are_not_doubted() {
        assert_eq!(between(&known(), &known()), Vec::<String>::new());
        assert_eq!(
            between(&WeightsHeader::default(), &known()),
            Vec::<String>::new()
        );
        let mut rounded = known();
        rounded.mean = Some(vec![0.5001, 0.3999, 0.3]);
        assert_eq!(between(&rounded, &known()), Vec::<String>::new());
        let mut other = known();
        other.class_names = Some(vec!["tench".into()]);
        other.data = Some("imagenet".into());
        assert_eq!(
            between(&without_classes(other), &known()),
            Vec::<String>::new()
        );
    }

    #[test]
    fn each_difference_is_one_sentence() {
        type Change<'a> = &'a dyn Fn(&mut WeightsHeader);
        let changes: [(Change, &str); 5] = [
            (
                &|h| h.data = Some("cifar10".into()),
                "the data set `cifar10`",
            ),
            (&|h| h.size = Some(224), "224x224"),
            (
                &|h| h.mean = Some(vec![0.485, 0.456, 0.406]),
                "{table}.normalize = { mean = [0.485, 0.456, 0.406], std = [0.2, 0.2, 0.2] }",
            ),
            (
                &|h| h.class_names = Some(["dog", "cat"].map(String::from).to_vec()),
                "class 0 is `dog` there and `cat` here",
            ),
            (
                &|h| h.class_names = Some(vec!["cat".into()]),
                "1 classes apart, and there are 2 here",
            ),
        ];
        for (change, part) in changes {
            let mut there = known();
            change(&mut there);
            let doubts = between(&there, &known());
            assert!(doubts.len() == 1 && doubts[0].contains(part), "{doubts:?}");
        }
    }
}
