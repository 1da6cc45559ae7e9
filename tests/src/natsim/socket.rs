//! A socket in memory, as the QUIC library wants one.

use std::{
    collections::VecDeque,
    io::{self, IoSliceMut},
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use quinn::{
    AsyncUdpSocket, UdpPoller,
    udp::{RecvMeta, Transmit},
};

use super::{Sim, locked};

#[derive(Debug)]
pub(super) struct SimSocket {
    pub(super) sim: Sim,
    pub(super) address: SocketAddr,
    pub(super) inbox: Arc<Inbox>,
}

/// What has arrived and was not read yet.
#[derive(Debug, Default)]
pub(super) struct Inbox(Mutex<Unread>);

#[derive(Debug, Default)]
struct Unread {
    datagrams: VecDeque<(SocketAddr, Vec<u8>)>,
    reader: Option<Waker>,
}

impl Inbox {
    pub(super) fn put(&self, from: SocketAddr, datagram: Vec<u8>) {
        let mut inbox = locked(&self.0);
        inbox.datagrams.push_back((from, datagram));
        let reader = inbox.reader.take();
        drop(inbox);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    pub(super) fn take(&self, cx: &Context<'_>) -> Poll<(SocketAddr, Vec<u8>)> {
        let mut inbox = locked(&self.0);
        match inbox.datagrams.pop_front() {
            Some(datagram) => Poll::Ready(datagram),
            None => {
                inbox.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl AsyncUdpSocket for SimSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Writable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let each = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        for datagram in transmit.contents.chunks(each) {
            self.sim.send(self.address, transmit.destination, datagram.to_vec());
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let Poll::Ready((from, datagram)) = self.inbox.take(cx) else { return Poll::Pending };
        let length = datagram.len().min(bufs[0].len());
        bufs[0][..length].copy_from_slice(&datagram[..length]);
        let mut received = RecvMeta::default();
        (received.addr, received.len, received.stride) = (from, length, length);
        meta[0] = received;
        Poll::Ready(Ok(1))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }

    fn may_fragment(&self) -> bool {
        false
    }
}

/// A socket in memory takes everything at once.
#[derive(Debug)]
struct Writable;

impl UdpPoller for Writable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
