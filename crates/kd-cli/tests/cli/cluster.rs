//! Job files for the engines of clusters.

use std::fs;
use std::process::Command;

use super::fails;
use super::run::{Finished, TINY, finish, kd};

const STUDY: &str = "recipe = \"../tiny.toml\"\nseeds = 2\n[variants.kd]\n";

/// `kd cluster` in a folder with a study, and what it writes.
fn cluster(arguments: &[&str]) -> (tempfile::TempDir, Finished) {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("studies")).unwrap();
    fs::write(folder.path().join("tiny.toml"), TINY).unwrap();
    fs::write(folder.path().join("studies/small.toml"), STUDY).unwrap();
    let finished = finish(kd(folder.path(), &[&["cluster"], arguments].concat()));
    (folder, finished)
}

#[test]
fn every_engine_gets_a_job_of_the_studys_size() {
    let study = "studies/small.toml";
    let engines: [(&[&str], &str, &str); 3] = [
        (&["slurm", study], "workers.sh", "#SBATCH --array=1-2\n"),
        (
            &["k8s", study, "--image", "kd:1", "--claim", "shared"],
            "workers.json",
            "\"completions\": 2,",
        ),
        (
            &["ray", study, "--out", "/shared/small"],
            "job.py",
            "WORKERS = 2\n",
        ),
    ];
    for (arguments, file, part) in engines {
        let (folder, finished) = cluster(arguments);
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        let files = folder.path().join("cluster/small");
        let text = fs::read_to_string(files.join(file)).unwrap();
        assert!(text.contains(part), "{text}");
        // It is started as it was told.
        assert_eq!(
            finished.stdout.trim(),
            "start it with cluster/small/submit.sh"
        );
        #[cfg(unix)]
        for script in fs::read_dir(&files).unwrap() {
            let script = script.unwrap().path();
            if script.extension().is_some_and(|e| e == "sh") {
                let mut shell = Command::new("sh");
                let read = shell.arg("-n").arg(&script).status().unwrap();
                assert!(read.success(), "{}", script.display());
            }
        }
    }
}

#[test]
fn what_would_not_run_is_refused() {
    let study = "studies/small.toml";
    let wrong: [(&[&str], i32, &[&str]); 6] = [
        (
            &["slurm", study, "--workers", "3"],
            3,
            &["--workers: 3", "2 variants and seeds", "give 2 or fewer"],
        ),
        (
            &["slurm", study, "--memory", "16"],
            2,
            &["`16`: write 512M, 16G or 1T"],
        ),
        (
            &["slurm", "tiny.toml"],
            3,
            &["tiny.toml", "not a study", "kd train"],
        ),
        (
            &["k8s", study, "--image", "kd:1"],
            3,
            &["--claim", "PersistentVolumeClaim", "s3://"],
        ),
        (
            &["ray", study, "--out", "runs/small"],
            3,
            &["--store", "all nodes share"],
        ),
        (
            &["slurm", study, "--store", "s3://key:secret@bucket/a"],
            3,
            &["--store", "AWS_ACCESS_KEY_ID"],
        ),
    ];
    for (arguments, code, parts) in wrong {
        let (folder, finished) = cluster(arguments);
        fails(&finished, code, parts);
        assert!(!folder.path().join("cluster").exists());
    }
}
