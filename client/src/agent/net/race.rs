//! Which of a host's addresses answers first: families take turns, each address gets a little time alone, and the first
//! handshake wins (RFC 8305, "happy eyeballs").

use std::{net::SocketAddr, time::Duration};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// How long one address gets before the next one is tried beside it (RFC 8305, section 8).
const NEXT_ADDRESS: Duration = Duration::from_millis(250);

/// The most addresses that are tried: a name with more is one of a machine with many networks, or a mistake.
const ADDRESSES_MAX: usize = 16;

/// What `dial` makes of the first of `addresses` that answers; if none does, every reason why not. One that
/// has failed makes room for the next at once.
pub(super) async fn race<T, E, F>(
    addresses: impl IntoIterator<Item = SocketAddr>,
    dial: impl Fn(SocketAddr) -> F,
) -> Result<T, Vec<E>>
where
    T: Send + 'static,
    E: Send + 'static,
    F: Future<Output = Result<T, E>> + Send + 'static,
{
    let mut waiting = in_turns(addresses).into_iter().take(ADDRESSES_MAX);
    let (mut dials, mut failed) = (JoinSet::new(), Vec::new());
    loop {
        if let Some(address) = waiting.next() {
            dials.spawn(dial(address));
        }
        let next = (waiting.len() > 0).then(|| Instant::now() + NEXT_ADDRESS);
        tokio::select! {
            dialled = dials.join_next() => match dialled {
                None => return Err(failed),
                Some(Ok(Ok(won))) => return Ok(won),
                Some(Ok(Err(why))) => failed.push(why),
                // A dial that has failed in itself has no reason to give.
                Some(Err(_)) => {}
            },
            () = wait(next) => {}
        }
    }
}

/// Both families one after the other, beginning with the one that the system prefers; none twice.
fn in_turns(addresses: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut different = Vec::new();
    for address in addresses {
        if !different.contains(&address) {
            different.push(address);
        }
    }
    let first_is_ipv6 = different.first().is_some_and(SocketAddr::is_ipv6);
    let (preferred, others): (Vec<_>, Vec<_>) =
        different.into_iter().partition(|address| address.is_ipv6() == first_is_ipv6);
    let mut others = others.into_iter();
    let mut turns = Vec::new();
    for address in preferred {
        turns.push(address);
        turns.extend(others.next());
    }
    turns.extend(others);
    turns
}

async fn wait(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns() {
        for (found, turns) in [
            (
                &["[::1]:9", "[::2]:9", "[::2]:9", "1.1.1.1:9"][..],
                &["[::1]:9", "1.1.1.1:9", "[::2]:9"][..],
            ),
            (
                &["1.1.1.1:9", "[::1]:9", "[::2]:9", "[::3]:9"],
                &["1.1.1.1:9", "[::1]:9", "[::2]:9", "[::3]:9"],
            ),
            (&["1.1.1.1:9", "1.1.1.2:9"], &["1.1.1.1:9", "1.1.1.2:9"]),
            (&[], &[]),
        ] {
            assert_eq!(in_turns(addresses(found)), addresses(turns));
        }
    }

    /// An address with port 1 answers, one with port 2 refuses, and any other says nothing.
    async fn tried(texts: &[&str]) -> Result<SocketAddr, Vec<SocketAddr>> {
        race(addresses(texts), |address| async move {
            match address.port() {
                1 => Ok(address),
                2 => Err(address),
                _ => std::future::pending().await,
            }
        })
        .await
    }

    #[tokio::test]
    async fn neither_silence_nor_refusal_keeps_the_next_from_being_tried() {
        let one = "1.1.1.1:1".parse();
        for addresses in [
            &["1.1.1.1:1", "[::1]:3"][..],
            &["[::1]:3", "1.1.1.1:1"],
            &["[::1]:2", "1.1.1.1:1"],
            &["[::1]:3", "[::2]:2", "1.1.1.2:3", "1.1.1.1:1"],
        ] {
            assert_eq!(tried(addresses).await.ok(), one.clone().ok());
        }
        let refused = ["[::1]:2", "1.1.1.1:2"];
        assert_eq!(tried(&refused).await, Err(addresses(&refused)));
        assert_eq!(tried(&[]).await, Err(Vec::new()));
    }
}
