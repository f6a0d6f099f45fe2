//! An array job of Slurm, and a job for the table after it.

use std::fmt::Write;

use crate::error::wrong;
use crate::quote::{command, word};
use crate::{Error, File, Time, Work};

/// What Slurm is to be told.
#[derive(Clone, Debug, Default)]
pub struct Slurm {
    /// The partition.
    pub partition: Option<String>,
    /// Who pays.
    pub account: Option<String>,
    /// For how long a worker may run before it is put into the queue again; the partition's where there is none.
    pub time: Option<Time>,
    /// Give each worker a fixed part of the work.
    pub parts: bool,
    /// More options of `sbatch`, such as `--constraint=a100`.
    pub options: Vec<String>,
    /// Lines that prepare a job, such as `module load cuda`.
    pub setup: Vec<String>,
    /// The folder in which the jobs run; that of the job files where it is empty.
    pub folder: String,
}

/// Seconds before the end of its time at which a worker is told to save its state.
const WARNING: u32 = 120;

impl Slurm {
    /// `workers.sh`, `table.sh`, and `submit.sh` that hands both to Slurm.
    ///
    /// # Errors
    /// [`Error::Option`] when an option is none of Slurm's, or has a line break.
    pub fn files(&self, work: &Work) -> Result<Vec<File>, Error> {
        work.check()?;
        self.check()?;
        Ok(vec![
            File::new("workers.sh", self.workers(work)),
            File::new("table.sh", self.table(work)),
            File::new("submit.sh", SUBMIT.into()),
        ])
    }

    fn check(&self) -> Result<(), Error> {
        let named = [
            ("--partition", &self.partition),
            ("--account", &self.account),
        ];
        for (option, value) in named {
            let fits = |c: char| c.is_ascii_alphanumeric() || "-_.,".contains(c);
            if let Some(value) = value
                && (value.is_empty() || !value.chars().all(fits))
            {
                return Err(wrong(option, format!("`{value}` is no name of Slurm")));
            }
        }
        for option in &self.options {
            if !option.starts_with("--") || option.contains(['\n', '\r']) {
                let right = "write an option of sbatch, such as --constraint=a100";
                return Err(wrong("--option", format!("`{option}`: {right}")));
            }
        }
        Ok(())
    }

    fn workers(&self, work: &Work) -> String {
        let part = format!("\"$SLURM_ARRAY_TASK_ID/{}\"", work.workers);
        let mut command = match self.parts {
            false => command(&work.worker(&["--worker"])),
            true => command(&work.worker(&["--shard", "PART"]))
                .replace("--shard PART", &format!("--shard {part}")),
        };
        command.insert_str(0, &srun());
        let mut array = format!("#SBATCH --array=1-{}\n", work.workers);
        array += "#SBATCH --requeue\n#SBATCH --open-mode=append\n";
        let _ = writeln!(array, "#SBATCH --signal=INT@{WARNING}");
        array += "#SBATCH --output=%x-%A-%a.log\n";
        format!("{}\n{command}\n{REQUEUE}", self.head(work, "", &array))
    }

    fn table(&self, work: &Work) -> String {
        let output = "#SBATCH --output=%x-%j.log\n";
        let head = self.head(work, "-table", output);
        format!("{head}\n{}{}\n", srun(), command(&work.table()))
    }

    /// Everything before the command.
    fn head(&self, work: &Work, suffix: &str, more: &str) -> String {
        let resources = &work.resources;
        let mut head = String::from("#!/bin/bash\n");
        let mut option = |text: &str| {
            let _ = writeln!(head, "#SBATCH {text}");
        };
        option(&format!("--job-name={}{suffix}", work.job()));
        option("--nodes=1");
        option("--ntasks=1");
        option(&format!("--cpus-per-task={}", resources.cpus));
        option(&format!("--mem={}M", resources.memory.mebibytes()));
        if resources.gpu {
            option("--gres=gpu:1");
        }
        let named = [("partition", &self.partition), ("account", &self.account)];
        for (name, value) in named {
            if let Some(value) = value {
                option(&format!("--{name}={value}"));
            }
        }
        if let Some(time) = self.time {
            option(&format!("--time={time}"));
        }
        for text in &self.options {
            option(text);
        }
        head += more;
        head.push('\n');
        if !self.folder.is_empty() {
            let _ = writeln!(head, "cd {} || exit 1", word(&self.folder));
        }
        for line in &self.setup {
            let _ = writeln!(head, "{line}");
        }
        head += "export RAYON_NUM_THREADS=\"$SLURM_CPUS_PER_TASK\"\n";
        head
    }
}

