//! Reading a recipe so that a mistake is shown with its file, line, key and nearest valid name.

use std::path::{Path, PathBuf};

use kd_core::nearest_name;
use kd_data::hub::Address;
use toml::{Table, Value};

use super::Recipe;
use crate::Error;

/// Keys that hold a path relative to the recipe's folder, or an address of the hub; `*` is any key.
const PATHS: [&[&str]; 12] = [
    &["teacher", "weights"],
    &["teacher", "classifier_weights"],
    &["teacher", "cache", "path"],
    &["student", "weights"],
    &["student", "classifier_weights"],
    &["stages", "*", "weights"],
    &["text", "train"],
    &["text", "validation"],
    &["text", "test"],
    &["text", "tokenizer"],
    &["text", "start", "*"],
    &["stages", "*", "classifier_weights"],
];

pub(super) fn load(path: &Path, overrides: &[String]) -> Result<Recipe, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Io {
        what: "read the recipe",
        path: path.into(),
        source,
    })?;
    if let Ok(table) = text.parse::<Table>()
        && table.contains_key("variants")
    {
        return Err(Error::Recipe(format!(
            "{}: this is a study, not a recipe: run it with `kd study {0}`",
            path.display()
        )));
    }
    if let Ok(table) = text.parse::<Table>()
        && table.contains_key("parameters")
        && table.contains_key("sampler")
    {
        return Err(Error::Recipe(format!(
            "{}: this is a search, not a recipe: run it with `kd search {0}`",
            path.display()
        )));
    }
    // The file alone must parse too when nothing is overridden: only then do errors have lines.
    if overrides.is_empty() {
        toml::from_str::<Recipe>(&text).map_err(|e| in_file(path, &text, &e))?;
    }
    let mut table: Table = toml::from_str(&text).map_err(|e| in_file(path, &text, &e))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    if !["data", "detection", "text"]
        .iter()
        .any(|key| table.contains_key(*key))
    {
        return Err(Error::Recipe(format!(
            "{}: missing field `data`: add [data] for images with classes, [detection] for images with boxes, or [text] \
             for sentences",
            path.display()
        )));
    }
    make_absolute(&mut table, folder)?;
    for assignment in overrides {
        apply(&mut table, assignment)?;
    }
    // What is not absolute now came from an override.
    make_absolute(&mut table, Path::new(""))?;
    for keys in [["data", "dir"], ["detection", "dir"]] {
        each_text(&mut table, &keys, "", &mut |place, path| {
            escapes(place, path)
        })?;
    }
    Value::Table(table.clone()).try_into().map_err(|e| {
        // Tell apart a mistake of the file and one of the overrides: the file's has a line.
        match toml::from_str::<Recipe>(&text) {
            Err(in_text) if in_text.message() == e.message() => in_file(path, &text, &in_text),
            _ => Error::Recipe(format!(
                "{} with --set {}: {}",
                path.display(),
                overrides.join(" --set "),
                located(&e, &with_hint(&message(&e)))
            )),
        }
    })
}

/// Says where a mistake is that has no line.
fn located(error: &toml::de::Error, message: &str) -> String {
    let shown = error.to_string();
    let keys = shown.rsplit_once("\nin `").map(|(_, keys)| keys);
    let Some(keys) = keys.and_then(|keys| keys.split('`').next()) else {
        return message.into();
    };
    // A term's mistake says where it is, but for the stage.
    let place = if message.starts_with("objective.") {
        keys.split_once("objective")
            .map_or(keys, |(before, _)| before)
    } else {
        keys
    };
    match place.trim_end_matches('.') {
        "" => message.into(),
        place => format!("{place}: {message}"),
    }
}

