//! A tracker never fails or slows a run, and is told every line once, whatever happens.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kd_track::{
    End, Error, Follower, Mark, Metrics, MlFlow, Point, Run, Status, Tracker, Wandb, replay,
};

fn run(folder: &Path) -> Run {
    Run {
        folder: folder.into(),
        name: "a".into(),
        id: "1".into(),
        started: 0.0,
        parameters: [("seed".into(), 1.into())].into(),
        recipe: "name = \"a\"\n".into(),
        artifacts: Vec::new(),
    }
}

/// Lines of a step and a value.
fn read(line: &str) -> Result<Point, String> {
    let (step, value) = line.split_once(' ').ok_or("no two numbers")?;
    let step = step.parse().map_err(|_| "no step")?;
    let value: f64 = value.parse().map_err(|_| "no value")?;
    Ok(Point {
        training: "student-seed1".into(),
        step,
        wall: 0.0,
        values: vec![("loss".into(), value)],
    })
}

fn metrics(folder: &Path) -> Metrics {
    let path = folder.join("metrics.jsonl");
    Metrics { path, read }
}

fn append(folder: &Path, text: &str) {
    let path = folder.join("metrics.jsonl");
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.create(true).append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn end() -> End {
    End {
        status: Status::Finished,
        results: Vec::new(),
    }
}

/// Keeps what it is told, and fails when it should.
#[derive(Clone, Default)]
struct Memory {
    told: Arc<Mutex<Vec<(u64, f64)>>>,
    /// Calls that fail before one succeeds.
    failures: usize,
    begin: Mark,
}

impl Tracker for Memory {
    fn begin(&mut self) -> Result<Mark, Error> {
        Ok(self.begin)
    }

    fn rewind(&mut self) -> Result<(), Error> {
        self.told.lock().unwrap().clear();
        Ok(())
    }

    fn points(&mut self, points: &[Point], mark: Mark) -> Result<(), Error> {
        if self.failures > 0 {
            self.failures -= 1;
            return Err(Error::Server {
                uri: "http://a".into(),
                problem: "503".into(),
                passes: true,
            });
        }
        let told = points.iter().map(|p| (p.step, p.values[0].1));
        self.told.lock().unwrap().extend(told);
        self.begin = mark;
        Ok(())
    }

    fn finish(&mut self, _: Status, _: &[Point]) -> Result<(), Error> {
        Ok(())
    }
}

#[test]
fn every_line_is_told_once_through_failures_and_more_lines_than_one_read() {
    let folder = tempfile::tempdir().unwrap();
    let many: String = (0..60_000).map(|i| format!("{i} {i}.5\n")).collect();
    append(folder.path(), &many);
    let mut memory = Memory {
        failures: 2,
        ..Memory::default()
    };
    replay(&metrics(folder.path()), &mut memory, end()).unwrap();
    let expected: Vec<_> = (0..60_000).map(|i| (i, i as f64 + 0.5)).collect();
    assert_eq!(*memory.told.lock().unwrap(), expected);

    // Told later, only what is new is told; a half written line waits.
    memory.told.lock().unwrap().clear();
    append(folder.path(), "60000 1.0\n60001 2");
    replay(&metrics(folder.path()), &mut memory, end()).unwrap();
    assert_eq!(*memory.told.lock().unwrap(), [(60_000, 1.0)]);
}

#[test]
fn lines_that_changed_are_told_anew() {
    let folder = tempfile::tempdir().unwrap();
    append(folder.path(), "0 1.0\n1 2.0\n");
    let mut memory = Memory::default();
    replay(&metrics(folder.path()), &mut memory, end()).unwrap();
    // As long as before, so only the contents tell.
    std::fs::write(folder.path().join("metrics.jsonl"), "0 1.0\n1 3.0\n").unwrap();
    replay(&metrics(folder.path()), &mut memory, end()).unwrap();
    assert_eq!(*memory.told.lock().unwrap(), [(0, 1.0), (1, 3.0)]);
}

#[test]
fn a_follower_reads_on_while_the_file_grows() {
    let folder = tempfile::tempdir().unwrap();
    let memory = Memory::default();
    let told = memory.told.clone();
    let follower = Follower::start("a".into(), metrics(folder.path()), Box::new(memory)).unwrap();
    append(folder.path(), "0 1.0\n");
    let begun = Instant::now();
    while told.lock().unwrap().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(30), "nothing is told");
        std::thread::sleep(Duration::from_millis(20));
    }
    append(folder.path(), "1 2.0\n");
    assert_eq!(follower.finish(end()), Vec::<String>::new());
    assert_eq!(*told.lock().unwrap(), [(0, 1.0), (1, 2.0)]);
}

#[test]
fn a_damaged_line_is_named() {
    let folder = tempfile::tempdir().unwrap();
    append(folder.path(), "0 1.0\nnonsense\n");
    let error = replay(&metrics(folder.path()), &mut Memory::default(), end());
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("byte 6") && error.contains("no two numbers"),
        "{error}"
    );
}

/// The address of a port where nothing listens.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[test]
fn a_dead_server_is_told_once_and_the_end_of_the_run_waits_seconds() {
    let folder = tempfile::tempdir().unwrap();
    append(folder.path(), "0 1.0\n");
    let server = MlFlow::new(&nobody(), run(folder.path()));
    let follower = Follower::start(
        "mlflow=URI".into(),
        metrics(folder.path()),
        Box::new(server),
    )
    .unwrap();
    let mut notes = Vec::new();
    let begun = Instant::now();
    while notes.is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(30), "nothing is said");
        std::thread::sleep(Duration::from_millis(20));
        notes = follower.notes();
    }
    assert!(
        notes[0].contains("tried again while the run goes on"),
        "{notes:?}"
    );
    let begun = Instant::now();
    let last = follower.finish(end());
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(last.len(), 1, "{last:?}");
    assert!(last[0].contains("kd track RUN --to mlflow=URI"), "{last:?}");
}

#[test]
fn a_server_that_is_no_mlflow_is_not_asked_again() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap());
    let asked = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = [0; 4096];
        std::io::Read::read(&mut stream, &mut buffer).unwrap();
        let body = "<html>hello</html>";
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
    });
    let folder = tempfile::tempdir().unwrap();
    let mut server = MlFlow::new(&uri, run(folder.path()));
    let error = replay(&metrics(folder.path()), &mut server, end()).unwrap_err();
    assert!(error.to_string().contains("is no MLflow server"), "{error}");
    asked.join().unwrap();
}

#[test]
fn files_are_written_anew_not_beside_the_old_ones() {
    let folder = tempfile::tempdir().unwrap();
    append(folder.path(), "0 1.0\n");
    let files = |below: &str, ending: &str| -> Vec<PathBuf> {
        let folders = folder.path().join(below).read_dir().unwrap();
        let files = folders.flat_map(|f| f.unwrap().path().read_dir().unwrap());
        let paths = files.map(|f| f.unwrap().path());
        paths
            .filter(|p| p.to_string_lossy().contains(ending))
            .collect()
    };
    for _ in 0..2 {
        let metrics = metrics(folder.path());
        replay(&metrics, &mut Wandb::new(run(folder.path())), end()).unwrap();
        let mut board = kd_track::TensorBoard::new(run(folder.path()));
        replay(&metrics, &mut board, end()).unwrap();
    }
    assert_eq!(files("track/wandb", ".wandb").len(), 1);
    assert_eq!(files("track/tensorboard", "events.out").len(), 1);
}
