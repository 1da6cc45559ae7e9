//! The socket of all connections, and one clock for them: what comes in finds its connection and is dealt with on
//! the spot.
//!
//! quinn's own driver is made for connections that carry much. It gives each a task, a timer and a channel with room
//! for 32 datagrams: 9 KiB for one that says nothing, and two more wake-ups for every frame. Here a connection is
//! what the protocol remembers of it, and a place in a list.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    future::poll_fn,
    io::{self, IoSliceMut},
    mem,
    net::{SocketAddr, UdpSocket},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Instant,
};

use anyhow::Result;
use bytes::BytesMut;
use quinn::{
    AsyncUdpSocket, EcnCodepoint, EndpointConfig, Runtime as _, ServerConfig, TokioRuntime,
    udp::{self, RecvMeta},
};
use quinn_proto::{
    ConnectionEvent, ConnectionHandle, DatagramEvent, EndpointEvent, Incoming, Transmit,
};
use tokio::{sync::Notify, task::yield_now, time::sleep_until};
use tracing::error;

use super::{
    Gone,
    connection::{self, Connection},
};

/// Datagrams that are taken from the socket at once, or as many runs of them that came together.
const BATCH: usize = 32;

/// Everything that shares one socket.
pub(super) struct Endpoint {
    socket: Arc<dyn AsyncUdpSocket>,
    /// Taken behind the lock of a connection, never before it.
    state: Mutex<State>,
    alarms: Mutex<Alarms>,
    /// Connections with a datagram that the socket had no room for.
    crowded: Mutex<Vec<ConnectionHandle>>,
    /// There are callers, or there will be none.
    called: Notify,
    /// There is an earlier alarm, or something waits for room.
    stirred: Notify,
    /// The last connection has gone.
    emptied: Notify,
}

struct State {
    protocol: quinn_proto::Endpoint,
    callers: VecDeque<Incoming>,
    /// By their handles, which are used again.
    connections: Vec<Option<Arc<Mutex<connection::State>>>>,
    /// Nobody is let in any more.
    closed: bool,
}

/// When which connection is to be looked after. What has become of an alarm is seen when it rings: most of what a
/// connection waits for is put off by every datagram, so that finding and moving it each time would be the work.
#[derive(Default)]
struct Alarms {
    queue: BinaryHeap<Reverse<(Instant, usize)>>,
    /// The driver sleeps, at most until then.
    asleep: Option<Option<Instant>>,
}

impl Endpoint {
    /// Uses a socket. Nothing happens unless [`Endpoint::drive`] is polled.
    pub(super) fn new(
        config: EndpointConfig,
        server: ServerConfig,
        socket: UdpSocket,
    ) -> Result<Self> {
        Ok(Self::on(config, server, TokioRuntime.wrap_udp_socket(socket)?))
    }

    fn on(config: EndpointConfig, server: ServerConfig, socket: Arc<dyn AsyncUdpSocket>) -> Self {
        let may_discover_mtu = !socket.may_fragment();
        let protocol = quinn_proto::Endpoint::new(
            Arc::new(config),
            Some(Arc::new(server)),
            may_discover_mtu,
            None,
        );
        let (callers, connections) = (VecDeque::new(), Vec::new());
        Self {
            socket,
            state: Mutex::new(State { protocol, callers, connections, closed: false }),
            alarms: Mutex::default(),
            crowded: Mutex::default(),
            called: Notify::new(),
            stirred: Notify::new(),
            emptied: Notify::new(),
        }
    }

    pub(super) fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The next caller; `None` if there will be none.
    pub(super) async fn caller(&self) -> Option<Incoming> {
        loop {
            {
                let mut state = self.state();
                if let Some(caller) = state.callers.pop_front() {
                    return Some(caller);
                }
                if state.closed {
                    return None;
                }
            }
            self.called.notified().await;
        }
    }