/// A step gets signals itself, the script of a job does not hand them on.
fn srun() -> String {
    "srun --ntasks=1 --cpus-per-task=\"$SLURM_CPUS_PER_TASK\" ".into()
}

const REQUEUE: &str = r#"code=$?

# 130: the time is nearly over, and the state is saved. A job that is preempted ends by another signal, and Slurm itself
# puts it into the queue again.
if [ "$code" -eq 130 ]; then
    scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}" && sleep 600
fi
exit "$code"
"#;

const SUBMIT: &str = r#"#!/bin/sh
set -eu
cd "$(dirname "$0")"
sbatch --parsable workers.sh > workers.id
workers=$(cut -d ';' -f 1 workers.id)
sbatch --parsable --dependency="afterok:$workers" --kill-on-invalid-dep=yes table.sh > table.id
echo "workers: job $workers; table: job $(cat table.id)"
"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Resources;

    fn work() -> Work {
        let mut work = Work::new("methods", "my recipes/methods.toml", "/shared/runs/methods");
        work.arguments = vec!["--set".into(), "train.epochs=2".into()];
        work.workers = 8;
        work
    }

    #[test]
    fn workers_are_an_array_that_goes_back_into_the_queue() {
        let mut work = work();
        work.resources = Resources {
            cpus: 16,
            memory: "32G".parse().unwrap(),
            gpu: true,
        };
        let slurm = Slurm {
            partition: Some("gpu".into()),
            account: Some("lab-1".into()),
            time: Some("2-00:00:00".parse().unwrap()),
            options: vec!["--constraint=a100".into()],
            setup: vec!["module load cuda".into()],
            folder: "/home/me/my project".into(),
            parts: false,
        };
        let files = slurm.files(&work).unwrap();
        let names: Vec<&str> = files.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, ["workers.sh", "table.sh", "submit.sh"]);
        let expected = r#"#!/bin/bash
#SBATCH --job-name=kd-methods
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=16
#SBATCH --mem=32768M
#SBATCH --gres=gpu:1
#SBATCH --partition=gpu
#SBATCH --account=lab-1
#SBATCH --time=2-00:00:00
#SBATCH --constraint=a100
#SBATCH --array=1-8
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=INT@120
#SBATCH --output=%x-%A-%a.log

cd '/home/me/my project' || exit 1
module load cuda
export RAYON_NUM_THREADS="$SLURM_CPUS_PER_TASK"

srun --ntasks=1 --cpus-per-task="$SLURM_CPUS_PER_TASK" kd study 'my recipes/methods.toml' --out /shared/runs/methods --set train.epochs=2 --worker --lease 60
code=$?
"#;
        assert!(files[0].text.starts_with(expected), "{}", files[0].text);
        let table = &files[1].text;
        assert!(
            !table.contains("--array") && !table.contains("--worker"),
            "{table}"
        );
        assert!(
            table.ends_with("--out /shared/runs/methods --set train.epochs=2\n"),
            "{table}"
        );
    }

    #[test]
    fn parts_are_numbered_as_the_array_is() {
        let slurm = Slurm {
            parts: true,
            ..Slurm::default()
        };
        let text = &slurm.files(&work()).unwrap()[0].text;
        assert!(
            text.contains(" --shard \"$SLURM_ARRAY_TASK_ID/8\" --lease 60\n"),
            "{text}"
        );
        assert!(!text.contains("--worker"), "{text}");
    }

    #[test]
    fn what_is_no_option_is_refused() {
        let message = |slurm: Slurm| slurm.files(&work()).unwrap_err().to_string();
        for option in ["constraint=a100", "--x\n--y"] {
            let slurm = Slurm {
                options: vec![option.into()],
                ..Slurm::default()
            };
            assert!(message(slurm).contains("such as --constraint=a100"));
        }
        let slurm = Slurm {
            partition: Some("a b".into()),
            ..Slurm::default()
        };
        assert_eq!(message(slurm), "--partition: `a b` is no name of Slurm");
    }
}
