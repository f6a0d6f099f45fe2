//! What steps propose, as changes of a recipe of the form `key=value`.

/// Feature terms at levels of the student's maps, the most promising first: attention and hints at the first level with the
/// literature's weight, then with a tenth of it, then the same at the next level. Terms that the recipe has already, `present`,
/// are left out.
///
/// Sources: Zagoruyko and Komodakis, "Paying More Attention to Attention", ICLR 2017; Romero et al., "FitNets", ICLR 2015.
pub fn features(
    levels: &[usize],
    present: &[String],
    weight_of: &dyn Fn(&str) -> f64,
) -> Vec<String> {
    let terms = ["at", "fitnet"];
    let free = terms
        .into_iter()
        .filter(|name| !present.iter().any(|p| p == name));
    let free: Vec<&str> = free.collect();
    let mut all = Vec::new();
    for level in levels {
        for share in [1.0, 0.1] {
            all.extend(free.iter().map(|name| {
                let place = match *name {
                    "at" => format!("levels = [{level}]"),
                    _ => format!("level = {level}"),
                };
                format!(
                    "objective.{name}={{ {place}, weight = {:?} }}",
                    share * weight_of(name)
                )
            }));
        }
    }
    all
}

/// A term of the loss, and what of it is a plain number.
#[derive(Clone, Debug, PartialEq)]
pub struct TermNumbers {
    /// Its name in the recipe.
    pub name: String,
    /// Its weight, where that is constant.
    pub weight: Option<f64>,
    /// Its temperature, where it has a constant one.
    pub temperature: Option<f64>,
}

/// A number that a search varies, on a logarithmic scale.
#[derive(Clone, Debug, PartialEq)]
pub struct Range {
    /// The key in the recipe.
    pub key: String,
    /// The least value.
    pub from: f64,
    /// The largest value.
    pub to: f64,
}

/// What a search of weights and temperature varies: the temperature of every term from 1 to 16, wider where it is outside, and
/// weights from a quarter to four times what they are. The first weight stays, because only ratios and the learning rate matter.
pub fn space(terms: &[TermNumbers]) -> Vec<Range> {
    let mut ranges = Vec::new();
    for (at, term) in terms.iter().enumerate() {
        let key = |what: &str| format!("objective.{}.{what}", term.name);
        if let Some(temperature) = term.temperature.filter(|t| *t > 0.0) {
            ranges.push(Range {
                key: key("temperature"),
                from: temperature.min(1.0),
                to: temperature.max(16.0),
            });
        }
        if let Some(weight) = term.weight.filter(|w| at > 0 && *w > 0.0) {
            ranges.push(Range {
                key: key("weight"),
                from: weight / 4.0,
                to: weight * 4.0,
            });
        }
    }
    ranges
}

/// A network between the two, which the teacher teaches and the student learns from. The first name is the largest, next to the
/// teacher.
///
/// Source: Mirzadeh et al., "Improved Knowledge Distillation via Teacher Assistant", AAAI 2020.
pub fn assistants(models: &[String]) -> Vec<String> {
    let mut changes = Vec::new();
    let mut above: Option<String> = None;
    for (at, model) in models.iter().enumerate() {
        let name = match models.len() {
            1 => "assistant".to_owned(),
            _ => format!("assistant{}", at + 1),
        };
        changes.push(format!("stages.{name}.model=\"{model}\""));
        if let Some(above) = above {
            changes.push(format!("stages.{name}.teachers=[\"{above}\"]"));
        }
        above = Some(name);
    }
    changes.extend(above.map(|name| format!("student.teachers=[\"{name}\"]")));
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feature_terms_come_at_the_advised_levels_and_not_twice() {
        let weight = |name: &str| if name == "at" { 1000.0 } else { 100.0 };
        let all = features(&[2, 1], &[], &weight);
        assert_eq!(all.len(), 8);
        assert_eq!(all[0], "objective.at={ levels = [2], weight = 1000.0 }");
        assert_eq!(all[1], "objective.fitnet={ level = 2, weight = 100.0 }");
        assert_eq!(all[3], "objective.fitnet={ level = 2, weight = 10.0 }");
        assert!(all[4].contains("levels = [1]"));
        let rest = features(&[2], &["at".into()], &weight);
        assert!(
            rest.len() == 2 && rest.iter().all(|c| c.contains("fitnet")),
            "{rest:?}"
        );
        assert!(features(&[], &[], &weight).is_empty());
    }

    #[test]
    fn a_search_keeps_the_first_weight_and_what_is_no_number() {
        let term = |name: &str, weight, temperature| TermNumbers {
            name: name.into(),
            weight,
            temperature,
        };
        let found = space(&[
            term("cross_entropy", Some(0.1), None),
            term("kd", Some(0.8), Some(40.0)),
            term("at", None, None),
            term("off", Some(0.0), None),
        ]);
        let want = [
            ("objective.kd.temperature", 1.0, 40.0),
            ("objective.kd.weight", 0.2, 3.2),
        ];
        let want = want.map(|(key, from, to)| Range {
            key: key.into(),
            from,
            to,
        });
        assert_eq!(found, want);
    }

    #[test]
    fn assistants_teach_each_other_down_to_the_student() {
        assert_eq!(
            assistants(&["resnet14".into()]),
            [
                "stages.assistant.model=\"resnet14\"",
                "student.teachers=[\"assistant\"]"
            ]
        );
        assert_eq!(
            assistants(&["resnet32".into(), "resnet14".into()]),
            [
                "stages.assistant1.model=\"resnet32\"",
                "stages.assistant2.model=\"resnet14\"",
                "stages.assistant2.teachers=[\"assistant1\"]",
                "student.teachers=[\"assistant2\"]"
            ]
        );
        assert!(assistants(&[]).is_empty());
    }
}
