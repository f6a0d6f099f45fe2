//! What counts as a problem: the numbers of the book's table.

/// Bars of a plot.
pub(crate) const SHOWN: usize = 10;

/// A class stands out by this much of accuracy above the mean gap.
pub(crate) const CLASS_GAP: f64 = 0.10;
/// One of them by this much, for a problem.
pub(crate) const WIDE_CLASS_GAP: f64 = 0.20;
/// As this share of the classes at most.
pub(crate) const FEW_CLASSES: f64 = 1.0 / 3.0;
/// With this chance at most.
pub(crate) const CLASS_P: f64 = 0.01;

/// Share of mistakes that are inherited.
pub(crate) const INHERITED: f64 = 0.5;
/// More than is expected.
pub(crate) const INHERITED_ABOVE: f64 = 0.2;

/// Agreement on training less that on validation.
pub(crate) const FIDELITY_LOST: f64 = 0.15;
/// Agreement on training of a student that can fit its teacher.
pub(crate) const FIT: f64 = 0.85;
/// Parameters of a teacher that an assistant is proposed for, in those of the student.
pub(crate) const ASSISTANT: f64 = 4.0;

/// Calibration error.
pub(crate) const ECE: f64 = 0.05;

/// Share beside the first choice of a teacher that says no more than labels.
pub(crate) const SILENT: f64 = 0.03;
/// Of one that says something.
pub(crate) const SPEAKS: f64 = 0.20;
/// Entropy, of a guess, where signal has become noise.
pub(crate) const NOISE: f64 = 0.97;
/// Where it is clear.
pub(crate) const CLEAR: f64 = 0.85;

/// Accuracy that another normalisation gives.
pub(crate) const NORMALISED: f64 = 0.03;
/// With this chance at most.
pub(crate) const NORMALISED_P: f64 = 0.001;

/// 1 − alignment of a level worth distilling from.
pub(crate) const UNMET: f64 = 0.3;
/// Differences of alignment that count as none.
pub(crate) const SAME_UNMET: f64 = 0.05;

/// Gradient norm of a component, of the largest: problem and notice.
pub(crate) const DROWNED: f64 = 0.01;
pub(crate) const FAINT: f64 = 0.05;
/// Cosine between components: problem and notice.
pub(crate) const AGAINST: f64 = -0.5;
pub(crate) const SOMEWHAT_AGAINST: f64 = -0.2;

/// What the teacher gives the label of a sample that it clearly disputes, at most, of what it gives its own choice.
pub(crate) const CLEAR_DISPUTE: f64 = 0.1;
/// Share of a class's labels that are clearly disputed.
pub(crate) const DISPUTED: f64 = 0.10;
/// With this chance at most.
pub(crate) const DISPUTED_P: f64 = 0.001;
/// Share of all labels.
pub(crate) const DISPUTED_ALL: f64 = 0.05;
