//! `README.md` of a run folder: what is what in it.

use crate::Summary;

/// The page, with whose weights the student's file holds.
pub(super) fn text(summary: &Summary) -> String {
    let student = match &summary.student {
        Some(student) => format!("{}.\n", student.sentence()),
        None => "There is no student.safetensors: no student was trained.\n".into(),
    };
    let files = summary.exported.iter();
    let files: String = files
        .map(|file| format!("| `{}` | {} as ONNX |\n", file.file, file.of))
        .collect();
    format!(
        "# {}\n\nA run of kd {}.\n\n{student}\n\
         | file | what |\n\
         | --- | --- |\n\
         | `report.html` | the results, for people |\n\
         | `summary.json` | the results, for programs |\n\
         | `recipe.toml` | the recipe with every default written out; `kd train recipe.toml` repeats the run |\n\
         | `metrics.jsonl` | a line for every logged step and every epoch |\n\
         | `student.safetensors` | the student as it is used; `kd eval` on this folder measures it |\n\
         | `checkpoints/` | the best weights of every training, by network and seed |\n{files}",
        summary.name, summary.version
    )
}
