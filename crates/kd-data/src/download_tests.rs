use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

use md5::{Digest, Md5};
use tempfile::TempDir;

use super::*;
use crate::sets::hex;

/// What the server does with a connection.
#[derive(Clone, Copy)]
enum Answer {
    /// The whole file, or the part asked for.
    Serve,
    /// The same, but the connection is cut after so many bytes.
    CutAfter(usize),
    /// The whole file whatever is asked for.
    IgnoreRange,
    /// A part that was not asked for.
    WrongRange,
    /// Only a status line.
    Status(&'static str),
}

struct Server {
    port: u16,
    ranges: Receiver<Option<usize>>,
    thread: JoinHandle<()>,
}

fn content() -> Vec<u8> {
    (0..100_000u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8)
        .collect()
}

/// One answer a connection, then the server is gone.
fn serve(answers: Vec<Answer>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, ranges) = channel();
    let thread = std::thread::spawn(move || {
        for answer in answers {
            let (stream, _) = listener.accept().unwrap();
            sender.send(handle(stream, answer)).unwrap();
        }
    });
    Server {
        port,
        ranges,
        thread,
    }
}

fn handle(mut stream: TcpStream, answer: Answer) -> Option<usize> {
    let mut range = None;
    for line in BufReader::new(stream.try_clone().unwrap()).lines() {
        let line = line.unwrap().to_lowercase();
        if let Some(start) = line.strip_prefix("range: bytes=") {
            range = Some(start.trim_end_matches('-').parse().unwrap());
        }
        if line.is_empty() {
            break;
        }
    }
    let content = content();
    let start = match answer {
        Answer::IgnoreRange => 0,
        Answer::WrongRange => 1,
        _ => range.unwrap_or(0),
    };
    let end = "connection: close\r\n\r\n";
    let (head, body) = match answer {
        Answer::Status(status) => (
            format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n{end}"),
            &[][..],
        ),
        _ if start > content.len() => {
            let status = "416 Range Not Satisfiable";
            (
                format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n{end}"),
                &[][..],
            )
        }
        _ => {
            let length = format!("content-length: {}\r\n", content.len() - start);
            let head = match start {
                0 => format!("HTTP/1.1 200 OK\r\n{length}{end}"),
                _ => format!(
                    "HTTP/1.1 206 Partial Content\r\n{length}content-range: bytes {start}-{}/{}\r\n{end}",
                    content.len() - 1,
                    content.len()
                ),
            };
            (head, &content[start..])
        }
    };
    let sent = match answer {
        Answer::CutAfter(n) => &body[..n.min(body.len())],
        _ => body,
    };
    // The client may hang up first; that is what some tests are about.
    let _ = stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(sent));
    range
}

fn md5() -> String {
    hex(&Md5::digest(content()))
}

fn fetch(server: &Server) -> Fetch {
    Fetch {
        attempts: 3,
        pause: Duration::from_millis(1),
        ..Fetch::new(
            format!("http://127.0.0.1:{}/file.tar.gz", server.port),
            Checksum::Md5(md5()),
        )
    }
}

/// Runs a fetch; returns its result, the ranges that were asked for, and what was reported.
fn run(
    dir: &TempDir,
    answers: Vec<Answer>,
    change: impl Fn(&mut Fetch),
) -> (Result<(), Error>, Vec<Option<usize>>, Vec<Progress>) {
    let server = serve(answers);
    let mut fetch = fetch(&server);
    change(&mut fetch);
    let mut reports = Vec::new();
    let result = fetch.to(&dir.path().join("file.tar.gz"), &mut |report| {
        reports.push(report)
    });
    server.thread.join().unwrap();
    (result, server.ranges.try_iter().collect(), reports)
}

fn files(dir: &TempDir) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn assert_whole(dir: &TempDir) {
    assert_eq!(files(dir), ["file.tar.gz"]);
    assert_eq!(
        std::fs::read(dir.path().join("file.tar.gz")).unwrap(),
        content()
    );
}

#[test]
fn a_whole_file_is_verified_and_put_in_place() {
    let dir = TempDir::new().unwrap();
    let (result, ranges, reports) = run(&dir, vec![Answer::Serve], |_| {});
    result.unwrap();
    assert_whole(&dir);
    assert_eq!(ranges, [None]);
    let whole = Progress::Download {
        file: "file.tar.gz".into(),
        received: 100_000,
        total: Some(100_000),
    };
    assert!(reports.contains(&whole), "{reports:?}");
    assert_eq!(
        reports.last(),
        Some(&Progress::Verifying("file.tar.gz".into()))
    );
}

#[test]
fn a_cut_connection_is_continued_where_it_broke() {
    let dir = TempDir::new().unwrap();
    let answers = vec![
        Answer::CutAfter(30_000),
        Answer::CutAfter(20_000),
        Answer::Serve,
    ];
    let (result, ranges, _) = run(&dir, answers, |_| {});
    result.unwrap();
    assert_whole(&dir);
    assert_eq!(ranges, [None, Some(30_000), Some(50_000)]);
}

