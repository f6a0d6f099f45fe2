//! Colours: one meaning each, on every plot of a page.
//!
//! The colours below are also the light theme: `report.css` finds the dark one's by these values,
//! so a change here is a change there.

use std::collections::BTreeSet;

use plotters::style::RGBColor;

use crate::Role;

/// Text and axes.
pub(super) const INK: RGBColor = RGBColor(0x44, 0x44, 0x44);
/// Grid lines.
pub(super) const GRID: RGBColor = RGBColor(0xE2, 0xE2, 0xE2);
/// Networks: distilled, alone, then stages and peers, told apart by people of every colour vision (Okabe and
/// Ito 2008).
pub(super) const NETWORKS: [RGBColor; 6] = [
    RGBColor(0x00, 0x72, 0xB2),
    RGBColor(0xD5, 0x5E, 0x00),
    RGBColor(0x00, 0x9E, 0x73),
    RGBColor(0xCC, 0x79, 0xA7),
    RGBColor(0xE6, 0x9F, 0x00),
    RGBColor(0x56, 0xB4, 0xE9),
];
/// The teacher.
const TEACHER: RGBColor = RGBColor(0x77, 0x77, 0x77);
/// Components of a loss: none of them is a network's colour.
const COMPONENTS: [RGBColor; 6] = [
    RGBColor(0x33, 0x22, 0x88),
    RGBColor(0x88, 0x22, 0x55),
    RGBColor(0x99, 0x99, 0x33),
    RGBColor(0x8C, 0x56, 0x4B),
    RGBColor(0x11, 0x77, 0x77),
    RGBColor(0x7F, 0x3F, 0xBF),
];

/// A colour for every network and every component of a run.
pub(super) struct Pens {
    /// Networks beside teacher, student alone and student distilled.
    others: Vec<Role>,
    /// Components of the losses of all networks.
    components: Vec<String>,
}

impl Pens {
    pub fn new<'a>(roles: impl Iterator<Item = &'a Role>, components: BTreeSet<String>) -> Self {
        let usual = [Role::Teacher, Role::Baseline, Role::Distilled];
        let others: BTreeSet<&Role> = roles.filter(|role| !usual.contains(role)).collect();
        Self {
            others: others.into_iter().cloned().collect(),
            components: components.into_iter().collect(),
        }
    }

    pub fn network(&self, role: &Role) -> RGBColor {
        match role {
            Role::Distilled => NETWORKS[0],
            Role::Baseline => NETWORKS[1],
            Role::Teacher => TEACHER,
            other => {
                let place = self.others.iter().position(|role| role == other);
                NETWORKS[2 + place.unwrap_or(0) % 4]
            }
        }
    }

    pub fn component(&self, name: &str) -> RGBColor {
        let place = self.components.iter().position(|known| known == name);
        COMPONENTS[place.unwrap_or(0) % COMPONENTS.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_means_one_thing_and_has_a_dark_form() {
        let mut all = NETWORKS.to_vec();
        all.extend(COMPONENTS);
        all.extend([TEACHER, INK, GRID]);
        let colours: BTreeSet<String> = all
            .iter()
            .map(|RGBColor(r, g, b)| format!("#{r:02X}{g:02X}{b:02X}"))
            .collect();
        assert_eq!(colours.len(), all.len());
        for colour in colours {
            let dark = format!("[stroke=\"{colour}\"] {{ stroke:");
            assert!(super::super::STYLE.contains(&dark), "{colour}");
        }
    }

    #[test]
    fn a_component_has_its_colour_whoever_learns_it() {
        let names = ["at", "cross_entropy", "kd"].map(String::from);
        let roles = [Role::Distilled, Role::Stage("hint".into())];
        let pens = Pens::new(roles.iter(), names.into());
        assert_eq!(pens.component("kd"), COMPONENTS[2]);
        assert_eq!(pens.network(&roles[1]), NETWORKS[2]);
        assert_eq!(pens.network(&Role::Teacher), TEACHER);
    }
}