    /// Begins the handshake with a caller.
    pub(super) fn accept(self: &Arc<Self>, caller: Incoming) -> Result<Connection, Gone> {
        let mut reply = Vec::new();
        let mut state = self.state();
        if state.closed {
            state.protocol.ignore(caller);
            return Err(Gone);
        }
        match state.protocol.accept(caller, now(), &mut reply, None) {
            Ok((handle, protocol)) => {
                let connection = connection::State::new(handle, protocol);
                let connection = Arc::new(Mutex::new(connection));
                state.insert(handle, Arc::clone(&connection));
                drop(state);
                Connection::begun(Arc::clone(self), connection)
            }
            Err(error) => {
                drop(state);
                if let Some(transmit) = error.response {
                    self.reply(&transmit, &reply);
                }
                Err(Gone)
            }
        }
    }

    /// Makes a caller prove its address.
    pub(super) fn retry(&self, caller: Incoming) {
        let mut reply = Vec::new();
        let mut state = self.state();
        match state.protocol.retry(caller, &mut reply) {
            Ok(transmit) => self.reply(&transmit, &reply),
            Err(error) => state.protocol.ignore(error.into_incoming()),
        }
    }

    /// Turns a caller away.
    pub(super) fn refuse(&self, caller: Incoming) {
        let mut reply = Vec::new();
        let transmit = self.state().protocol.refuse(caller, &mut reply);
        self.reply(&transmit, &reply);
    }

    /// From now on, whoever calls is not heard.
    pub(super) fn refuse_callers(&self) {
        self.state().protocol.set_server_config(None);
    }

    /// Closes all connections and lets nobody in.
    pub(super) fn close(&self) {
        let (connections, callers) = {
            let mut state = self.state();
            state.closed = true;
            let connections: Vec<_> = state.connections.iter().flatten().cloned().collect();
            (connections, mem::take(&mut state.callers))
        };
        self.called.notify_one();
        for caller in callers {
            self.refuse(caller);
        }
        let mut buffer = Vec::new();
        for connection in connections {
            // One that has failed is as good as closed.
            let _ = self.touch(&connection, &mut buffer, connection::State::close);
        }
    }

    /// Waits until nothing is remembered of any connection.
    pub(super) async fn emptied(&self) {
        while self.state().protocol.open_connections() > 0 {
            self.emptied.notified().await;
        }
    }

    /// Does something to a connection, and whatever follows from it.
    pub(super) fn touch<T>(
        &self,
        connection: &Mutex<connection::State>,
        buffer: &mut Vec<u8>,
        act: impl FnOnce(&mut connection::State) -> T,
    ) -> Result<T, Gone> {
        let mut state = connection.lock().map_err(|_| Gone)?;
        let done = act(&mut state);
        let waiting = state.settle(self, now(), buffer);
        drop(state);
        if let Some(waiting) = waiting {
            waiting.wake();
        }
        Ok(done)
    }

    /// Takes in what a connection has to say to all of them. The answer is for the connection.
    pub(super) fn hear(
        &self,
        handle: ConnectionHandle,
        event: EndpointEvent,
    ) -> Option<ConnectionEvent> {
        let mut state = self.state();
        if event.is_drained() {
            self.forget(&mut state, handle);
        }
        state.protocol.handle_event(handle, event)
    }

    /// Sends a datagram of a connection. Says whether the socket had room for it; if not, the connection is
    /// touched as soon as it has.
    pub(super) fn send(
        &self,
        handle: ConnectionHandle,
        transmit: &Transmit,
        contents: &[u8],
    ) -> bool {
        let sent = self.socket.try_send(&datagram(transmit, contents));
        // Any other failure is that of the path to one client, and no worse than a loss on it.
        let had_room = !sent.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        if !had_room {
            self.crowded().push(handle);
            self.stirred.notify_one();
        }
        had_room
    }

