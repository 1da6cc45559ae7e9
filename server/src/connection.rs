//! One connection, from handshake to farewell: what happens goes into its session, what the session asks
//! for is carried out.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use hither_proto::{
    crypto::rng::Rng,
    directory::{Input, Output, Session, Signal},
    login::Channel,
};
use tokio::time::sleep;
use tracing::trace;

use crate::{
    data::random,
    observer::Watched,
    quic::{self, Frame, Gone},
    router::{Address, Binding, ConnectionId, Inbox, inbox},
    serve::Shared,
};

/// A connection that the TLS handshake is done with.
pub(crate) struct Connection {
    shared: Arc<Shared>,
    quic: quic::Connection,
    session: Session,
    id: ConnectionId,
    from: IpAddr,
    address: Address,
    /// Where the client is.
    at: SocketAddr,
    /// That datagrams of the client on the second port come here.
    watched: Option<Watched>,
    inbox: Inbox,
    /// Nothing can be sent any more.
    gone: bool,
}

impl Connection {
    /// Begins a session.
    pub(crate) fn new(
        shared: Arc<Shared>,
        quic: quic::Connection,
        id: ConnectionId,
    ) -> Result<Self, anyhow::Error> {
        let exporter = quic.exporter().map_err(|Gone| anyhow::anyhow!("no exporter"))?;
        let channel = Channel { exporter, pin: shared.pin.clone() };
        let observed = quic.remote_address();
        let rng = Rng::from_seed(random()?);
        let session = Session::new(shared.now(), shared.settings, channel, observed, rng);
        let (address, inbox) = inbox();
        Ok(Self {
            shared,
            quic,
            session,
            id,
            from: observed.ip(),
            address,
            at: observed,
            watched: None,
            inbox,
            gone: false,
        })
    }

    /// Goes on until the session has ended.
    pub(crate) async fn run(mut self) {
        while self.carry_out().await {
            if self.gone {
                self.handle(Input::Closed);
            } else {
                self.take_in().await;
            }
        }
        self.quic.close().await;
    }

    /// Waits for something to happen and tells the session.
    async fn take_in(&mut self) {
        let body_bytes_max = self.session.frame_bytes_max();
        let deadline = self.session.deadline().map(|deadline| self.shared.now().until(deadline));
        let timeout = async {
            match deadline {
                Some(wait) => sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        let draining = async {
            let mut draining = self.shared.draining.subscribe();
            // If the sender is gone, so is the server.
            let _ = draining.wait_for(|draining| *draining).await;
        };
        tokio::select! {
            frame = self.quic.receive(body_bytes_max) => match frame {
                Ok(Frame::Body(body)) => self.handle(Input::Frame(&body)),
                // An empty body is as little a frame as one that is too long, and as harmless to read.
                Ok(Frame::TooLong) => self.handle(Input::Frame(&[])),
                Err(Gone) => self.gone = true,
            },
            signal = self.inbox.next() => match signal {
                Some(signal) => self.handle(Input::Signal(signal)),
                None => self.gone = true,
            },
            () = timeout => self.handle(Input::Timeout),
            () = draining => match self.session.name() {
                Some(_) => self.handle(Input::Signal(Box::new(Signal::Drain))),
                None => self.gone = true,
            },
        }
    }

    /// Carries out what the session asks for, in order. Says whether the session goes on.
    async fn carry_out(&mut self) -> bool {
        while let Some(output) = self.session.poll() {
            match output {
                Output::Bind { name, session, revision } => {
                    let (connection, address) = (self.id, self.address.clone());
                    let newcomer = Binding { connection, session, revision, address };
                    self.shared.router.bind(name, newcomer);
                }
                Output::Close => return false,
                Output::Observe(token) => {
                    let address = self.address.clone();
                    self.watched = Some(self.shared.observed.watch(token, address));
                }
                Output::Perform(task) => {
                    let outcome = self.shared.tasks.perform(task, self.from).await;
                    self.handle(Input::Performed(outcome));
                }
                Output::Route(name, signal) => {
                    let returned = self.shared.router.route(name, signal);
                    if let Some(Signal::Ask { attempt, .. }) = returned.as_deref() {
                        self.handle(Input::Unrouted(*attempt));
                    }
                }
                Output::Send(body) => self.send(&body).await,
                Output::Unbind(name) => {
                    let was_ours = self.shared.router.unbind(&name, self.id);
                    self.handle(Input::Unbound { was_ours });
                }
            }
        }
        true
    }

    /// Sends a frame. A client that does not read ends its connection, and holds nobody else up.
    async fn send(&mut self, body: &[u8]) {
        if self.gone {
            return;
        }
        let sent = tokio::select! {
            sent = self.quic.send(body) => sent,
            () = self.inbox.overrun() => Err(Gone),
        };
        self.gone = sent.is_err();
    }

    fn handle(&mut self, input: Input<'_>) {
        trace!(connection = self.id.0, "{}", kind(&input));
        let now = self.shared.now();
        // QUIC lets a client's address change without a word; whatever happens next is the time to notice.
        let at = self.quic.remote_address();
        if std::mem::replace(&mut self.at, at) != at && !matches!(input, Input::Performed(_)) {
            self.session.handle(now, Input::Moved(at));
        }
        self.session.handle(now, input);
    }
}

/// What a log may say of an input: never what it carries.
const fn kind(input: &Input<'_>) -> &'static str {
    match input {
        Input::Frame(_) => "frame",
        Input::Performed(_) => "performed",
        Input::Signal(_) => "signal",
        Input::Unrouted(_) => "unrouted",
        Input::Moved(_) => "moved",
        Input::Unbound { .. } => "unbound",
        Input::Timeout => "timeout",
        Input::Closed => "closed",
    }
}
