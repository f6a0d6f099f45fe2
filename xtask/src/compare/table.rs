//! The table of a comparison.

use super::Compared;

/// A row a step, aligned for a terminal or as Markdown.
pub fn text(rows: &[Compared], markdown: bool) -> String {
    let header = ["step", "ours", "PyTorch", "layout", "ratio", "aim", ""].map(String::from);
    let lines: Vec<[String; 7]> = rows
        .iter()
        .map(|row| {
            let reached = row.ratio() >= row.aim();
            [
                row.step.clone(),
                format!("{:.1}", row.ours),
                format!("{:.1}", row.torch),
                row.layout.clone(),
                format!("{:.2}", row.ratio()),
                format!("{:.2}", row.aim()),
                if reached { "✓" } else { "✗" }.into(),
            ]
        })
        .collect();
    let widths: [usize; 7] = std::array::from_fn(|i| {
        let all = lines.iter().chain([&header]);
        all.map(|line| line[i].chars().count()).max().unwrap_or(0)
    });
    let left = |column: usize| matches!(column, 0 | 3 | 6);
    let line = |cells: &[String; 7]| {
        let cells: Vec<_> = cells
            .iter()
            .zip(widths)
            .enumerate()
            .map(|(i, (cell, width))| match left(i) {
                true => format!("{cell:width$}"),
                false => format!("{cell:>width$}"),
            })
            .collect();
        match markdown {
            true => format!("| {} |\n", cells.join(" | ")),
            false => format!("{}\n", cells.join("  ").trim_end()),
        }
    };
    let mut text = line(&header);
    if markdown {
        let rules: [_; 7] = std::array::from_fn(|i| match left(i) {
            true => "-".repeat(widths[i].max(3)),
            false => "-".repeat(widths[i].max(3) - 1) + ":",
        });
        text.push_str(&format!("| {} |\n", rules.join(" | ")));
    }
    text.extend(lines.iter().map(line));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(step: &str, ours: f64) -> Compared {
        Compared {
            step: step.into(),
            ours,
            torch: 100.0,
            layout: "nhwc".into(),
        }
    }

    #[test]
    fn what_reaches_its_aim_is_ticked() {
        let rows = [
            row("infer resnet20", 129.0),
            row("kd resnet56 resnet20", 131.0),
            row("infer resnet8x4", 116.0),
        ];
        let markdown = text(&rows, true);
        let ends: Vec<_> = markdown
            .lines()
            .skip(2)
            .map(|line| line.trim_end_matches([' ', '|']).chars().last())
            .collect();
        assert_eq!(ends, [Some('✗'), Some('✓'), Some('✓')], "{markdown}");
        assert!(!text(&rows, false).contains('|'));
    }
}
