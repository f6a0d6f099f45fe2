//! Starting `kd` from a test.

use std::{
    path::Path,
    process::{Command, Output},
};

/// A recipe that trains in seconds on the embedded data.
pub const TINY: &str = r#"
name = "tiny"

[data]
name = "fashion_mnist_small"
train_limit = 64
test_limit = 32
augment = "none"

[teacher]
model = "resnet8"

[student]
model = "resnet8"

[objective.cross_entropy]
weight = 0.1

[objective.kd]
weight = 0.9

[train]
epochs = 1
batch = 32
log_every = 1

[train.lr]
peak = 0.05
"#;

/// A call of `kd` in `folder`.
pub fn kd(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kd"));
    command.args(arguments).current_dir(folder);
    command
}

/// Exit code, standard output and standard error.
pub struct Finished {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a call to its end.
pub fn finish(mut command: Command) -> Finished {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("kd starts");
    Finished {
        code: status.code(),
        stdout: String::from_utf8(stdout).expect("kd prints UTF-8"),
        stderr: String::from_utf8(stderr).expect("kd prints UTF-8"),
    }
}
