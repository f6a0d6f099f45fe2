//! What can be wrong with a loss or an objective.

/// An error of this crate.
#[derive(Clone, Debug, thiserror::Error, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// A term needs a part of a network that the forward pass did not keep.
    #[error("the network's output has no {what}")]
    MissingTap {
        /// The missing part.
        what: String,
    },
    /// A term needs a teacher and there is none.
    #[error("this term compares with a teacher, and the run has none")]
    NoTeacher,
    /// A term needs to know which samples are in the batch.
    #[error(
        "this term keeps something of every training sample, and the trainer did not say which samples \
         the batch holds (`Pair::indices`)"
    )]
    NoIndices,
    /// A term needs the objects of the images, and the data have classes.
    #[error(
        "this term needs the objects of each image (`Targets::objects`), and these data have a class for each row: it \
         is for networks that find objects"
    )]
    NoObjects,
    /// A term needs the one class of each row, and rows are mixed.
    #[error(
        "this term needs the one class of each row, and these rows are mixed of several (`Targets::shares`): train \
         without mixup and CutMix, or leave the term out"
    )]
    Mixed,
    /// A term needs the class of every row, and not every row has one to learn from.
    #[error(
        "this term needs the class of every row, and only some rows may be learned from (`Targets::labelled`): leave the \
         term out, and take cross_entropy for these"
    )]
    Unlabelled,
    /// Two tensors of a loss do not fit each other.
    #[error("{loss}: {problem}")]
    Shape {
        /// The loss that was called.
        loss: &'static str,
        /// What does not fit, with the shapes.
        problem: String,
    },
    /// A configured value is out of its range.
    #[error("{key} = {value}: {expected}")]
    Config {
        /// The key as the recipe spells it.
        key: String,
        /// The value given.
        value: String,
        /// What would be right.
        expected: String,
    },
    /// An error of one term of an objective.
    #[error("objective.{name}: {cause}")]
    Term {
        /// The term's name in the objective.
        name: String,
        /// What is wrong with it.
        cause: Box<Error>,
    },
    /// An objective without terms.
    #[error("the objective has no terms: give it at least one, such as [objective.cross_entropy]")]
    NoTerms,
}

impl Error {
    /// Says that a key is the objective's.
    pub(crate) fn of_objective(self) -> Self {
        match self {
            Self::Config {
                key,
                value,
                expected,
            } => Self::Config {
                key: format!("objective.{key}"),
                value,
                expected,
            },
            other => other,
        }
    }

    /// Says which term of an objective it is about.
    pub(crate) fn of_term(self, name: &str) -> Self {
        match self {
            Self::Config {
                key,
                value,
                expected,
            } => Self::Config {
                key: format!("objective.{name}.{key}"),
                value,
                expected,
            },
            cause => Self::Term {
                name: name.into(),
                cause: Box::new(cause),
            },
        }
    }
}
