//! `report.md`.

use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};

use super::words::{sections, warning};
use super::{Explanation, StudentView};
use crate::report::words::count;
use crate::study::Results;

/// Titles of the table of students.
pub(super) const COLUMNS: [&str; 8] = [
    "student",
    "learns from",
    "test top-1 %",
    "above alone",
    "CKA of last maps",
    "correlation of distances",
    "s a seed",
    "adapters",
];

/// The cells of a student.
pub(super) fn cells(student: &StudentView, results: &Results) -> [String; 8] {
    let variant = results.variants.iter().find(|v| v.name == student.name);
    let gain = variant.and_then(|variant| variant.gain.as_ref());
    let dash = || "-".to_owned();
    [
        student.name.clone(),
        student.family.clone(),
        student
            .score
            .as_ref()
            .map_or_else(dash, |score| score.show()),
        gain.map_or_else(dash, |gain| {
            format!("{} ({})", gain.points.show_signed(), gain.verdict.word())
        }),
        student.last.show(),
        student.distances.show(),
        student
            .seconds
            .map_or_else(dash, |seconds| format!("{seconds:.0}")),
        match student.adapters {
            0 => dash(),
            adapters => count(adapters),
        },
    ]
}

pub(super) fn text(found: &Explanation) -> String {
    let mut text = format!(
        "# What the students of {} learned of their teacher\n\n",
        found.results.name
    );
    if let Some(warning) = warning(found) {
        text.push_str(&format!("> **Warning.** {warning}\n\n"));
    }
    text.push_str(&students(found));
    for section in sections(found) {
        text.push_str(&format!("\n## {}\n\n", section.title));
        for sentence in section.sentences {
            text.push_str(&format!("- {sentence}\n"));
        }
    }
    text.push_str("\n## Alignment level by level\n\n");
    text.push_str("Rows: levels of the teacher's maps. Columns: levels of the student's.\n");
    for student in &found.students {
        text.push_str(&format!(
            "\n### {}\n\n{}\n",
            student.name,
            alignment(found, student)
        ));
    }
    text
}

fn students(found: &Explanation) -> String {
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN).set_header(COLUMNS);
    table.add_rows(found.students.iter().map(|s| cells(s, &found.results)));
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!("{table}\n")
}

fn alignment(found: &Explanation, student: &StudentView) -> String {
    let mut table = Table::new();
    let setting = &found.setting;
    let columns = setting
        .student_levels
        .iter()
        .map(|level| format!("student {level}"));
    let header: Vec<String> = [String::new()].into_iter().chain(columns).collect();
    table.load_preset(ASCII_MARKDOWN).set_header(header);
    for (level, row) in setting.teacher_levels.iter().zip(&student.alignment) {
        let cells = row.iter().map(|value| format!("{value:.2}"));
        let name = [format!("teacher {level}")];
        table.add_row(name.into_iter().chain(cells).collect::<Vec<_>>());
    }
    table.to_string()
}
