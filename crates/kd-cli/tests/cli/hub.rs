//! Weights of the Hugging Face hub, from a server on this machine.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::{fs, path::Path};

use super::{
    fails,
    run::{Finished, finish, kd},
};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const WEIGHTS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../recipes/weights/cifar100_resnet56.safetensors"
);

/// A hub with the repository `kd/resnet56`, for those who come with the token `secret`, until the test ends.
fn serve() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            // The client may hang up first.
            let answer = answer(&stream);
            let _ = stream.write_all(&answer);
        }
    });
    port
}

fn answer(stream: &TcpStream) -> Vec<u8> {
    let lines = BufReader::new(stream)
        .lines()
        .map(|line| line.expect("a line"));
    let request: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let head = |status: &str, headers: &str, length: usize| {
        format!(
            "HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n"
        )
        .into_bytes()
    };
    let allowed = request
        .iter()
        .any(|line| line.to_lowercase() == "authorization: bearer secret");
    if !allowed {
        return head("401 Unauthorized", "x-error-code: GatedRepo\r\n", 0);
    }
    let path = request[0].split(' ').nth(1).unwrap_or_default();
    let content = match path.rsplit('/').next() {
        Some("model.safetensors") => fs::read(WEIGHTS).expect("weights"),
        Some("config.json") => br#"{"architecture": "resnet56", "num_classes": 100}"#.to_vec(),
        _ => return head("404 Not Found", "x-error-code: EntryNotFound\r\n", 0),
    };
    let headers = format!(
        "x-repo-commit: {COMMIT}\r\netag: \"e{}\"\r\n",
        content.len()
    );
    let mut answer = head("200 OK", &headers, content.len());
    if request[0].starts_with("GET") {
        answer.extend(content);
    }
    answer
}

fn convert(folder: &Path, output: &str, environment: &[(&str, &str)]) -> Finished {
    let mut command = kd(folder, &["convert", "hf://kd/resnet56", output]);
    for name in ["HF_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE"] {
        command.env_remove(name);
    }
    command.envs(environment.iter().copied());
    finish(command)
}

#[test]
fn weights_of_the_hub_are_fetched_once_and_used_offline() {
    let folder = tempfile::tempdir().expect("a folder");
    let endpoint = format!("http://127.0.0.1:{}/", serve());
    let here = [("HF_HOME", "home"), ("HF_ENDPOINT", endpoint.as_str())];
    let with = |more: &[(&'static str, &'static str)]| [&here[..], more].concat();
    let output = folder.path().join("out.safetensors");

    let refused = convert(folder.path(), "out.safetensors", &with(&[]));
    fails(&refused, 3, &["hf://kd/resnet56", "401", "set HF_TOKEN"]);
    let offline = [("HF_HUB_OFFLINE", "1"), ("HF_TOKEN", "secret")];
    let refused = convert(folder.path(), "out.safetensors", &with(&offline));
    fails(&refused, 3, &["hf://kd/resnet56", "unset HF_HUB_OFFLINE"]);
    assert!(!output.exists());

    let fetched = convert(
        folder.path(),
        "out.safetensors",
        &with(&[("HF_TOKEN", "secret")]),
    );
    assert_eq!(fetched.code, Some(0), "{}", fetched.stderr);
    assert!(output.exists());
    let snapshot = folder
        .path()
        .join("home/hub/models--kd--resnet56/snapshots")
        .join(COMMIT);
    assert!(snapshot.join("model.safetensors").is_file());
    let again = convert(folder.path(), "again.safetensors", &with(&offline));
    assert_eq!(again.code, Some(0), "{}", again.stderr);
}
