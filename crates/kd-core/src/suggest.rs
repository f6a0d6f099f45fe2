//! The nearest valid name for a mistyped one.

/// How alike a name must be to be meant: Jaro and Winkler's likeness, from 0 to 1.
const ALIKE: f64 = 0.7;

/// The name that a mistyped one most likely means; none when no name is near.
pub fn nearest_name<'a>(given: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names
        .map(|name| (strsim::jaro_winkler(given, name), name))
        .filter(|(likeness, _)| *likeness > ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}

/// `, did you mean `x`?` when a candidate is near, else nothing.
pub(crate) fn did_you_mean<'a>(given: &str, names: impl Iterator<Item = &'a str>) -> String {
    nearest_name(given, names)
        .map(|name| format!(", did you mean `{name}`?"))
        .unwrap_or_default()
}

/// Names in backticks, with commas.
pub(crate) fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_near() {
        let nearest = |given| nearest_name(given, ["epochs", "epsilon", "batch"].into_iter());
        assert_eq!(nearest("epocs"), Some("epochs"));
        assert_eq!(nearest("epsilom"), Some("epsilon"));
        assert_eq!(nearest("zzz"), None);
        assert_eq!(nearest_name("epochs", std::iter::empty()), None);
    }
}
