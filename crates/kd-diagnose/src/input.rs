//! What a diagnosis is made from.

use serde::{Deserialize, Serialize};

use crate::Answers;

/// A teacher and its student, as they were seen after training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inputs {
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Both on the validation split.
    pub validation: Both,
    /// Both on some of the training samples, shown without augmentation.
    pub train: Option<TrainPart>,
    /// Temperature of the recipe's `kd` term, where it has one.
    pub temperature: Option<f64>,
    /// How alike the maps of both are.
    pub similarity: Option<Similarity>,
    /// The components of the student's loss.
    pub terms: Vec<TermGradient>,
    /// Cosines between the gradients of components, in the order of these names.
    pub cosines: Option<Cosines>,
    /// The validation accuracy of the student after each epoch, in percent.
    pub curve: Vec<f64>,
    /// Size of the networks.
    pub sizes: Option<Sizes>,
    /// The teacher's validation answers to images that are normalised in other ways, by the name of the way.
    pub normalised: Vec<(String, Answers)>,
}

/// Teacher and student on the same samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Both {
    /// The teacher's answers.
    pub teacher: Answers,
    /// The student's.
    pub student: Answers,
}

/// Both on training samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainPart {
    /// The answers.
    pub both: Both,
    /// The number of each sample in the data set.
    pub indices: Vec<usize>,
}

/// A level of feature maps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapLevel {
    /// Its number, as a recipe names it.
    pub level: usize,
    /// Numbers in a sample's map: channels, height, width.
    pub shape: [usize; 3],
}

/// Alignment of the maps of teacher and student, level by level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Similarity {
    /// Levels of the teacher.
    pub teacher: Vec<MapLevel>,
    /// Levels of the student.
    pub student: Vec<MapLevel>,
    /// Linear CKA by level of the teacher, then of the student.
    pub alignment: Vec<Vec<f64>>,
    /// Which rows and columns a term on maps compares.
    pub pairs: Vec<(usize, usize)>,
}

/// A component of a loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TermGradient {
    /// Its name.
    pub name: String,
    /// L2 norm of its gradient on the student, times its weight.
    pub norm: f64,
}

/// Cosines between gradients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cosines {
    /// Names of the components.
    pub names: Vec<String>,
    /// A square of cosines.
    pub values: Vec<Vec<f64>>,
}

/// Parameters of networks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sizes {
    /// Of the teacher.
    pub teacher: u64,
    /// Of the student.
    pub student: u64,
    /// Networks that could stand between them.
    pub others: Vec<(String, u64)>,
}