    /// Has a connection looked after at a time.
    pub(super) fn set_alarm(&self, at: Instant, handle: ConnectionHandle) {
        let mut alarms = self.alarms();
        alarms.queue.push(Reverse((at, handle.0)));
        if alarms.asleep.is_some_and(|until| until.is_none_or(|until| at < until)) {
            self.stirred.notify_one();
        }
    }

    /// Takes in datagrams and looks after connections, for as long as the socket works.
    pub(super) async fn drive(self: Arc<Self>) {
        let mut arrivals = Arrivals::new(&*self.socket, &self.state().protocol);
        let mut room = Arc::clone(&self.socket).create_io_poller();
        let mut alarm = pin!(sleep_until(tokio::time::Instant::now()));
        let mut buffer = Vec::new();
        loop {
            let next = self.sleep();
            if let Some(next) = next
                && alarm.deadline().into_std() != next
            {
                alarm.as_mut().reset(next.into());
            }
            let crowded = !self.crowded().is_empty();
            let arrived = tokio::select! {
                biased;
                _ = poll_fn(|context| room.as_mut().poll_writable(context)), if crowded => Ok(0),
                arrived = poll_fn(|context| arrivals.poll(&*self.socket, context)) => arrived,
                () = self.stirred.notified() => Ok(0),
                () = &mut alarm, if next.is_some() => Ok(0),
            };
            self.alarms().asleep = None;
            match arrived {
                Ok(arrived) => {
                    arrivals.take(arrived, |meta, bytes| self.arrived(meta, bytes, &mut buffer));
                    if arrived == BATCH {
                        // There is more, and a flood must not keep those waiting who have been heard.
                        yield_now().await;
                    }
                }
                // Anybody can have such a message sent to us.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
                Err(error) => {
                    error!("the socket fails: {error}");
                    self.close();
                    return;
                }
            }
            if crowded {
                self.make_use_of_room(&mut buffer);
            }
            self.ring(&mut buffer);
        }
    }

    /// The driver has nothing to do until then.
    fn sleep(&self) -> Option<Instant> {
        let mut alarms = self.alarms();
        let next = alarms.queue.peek().map(|Reverse((at, _))| *at);
        alarms.asleep = Some(next);
        next
    }

    fn arrived(&self, meta: &RecvMeta, bytes: &[u8], buffer: &mut Vec<u8>) {
        buffer.clear();
        let event = {
            let mut state = self.state();
            let (address, bytes) = (meta.addr, BytesMut::from(bytes));
            let ecn = meta.ecn.and_then(|ecn| EcnCodepoint::from_bits(ecn as u8));
            match state.protocol.handle(now(), address, meta.dst_ip, ecn, bytes, buffer) {
                Some(DatagramEvent::ConnectionEvent(handle, event)) => Some((handle, event)),
                Some(DatagramEvent::NewConnection(caller)) => {
                    if state.closed {
                        state.protocol.ignore(caller);
                    } else {
                        state.callers.push_back(caller);
                        self.called.notify_one();
                    }
                    None
                }
                Some(DatagramEvent::Response(transmit)) => {
                    self.reply(&transmit, buffer);
                    None
                }
                None => None,
            }
        };
        if let Some((handle, event)) = event {
            self.look_after(handle, buffer, |state| state.handle(event));
        }
    }

    /// Looks after the connections whose time has come.
    fn ring(&self, buffer: &mut Vec<u8>) {
        let now = now();
        loop {
            let next = {
                let mut alarms = self.alarms();
                let due = alarms.queue.peek().is_some_and(|Reverse((at, _))| *at <= now);
                if due { alarms.queue.pop() } else { None }
            };
            let Some(Reverse((at, handle))) = next else { return };
            let handle = ConnectionHandle(handle);
            let Some(connection) = self.state().connection(handle) else { continue };
            if connection.lock().is_ok_and(|mut state| state.ring(at)) {
                self.look_after(handle, buffer, |_| ());
            }
        }
    }

