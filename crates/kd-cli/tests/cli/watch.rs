//! The page of a run, over a socket.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Stdio},
};

use super::{
    call, fails,
    run::{finish, kd},
};

/// Ends the server with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const STEP: &str = r#"{"kind":"step","role":"teacher","seed":0,"epoch":1,"step":0,"loss":2.5,"components":{"ce":{"value":2.5,"weight":1.0}},"lr":0.1,"gradient_norm":1.0,"images_per_second":64.0}"#;

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_growing_run_is_watched() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("runs/a");
    fs::create_dir_all(&run).unwrap();
    let metrics = run.join("metrics.jsonl");
    fs::write(&metrics, format!("{STEP}\n{{\"kind\":\"st")).unwrap();
    fs::write(
        run.join("recipe.toml"),
        "name = \"a\"\n[train]\nepochs = 2\n",
    )
    .unwrap();

    let mut command = kd(folder.path(), &["watch", "runs/a", "--port", "0"]);
    let mut server = Ended(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    let out = server.0.stdout.take().unwrap();
    BufReader::new(out).read_line(&mut line).unwrap();
    let address = line
        .trim()
        .trim_start_matches("http://")
        .trim_end_matches('/');
    assert!(address.starts_with("127.0.0.1:"), "{line}");

    let page = get(address, "/");
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    assert!(
        page.contains("2.5 at step 0") && page.contains("0 of 2"),
        "{page}"
    );
    let before = get(address, "/version");
    let next = STEP
        .replace("\"step\":0", "\"step\":1")
        .replace("2.5", "1.5");
    fs::write(&metrics, format!("{STEP}\n{next}\n")).unwrap();
    let after = get(address, "/version");
    let version = |text: &str| {
        text.split("\"version\":\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap()
            .to_owned()
    };
    assert_ne!(version(&before), version(&after));
    assert!(get(address, "/").contains("1.5 at step 1"));
    assert!(get(address, "/metrics.jsonl").starts_with("HTTP/1.1 404"));
}

#[test]
fn what_cannot_be_watched_is_said() {
    fails(&call(&["watch", "."]), 3, &["holds no run", "kd train"]);
    fails(
        &call(&["watch", "nowhere"]),
        3,
        &["nowhere", "holds no run"],
    );
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("metrics.jsonl"), "").unwrap();
    let finished = finish(kd(folder.path(), &["watch", ".", "--port", &port]));
    fails(&finished, 3, &[&port, "is taken", "--port 0"]);
}