/// What the parser says, in words of TOML.
fn message(error: &toml::de::Error) -> String {
    let message = error.message();
    let Some((found, wanted)) = message.split_once(", expected ") else {
        return message.into();
    };
    let plain = [
        ("struct LrConfig", "a table such as { peak = 0.1 }"),
        ("struct ", "a table"),
        (
            "internally tagged enum ",
            "a table such as { name = \"...\" }",
        ),
        ("usize", "a whole number of at least 0"),
        ("u64", "a whole number of at least 0"),
        ("f64", "a number"),
        ("a sequence", "a list such as [\"...\"]"),
        ("a map", "a table"),
    ];
    let plain = plain.iter().find(|(rust, _)| wanted.starts_with(rust));
    match plain {
        Some((_, plain)) if found.starts_with("invalid") => format!("{found}, expected {plain}"),
        _ => message.into(),
    }
}

fn make_absolute(table: &mut Table, folder: &Path) -> Result<(), Error> {
    PATHS.iter().try_for_each(|keys| {
        each_text(table, keys, "", &mut |place, path| {
            escapes(place, path)?;
            if Address::of_path(Path::new(path))?.is_some() {
                return Ok(());
            }
            *path = absolute(&folder.join(&*path))?;
            Ok(())
        })
    })
}

/// Calls `act` with every text of `table` that `keys` lead to, and with its place.
fn each_text(
    table: &mut Table,
    keys: &[&str],
    above: &str,
    act: &mut dyn FnMut(&str, &mut String) -> Result<(), Error>,
) -> Result<(), Error> {
    let [key, rest @ ..] = keys else {
        return Ok(());
    };
    for (name, value) in table.iter_mut() {
        if name != key && *key != "*" {
            continue;
        }
        let place = format!("{above}{name}");
        match value {
            Value::String(text) if rest.is_empty() => act(&place, text)?,
            Value::Table(inner) => each_text(inner, rest, &format!("{place}."), act)?,
            _ => {}
        }
    }
    Ok(())
}

/// How a path with backslashes is written in TOML.
const BACKSLASHES: &str = r"in double quotes a `\` begins an escape such as `\n`: write the path in single quotes, 'C:\data', or with `/`";

/// Refuses a path that an escape has changed: `"C:\new"` is read with a line break in it.
fn escapes(place: &str, path: &str) -> Result<(), Error> {
    match path.contains(char::is_control) {
        false => Ok(()),
        true => Err(Error::Recipe(format!(
            "{place} = {path:?}: a path with a line break, a tab or the like; {BACKSLASHES}"
        ))),
    }
}

/// What to do about a backslash that TOML cannot read, at the place of the parser's mistake.
pub(crate) fn backslash_hint(text: &str, error: &toml::de::Error) -> String {
    let about_escapes = ["escape", "unicode", "hex"];
    let message = error.message();
    let start = error.span().map_or(0, |span| span.start.min(text.len()));
    let Some(before) = text.get(..start) else {
        return String::new();
    };
    let line = before.rfind('\n').map_or(0, |at| at + 1);
    let end = text[start..].find('\n').map_or(text.len(), |at| start + at);
    let escaped =
        text[line..end].contains('\\') && about_escapes.iter().any(|w| message.contains(w));
    match escaped {
        true => format!("; {BACKSLASHES}"),
        false => String::new(),
    }
}

fn absolute(path: &Path) -> Result<String, Error> {
    let path: PathBuf = std::path::absolute(path).map_err(|source| Error::Io {
        what: "resolve the path",
        path: path.into(),
        source,
    })?;
    Ok(path.to_string_lossy().into_owned())
}

