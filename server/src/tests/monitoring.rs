//! What a monitor on the same machine sees of a server.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Host, Person, soon};
use crate::config::Config;

async fn monitored() -> Host {
    let config =
        Config { metrics: Some("127.0.0.1:0".to_owned().try_into().unwrap()), ..Config::default() };
    Host::start_with(config).await
}

async fn page(host: &Host, path: &str) -> String {
    let mut stream = TcpStream::connect(host.metrics.unwrap()).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes()).await.unwrap();
    let mut page = String::new();
    soon(stream.read_to_string(&mut page)).await.unwrap();
    page
}

async fn counted(host: &Host, series: &str) -> f64 {
    let page = page(host, "/metrics").await;
    let line = page.lines().find_map(|line| line.strip_prefix(series));
    let value = line.unwrap_or_else(|| panic!("{series} in {page}"));
    value.trim().parse().unwrap()
}

#[tokio::test]
async fn what_happens_is_counted_and_names_nobody() {
    let host = monitored().await;
    let mut alice = Person::new("alice");
    let online = alice.registers(&host).await;
    online.client.close();
    alice.mistaken().tries_to_log_in(&host).await.err().unwrap();
    let online = alice.logs_in(&host).await;
    let session = online.session;
    online.client.close();
    let again = alice.tries_to_resume(&host, session).await.unwrap();
    let stranger = Person::new("mallory");
    stranger.tries_to_resume(&host, session).await.err().unwrap();
    for (series, expected) in [
        ("hither_registrations_total{outcome=\"completed\"}", 1.0),
        ("hither_logins_total{outcome=\"failed\"}", 1.0),
        ("hither_logins_total{outcome=\"completed\"}", 1.0),
        ("hither_resumptions_total{outcome=\"completed\"}", 1.0),
        ("hither_resumptions_total{outcome=\"failed\"}", 1.0),
        ("hither_handshakes_total{outcome=\"completed\"}", 5.0),
        ("hither_handshakes_in_progress", 0.0),
        ("hither_logged_in", 1.0),
    ] {
        // A connection that has ended for its client ends for the server a little later.
        soon(async {
            while counted(&host, series).await != expected {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    assert!(counted(&host, "hither_storage_seconds_count").await >= 4.0);
    assert!(counted(&host, "hither_database_bytes").await > 0.0);
    assert!(!page(&host, "/metrics").await.contains("alice"));
    drop(again);
}

#[tokio::test]
async fn it_is_alive_and_ready_until_it_stops() {
    let mut host = monitored().await;
    for (path, status) in [("/livez", "200"), ("/readyz", "200"), ("/elsewhere", "404")] {
        let page = page(&host, path).await;
        assert!(page.starts_with(&format!("HTTP/1.1 {status} ")), "{page}");
    }
    // Somebody who has asked for nothing yet does not hold up the end.
    let silent = TcpStream::connect(host.metrics.unwrap()).await.unwrap();
    host.stops().await;
    assert!(TcpStream::connect(host.metrics.unwrap()).await.is_err());
    drop(silent);
}

#[tokio::test]
async fn it_is_not_ready_while_somebody_still_takes_leave() {
    let mut host = monitored().await;
    let online = Person::new("alice").registers(&host).await;
    let (stop, running) = host.running.take().unwrap();
    drop(stop);
    // The server waits a moment for a client that has been told to go and has not gone yet.
    let unready = soon(async {
        loop {
            let page = page(&host, "/readyz").await;
            if !page.starts_with("HTTP/1.1 200 ") {
                return page;
            }
        }
    });
    let unready = unready.await;
    assert!(unready.starts_with("HTTP/1.1 503 ") && unready.contains("shutting down"), "{unready}");
    drop(online);
    soon(running).await.unwrap();
}
