//! Measures what the translator in front of this machine lets in, and for how long it remembers: beside everything
//! else, on sockets of its own, with a few dozen datagrams to the server's second port.

use std::{io, net::SocketAddr, time::Duration};

use hither_proto::observation::{ANSWER_BYTES, Answer, Port, Question, SILENCES};
use tokio::{
    net::UdpSocket,
    sync::mpsc,
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep, timeout_at},
};

use super::endpoint::socket;
use crate::agent::ToAgent;

/// The pauses before each time that something is asked: datagrams get lost.
const ASKED: [Duration; 3] =
    [Duration::ZERO, Duration::from_millis(150), Duration::from_millis(400)];

/// How long an answer may be under way.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// How long a flow goes to and fro before it is left alone. Many translators remember for longer what has been a
/// conversation, as the connections to contacts are.
const CONVERSATION: Duration = Duration::from_millis(2_500);

/// How long after each other they begin. Behind a translator that gives one port after the other, each takes one, and all of
/// them at once would be more than a server foresees between what it has seen and what is dialled next.
const APART: Duration = Duration::from_secs(1);

/// From whom packets are let in (RFC 4787, section 5).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::agent) enum Filtering {
    /// Also from ports that nothing was sent to: endpoint-independent or address-dependent, which one address of a
    /// server cannot tell apart.
    PortIndependent,
    /// Address- and port-dependent.
    AddressAndPort,
}

/// For how long a flow without packets is remembered, in seconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::agent) struct Lifetime {
    pub(in crate::agent) at_least: u16,
    /// The shortest silence that was too long.
    pub(in crate::agent) below: Option<u16>,
}

/// What is known by now.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(in crate::agent) struct Measured {
    pub(in crate::agent) filtering: Option<Filtering>,
    pub(in crate::agent) lifetime: Option<Lifetime>,
}

/// A survey under way. Dropped, it ends.
pub(in crate::agent) struct Survey(AbortHandle);

impl Drop for Survey {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Survey {
    /// Asks at `observer`, which knows this client by `token`, and tells the agent each time that more is known.
    pub(in crate::agent) fn begin(
        observer: SocketAddr,
        token: [u8; 16],
        to: mpsc::Sender<ToAgent>,
    ) -> Self {
        let asker = Asker { observer, token };
        let task = tokio::spawn(async move {
            let mut measured = Measured { filtering: asker.filtering().await, lifetime: None };
            // The agent has gone if it does not listen.
            let _ = to.send(ToAgent::Surveyed(measured)).await;
            // A second port that does not answer at all says nothing.
            if measured.filtering.is_none() {
                return;
            }
            let mut silences = JoinSet::new();
            for (after, begins) in SILENCES.into_iter().zip(0..) {
                silences.spawn(async move {
                    sleep(APART * begins).await;
                    (after, asker.hears(after).await)
                });
            }
            // The shorter ones end sooner.
            while let Some(Ok((after, heard))) = silences.join_next().await {
                let before = measured.lifetime.map_or(0, |lifetime| lifetime.at_least);
                measured.lifetime = Some(match heard {
                    true => Lifetime { at_least: after, below: None },
                    false => Lifetime { at_least: before, below: Some(after) },
                });
                if to.send(ToAgent::Surveyed(measured)).await.is_err() || !heard {
                    return;
                }
            }
        });
        Self(task.abort_handle())
    }
}

#[derive(Clone, Copy)]
struct Asker {
    observer: SocketAddr,
    token: [u8; 16],
}

impl Asker {
    async fn filtering(self) -> Option<Filtering> {
        let asking = Asking::new(self).ok()?;
        for pause in ASKED {
            sleep(pause).await;
            asking.ask(Port::Asked, 0).await;
            asking.ask(Port::Other, 0).await;
        }
        let deadline = Instant::now() + PATIENCE;
        let mut reached = false;
        while let Some(answer) = asking.answer(deadline).await {
            match answer {
                Port::Asked => reached = true,
                Port::Other => return Some(Filtering::PortIndependent),
            }
        }
        reached.then_some(Filtering::AddressAndPort)
    }

    /// Whether an answer comes through that is sent after so many seconds of silence.
    async fn hears(self, after: u16) -> bool {
        let Ok(asking) = Asking::new(self) else { return false };
        for _ in 0..2 {
            asking.ask(Port::Asked, 0).await;
            sleep(CONVERSATION).await;
        }
        let asked = Instant::now();
        for pause in &ASKED[..2] {
            sleep(*pause).await;
            asking.ask(Port::Asked, after).await;
        }
        let silence = Duration::from_secs(after.into());
        let deadline = Instant::now() + silence + PATIENCE;
        while asking.answer(deadline).await.is_some() {
            if asked.elapsed() >= silence {
                return true;
            }
        }
        false
    }
}

/// A socket on which something is asked.
struct Asking {
    socket: UdpSocket,
    asker: Asker,
    to: SocketAddr,
}

impl Asking {
    fn new(asker: Asker) -> io::Result<Self> {
        let socket = socket()?;
        socket.set_nonblocking(true)?;
        let ipv6 = socket.local_addr()?.is_ipv6();
        let to = match asker.observer {
            SocketAddr::V4(v4) if ipv6 => (v4.ip().to_ipv6_mapped(), v4.port()).into(),
            other => other,
        };
        Ok(Self { socket: UdpSocket::from_std(socket)?, asker, to })
    }

    async fn ask(&self, from: Port, after: u16) {
        let question = Question { from, after, token: self.asker.token };
        // Lost now or on the way is the same.
        let _ = self.socket.send_to(&question.encode(), self.to).await;
    }

    /// From where the next answer comes, if one comes until then.
    async fn answer(&self, deadline: Instant) -> Option<Port> {
        let mut datagram = [0; ANSWER_BYTES + 1];
        loop {
            let received = timeout_at(deadline, self.socket.recv_from(&mut datagram)).await.ok()?;
            // A socket that fails for one datagram, as after an ICMP error, is fine for the next.
            let Ok((bytes, _)) = received else { continue };
            let answer = Answer::decode(&datagram[..bytes]);
            if let Some(answer) = answer.filter(|answer| answer.token == self.asker.token) {
                return Some(answer.from);
            }
        }
    }
}
