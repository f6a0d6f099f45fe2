//! Which parts of a network a forward pass is asked to keep.

use std::collections::BTreeSet;

/// A selection of levels (0 is the stem, then one per stage).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Levels {
    /// Keep nothing.
    #[default]
    None,
    /// Keep these levels.
    Some(BTreeSet<usize>),
    /// Keep every level.
    All,
}

impl Levels {
    /// The selection of a single level.
    pub fn one(level: usize) -> Self {
        Self::Some(BTreeSet::from([level]))
    }

    /// Whether `level` is selected.
    pub fn contains(&self, level: usize) -> bool {
        match self {
            Self::None => false,
            Self::Some(levels) => levels.contains(&level),
            Self::All => true,
        }
    }

    /// Levels that are in `self`, in `other`, or in both.
    pub fn union(self, other: Self) -> Self {
        match (self, other) {
            (Self::All, _) | (_, Self::All) => Self::All,
            (Self::None, levels) | (levels, Self::None) => levels,
            (Self::Some(mut a), Self::Some(b)) => {
                a.extend(b);
                Self::Some(a)
            }
        }
    }
}

impl FromIterator<usize> for Levels {
    fn from_iter<I: IntoIterator<Item = usize>>(levels: I) -> Self {
        Self::Some(levels.into_iter().collect())
    }
}

/// What one network's forward pass keeps beside its logits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taps {
    /// The vector that the classifier reads.
    pub embedding: bool,
    /// The classifier itself: its weight and bias.
    pub classifier: bool,
    /// Feature maps after the activation.
    pub maps: Levels,
    /// Feature maps before the activation.
    pub maps_preact: Levels,
    /// Token sequences of a transformer.
    pub tokens: Levels,
    /// Attention probabilities of a transformer.
    pub attentions: Levels,
}

impl Taps {
    /// Logits only.
    pub fn none() -> Self {
        Self::default()
    }

    /// Everything that the network can show (the dry run uses this).
    pub fn all() -> Self {
        Self {
            embedding: true,
            classifier: true,
            maps: Levels::All,
            maps_preact: Levels::All,
            tokens: Levels::All,
            attentions: Levels::All,
        }
    }

    /// What `self` or `other` asks for.
    pub fn union(self, other: Self) -> Self {
        Self {
            embedding: self.embedding || other.embedding,
            classifier: self.classifier || other.classifier,
            maps: self.maps.union(other.maps),
            maps_preact: self.maps_preact.union(other.maps_preact),
            tokens: self.tokens.union(other.tokens),
            attentions: self.attentions.union(other.attentions),
        }
    }
}

/// What a term asks of the student and of the teacher.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PairTaps {
    /// Asked of the student.
    pub student: Taps,
    /// Asked of the teacher.
    pub teacher: Taps,
}

impl PairTaps {
    /// The embedding of both networks.
    pub fn embeddings() -> Self {
        let taps = Taps {
            embedding: true,
            ..Taps::none()
        };
        Self {
            student: taps.clone(),
            teacher: taps,
        }
    }

    /// What `self` or `other` asks for, network by network.
    pub fn union(self, other: Self) -> Self {
        Self {
            student: self.student.union(other.student),
            teacher: self.teacher.union(other.teacher),
        }
    }
}
