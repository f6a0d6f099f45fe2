//! The ladder of steps as a picture: what each gave, with its interval, above the recipe as it is given.

use std::fmt::Write;

use crate::found::mean;
use crate::{Decision, Improved, Outcome};

/// Where things are, in units that the page scales.
#[derive(Clone, Copy)]
pub(crate) struct Layout {
    pub kind: &'static str,
    width: f64,
    left: f64,
    right: f64,
    row: f64,
    /// From the top of a row to its dot.
    dot: f64,
    /// From the top of a row to the line of its name.
    name: f64,
    /// Labels of the axis, at most.
    ticks: f64,
}

/// Names stand to the left.
pub(crate) const WIDE: Layout = Layout {
    kind: "wide",
    width: 1000.0,
    left: 260.0,
    right: 850.0,
    row: 40.0,
    dot: 20.0,
    name: 26.0,
    ticks: 8.0,
};
/// Names stand above: for a phone.
pub(crate) const NARROW: Layout = Layout {
    kind: "narrow",
    width: 400.0,
    left: 12.0,
    right: 388.0,
    row: 62.0,
    dot: 42.0,
    name: 22.0,
    ticks: 5.0,
};
const TOP: f64 = 10.0;

/// A rung.
struct Rung {
    name: String,
    /// What stands at its end.
    word: String,
    class: &'static str,
    /// Where it stands above the recipe as it is given, and half its interval; none where it was not tried.
    place: Option<(f64, Option<f64>)>,
    /// Where what it is compared with stands.
    from: f64,
}

fn rungs(found: &Improved) -> Vec<Rung> {
    let mut rungs = Vec::new();
    if let Some(distilled) = &found.distilled {
        rungs.push(Rung {
            name: "student alone".into(),
            word: format!("{:.2}", mean(&found.alone)),
            class: "alone",
            place: Some((-distilled.mean(), distilled.half)),
            from: 0.0,
        });
    }
    rungs.push(Rung {
        name: "the recipe as it is".into(),
        word: format!("{:.2}", mean(&found.given)),
        class: "given",
        place: Some((0.0, None)),
        from: 0.0,
    });
    let mut base = 0.0;
    for step in &found.steps {
        let name = step.title.to_lowercase();
        let rung = match &step.outcome {
            Outcome::Skipped(_) => Rung {
                name,
                word: "not tried".into(),
                class: "skipped",
                place: None,
                from: base,
            },
            Outcome::Failed(_) => Rung {
                name,
                word: "dropped".into(),
                class: "skipped",
                place: None,
                from: base,
            },
            Outcome::Tested(tested) => {
                let kept = tested.decision == Decision::Kept;
                let at = base + tested.mean();
                Rung {
                    name,
                    word: match tested.decision {
                        Decision::Kept => "kept",
                        Decision::Worse | Decision::NotShown => "dropped",
                        Decision::Stopped => "given up",
                        Decision::Unfinished => "not finished",
                    }
                    .into(),
                    class: if kept { "kept" } else { "dropped" },
                    place: Some((at, tested.half)),
                    from: base,
                }
            }
        };
        if let (Some((at, _)), "kept") = (rung.place, rung.class) {
            base = at;
        }
        rungs.push(rung);
    }
    rungs
}

/// The picture; none before there is anything to show.
pub(crate) fn ladder(found: &Improved, layout: Layout) -> Option<String> {
    if found.given.is_empty() {
        return None;
    }
    let rungs = rungs(found);
    let scale = Scale::of(layout, &rungs);
    let bottom = TOP + layout.row * rungs.len() as f64;
    let mut svg = String::new();
    let (width, height) = (layout.width, bottom + 58.0);
    let _ = write!(
        svg,
        "<svg class=\"ladder {}\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"What each step gave\">",
        layout.kind
    );
    for (x, label) in scale.ticks() {
        let _ = write!(
            svg,
            "<g class=\"tick\"><line x1=\"{x}\" x2=\"{x}\" y1=\"0\" y2=\"{}\"/><text x=\"{x}\" y=\"{}\" \
             text-anchor=\"middle\">{label}</text></g>",
            bottom + 6.0,
            bottom + 26.0
        );
    }
    let _ = write!(
        svg,
        "<g class=\"tick\"><text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{} above the recipe as it is</text></g>",
        (layout.left + layout.right) / 2.0,
        bottom + 50.0,
        escaped(&found.unit)
    );
    for (at, rung) in rungs.iter().enumerate() {
        let top = TOP + layout.row * at as f64;
        let y = top + layout.dot;
        let _ = write!(
            svg,
            "<g class=\"{}\"><text x=\"0\" y=\"{}\">{}</text><text class=\"word\" x=\"{width}\" y=\"{}\" \
             text-anchor=\"end\">{}</text>",
            rung.class,
            top + layout.name,
            escaped(&rung.name),
            top + layout.name,
            escaped(&rung.word)
        );
        let from = scale.place(rung.from);
        let _ = write!(
            svg,
            "<line class=\"from\" x1=\"{from}\" x2=\"{from}\" y1=\"{}\" y2=\"{}\"/>",
            top + layout.row * if layout.kind == "narrow" { 0.45 } else { 0.0 },
            top + layout.row
        );
        if let Some((place, half)) = rung.place {
            let x = scale.place(place);
            let _ = write!(
                svg,
                "<line class=\"way\" x1=\"{from}\" x2=\"{x}\" y1=\"{y}\" y2=\"{y}\"/>"
            );
            if let Some(half) = half {
                let (low, high) = (scale.place(place - half), scale.place(place + half));
                let _ = write!(
                    svg,
                    "<line class=\"interval\" x1=\"{low}\" x2=\"{high}\" y1=\"{y}\" y2=\"{y}\"/>"
                );
            }
            let _ = write!(
                svg,
                "<circle cx=\"{x}\" cy=\"{y}\" r=\"7\"><title>{place:+.2} {}</title></circle>",
                escaped(&found.unit)
            );
        }
        svg.push_str("</g>");
    }
    svg.push_str("</svg>");
    Some(svg)
}

