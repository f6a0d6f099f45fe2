//! Words for a shell.

/// A word that a POSIX shell reads as this text.
pub(crate) fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.into();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A command of these words.
pub(crate) fn command(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|text| word(text)).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn a_shell_reads_what_was_meant() {
        for text in [
            "",
            "plain",
            "a b",
            "it's",
            "$HOME `ls` \"x\" \\",
            "a\nb",
            "*~#;&|<>()!",
        ] {
            let mut shell = std::process::Command::new("sh");
            let script = format!("printf %s {}", word(text));
            let output = shell.args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
        }
    }
}
