//! One connection: what the protocol remembers of it, and who waits for it.

use std::{
    future::poll_fn,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    task::{Poll, Waker},
    time::Instant,
};

use bytes::Bytes;
use quinn::{Dir, StreamId, VarInt};
use quinn_proto::{ConnectionEvent, ConnectionHandle, Event, ReadError, Transmit, WriteError};

use super::{CLOSED, Gone, endpoint::Endpoint, endpoint::now};

/// The way of one task to a connection. With it, the connection ends.
pub(super) struct Connection {
    endpoint: Arc<Endpoint>,
    state: Arc<Mutex<State>>,
}

/// A connection.
pub(super) struct State {
    handle: ConnectionHandle,
    protocol: quinn_proto::Connection,
    /// The task that waits for whatever happens next.
    waiting: Option<Waker>,
    established: bool,
    /// Nothing can be said or heard any more.
    lost: bool,
    /// A datagram that the socket had no room for, and that goes before all others.
    unsent: Option<Box<(Transmit, Vec<u8>)>>,
    /// When the endpoint looks after it next, at the latest.
    alarm: Option<Instant>,
    /// An alarm that is set, and comes after that one: mostly the end of an idle connection, which every datagram
    /// puts off. It is used again, so that it is set once and not with every datagram.
    late_alarm: Option<Instant>,
}

impl Connection {
    /// A connection whose first datagram has come, and nothing has left.
    pub(super) fn begun(endpoint: Arc<Endpoint>, state: Arc<Mutex<State>>) -> Result<Self, Gone> {
        let connection = Self { endpoint, state };
        connection.settle()?;
        Ok(connection)
    }

    /// Waits for the end of the handshake.
    pub(super) async fn established(&self) -> Result<(), Gone> {
        self.wait(|state| state.established.then_some(())).await
    }

    /// Waits for the end of the connection.
    pub(super) async fn lost(&self) {
        let Err(Gone) = self.wait(|_| None::<()>).await else { return };
    }

    /// Where the client is.
    pub(super) fn remote_address(&self) -> SocketAddr {
        self.look(|state| state.protocol.remote_address())
    }

    /// What both ends agree on in the handshake.
    pub(super) fn handshake_data(&self) -> Option<Box<dyn std::any::Any>> {
        self.look(|state| state.protocol.crypto_session().handshake_data())
    }

    /// What only the two ends know (RFC 5705).
    pub(super) fn export_keying_material(&self, label: &[u8]) -> Result<[u8; 32], Gone> {
        let mut exported = [0; 32];
        let session = |state: &State| {
            let session = state.protocol.crypto_session();
            session.export_keying_material(&mut exported, label, &[]).map_err(|_| Gone)
        };
        self.look(session)?;
        Ok(exported)
    }

    /// Lets the client send so many bytes ahead of being read.
    pub(super) fn set_receive_window(&self, bytes: VarInt) {
        // One that has failed has no use for it.
        let _ = self.touch(|state| state.protocol.set_receive_window(bytes));
    }

    /// The next stream that the client opens.
    pub(super) async fn accept(&self) -> Result<StreamId, Gone> {
        self.wait(|state| state.protocol.streams().accept(Dir::Bi)).await
    }

    /// What has come on a stream, at least one byte and at most `most`. The end of the stream is that of what can be
    /// said.
    pub(super) async fn read(&self, stream: StreamId, most: usize) -> Result<Bytes, Gone> {
        let (bytes, gives_credit) = self.wait(|state| state.read(stream, most)).await??;
        if gives_credit {
            self.settle()?;
        }
        Ok(bytes)
    }

    /// Hands all of it to the protocol, which keeps it until it has arrived.
    pub(super) async fn write_all(&self, stream: StreamId, bytes: &[u8]) -> Result<(), Gone> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let written = self.wait(|state| state.write(stream, rest)).await??;
            self.settle()?;
            rest = rest.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    /// Tells the client that nothing more comes on a stream. Says whether it can be told.
    pub(super) fn finish(&self, stream: StreamId) -> bool {
        self.touch(|state| state.protocol.send_stream(stream).finish().is_ok()).unwrap_or(false)
    }

    /// Ends the connection and says why.
    pub(super) fn close(&self, code: VarInt, reason: Vec<u8>) {
        let _ = self.touch(|state| state.close_with(code, reason.into()));
    }

    async fn wait<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>) -> Result<T, Gone> {
        poll_fn(|context| {
            let Ok(mut state) = self.state.lock() else { return Poll::Ready(Err(Gone)) };
            if let Some(found) = look(&mut state) {
                return Poll::Ready(Ok(found));
            }
            if state.lost {
                return Poll::Ready(Err(Gone));
            }
            let waker = context.waker();
            if state.waiting.as_ref().is_none_or(|waiting| !waiting.will_wake(waker)) {
                state.waiting = Some(waker.clone());
            }
            Poll::Pending
        })
        .await
    }

    fn settle(&self) -> Result<(), Gone> {
        self.touch(|_| ())
    }

    fn touch<T>(&self, act: impl FnOnce(&mut State) -> T) -> Result<T, Gone> {
        self.endpoint.touch(&self.state, &mut Vec::new(), act)
    }

    /// What is known of a connection is known of one that has failed, too.
    fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let _ = self.touch(State::close);
    }
}