/// Applies one `a.b.c=value`; the value is TOML, or a plain string when it is not. An empty value
/// takes the key out, so that its default holds.
fn apply(table: &mut Table, assignment: &str) -> Result<(), Error> {
    let wrong = |problem: &str| Error::Recipe(format!("--set {assignment}: {problem}"));
    let (key, text) = assignment
        .split_once('=')
        .ok_or_else(|| wrong("write it as key=value, for example train.epochs=10"))?;
    let mut path: Vec<&str> = key.trim().split('.').collect();
    if path.iter().any(|part| part.is_empty()) {
        return Err(wrong("the key has an empty part"));
    }
    let last = path.pop().unwrap_or_default();
    let insert = |table: &mut Table, value| {
        let mut here = table;
        for part in &path {
            here = here
                .entry(*part)
                .or_insert_with(|| Value::Table(Table::new()))
                .as_table_mut()
                .ok_or_else(|| wrong(&format!("`{part}` is a value, not a table")))?;
        }
        here.insert(last.into(), value);
        Ok(())
    };
    if !text.trim().is_empty() {
        return insert(
            table,
            parse_value(text.trim()).map_err(|problem| wrong(&problem))?,
        );
    }
    let mut above = Some(&mut *table);
    for part in &path {
        above = above.and_then(|t| t.get_mut(*part)?.as_table_mut());
    }
    if above.and_then(|table| table.remove(last)).is_some() {
        return Ok(());
    }
    // It is not there, which is as well, but it must be a key.
    let mut probe = table.clone();
    insert(&mut probe, Value::Table(Table::new()))?;
    let unknown = |e: &toml::de::Error| {
        let message = e.message();
        message.contains("unknown ") && quoted(message).as_deref() == Some(last)
    };
    match Value::Table(probe).try_into::<Recipe>() {
        Err(e) if unknown(&e) => Err(wrong(&with_hint(&message(&e)))),
        _ => Ok(()),
    }
}

/// The value of an override: TOML, or a text as it is. What begins with a quote is meant as TOML.
fn parse_value(text: &str) -> Result<Value, String> {
    let line = format!("value = {text}");
    match toml::from_str::<Table>(&line) {
        Ok(mut table) => Ok(table
            .remove("value")
            .unwrap_or_else(|| Value::String(text.into()))),
        Err(error) if text.starts_with('"') => Err(format!(
            "{}{}",
            error.message(),
            backslash_hint(&line, &error)
        )),
        Err(_) => Ok(Value::String(text.into())),
    }
}

/// Adds file, line and key to what the parser says.
fn in_file(path: &Path, text: &str, error: &toml::de::Error) -> Error {
    let message = message(error);
    let start = error.span().map_or(0, |span| span.start);
    // A term's keys are read from a buffer, so its error points at the table: look inside it.
    let offset = quoted(&message)
        .and_then(|key| key_position(text, start, &key))
        .unwrap_or(start);
    let line = text[..offset.min(text.len())].matches('\n').count() + 1;
    Error::Recipe(format!(
        "{}:{line}: {}{}",
        path.display(),
        with_hint(message.trim_end()),
        backslash_hint(text, error)
    ))
}

/// The first `name` in backquotes.
fn quoted(message: &str) -> Option<String> {
    message.split('`').nth(1).map(String::from)
}

/// Where a line at or after `start` assigns `key`.
fn key_position(text: &str, start: usize, key: &str) -> Option<usize> {
    let line_start = text.get(..start)?.rfind('\n').map_or(0, |i| i + 1);
    let mut offset = line_start;
    for line in text[line_start..].split_inclusive('\n') {
        let name = line.trim_start().trim_start_matches('[');
        let rest = name.strip_prefix(key).map(str::trim_start);
        let inline = line.contains(&format!("{key} =")) || line.contains(&format!("{key}="));
        if rest.is_some_and(|r| r.starts_with(['=', '.', ']'])) || inline {
            return Some(offset);
        }
        offset += line.len();
    }
    None
}

/// Adds the nearest valid name to an "unknown field" or "unknown variant" message.
fn with_hint(message: &str) -> String {
    let mut names = message.split('`').skip(1).step_by(2);
    let unknown = message.starts_with("unknown ") && !message.contains("did you mean");
    let (true, Some(given)) = (unknown, names.next()) else {
        return message.into();
    };
    match nearest_name(given, names) {
        Some(name) => format!("{message}; did you mean `{name}`?"),
        None => message.into(),
    }
}
