//! Rows of files of sentences.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::Error;

/// What a row is called in messages: its line in the file.
pub(super) struct Row {
    pub line: usize,
    pub text: String,
    pub label: String,
}

/// Names of columns that hold the text, where none is given.
const TEXTS: [&str; 2] = ["text", "sentence"];

/// The rows of a file, by the end of its name: `.tsv` (cells between tabs, no quotes), `.csv` (RFC 4180) or `.jsonl` (an
/// object a line). A first row that names both columns is a header; without one the text is the first cell and the label
/// the last.
pub(super) fn read(
    path: &Path,
    text: Option<&str>,
    label: Option<&str>,
) -> Result<Vec<Row>, Error> {
    let bytes = fs::read(path).map_err(|source| Error::Io {
        what: "read the sentences of",
        path: path.to_owned(),
        source,
    })?;
    let wrong = |problem: String| Error::Format {
        path: path.to_owned(),
        problem,
    };
    if let Some(found) = kd_files::stand_in(&bytes) {
        return Err(wrong(found.to_string()));
    }
    let content = String::from_utf8(bytes).map_err(|e| {
        let line = 1 + e.as_bytes()[..e.utf8_error().valid_up_to()]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        wrong(format!("line {line} is not UTF-8; save the file as UTF-8"))
    })?;
    let content = content.strip_prefix('\u{feff}').unwrap_or(&content);
    let end = path
        .extension()
        .and_then(|end| end.to_str())
        .unwrap_or_default();
    let rows = match end {
        "jsonl" => objects(content, text, label),
        "tsv" => tabs(content).and_then(|rows| cells(rows, text, label)),
        "csv" => quoted(content).and_then(|rows| cells(rows, text, label)),
        _ => Err(
            "sentences are read from `.tsv`, `.csv` and `.jsonl`; give the file one of these ends"
                .into(),
        ),
    };
    let rows = rows.map_err(wrong)?;
    match rows.is_empty() {
        true => Err(wrong("it holds no sentence".into())),
        false => Ok(rows),
    }
}

type Cells = (usize, Vec<String>);

fn tabs(content: &str) -> Result<Vec<Cells>, String> {
    let lines = content.lines().enumerate();
    let lines = lines.filter(|(_, line)| !line.trim().is_empty());
    Ok(lines
        .map(|(at, line)| (at + 1, line.split('\t').map(str::to_owned).collect()))
        .collect())
}

/// Rows of RFC 4180: a cell in quotes may hold commas, line ends, and quotes that are doubled.
fn quoted(content: &str) -> Result<Vec<Cells>, String> {
    let (mut rows, mut cells, mut cell) = (Vec::new(), Vec::new(), String::new());
    let (mut line, mut began, mut inside, mut closed) = (1, 1, false, false);
    let mut characters = content.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '\n' {
            line += 1;
        }
        match character {
            '"' if inside && characters.peek() == Some(&'"') => {
                cell.push('"');
                characters.next();
            }
            '"' if inside => (inside, closed) = (false, true),
            _ if inside => cell.push(character),
            '"' if cell.is_empty() && !closed => inside = true,
            '"' => {
                return Err(format!(
                    "line {line}: a quote inside a cell; put the cell in quotes and double it"
                ));
            }
            ',' => {
                cells.push(std::mem::take(&mut cell));
                closed = false;
            }
            '\r' if characters.peek() == Some(&'\n') => {}
            '\n' => {
                cells.push(std::mem::take(&mut cell));
                let row = std::mem::take(&mut cells);
                if row.iter().any(|cell| !cell.trim().is_empty()) {
                    rows.push((began, row));
                }
                (began, closed) = (line, false);
            }
            _ if closed => return Err(format!("line {line}: `{character}` after a closing quote")),
            _ => cell.push(character),
        }
    }
    if inside {
        return Err(format!("line {began}: a quote is opened and never closed"));
    }
    cells.push(cell);
    if cells.iter().any(|cell| !cell.trim().is_empty()) {
        rows.push((began, cells));
    }
    Ok(rows)
}