impl State {
    /// A connection that the endpoint knows by `handle`.
    pub(super) const fn new(handle: ConnectionHandle, protocol: quinn_proto::Connection) -> Self {
        Self {
            handle,
            protocol,
            waiting: None,
            established: false,
            lost: false,
            unsent: None,
            alarm: None,
            late_alarm: None,
        }
    }

    /// Takes in a datagram.
    pub(super) fn handle(&mut self, event: ConnectionEvent) {
        self.protocol.handle_event(event);
    }

    /// An alarm rings. Says whether it means anything still.
    pub(super) fn ring(&mut self, at: Instant) -> bool {
        let rings = |alarm: &mut Instant| *alarm == at;
        self.alarm.take_if(rings).or_else(|| self.late_alarm.take_if(rings)).is_some()
    }

    /// Has it looked after at that time or earlier.
    pub(super) fn wake_at(&mut self, due: Instant, endpoint: &Endpoint) {
        if self.alarm.is_some_and(|alarm| alarm <= due) {
            return;
        }
        let put_off = self.alarm.take();
        self.alarm = self.late_alarm.take_if(|late| *late <= due);
        if self.alarm.is_none() {
            self.alarm = Some(due);
            endpoint.set_alarm(due, self.handle);
        }
        self.late_alarm = self.late_alarm.or(put_off);
    }

    /// There is room in the socket again.
    pub(super) fn send_again(&mut self, endpoint: &Endpoint) {
        self.unsent.take_if(|unsent| endpoint.send(self.handle, &unsent.0, &unsent.1));
    }

    /// Ends it without a word.
    pub(super) fn close(&mut self) {
        self.close_with(CLOSED, Bytes::new());
    }

    fn close_with(&mut self, code: VarInt, reason: Bytes) {
        if !self.lost {
            self.protocol.close(now(), code, reason);
            self.lost = true;
        }
    }

    /// Whoever waits, who does so no longer.
    pub(super) fn waiting(&mut self) -> Option<Waker> {
        self.waiting.take()
    }

    /// Carries out what follows from what has just been done, and gives whoever has to know of it.
    #[must_use]
    pub(super) fn settle(
        &mut self,
        endpoint: &Endpoint,
        now: Instant,
        buffer: &mut Vec<u8>,
    ) -> Option<Waker> {
        loop {
            while let Some(event) = self.protocol.poll_endpoint_events() {
                if let Some(answer) = endpoint.hear(self.handle, event) {
                    self.protocol.handle_event(answer);
                }
            }
            self.transmit(endpoint, now, buffer);
            match self.protocol.poll_timeout() {
                Some(due) if due <= now => self.protocol.handle_timeout(now),
                Some(due) => {
                    self.wake_at(due, endpoint);
                    break;
                }
                None => break,
            }
        }
        let mut has_news = self.lost;
        while let Some(event) = self.protocol.poll() {
            has_news = true;
            match event {
                Event::Connected => self.established = true,
                Event::ConnectionLost { .. } => self.lost = true,
                _ => {}
            }
        }
        if has_news { self.waiting.take() } else { None }
    }

    fn transmit(&mut self, endpoint: &Endpoint, now: Instant, buffer: &mut Vec<u8>) {
        while self.unsent.is_none() {
            buffer.clear();
            buffer.reserve(usize::from(self.protocol.current_mtu()));
            let Some(transmit) = self.protocol.poll_transmit(now, 1, buffer) else { return };
            if !endpoint.send(self.handle, &transmit, buffer) {
                self.unsent = Some(Box::new((transmit, buffer.clone())));
            }
        }
    }

    /// What there is to read, and whether the client may send more for it.
    fn read(&mut self, stream: StreamId, most: usize) -> Option<Result<(Bytes, bool), Gone>> {
        let mut stream = self.protocol.recv_stream(stream);
        let Ok(mut chunks) = stream.read(true) else { return Some(Err(Gone)) };
        let chunk = chunks.next(most);
        let gives_credit = chunks.finalize().should_transmit();
        match chunk {
            Ok(Some(chunk)) => Some(Ok((chunk.bytes, gives_credit))),
            Err(ReadError::Blocked) => None,
            Ok(None) | Err(ReadError::Reset(_)) => Some(Err(Gone)),
        }
    }

    /// How much of it was taken.
    fn write(&mut self, stream: StreamId, bytes: &[u8]) -> Option<Result<usize, Gone>> {
        match self.protocol.send_stream(stream).write(bytes) {
            Ok(written) => Some(Ok(written)),
            Err(WriteError::Blocked) => None,
            Err(_) => Some(Err(Gone)),
        }
    }
}
