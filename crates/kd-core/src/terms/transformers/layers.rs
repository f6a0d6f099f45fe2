//! Which layers of two transformers are compared.

use crate::Error;

/// A layer of the student with the layer of the teacher that it is compared with, as levels.
pub(super) type LayerPair = [usize; 2];

/// What a list of levels counts.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Counted {
    /// Token sequences: level 0 is the embedding, then one a layer.
    Sequences,
    /// Attentions: one a layer.
    Attentions,
}

impl Counted {
    /// Layers that a network with so many levels has.
    fn layers(self, levels: usize) -> usize {
        match self {
            Self::Sequences => levels.saturating_sub(1),
            Self::Attentions => levels,
        }
    }

    /// Layers that have run at a level.
    fn depth(self, level: usize) -> usize {
        match self {
            Self::Sequences => level,
            Self::Attentions => level + 1,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Sequences => "token sequences",
            Self::Attentions => "attentions",
        }
    }
}

/// Levels of the student, each with its counterpart in the teacher: the one that is as deep in
/// proportion, so that layer `m` of `M` meets layer `⌈m · N / M⌉` of `N` and the last meets the last.
///
/// `counts` are the levels of student and teacher; `default` is taken when none is listed.
pub(super) fn pair_layers(
    counted: Counted,
    listed: &[usize],
    default: impl Fn(usize) -> Vec<usize>,
    counts: [usize; 2],
) -> Result<Vec<LayerPair>, Error> {
    let refuse = |expected: String| Error::Config {
        key: "levels".into(),
        value: format!("{listed:?}"),
        expected,
    };
    for (network, count) in ["student", "teacher"].into_iter().zip(counts) {
        if count == 0 {
            return Err(refuse(format!("the {network} has no {}", counted.name())));
        }
    }
    let levels = if listed.is_empty() {
        default(counts[0])
    } else {
        listed.to_vec()
    };
    let [student, teacher] = counts.map(|count| counted.layers(count));
    let mut pairs: Vec<LayerPair> = Vec::with_capacity(levels.len());
    for level in levels {
        if level >= counts[0] {
            return Err(refuse(format!(
                "the student has levels 0 to {}",
                counts[0] - 1
            )));
        }
        if pairs.iter().any(|[known, _]| *known == level) {
            return Err(refuse(format!("{level} is listed twice")));
        }
        let depth = (counted.depth(level) * teacher).div_ceil(student.max(1));
        let counterpart = match counted {
            Counted::Sequences => depth,
            Counted::Attentions => depth - 1,
        };
        pairs.push([level, counterpart]);
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_meet_in_proportion() {
        let all = |count: usize| (0..count).collect();
        let pairs = |counted, counts| pair_layers(counted, &[], all, counts).unwrap();
        assert_eq!(
            pairs(Counted::Attentions, [4, 12]),
            [[0, 2], [1, 5], [2, 8], [3, 11]]
        );
        assert_eq!(
            pairs(Counted::Sequences, [5, 13]),
            [[0, 0], [1, 3], [2, 6], [3, 9], [4, 12]]
        );
        assert_eq!(pairs(Counted::Attentions, [3, 2]), [[0, 0], [1, 1], [2, 1]]);
        assert_eq!(pairs(Counted::Sequences, [1, 3]), [[0, 0]]);
        let message = |listed: &[usize], counts| {
            pair_layers(Counted::Attentions, listed, all, counts)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            message(&[4], [4, 12]),
            "levels = [4]: the student has levels 0 to 3"
        );
        assert!(message(&[1, 1], [4, 12]).contains("1 is listed twice"));
        assert!(message(&[], [4, 0]).contains("the teacher has no attentions"));
    }
}
