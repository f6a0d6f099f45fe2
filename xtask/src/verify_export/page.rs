//! The table of the book.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Row, published::Accuracy};

/// Puts text between the marks of a job in a page.
pub fn between(path: &Path, job: &str, text: &str) -> Result<()> {
    let [start, end] = ["start", "end"].map(|place| format!("<!-- {job}: {place} -->"));
    let page = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let marked = page.split_once(&start).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(&end)?;
        Some((before, after))
    });
    let (before, after) = marked.with_context(|| format!("{} has no marks", path.display()))?;
    let page = format!("{before}{start}\n\n{text}\n{end}{after}");
    let draft = path.with_extension("md.tmp");
    fs::write(&draft, page)
        .and_then(|()| fs::rename(&draft, path))
        .with_context(|| format!("write {}", path.display()))?;
    eprintln!("wrote {}", path.display());
    Ok(())
}

/// What was found.
pub struct Page<'a> {
    pub versions: &'a Value,
    pub rows: &'a [Row],
    pub accuracies: &'a [Accuracy],
    /// The marks that it stands between.
    pub marks: &'a str,
}

impl Page<'_> {
    /// Puts the tables between the marks of a page.
    pub fn write(&self, path: &Path) -> Result<()> {
        between(path, self.marks, &self.tables()?)
    }

    fn tables(&self) -> Result<String> {
        let version = |name: &str| self.versions[name].as_str().unwrap_or("?").to_owned();
        let mut text = format!(
            "onnx {}, ONNX Runtime {}, OpenVINO {}, rten 0.27. {} of {} networks are met.\n\n",
            version("onnx"),
            version("onnxruntime"),
            version("openvino"),
            self.rows.iter().filter(|row| row.is_met()).count(),
            self.rows.len()
        );
        text += "| network | family | pixels | nodes | weights | largest logit | rten 1 | 5 | ONNX Runtime 1 | 5 \
                 | OpenVINO 1 | 5 |\n";
        text +=
            "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n";
        for row in self.rows {
            let Row {
                name,
                size,
                exported,
                found,
                ..
            } = row;
            write!(
                text,
                "| `{name}` | {} | {size} | {} | {} | {:.2} |",
                exported.family, exported.nodes, exported.weights, found.largest
            )?;
            for [one, five] in [exported.rten, found.onnxruntime, found.openvino] {
                write!(text, " {one:.0e} | {five:.0e} |")?;
            }
            text.push('\n');
        }
        if !self.accuracies.is_empty() {
            text += "\n| published weights | published | ONNX Runtime | OpenVINO |\n| --- | ---: | ---: | ---: |\n";
        }
        for accuracy in self.accuracies {
            writeln!(
                text,
                "| `{}` | {:.2} % | {:.2} % | {:.2} % |",
                accuracy.name, accuracy.published, accuracy.onnxruntime, accuracy.openvino
            )?;
        }
        Ok(text)
    }
}