    fn make_use_of_room(&self, buffer: &mut Vec<u8>) {
        let crowded = mem::take(&mut *self.crowded());
        for handle in crowded {
            self.look_after(handle, buffer, |state| state.send_again(self));
        }
    }

    /// Touches a connection, if it is there still. A fault in it must not be that of all.
    fn look_after(
        &self,
        handle: ConnectionHandle,
        buffer: &mut Vec<u8>,
        act: impl FnOnce(&mut connection::State),
    ) {
        let Some(connection) = self.state().connection(handle) else { return };
        let touched = catch_unwind(AssertUnwindSafe(|| self.touch(&connection, buffer, act)));
        if !matches!(touched, Ok(Ok(()))) {
            error!("a connection is given up because of a bug");
            self.forget(&mut self.state(), handle);
            let waiting = connection.lock().unwrap_or_else(PoisonError::into_inner).waiting();
            if let Some(waiting) = waiting {
                waiting.wake();
            }
        }
    }

    fn forget(&self, state: &mut State, handle: ConnectionHandle) {
        state.remove(handle);
        self.emptied.notify_one();
    }

    /// Sends what is not worth sending twice: whoever gets nothing asks again.
    fn reply(&self, transmit: &Transmit, buffer: &[u8]) {
        let contents = buffer.get(..transmit.size).unwrap_or_default();
        let _ = self.socket.try_send(&datagram(transmit, contents));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn alarms(&self) -> MutexGuard<'_, Alarms> {
        self.alarms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn crowded(&self) -> MutexGuard<'_, Vec<ConnectionHandle>> {
        self.crowded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn insert(&mut self, handle: ConnectionHandle, connection: Arc<Mutex<connection::State>>) {
        if self.connections.len() <= handle.0 {
            self.connections.resize(handle.0 + 1, None);
        }
        if let Some(place) = self.connections.get_mut(handle.0) {
            *place = Some(connection);
        }
    }

    fn connection(&self, handle: ConnectionHandle) -> Option<Arc<Mutex<connection::State>>> {
        self.connections.get(handle.0)?.clone()
    }

    fn remove(&mut self, handle: ConnectionHandle) {
        if let Some(place) = self.connections.get_mut(handle.0) {
            *place = None;
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        for caller in self.callers.drain(..) {
            self.protocol.ignore(caller);
        }
    }
}

/// Where datagrams are put when they come.
struct Arrivals {
    buffer: Box<[u8]>,
    metas: [RecvMeta; BATCH],
}

impl Arrivals {
    fn new(socket: &dyn AsyncUdpSocket, protocol: &quinn_proto::Endpoint) -> Self {
        let longest = protocol.config().get_max_udp_payload_size().min(u64::from(u16::MAX));
        let longest = usize::try_from(longest).unwrap_or(usize::from(u16::MAX));
        let buffer = vec![0; longest * socket.max_receive_segments() * BATCH].into();
        Self { buffer, metas: [RecvMeta::default(); BATCH] }
    }

    fn room_for_one(&self) -> usize {
        self.buffer.len() / BATCH
    }

    /// Waits for datagrams. Says how many places they take.
    fn poll(
        &mut self,
        socket: &dyn AsyncUdpSocket,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut places = self.buffer.chunks_mut(self.buffer.len() / BATCH);
        let mut places: [IoSliceMut<'_>; BATCH] =
            std::array::from_fn(|_| IoSliceMut::new(places.next().unwrap_or_default()));
        socket.poll_recv(context, &mut places, &mut self.metas)
    }

    /// Hands over what is in so many places, datagram for datagram.
    fn take(&self, count: usize, mut hand: impl FnMut(&RecvMeta, &[u8])) {
        let places = self.buffer.chunks(self.room_for_one());
        for (meta, place) in self.metas.iter().zip(places).take(count) {
            let come = place.get(..meta.len).unwrap_or_default();
            for datagram in come.chunks(meta.stride.max(1)) {
                hand(meta, datagram);
            }
        }
    }
}

/// The time, which tests can stop.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn datagram<'c>(transmit: &Transmit, contents: &'c [u8]) -> udp::Transmit<'c> {
    udp::Transmit {
        destination: transmit.destination,
        ecn: transmit.ecn.and_then(|ecn| udp::EcnCodepoint::from_bits(ecn as u8)),
        contents,
        segment_size: transmit.segment_size,
        src_ip: transmit.src_ip,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::Ipv4Addr,
        pin::Pin,
        sync::atomic::{AtomicBool, Ordering},
        time::{Duration, SystemTime},
    };

    use hither_proto::wire;
    use quinn::{IdleTimeout, TransportConfig, UdpPoller, crypto::rustls::QuicServerConfig};
    use tokio::{task::JoinHandle, time::timeout};

    use super::*;
    use crate::{
        certificates::Certificates,
        data::DataFolder,
        quic::{Connection as Frames, Frame, client::Client},
    };

    /// A socket that has no room for every other datagram, until it is asked whether it has.
    #[derive(Debug)]
    struct Narrow {
        socket: Arc<dyn AsyncUdpSocket>,
        is_full: AtomicBool,
        unsent: Mutex<Vec<Vec<u8>>>,
        refused: Mutex<usize>,
    }

    #[derive(Debug)]
    struct Room(Arc<Narrow>);

    impl UdpPoller for Room {
        fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.0.is_full.store(false, Ordering::Relaxed);
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncUdpSocket for Narrow {
        fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
            Box::pin(Room(self))
        }

        fn try_send(&self, transmit: &udp::Transmit<'_>) -> io::Result<()> {
            let mut unsent = self.unsent.lock().unwrap();
            if self.is_full.swap(true, Ordering::Relaxed) {
                unsent.push(transmit.contents.to_vec());
                *self.refused.lock().unwrap() += 1;
                return Err(io::ErrorKind::WouldBlock.into());
            }
            unsent.retain(|refused| refused != transmit.contents);
            self.socket.try_send(transmit)
        }

        fn poll_recv(
            &self,
            context: &mut Context<'_>,
            places: &mut [IoSliceMut<'_>],
            metas: &mut [RecvMeta],
        ) -> Poll<io::Result<usize>> {
            self.socket.poll_recv(context, places, metas)
        }

        fn local_addr(&self) -> io::Result<SocketAddr> {
            self.socket.local_addr()
        }
    }

    fn socket() -> Arc<dyn AsyncUdpSocket> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        TokioRuntime.wrap_udp_socket(socket).unwrap()
    }

    /// An endpoint that forgets clients after `idle`, and what drives it.
    fn endpoint(
        socket: Arc<dyn AsyncUdpSocket>,
        idle: Duration,
    ) -> (Arc<Endpoint>, JoinHandle<()>) {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::init(folder.path(), &crate::config::Config::default()).unwrap();
        let identity = data.secrets().unwrap().identity;
        let certificates = Certificates::new(identity, data.leaf(), None, SystemTime::now());
        let tls = crate::tls::config(Arc::new(certificates.unwrap())).unwrap();
        let crypto = QuicServerConfig::try_from(tls).unwrap();
        let mut config = ServerConfig::with_crypto(Arc::new(crypto));
        let mut transport = TransportConfig::default();
        transport.max_idle_timeout(Some(IdleTimeout::try_from(idle).unwrap()));
        config.transport_config(Arc::new(transport));
        let endpoint = Arc::new(Endpoint::on(EndpointConfig::default(), config, socket));
        let driver = tokio::spawn(Arc::clone(&endpoint).drive());
        (endpoint, driver)
    }

    const LONG: Duration = Duration::from_secs(60);

    async fn connected(endpoint: &Arc<Endpoint>) -> (Client, Connection) {
        let address = endpoint.local_address().unwrap();
        let serves = async {
            let caller = endpoint.caller().await.unwrap();
            let connection = endpoint.accept(caller).unwrap();
            connection.established().await.unwrap();
            connection
        };
        tokio::join!(Client::connect(address), serves)
    }

    async fn is_heard_and_answered(client: &mut Client, server: &mut Frames) {
        client.send_bytes(&wire::frame(b"heard")).await;
        assert_eq!(server.receive(1024).await, Ok(Frame::Body(b"heard".to_vec())));
        server.send(b"answered").await.unwrap();
        assert_eq!(client.receive_body().await, Some(b"answered".to_vec()));
    }

    #[tokio::test]
    async fn what_the_socket_has_no_room_for_is_sent_once_it_has() {
        let narrow = Arc::new(Narrow {
            socket: socket(),
            is_full: AtomicBool::new(false),
            unsent: Mutex::default(),
            refused: Mutex::default(),
        });
        let (endpoint, _driver) = endpoint(Arc::clone(&narrow) as _, LONG);
        let (mut client, connection) = connected(&endpoint).await;
        let mut server = Frames::new(connection);
        for _ in 0..8 {
            is_heard_and_answered(&mut client, &mut server).await;
        }
        assert!(*narrow.refused.lock().unwrap() > 0, "there was too little room");
        let sent = async {
            while !narrow.unsent.lock().unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        assert!(timeout(LONG, sent).await.is_ok(), "all of it was sent");
    }

    #[tokio::test]
    async fn a_bug_in_one_connection_ends_that_one_alone() {
        let (endpoint, driver) = endpoint(socket(), LONG);
        let (_client, fails) = connected(&endpoint).await;
        let (mut client, lives) = connected(&endpoint).await;
        let handle = endpoint.state().connections.iter().position(Option::is_some).unwrap();
        let waiting = tokio::spawn(async move {
            fails.lost().await;
            fails
        });
        tokio::task::yield_now().await;
        endpoint.look_after(ConnectionHandle(handle), &mut Vec::new(), |_| panic!("a bug"));
        let fails = waiting.await.unwrap();
        drop(fails);
        is_heard_and_answered(&mut client, &mut Frames::new(lives)).await;
        assert!(!driver.is_finished());
    }

    #[tokio::test]
    async fn a_client_that_says_nothing_any_more_is_forgotten() {
        let (endpoint, _driver) = endpoint(socket(), Duration::from_millis(300));
        let (_client, connection) = connected(&endpoint).await;
        connection.lost().await;
        endpoint.emptied().await;
    }

    #[tokio::test]
    async fn alarms_that_were_put_off_do_not_pile_up() {
        let (endpoint, _driver) = endpoint(socket(), LONG);
        let _alive = connected(&endpoint).await;
        let state = endpoint.state().connections.iter().flatten().next().cloned().unwrap();
        let mut state = state.lock().unwrap();
        for Reverse((at, _)) in endpoint.alarms().queue.drain() {
            state.ring(at);
        }
        let (start, second) = (now() + LONG, Duration::from_secs(1));
        for datagram in 0..20 {
            let (acknowledged, forgotten) = (start + second * datagram, second * 30);
            state.wake_at(acknowledged, &endpoint);
            assert!(state.ring(acknowledged), "{datagram}");
            state.wake_at(acknowledged + forgotten, &endpoint);
        }
        let alarms = endpoint.alarms();
        let late = alarms.queue.iter().filter(|Reverse((at, _))| *at >= start + second * 30);
        assert_eq!(late.count(), 1, "the first is used again for all that are later");
    }

    #[tokio::test]
    async fn a_closed_endpoint_closes_its_connections_and_lets_nobody_in() {
        let (endpoint, _driver) = endpoint(socket(), LONG);
        let (mut client, connection) = connected(&endpoint).await;
        endpoint.close();
        connection.lost().await;
        assert!(client.receive().await.is_none());
        assert!(endpoint.caller().await.is_none());
        endpoint.emptied().await;
    }
}