/// From points above the given recipe to units of the image.
struct Scale {
    layout: Layout,
    low: f64,
    high: f64,
}

impl Scale {
    /// Holds every dot, and intervals as far as three times what the dots span.
    fn of(layout: Layout, rungs: &[Rung]) -> Self {
        let places = || rungs.iter().filter_map(|rung| rung.place);
        let (mut low, mut high) = places().fold((0.0f64, 0.0f64), |(low, high), (at, _)| {
            (low.min(at), high.max(at))
        });
        let reach = (high - low).max(0.5);
        for (at, half) in places() {
            let half = half.unwrap_or(0.0);
            low = low.min((at - half).max(low - reach));
            high = high.max((at + half).min(high + reach));
        }
        let room = (high - low) * 0.06;
        Self {
            layout,
            low: low - room,
            high: high + room,
        }
    }

    /// Cut at the frame.
    fn place(&self, value: f64) -> f64 {
        let share = (value - self.low) / (self.high - self.low);
        let Layout { left, right, .. } = self.layout;
        // Tenths of a unit are finer than a screen.
        ((left + share.clamp(0.0, 1.0) * (right - left)) * 10.0).round() / 10.0
    }

    fn ticks(&self) -> Vec<(f64, String)> {
        let steps = [0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0];
        let fits = |step: &&f64| (self.high - self.low) / **step <= self.layout.ticks;
        let step = steps.iter().find(fits).copied().unwrap_or(100.0);
        let digits = match step {
            step if step < 0.1 => 2,
            step if step < 1.0 => 1,
            _ => 0,
        };
        let (first, last) = (
            (self.low / step).ceil() as i64,
            (self.high / step).floor() as i64,
        );
        (first..=last)
            .map(|at| {
                let value = at as f64 * step;
                let label = if at == 0 {
                    "0".into()
                } else {
                    format!("{value:+.digits$}")
                };
                (self.place(value), label.replace('-', "−"))
            })
            .collect()
    }
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::tests::made;

    #[test]
    fn a_rung_stands_on_what_was_kept_before_it() {
        let rungs = rungs(&made());
        let names: Vec<&str> = rungs.iter().map(|r| r.class).collect();
        assert_eq!(
            names,
            [
                "alone", "given", "kept", "dropped", "dropped", "skipped", "skipped"
            ]
        );
        let from: Vec<f64> = rungs.iter().map(|r| r.from).collect();
        assert_eq!(from, [0.0, 0.0, 0.0, 1.25, 1.25, 1.25, 1.25]);
        assert_eq!(rungs[2].place, Some((1.25, Some(0.6))));
        // Dropped: 0.083 above what was kept.
        let (at, _) = rungs[3].place.unwrap();
        assert!((at - (1.25 + 0.25 / 3.0)).abs() < 1e-9, "{at}");
    }

    #[test]
    fn the_picture_is_cut_at_its_frame_and_escaped() {
        let mut found = made();
        found.steps[0].title = "<x>".into();
        let Outcome::Tested(tested) = &mut found.steps[1].outcome else {
            panic!()
        };
        tested.half = Some(4000.0);
        for layout in [WIDE, NARROW] {
            let svg = ladder(&found, layout).unwrap();
            assert!(
                svg.contains("&lt;x&gt;") && !svg.contains("<x>") && !svg.contains("NaN"),
                "{svg}"
            );
            assert_eq!(svg.matches("<circle").count(), 5);
            assert_eq!(svg.matches("class=\"interval\"").count(), 4);
            let ticks = Scale::of(layout, &rungs(&found)).ticks();
            assert!((3..=9).contains(&ticks.len()), "{ticks:?}");
        }
        found.given.clear();
        assert!(ladder(&found, WIDE).is_none());
    }
}
