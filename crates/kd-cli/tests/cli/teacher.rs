//! `kd teacher`.

use super::run::{TINY, finish, kd};
use super::{call_with, fails};

#[test]
fn a_teacher_is_asked_in_two_parts_before_the_run() {
    let (folder, trained) = call_with(TINY, &["train", "tiny.toml", "--out", "earlier"]);
    assert_eq!(trained.code, Some(0), "{}", trained.stderr);
    let run = |arguments: &[&str]| {
        let recipe = [
            "tiny.toml",
            "--set",
            "teacher.weights=earlier/checkpoints/teacher-seed1.safetensors",
            "--set",
            "teacher.train=",
            "--set",
            "teacher.cache.place=file",
        ];
        finish(kd(
            folder.path(),
            &[&arguments[..1], &recipe, &arguments[1..]].concat(),
        ))
    };
    let mut files = Vec::new();
    for part in ["1/2", "2/2"] {
        let asked = run(&["teacher", "--shard", part]);
        assert_eq!(asked.code, Some(0), "{}", asked.stderr);
        assert!(
            asked.stderr.contains("the teacher has seen"),
            "{}",
            asked.stderr
        );
        let file = asked.stdout.split(": ").next().unwrap().to_owned();
        assert!(file.ends_with(&part.replace('/', "-of-")), "{file}");
        files.push(file);
    }
    let merged = run(&["teacher", "--merge", &files[0], &files[1]]);
    assert_eq!(merged.code, Some(0), "{}", merged.stderr);
    let answers = |text: &str| text.split(": ").nth(1).unwrap().to_owned();
    let whole = run(&["train", "--out", "runs/tiny"]);
    assert_eq!(whole.code, Some(0), "{}", whole.stderr);
    let held = answers(&merged.stdout)
        .split(' ')
        .next()
        .unwrap()
        .to_owned();
    let said = format!("holds {held} answers");
    assert!(
        whole.stderr.contains(&said),
        "{said} is not in {}",
        whole.stderr
    );

    fails(
        &run(&["teacher", "--merge", "nowhere"]),
        3,
        &["nowhere", "is no file of a teacher's answers"],
    );
    fails(
        &finish(kd(folder.path(), &["teacher", "tiny.toml"])),
        3,
        &["set teacher.weights"],
    );
    fails(
        &run(&["teacher", "--shard", "3/2"]),
        2,
        &["such as 1/4 to 4/4"],
    );
}
