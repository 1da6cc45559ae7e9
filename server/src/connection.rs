//! One connection, from handshake to farewell: what happens goes into its session, what the session asks
//! for is carried out.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use hither_proto::{
    crypto::rng::Rng,
    directory::{Input, Outcome, Output, Session, Signal, Task},
    login::Channel,
    name::Name,
};
use tokio::time::sleep;
use tracing::{debug, trace};

use crate::{
    admission::Admitted,
    data::random,
    inbox::{Address, Inbox, inbox},
    metrics::{Limit, Step, Tally},
    observer::Watched,
    pace::Pace,
    quic::{self, Frame, Gone},
    router::{Binding, ConnectionId},
    serve::Shared,
};

/// A connection that the TLS handshake is done with.
pub(crate) struct Connection {
    shared: Arc<Shared>,
    quic: quic::Connection,
    admitted: Admitted,
    session: Session,
    id: ConnectionId,
    from: IpAddr,
    address: Address,
    /// Where the client is.
    at: SocketAddr,
    /// That datagrams of the client on the second port come here.
    watched: Option<Watched>,
    inbox: Inbox,
    tally: Tally,
    pace: Pace,
    /// Nothing can be sent any more.
    gone: bool,
}

impl Connection {
    /// Begins a session.
    pub(crate) fn new(
        shared: Arc<Shared>,
        quic: quic::Connection,
        admitted: Admitted,
        id: ConnectionId,
    ) -> Result<Self, anyhow::Error> {
        let exporter = quic.exporter().map_err(|Gone| anyhow::anyhow!("no exporter"))?;
        let channel = Channel { exporter, pin: shared.pin.clone() };
        let observed = quic.remote_address();
        let rng = Rng::from_seed(random()?);
        let session = Session::new(shared.now(), shared.settings(), channel, observed, rng);
        let (address, inbox) = inbox();
        let (tally, pace) = (Tally::new(&shared.metrics), Pace::default());
        Ok(Self {
            shared,
            quic,
            admitted,
            session,
            id,
            from: observed.ip(),
            address,
            at: observed,
            watched: None,
            inbox,
            tally,
            pace,
            gone: false,
        })
    }

    /// Goes on until the session has ended. What is waited for seldom or briefly is boxed here and below, or
    /// every connection keeps room for it while it idles.
    pub(crate) async fn run(mut self: Box<Self>) {
        while self.carry_out().await {
            if self.gone {
                self.handle(Input::Closed);
            } else {
                self.take_in().await;
            }
        }
        Box::pin(self.quic.close()).await;
    }

    /// Waits for something to happen and tells the session.
    async fn take_in(&mut self) {
        let body_bytes_max = self.session.frame_bytes_max();
        let deadline = self.session.deadline().map(|deadline| self.shared.now().until(deadline));
        let pause = self.pace.wait(self.shared.now());
        let timeout = async {
            match deadline {
                Some(wait) => Box::pin(sleep(wait)).await,
                None => std::future::pending().await,
            }
        };
        let frame = async {
            if !pause.is_zero() {
                Box::pin(sleep(pause)).await;
            }
            self.quic.receive(body_bytes_max).await
        };
        tokio::select! {
            frame = frame => self.hear(frame),
            signal = self.inbox.next() => match signal {
                Some(signal) => self.handle(Input::Signal(signal)),
                None => self.overrun(),
            },
            () = timeout => self.handle(Input::Timeout),
            () = self.shared.drain.begun() => match self.session.name() {
                Some(_) => self.handle(Input::Signal(Box::new(Signal::Drain))),
                None => self.gone = true,
            },
        }
    }

    fn hear(&mut self, frame: Result<Frame, Gone>) {
        self.pace.count(self.shared.now());
        match frame {
            Ok(Frame::Body(body)) => self.handle(Input::Frame(&body)),
            // An empty body is as little a frame as one that is too long, and as harmless to read.
            Ok(Frame::TooLong) => self.handle(Input::Frame(&[])),
            Err(Gone) => self.gone = true,
        }
    }

    /// Carries out what the session asks for, in order. Says whether the session goes on.
    async fn carry_out(&mut self) -> bool {
        while let Some(output) = self.session.poll() {
            match output {
                Output::Bind { name, session, revision } => {
                    let (connection, address) = (self.id, self.address.clone());
                    debug!(
                        connection = connection.0,
                        user = %self.shared.pseudonyms.user(&name),
                        "speaks for"
                    );
                    let newcomer = Binding { connection, session, revision, address };
                    self.shared.router.bind(name, newcomer);
                    self.admitted.logged_in();
                    self.quic.widen();
                }
                Output::Close => return false,
                Output::Observe(token) => {
                    let address = self.address.clone();
                    self.watched = Some(self.shared.observed.watch(token, address));
                }
                Output::Perform(task) => {
                    let outcome = Box::pin(self.perform(task)).await;
                    self.handle(Input::Performed(outcome));
                }
                Output::Route(name, signal) => {
                    self.tally.routes(&signal);
                    let returned = self.route(name, signal);
                    if let Some(Signal::Ask { attempt, .. }) = returned.as_deref() {
                        self.tally.found_nobody();
                        self.handle(Input::Unrouted(*attempt));
                    }
                }
                Output::Send(body) => Box::pin(self.send(&body)).await,
                Output::Tried { caller, callee, connected } => {
                    self.shared.metrics.tried(caller, callee, connected);
                }
                Output::Unbind(name) => {
                    debug!(
                        connection = self.id.0,
                        user = %self.shared.pseudonyms.user(&name),
                        "has gone"
                    );
                    let was_ours = self.shared.router.unbind(&name, self.id);
                    self.handle(Input::Unbound { was_ours });
                }
            }
        }
        true
    }

    async fn perform(&mut self, task: Task) -> Outcome {
        let (connection, step) = (self.id.0, Step::of(&task));
        if let Task::StartLogin { by, name, .. } = &task {
            let pseudonyms = &self.shared.pseudonyms;
            debug!(
                connection,
                user = %pseudonyms.user(name),
                from = %pseudonyms.address(self.from),
                ?by,
                "would like to log in"
            );
        }
        let outcome = self.shared.tasks.perform(task, self.from).await;
        self.tally.performed(step, &outcome);
        if let Outcome::Limited { .. } = outcome {
            let from = self.shared.pseudonyms.address(self.from);
            debug!(connection, %from, ?step, "too many attempts");
        }
        outcome
    }

    /// Hands a signal on; it comes back if nobody is there. Somebody who has asked for too many introductions
    /// is told the same, and no more than that.
    fn route(&self, to: Name, signal: Box<Signal>) -> Option<Box<Signal>> {
        match &*signal {
            Signal::Ask { caller, .. } if !self.shared.tasks.may_introduce(&caller.name, &to) => {
                Some(signal)
            }
            _ => self.shared.router.route(to, signal),
        }
    }

    /// Sends a frame. A client that does not read ends its connection, and holds nobody else up.
    async fn send(&mut self, body: &[u8]) {
        if self.gone {
            return;
        }
        let sent = tokio::select! {
            sent = self.quic.send(body) => sent,
            () = self.inbox.overrun() => {
                self.overrun();
                return;
            }
        };
        self.gone = sent.is_err();
    }

    /// The client does not keep up with what others say to it.
    fn overrun(&mut self) {
        self.shared.metrics.limit_hit(Limit::Signals);
        self.gone = true;
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
