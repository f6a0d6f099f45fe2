//! What of the annotations was not taken as it is.

/// Counts of a set, with an example where something was left out or changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Images.
    pub images: usize,
    /// Images without an object, which are kept: a detector learns from them what background is.
    pub empty_images: usize,
    /// Boxes that are kept, crowds and difficult ones among them.
    pub boxes: usize,
    /// Crowds: they are not trained on, and nothing that is found in them is wrong.
    pub crowds: usize,
    /// Objects that VOC calls difficult: they count neither way in its evaluation.
    pub difficult: usize,
    /// Boxes that lay partly outside of their image and were cut to it.
    pub clipped: usize,
    /// The first of them.
    pub first_clipped: Option<String>,
    /// Boxes without a width or a height, before or after they were cut, which were left out.
    pub dropped: usize,
    /// The first of them.
    pub first_dropped: Option<String>,
    /// Boxes without an `area`, for which width times height was taken.
    pub without_area: usize,
}

impl Counts {
    pub(super) fn drop_box(&mut self, what: impl FnOnce() -> String) {
        self.dropped += 1;
        self.first_dropped.get_or_insert_with(what);
    }

    pub(super) fn clip_box(&mut self, what: impl FnOnce() -> String) {
        self.clipped += 1;
        self.first_clipped.get_or_insert_with(what);
    }

    /// What a user should know, a sentence each.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(first) = &self.first_dropped {
            notes.push(format!(
                "left out {} without a width or a height; the first: {first}",
                boxes(self.dropped)
            ));
        }
        if let Some(first) = &self.first_clipped {
            notes.push(format!(
                "cut {} to the image; the first: {first}",
                boxes(self.clipped)
            ));
        }
        if self.empty_images > 0 {
            notes.push(format!(
                "{} of {} images have no object and are kept as background",
                self.empty_images, self.images
            ));
        }
        if self.crowds > 0 {
            notes.push(format!(
                "left out {} for crowds: nothing is trained on them, and what is found in them is not wrong",
                boxes(self.crowds)
            ));
        }
        if self.without_area > 0 {
            notes.push(format!(
                "{} without an area: width times height is taken",
                boxes(self.without_area)
            ));
        }
        notes
    }
}

fn boxes(count: usize) -> String {
    match count {
        1 => "1 box".into(),
        _ => format!("{count} boxes"),
    }
}
