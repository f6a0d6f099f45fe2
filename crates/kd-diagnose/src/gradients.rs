//! Whether the components of the loss pull together.

use crate::finding::{Bar, Finding, Kind, Plot, level};
use crate::input::{Cosines, TermGradient};
use crate::thresholds;

pub(crate) const BALANCE: Kind = Kind {
    key: "balance",
    title: "Weights of the loss",
    threshold: "problem: a component whose gradient is below 1 % of the largest; notice: below 5 %",
};
pub(crate) const CONFLICT: Kind = Kind {
    key: "conflict",
    title: "Conflicts of the loss",
    threshold: "problem: a cosine of −0.5 or below between two components; notice: −0.2",
};

pub(crate) fn balance(terms: &[TermGradient]) -> Option<Finding> {
    let most = terms.iter().max_by(|a, b| a.norm.total_cmp(&b.norm))?;
    let least = terms.iter().min_by(|a, b| a.norm.total_cmp(&b.norm))?;
    if terms.len() < 2 || most.norm <= 0.0 {
        return None;
    }
    let ratio = least.norm / most.norm;
    let (drowned, faint) = (ratio < thresholds::DROWNED, ratio < thresholds::FAINT);
    let advice = match faint {
        true => format!(
            "`{}` moves hardly anything beside `{}`: raise its weight, or take it out. `objective.balance = \"gradient_norm\"` finds \
             weights by these norms.",
            least.name, most.name
        ),
        false => "Every component moves the student.".into(),
    };
    let named = if faint {
        vec![least.name.clone()]
    } else {
        Vec::new()
    };
    Some(
        BALANCE
            .finding(
                level(drowned, faint),
                "smallest gradient norm of a component, of the largest",
                ratio,
                format!(
                    "Weighted gradient norms go from {:.3} (`{}`) to {:.3} (`{}`). {advice}",
                    least.norm, least.name, most.norm, most.name
                ),
            )
            .named(named)
            .plot(Plot::Bars {
                title: "Gradient norm of each component, times its weight".into(),
                bars: terms
                    .iter()
                    .map(|term| Bar {
                        name: term.name.clone(),
                        value: term.norm,
                        marked: faint && term.name == least.name,
                    })
                    .collect(),
            }),
    )
}

pub(crate) fn conflict(found: &Cosines) -> Option<Finding> {
    let pairs = (0..found.names.len()).flat_map(|a| (0..a).map(move |b| (a, b)));
    let cosine = |(a, b): (usize, usize)| found.values[a][b];
    let worst = pairs.min_by(|a, b| cosine(*a).total_cmp(&cosine(*b)))?;
    let least = cosine(worst);
    let (problem, notice) = (
        least <= thresholds::AGAINST,
        least <= thresholds::SOMEWHAT_AGAINST,
    );
    let (one, other) = (&found.names[worst.0], &found.names[worst.1]);
    let advice = match notice {
        true => format!(
            "`{one}` and `{other}` pull against each other: lower the weight of one, or let it fade by a schedule, such as \
             `weight = {{ schedule = \"cosine\", from = 1.0, to = 0.0 }}`."
        ),
        false => "No two components pull against each other.".into(),
    };
    let named = if notice {
        vec![one.clone(), other.clone()]
    } else {
        Vec::new()
    };
    Some(
        CONFLICT
            .finding(
                level(problem, notice),
                "least cosine between the gradients of two components",
                least,
                format!("The least cosine is {least:.2}, between `{one}` and `{other}`. {advice}"),
            )
            .named(named)
            .plot(Plot::Heat {
                title: "Cosines between gradients".into(),
                rows: found.names.clone(),
                columns: found.names.clone(),
                values: found.values.clone(),
            }),
    )
}
