//! Which names of classes are the same.

use unicode_normalization::UnicodeNormalization;

/// Characters that take no room.
const UNSEEN: [char; 7] = [
    '\u{ad}', '\u{200b}', '\u{200c}', '\u{200d}', '\u{200e}', '\u{200f}', '\u{feff}',
];

/// The same for names that look the same: an `é` may be one character or two (macOS writes two, Linux what it
/// is given), and blanks at the ends or in a row are not seen. Upper and lower case are seen, and stay apart: a
/// set of letters has both.
pub(super) fn key(name: &str) -> String {
    let seen: String = name.nfc().filter(|c| !UNSEEN.contains(c)).collect();
    seen.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The known name that is spelled most alike, but for case or a letter or two.
pub(super) fn near<'a>(name: &str, known: &'a [String]) -> Option<&'a String> {
    let small = |name: &str| key(name).to_lowercase().replace(['-', ' '], "_");
    let distance = |other: &String| strsim::damerau_levenshtein(&small(other), &small(name));
    let nearest = known.iter().min_by_key(|other| distance(other))?;
    let letters = name.chars().count();
    (distance(nearest) <= 2.min(letters / 3)).then_some(nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_the_same_is_the_same() {
        for (a, b) in [
            ("caf\u{e9}", "cafe\u{301}"),
            ("cat", "cat "),
            ("polar bear", "polar\u{a0} bear"),
            ("cat", "\u{feff}c\u{200b}at"),
        ] {
            assert_eq!(key(a), key(b));
        }
        for (a, b) in [("A", "a"), ("0", "O"), ("cat", "cats"), ("e", "\u{e9}")] {
            assert_ne!(key(a), key(b));
        }
    }

    #[test]
    fn a_near_name_is_found() {
        let known = ["cat", "polar_bear", "x"].map(String::from);
        let found = |name| near(name, &known).map(String::as_str);
        assert_eq!(found("Cat"), Some("cat"));
        assert_eq!(found("polar-baer"), Some("polar_bear"));
        assert_eq!(found("cow"), None);
    }
}
