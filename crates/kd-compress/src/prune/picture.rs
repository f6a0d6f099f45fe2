//! A plan to look at.

use std::fmt::Write;

use super::{Plan, Structure};
use crate::Error;

/// Height of a row, width of the names, and width of the widest group, in pixels.
const ROW: usize = 18;
const NAMES: usize = 260;
const BAR: usize = 640;

impl Plan {
    /// A row for each group, as wide as it has channels, with a mark for each that is kept: an SVG file.
    ///
    /// # Errors
    /// As [`Plan::removed`].
    pub fn picture(&self, structure: &Structure) -> Result<String, Error> {
        let removed = self.removed(structure)?;
        let channels = |group: usize| {
            let units = structure.groups[group].root().units.iter();
            units.map(Vec::len).sum::<usize>()
        };
        let widest = (0..structure.groups.len()).map(channels).max().unwrap_or(1);
        let (width, height) = (NAMES + BAR + 100, ROW * (structure.groups.len() + 1));
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
             font-size=\"12\">\n"
        );
        for (row, (group, removed)) in structure.groups.iter().zip(&removed).enumerate() {
            let (all, top) = (channels(row), ROW * row + ROW / 2);
            let text = top + 12;
            let scale = BAR as f64 / widest as f64;
            let gone: Vec<usize> = removed
                .iter()
                .flat_map(|unit| &group.root().units[*unit])
                .copied()
                .collect();
            let bar = all as f64 * scale;
            let mut line = |text: std::fmt::Arguments| {
                // Writing to a string does not fail.
                let _ = svg.write_fmt(text);
            };
            line(format_args!(
                "<text x=\"{}\" y=\"{text}\" text-anchor=\"end\">{}</text>\n\
                 <rect x=\"{NAMES}\" y=\"{top}\" width=\"{bar:.1}\" height=\"14\" fill=\"#d5dbe3\"/>\n",
                NAMES - 8,
                group.name(),
            ));
            let mut order: Vec<usize> = group.root().units.iter().flatten().copied().collect();
            order.sort_unstable();
            for (place, channel) in order.iter().enumerate() {
                if !gone.contains(channel) {
                    line(format_args!(
                        "<rect x=\"{:.1}\" y=\"{top}\" width=\"{scale:.1}\" height=\"14\" fill=\"#2b6cb0\"/>\n",
                        NAMES as f64 + place as f64 * scale,
                    ));
                }
            }
            line(format_args!(
                "<text x=\"{:.0}\" y=\"{text}\">{} of {all}</text>\n",
                NAMES as f64 + bar + 8.0,
                all - gone.len(),
            ));
        }
        svg.push_str("</svg>\n");
        Ok(svg)
    }
}
