//! Pages for a browser on the same machine.

use std::net::{Ipv4Addr, SocketAddr};

use tiny_http::{Header, Method, Request, Response, Server};

/// What a request is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status code.
    pub code: u16,
    /// Type of the text, such as `text/html`; it is UTF-8.
    pub kind: &'static str,
    /// The text.
    pub text: String,
}

impl Answer {
    /// A plain text.
    pub fn plain(code: u16, text: impl Into<String>) -> Self {
        Self {
            code,
            kind: "text/plain",
            text: text.into(),
        }
    }
}

/// An HTTP server on the loopback address: nothing outside the machine reaches it.
pub struct Pages {
    server: Server,
    address: SocketAddr,
}

impl Pages {
    /// Listens on a port of 127.0.0.1; on a free one for 0.
    ///
    /// # Errors
    /// When the port is taken, or this user may not listen on it.
    pub fn listen(port: u16) -> std::io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        let address = listener.local_addr()?;
        let server = Server::from_listener(listener, None).map_err(std::io::Error::other)?;
        Ok(Self { server, address })
    }

    /// Where a browser finds it.
    pub fn address(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Answers requests, one after the other, with what `answer` makes of their path.
    ///
    /// # Errors
    /// When the system takes the port away.
    pub fn serve(&self, mut answer: impl FnMut(&str) -> Answer) -> std::io::Result<()> {
        loop {
            let request = self.server.recv()?;
            let answer = self.answer(&request, &mut answer);
            // A browser that has gone needs no answer.
            let _ = request.respond(response(answer));
        }
    }

    fn answer(&self, request: &Request, answer: &mut impl FnMut(&str) -> Answer) -> Answer {
        if !matches!(request.method(), Method::Get | Method::Head) {
            return Answer::plain(405, "only GET is answered");
        }
        // A page of elsewhere whose name leads to this machine would otherwise read the run.
        if !self.is_named_by(request) {
            return Answer::plain(403, format!("open {}", self.address()));
        }
        let path = request.url().split(['?', '#']).next();
        answer(path.unwrap_or_default())
    }

    fn is_named_by(&self, request: &Request) -> bool {
        let host = request.headers().iter().find(|h| h.field.equiv("Host"));
        let host = host.map(|host| host.value.as_str());
        let port = self.address.port();
        let names = ["127.0.0.1", "localhost"];
        host.is_some_and(|host| {
            names.contains(&host) || names.iter().any(|name| host == format!("{name}:{port}"))
        })
    }
}

fn response(answer: Answer) -> Response<std::io::Cursor<Vec<u8>>> {
    let header = |name: &str, value: &str| Header::from_bytes(name, value).ok();
    let headers = [
        header("Content-Type", &format!("{}; charset=utf-8", answer.kind)),
        header("Cache-Control", "no-store"),
        header("X-Content-Type-Options", "nosniff"),
        header(
            "Content-Security-Policy",
            "default-src 'none'; connect-src 'self'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'",
        ),
        (answer.code == 405)
            .then(|| header("Allow", "GET, HEAD"))
            .flatten(),
    ];
    let response = Response::from_string(answer.text).with_status_code(answer.code);
    headers
        .into_iter()
        .flatten()
        .fold(response, Response::with_header)
}
