//! `kd methods`.

use anyhow::Result;
use clap::Args;
use kd_core::{MethodInfo, nearest_name, terms::methods};

use crate::{failure::BadInput, table};

/// List the distillation methods, or tell one: formula, source, settings, when to use it
#[derive(Args)]
#[command(after_help = "\
Examples:
  kd methods            the list
  kd methods dkd        one in full, with the lines for a recipe")]
pub struct Arguments {
    /// Name of a method.
    name: Option<String>,
    /// Print the whole catalogue as a page of the book.
    #[arg(long, hide = true, conflicts_with = "name")]
    markdown: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let all = methods();
    if arguments.markdown {
        return super::print(catalogue(&all).trim_end());
    }
    let Some(name) = &arguments.name else {
        let rows = all.iter().map(|m| {
            [
                m.group.into(),
                m.name.into(),
                m.title.into(),
                m.source.into(),
            ]
        });
        let table = table::table(["group", "name", "method", "source"], 0..0, rows);
        return super::print(format_args!(
            "{table}\n\n`kd methods NAME` tells one in full."
        ));
    };
    match all.iter().find(|m| m.name == name) {
        Some(method) => super::print(in_full(method).trim_end()),
        None => {
            let names: Vec<_> = all.iter().map(|m| m.name).collect();
            let meant = nearest_name(name, names.iter().copied());
            let hint = meant.map_or(String::new(), |meant| format!(", did you mean `{meant}`?"));
            let message = format!("no method `{name}`{hint}; there are {}", names.join(", "));
            Err(BadInput(message).into())
        }
    }
}

fn in_full(method: &MethodInfo) -> String {
    format!(
        "{} ({})\n\n  formula  {}\n  source   {}\n  needs    {}\n  when     {}\n\n\
         In a recipe, with the default of every key:\n\n{}",
        method.title,
        method.name,
        method.formula,
        method.source,
        method.needs,
        method.when,
        recipe_lines(method)
    )
}

fn recipe_lines(method: &MethodInfo) -> String {
    let mut lines = format!(
        "[objective.{}]\nweight = {:?}\n",
        method.name, method.weight
    );
    for (key, value) in &method.defaults {
        // TOML has no null: a key that is not set is shown as a comment.
        if value == "null" {
            lines.push_str(&format!("# {key} is not set\n"));
        } else {
            lines.push_str(&format!("{key} = {value}\n"));
        }
    }
    lines
}

fn catalogue(all: &[MethodInfo]) -> String {
    let mut page = String::from(
        "# Methods\n\n\
         <!-- Written by `cargo xtask book` from the methods' own documentation. -->\n\n\
         | name in a recipe | method | source |\n| --- | --- | --- |\n",
    );
    for m in all {
        page.push_str(&format!(
            "| [`{0}`](#{0}) | {1} | {2} |\n",
            m.name, m.title, m.source
        ));
    }
    for m in all {
        page.push_str(&format!(
            "\n## {}\n\n**{}.** {}\n\n```text\n{}\n```\n\nReads {}. Source: {}.\n\n```toml\n{}```\n",
            m.name,
            m.title,
            m.when,
            m.formula,
            m.needs,
            m.source,
            recipe_lines(m)
        ));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_is_in_the_catalogue_with_its_settings() {
        let all = methods();
        let page = catalogue(&all);
        for method in &all {
            assert!(page.contains(&format!("\n## {}\n", method.name)), "{page}");
            for (key, _) in &method.defaults {
                assert!(page.contains(key.as_str()), "{}: {key}", method.name);
            }
        }
    }
}