#[test]
fn progress_renews_the_attempts() {
    let dir = TempDir::new().unwrap();
    let mut answers = vec![Answer::CutAfter(15_000); 6];
    answers.push(Answer::Serve);
    run(&dir, answers, |_| {}).0.unwrap();
    assert_whole(&dir);
}

#[test]
fn a_later_call_continues_what_an_earlier_one_left() {
    let dir = TempDir::new().unwrap();
    let answers = vec![
        Answer::CutAfter(40_000),
        Answer::CutAfter(0),
        Answer::CutAfter(0),
    ];
    let (result, ..) = run(&dir, answers, |_| {});
    let message = result.unwrap_err().to_string();
    assert!(message.contains("40000 bytes so far are kept"), "{message}");
    assert_eq!(files(&dir), ["file.tar.gz.part"]);
    let (result, ranges, _) = run(&dir, vec![Answer::Serve], |_| {});
    result.unwrap();
    assert_eq!(ranges, [Some(40_000)]);
    assert_whole(&dir);
}

#[test]
fn a_server_that_ignores_the_range_starts_over() {
    let dir = TempDir::new().unwrap();
    let (result, ranges, _) = run(
        &dir,
        vec![Answer::CutAfter(30_000), Answer::IgnoreRange],
        |_| {},
    );
    result.unwrap();
    assert_eq!(ranges, [None, Some(30_000)]);
    assert_whole(&dir);
}

#[test]
fn a_part_that_was_not_asked_for_is_not_taken() {
    let dir = TempDir::new().unwrap();
    let answers = vec![Answer::CutAfter(30_000), Answer::WrongRange, Answer::Serve];
    run(&dir, answers, |_| {}).0.unwrap();
    assert_whole(&dir);
}

#[test]
fn a_whole_part_that_was_left_is_only_verified() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("file.tar.gz.part"), content()).unwrap();
    let (result, ..) = run(
        &dir,
        vec![Answer::Status("416 Range Not Satisfiable")],
        |_| {},
    );
    result.unwrap();
    assert_whole(&dir);
}

#[test]
fn a_wrong_checksum_removes_the_file_and_says_so() {
    let dir = TempDir::new().unwrap();
    let wrong = "0".repeat(32);
    let (result, ..) = run(&dir, vec![Answer::Serve], |fetch| {
        fetch.checksum = Checksum::Md5(wrong.clone())
    });
    let message = result.unwrap_err().to_string();
    for part in [
        "wrong checksum",
        &md5(),
        &wrong,
        "the file was removed",
        "file.tar.gz",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert!(files(&dir).is_empty());
    // A left-over that is too long is not continued for ever either.
    std::fs::write(dir.path().join("file.tar.gz.part"), vec![0; 100_001]).unwrap();
    let (result, ..) = run(&dir, vec![Answer::Serve], |_| {});
    assert!(result.unwrap_err().to_string().contains("wrong checksum"));
    assert!(files(&dir).is_empty());
}

#[test]
fn not_found_is_final_and_a_busy_server_is_not() {
    let dir = TempDir::new().unwrap();
    let (result, ranges, _) = run(&dir, vec![Answer::Status("404 Not Found")], |_| {});
    let message = result.unwrap_err().to_string();
    assert!(
        message.contains("/file.tar.gz: the server answered 404"),
        "{message}"
    );
    assert_eq!(ranges.len(), 1);
    let answers = vec![Answer::Status("503 Service Unavailable"), Answer::Serve];
    run(&dir, answers, |_| {}).0.unwrap();
    assert_whole(&dir);
}

#[test]
fn no_network_is_an_error_after_a_few_attempts() {
    let dir = TempDir::new().unwrap();
    let server = serve(Vec::new());
    let fetch = fetch(&server);
    // The listener is closed: connections are refused.
    server.thread.join().unwrap();
    let error = fetch
        .to(&dir.path().join("file.tar.gz"), &mut |_| {})
        .unwrap_err();
    assert!(error.to_string().contains("tried 3 times"), "{error}");
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error_that_names_it() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("data"), "a file").unwrap();
    let server = serve(Vec::new());
    let error = fetch(&server)
        .to(&dir.path().join("data/file.tar.gz"), &mut |_| {})
        .unwrap_err();
    server.thread.join().unwrap();
    assert!(error.to_string().contains("creating the folder"), "{error}");
}

/// `/dev/full` answers every write as a full disk does.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_final_and_names_the_file() {
    let dir = TempDir::new().unwrap();
    let part = dir.path().join("file.tar.gz.part");
    std::os::unix::fs::symlink("/dev/full", &part).unwrap();
    let (result, ranges, _) = run(&dir, vec![Answer::Serve], |_| {});
    let message = result.unwrap_err().to_string();
    assert!(
        message.contains("is there space?") && message.contains("file.tar.gz.part"),
        "{message}"
    );
    assert!(message.contains("No space left"), "{message}");
    assert_eq!(ranges.len(), 1, "a full disk is not tried again");
}
