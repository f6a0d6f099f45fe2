//! Which parts of a network a forward pass is asked to keep.

use std::collections::{BTreeMap, BTreeSet};

use crate::Part;

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

    /// Whether no level is selected.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::None => true,
            Self::Some(levels) => levels.is_empty(),
            Self::All => false,
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

/// What one network's forward pass keeps beside its logits: levels by part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taps(BTreeMap<Part, Levels>);

/// What [`Taps::get`] gives for a part that is not asked for.
const NOTHING: &Levels = &Levels::None;

impl Taps {
    /// Logits only.
    pub fn none() -> Self {
        Self::default()
    }

    /// Everything that the network can show (the dry run uses this).
    pub fn all() -> Self {
        Self(Part::ALL.iter().map(|&part| (part, Levels::All)).collect())
    }

    /// Every level of one part.
    pub fn part(part: Part) -> Self {
        Self::levels(part, Levels::All)
    }

    /// Some levels of one part.
    pub fn levels(part: Part, levels: Levels) -> Self {
        let asked = (!levels.is_empty()).then_some((part, levels));
        Self(asked.into_iter().collect())
    }

    /// What is asked for, and the levels of one more part.
    pub fn with(self, part: Part, levels: Levels) -> Self {
        self.union(Self::levels(part, levels))
    }

    /// The levels of a part that are asked for.
    pub fn get(&self, part: Part) -> &Levels {
        self.0.get(&part).unwrap_or(NOTHING)
    }

    /// Whether a level of a part is asked for.
    pub fn wants(&self, part: Part, level: usize) -> bool {
        self.get(part).contains(level)
    }

    /// The parts that are asked for, each with its levels.
    pub fn iter(&self) -> impl Iterator<Item = (Part, &Levels)> {
        self.0.iter().map(|(part, levels)| (*part, levels))
    }

    /// What `self` or `other` asks for.
    pub fn union(mut self, other: Self) -> Self {
        for (part, levels) in other.0 {
            let own = self.0.entry(part).or_default();
            *own = std::mem::take(own).union(levels);
        }
        self
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
    /// The same of both networks.
    pub fn both(taps: Taps) -> Self {
        Self {
            student: taps.clone(),
            teacher: taps,
        }
    }

    /// A part at levels of the student, each with its counterpart in the teacher.
    pub(crate) fn levels(part: Part, pairs: &[[usize; 2]]) -> Self {
        let side = |index: usize| {
            let levels = pairs.iter().map(|pair| pair[index]).collect();
            Taps::levels(part, levels)
        };
        Self {
            student: side(0),
            teacher: side(1),
        }
    }

    /// The embedding of both networks.
    pub fn embeddings() -> Self {
        Self::both(Taps::part(Part::Embedding))
    }

    /// What `self` or `other` asks for, network by network.
    pub fn union(self, other: Self) -> Self {
        Self {
            student: self.student.union(other.student),
            teacher: self.teacher.union(other.teacher),
        }
    }
}