fn cells(rows: Vec<Cells>, text: Option<&str>, label: Option<&str>) -> Result<Vec<Row>, String> {
    let Some((_, first)) = rows.first() else {
        return Ok(Vec::new());
    };
    let at = |names: &[&str]| first.iter().position(|cell| names.contains(&cell.trim()));
    let texts: Vec<&str> = text.map_or_else(|| TEXTS.to_vec(), |name| vec![name]);
    let found = (at(&texts), at(&[label.unwrap_or("label")]));
    let (columns, skip) = match found {
        (Some(text), Some(label)) => ([text, label], 1),
        _ if text.is_some() || label.is_some() => {
            return Err(format!(
                "the first line names no columns `{}` and `{}`; it has {}",
                text.unwrap_or("text"),
                label.unwrap_or("label"),
                first.join(", ")
            ));
        }
        _ => ([0, first.len() - 1], 0),
    };
    let width = first.len();
    if width < 2 {
        return Err("line 1 has one cell; a row is a text and a label".into());
    }
    let rows = rows.into_iter().skip(skip).map(|(line, mut row)| {
        if row.len() != width {
            return Err(format!(
                "line {line} has {} cells and the first line {width}",
                row.len()
            ));
        }
        let [text, label] = columns.map(|column| std::mem::take(&mut row[column]));
        Ok(Row {
            line,
            text,
            label: label.trim().to_owned(),
        })
    });
    rows.collect()
}

fn objects(content: &str, text: Option<&str>, label: Option<&str>) -> Result<Vec<Row>, String> {
    let texts: Vec<&str> = text.map_or_else(|| TEXTS.to_vec(), |name| vec![name]);
    let label = label.unwrap_or("label");
    let lines = content.lines().enumerate();
    let lines = lines.filter(|(_, line)| !line.trim().is_empty());
    let rows = lines.map(|(at, line)| {
        let line_number = at + 1;
        let wrong = |problem: String| format!("line {line_number}: {problem}");
        let object: Value = serde_json::from_str(line).map_err(|e| wrong(e.to_string()))?;
        let text = texts.iter().find_map(|name| object[*name].as_str());
        let text = text.ok_or_else(|| wrong(format!("no text `{}`", texts.join("` or `"))))?;
        let label = match &object[label] {
            Value::String(label) => label.clone(),
            Value::Number(label) => label.to_string(),
            Value::Bool(label) => label.to_string(),
            _ => return Err(wrong(format!("no label `{label}`"))),
        };
        Ok(Row {
            line: line_number,
            text: text.to_owned(),
            label,
        })
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(name: &str, content: &str) -> Result<Vec<(String, String)>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        let rows = read(&path, None, None).map_err(|e| e.to_string())?;
        Ok(rows.into_iter().map(|row| (row.text, row.label)).collect())
    }

    #[test]
    fn every_format_says_the_same() {
        let want = vec![
            ("good, \"really\" good".to_owned(), "1".to_owned()),
            ("bad\nfilm".to_owned(), "0".to_owned()),
        ];
        let csv = "text,label\r\n\"good, \"\"really\"\" good\",1\r\n\"bad\nfilm\",0\r\n";
        assert_eq!(rows("a.csv", csv).unwrap(), want);
        let jsonl = "{\"sentence\": \"good, \\\"really\\\" good\", \"label\": 1}\n\n{\"sentence\": \"bad\\nfilm\", \"label\": \"0\"}";
        assert_eq!(rows("a.jsonl", jsonl).unwrap(), want);
        let tsv = "good, \"really\" good\t1\nit 's \"bad\t0\n";
        let found = rows("a.tsv", tsv).unwrap();
        assert_eq!(found[0], want[0]);
        assert_eq!(found[1], ("it 's \"bad".into(), "0".into()));
        let turned = "id\tlabel\tsentence\n7\tx\ta b\n";
        assert_eq!(rows("a.tsv", turned).unwrap(), [("a b".into(), "x".into())]);
    }

    #[test]
    fn what_is_wrong_names_the_line() {
        for (name, content, part) in [
            ("a.csv", "a,1\n\"b,0\n", "line 2: a quote is opened"),
            ("a.csv", "a,1\n\"b\"c,0\n", "line 2: `c` after"),
            ("a.csv", "a,1\nb\"c,0\n", "line 2: a quote inside"),
            (
                "a.tsv",
                "a\t1\nb\n",
                "line 2 has 1 cells and the first line 2",
            ),
            ("a.tsv", "a\nb\n", "line 1 has one cell"),
            ("a.tsv", "\n", "no sentence"),
            ("a.jsonl", "{\"text\": \"a\"}", "line 1: no label `label`"),
            (
                "a.jsonl",
                "{\"label\": 1}",
                "line 1: no text `text` or `sentence`",
            ),
            ("a.jsonl", "{", "line 1: EOF"),
            ("a.txt", "a", "`.tsv`, `.csv` and `.jsonl`"),
        ] {
            let refused = rows(name, content).unwrap_err();
            assert!(refused.contains(part), "{refused}");
        }
    }
}
