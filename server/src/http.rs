//! As much of HTTP/1.1 as a monitor needs: GET and HEAD of a few pages, one a connection, on loopback.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::limits::{HTTP_CONNECTIONS_MAX, HTTP_REQUEST_BYTES_MAX, HTTP_TIMEOUT};

/// How long to wait when no connection can be taken, as when there are no file descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// What is answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Status {
    Ok,
    BadRequest,
    NotFound,
    MethodNotAllowed,
    Unavailable,
}

/// A page.
pub(crate) struct Page {
    pub(crate) status: Status,
    pub(crate) content_type: &'static str,
    pub(crate) body: String,
}

impl Page {
    /// A line for whoever looks.
    pub(crate) fn line(status: Status, line: &str) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", body: format!("{line}\n") }
    }
}

/// Answers with whatever `page` says of a path, until `stop`. Nothing of it is left afterwards.
pub(crate) async fn serve<P, F>(listener: TcpListener, page: P, stop: impl Future<Output = ()>)
where
    P: Fn(String) -> F + Clone + Send + 'static,
    F: Future<Output = Page> + Send,
{
    let places = Arc::new(Semaphore::new(HTTP_CONNECTIONS_MAX));
    let mut conversations = JoinSet::new();
    let accept = async || {
        let place = Arc::clone(&places).acquire_owned().await;
        (place, listener.accept().await)
    };
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(_) = conversations.join_next() => {}
            taken = accept() => match taken {
                (Ok(place), Ok((stream, _))) => {
                    let page = page.clone();
                    conversations.spawn(async move {
                        let _place = place;
                        // Whoever does not listen to the answer does not need it.
                        let _ = timeout(HTTP_TIMEOUT, converse(stream, page)).await;
                    });
                }
                _ => sleep(PAUSE).await,
            }
        }
    }
    conversations.shutdown().await;
}

async fn converse<P, F>(mut stream: TcpStream, page: P) -> std::io::Result<()>
where
    P: Fn(String) -> F,
    F: Future<Output = Page>,
{
    let mut request = Vec::new();
    let head = loop {
        if let Some(end) = request.windows(4).position(|end| end == b"\r\n\r\n") {
            break Some(end);
        }
        if request.len() > HTTP_REQUEST_BYTES_MAX || stream.read_buf(&mut request).await? == 0 {
            break None;
        }
    };
    let asked = head.map_or(Err(Status::BadRequest), |end| read(&request[..end]));
    let (page, with_body) = match asked {
        Ok((path, with_body)) => (page(path).await, with_body),
        Err(status) => (Page::line(status, reason(status).1), true),
    };
    stream.write_all(&answer(&page, with_body)).await?;
    stream.shutdown().await
}

/// The path that is asked for, and whether the body is.
fn read(head: &[u8]) -> Result<(String, bool), Status> {
    let head = std::str::from_utf8(head).map_err(|_| Status::BadRequest)?;
    let line = head.lines().next().unwrap_or_default();
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some("HTTP/1.1" | "HTTP/1.0"), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Status::BadRequest);
    };
    let path = target.split(['?', '#']).next().unwrap_or_default().to_owned();
    match method {
        "GET" => Ok((path, true)),
        "HEAD" => Ok((path, false)),
        _ => Err(Status::MethodNotAllowed),
    }
}

fn answer(page: &Page, with_body: bool) -> Vec<u8> {
    let Page { status, content_type, body } = page;
    let (code, words) = reason(*status);
    let allow = if *status == Status::MethodNotAllowed { "Allow: GET, HEAD\r\n" } else { "" };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {code} {words}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\
         {allow}Cache-Control: no-store\r\nConnection: close\r\n\r\n"
    );
    let body = if with_body { body.as_str() } else { "" };
    [head.as_bytes(), body.as_bytes()].concat()
}

const fn reason(status: Status) -> (u16, &'static str) {
    match status {
        Status::Ok => (200, "OK"),
        Status::BadRequest => (400, "Bad Request"),
        Status::NotFound => (404, "Not Found"),
        Status::MethodNotAllowed => (405, "Method Not Allowed"),
        Status::Unavailable => (503, "Service Unavailable"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(request: &[u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let page = |path: String| async move { Page::line(Status::Ok, &format!("page {path}")) };
        let server = tokio::spawn(serve(listener, page, std::future::pending()));
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        server.abort();
        answer
    }

    #[tokio::test]
    async fn pages_are_served() {
        let answer = ask(b"GET /metrics?x=1 HTTP/1.1\r\nHost: here\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\npage /metrics\n"), "{answer}");
        assert!(answer.contains("Content-Length: 14\r\n"), "{answer}");
        let answer = ask(b"HEAD /metrics HTTP/1.1\r\n\r\n").await;
        assert!(answer.contains("Content-Length: 14\r\n") && answer.ends_with("\r\n\r\n"));
    }

    #[tokio::test]
    async fn what_is_no_request_is_refused() {
        let long = [b"GET / HTTP/1.1\r\nX: ".to_vec(), vec![b'x'; HTTP_REQUEST_BYTES_MAX]].concat();
        for (request, status) in [
            (&b"POST /metrics HTTP/1.1\r\n\r\n"[..], "405"),
            (b"GET / HTTP/2\r\n\r\n", "400"),
            (b"GET /\r\n\r\n", "400"),
            (b"GET  / HTTP/1.1\r\n\r\n", "400"),
            (b"\xff\xfe\r\n\r\n", "400"),
            (b"GET / HTTP/1.1\r\n", "400"),
            (b"", "400"),
            (&long, "400"),
        ] {
            let answer = ask(request).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        }
    }
}
