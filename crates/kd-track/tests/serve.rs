//! The server of pages, asked over a socket.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use kd_track::{Answer, Pages};

/// A server that answers with the path, and where it listens.
fn start() -> SocketAddr {
    let pages = Pages::listen(0).unwrap();
    let address = pages.address();
    let address = address.trim_start_matches("http://").trim_end_matches('/');
    let address: SocketAddr = address.parse().unwrap();
    std::thread::spawn(move || {
        pages.serve(|path| match path {
            "/missing" => Answer::plain(404, "no such page"),
            path => Answer {
                code: 200,
                kind: "text/html",
                text: format!("<p>{path} ü"),
            },
        })
    });
    address
}

fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn get(address: SocketAddr, method: &str, path: &str, host: &str) -> String {
    ask(
        address,
        &format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"),
    )
}

#[test]
fn pages_are_answered_on_loopback_only() {
    let address = start();
    assert!(address.ip().is_loopback());
    let own = address.to_string();
    let page = get(address, "GET", "/runs/a/?x=1", &own);
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    assert!(page.ends_with("<p>/runs/a/ ü"), "{page}");
    let said = page.to_lowercase();
    for header in [
        "content-type: text/html; charset=utf-8",
        "cache-control: no-store",
        "content-security-policy: default-src 'none'",
    ] {
        assert!(said.contains(header), "{page}");
    }
    let named = format!("localhost:{}", address.port());
    assert!(get(address, "GET", "/", &named).starts_with("HTTP/1.1 200"));
    let missing = get(address, "GET", "/missing", &own);
    assert!(missing.starts_with("HTTP/1.1 404"), "{missing}");
}

#[test]
fn other_names_and_other_methods_are_refused() {
    let address = start();
    let foreign = get(address, "GET", "/", "example.org");
    assert!(foreign.starts_with("HTTP/1.1 403"), "{foreign}");
    assert!(!foreign.contains("<p>"), "{foreign}");
    let unnamed = ask(address, "GET / HTTP/1.0\r\nConnection: close\r\n\r\n");
    assert!(unnamed.contains(" 403 "), "{unnamed}");
    let post = get(address, "POST", "/", &address.to_string());
    assert!(post.starts_with("HTTP/1.1 405"), "{post}");
    // What is no request ends that connection, not the server.
    let _ = ask(address, "\u{1}\r\n\r\n");
    assert!(get(address, "GET", "/", &address.to_string()).starts_with("HTTP/1.1 200"));
}

#[test]
fn a_port_that_is_taken_is_an_error() {
    let first = Pages::listen(0).unwrap();
    let address = first.address();
    let port = address.trim_end_matches('/').rsplit(':').next().unwrap();
    let error = Pages::listen(port.parse().unwrap()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
}
