//! Requests of `object_store`, carried by `ureq`.

use std::pin::Pin;
use std::time::Duration;

use http_body_util::BodyExt;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use ureq::http::Method;
use ureq::{Agent, Error};

/// For how long a server may say nothing.
const SILENCE: Duration = Duration::from_secs(15);
/// Objects are read whole; the largest is a network.
const LARGEST: u64 = 1 << 36;

#[derive(Debug)]
pub(super) struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .user_agent(concat!("kd/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(SILENCE))
            .timeout_per_write(Some(SILENCE))
            .timeout_recv_response(Some(SILENCE))
            .timeout_per_read(Some(SILENCE));
        Ok(HttpClient::new(Service(agent.build().into())))
    }
}

#[derive(Debug)]
struct Service(Agent);

type Answer<'a> = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'a>>;

impl HttpService for Service {
    fn call<'a, 'b>(&'a self, request: HttpRequest) -> Answer<'b>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            // The thread that waits for the answer has nothing else to do.
            let sent = match head.method {
                Method::GET | Method::HEAD | Method::DELETE => {
                    self.0.run(ureq::http::Request::from_parts(head, ()))
                }
                _ => self.0.run(ureq::http::Request::from_parts(head, &body[..])),
            };
            let (head, mut body) = sent.map_err(failed)?.into_parts();
            let body = body.with_config().limit(LARGEST).read_to_vec();
            Ok(HttpResponse::from_parts(head, body.map_err(failed)?.into()))
        })
    }
}

fn failed(problem: Error) -> HttpError {
    let kind = match problem {
        Error::Timeout(_) => HttpErrorKind::Timeout,
        Error::HostNotFound | Error::ConnectionFailed => HttpErrorKind::Connect,
        Error::Io(_) | Error::Protocol(_) => HttpErrorKind::Interrupted,
        _ => HttpErrorKind::Unknown,
    };
    HttpError::new(kind, problem)
}
