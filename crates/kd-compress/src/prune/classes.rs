//! Which channels go together: disjoint sets of labels.

/// A channel of a parameter's axis.
pub(super) type Label = u32;

/// The label of what must stay: classes, channels of an image, and what the network's code says.
pub(super) const FIXED: Label = 0;
/// The label of what has any size: a tensor filled with one number.
pub(super) const ANY: Label = 1;

/// Disjoint sets of labels (Galler and Fischer, CACM 1964).
#[derive(Clone, Debug)]
pub(super) struct Classes {
    parents: Vec<Label>,
    unions: usize,
}

impl Classes {
    pub fn new() -> Self {
        Self {
            parents: vec![FIXED, ANY],
            unions: 0,
        }
    }

    /// So many labels of their own.
    pub fn fresh(&mut self, count: usize) -> Vec<Label> {
        let first = self.parents.len() as Label;
        let labels: Vec<Label> = (first..first + count as Label).collect();
        self.parents.extend(&labels);
        labels
    }

    /// The label that stands for a label's set.
    pub fn find(&self, mut label: Label) -> Label {
        while self.parents[label as usize] != label {
            label = self.parents[label as usize];
        }
        label
    }

    /// Makes one set of two. What has any size joins nothing; what stays is always the one that stands for its set.
    pub fn join(&mut self, one: Label, other: Label) {
        let (one, other) = (self.find(one), self.find(other));
        if one == other || one == ANY || other == ANY {
            return;
        }
        self.unions += 1;
        let (root, child) = (one.min(other), one.max(other));
        self.parents[child as usize] = root;
    }

    pub fn fix(&mut self, label: Label) {
        self.join(FIXED, label);
    }

    /// How often two sets became one.
    pub fn unions(&self) -> usize {
        self.unions
    }

    /// Points every label at the one that stands for its set.
    pub fn flatten(&mut self) {
        for label in 0..self.parents.len() as Label {
            self.parents[label as usize] = self.find(label);
        }
    }
}
