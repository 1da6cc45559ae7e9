//! Time that passes only when nobody has anything left to do, and the tasks that live in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    net::UdpSocket,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use quinn::{AsyncTimer, AsyncUdpSocket, Runtime};

use super::locked;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;
type Event = Box<dyn FnOnce() + Send>;

/// One thread's worth of tasks with their own time. Clones are the same one.
#[derive(Clone)]
pub(super) struct Clock(Arc<Mutex<Inner>>);

struct Inner {
    /// What the library takes for the beginning; only differences count.
    began: Instant,
    now: Duration,
    count: u64,
    tasks: BTreeMap<u64, Task>,
    ready: BTreeSet<u64>,
    /// What happens when; at the same time, in the order in which it was asked for.
    events: BTreeMap<(Duration, u64), Event>,
}

impl Default for Clock {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Inner {
            began: Instant::now(),
            now: Duration::ZERO,
            count: 0,
            tasks: BTreeMap::new(),
            ready: BTreeSet::new(),
            events: BTreeMap::new(),
        })))
    }
}

impl Clock {
    pub(super) fn time(&self) -> Duration {
        locked(&self.0).now
    }

    /// Has something happen at a time.
    pub(super) fn at(&self, time: Duration, event: Event) {
        let mut inner = locked(&self.0);
        let number = inner.number();
        let time = time.max(inner.now);
        inner.events.insert((time, number), event);
    }

    pub(super) async fn sleep_until(&self, time: Duration) {
        let mut asked = false;
        std::future::poll_fn(|cx| {
            if self.time() >= time {
                return Poll::Ready(());
            }
            if !asked {
                asked = true;
                self.wake_at(time, cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    /// Does what there is to do now; if that is nothing, what comes next. False if there is nothing left
    /// until `until`.
    pub(super) fn step(&self, until: Duration) -> bool {
        let mut inner = locked(&self.0);
        if let Some(number) = inner.ready.pop_first() {
            let task = inner.tasks.remove(&number);
            drop(inner);
            if let Some(task) = task {
                self.poll(number, task);
            }
            return true;
        }
        let Some(next) = inner.events.first_entry().filter(|next| next.key().0 <= until) else {
            return false;
        };
        let ((time, _), event) = next.remove_entry();
        inner.now = time;
        drop(inner);
        event();
        true
    }

    fn poll(&self, number: u64, mut task: Task) {
        let ready = Waker::from(Arc::new(Ready { clock: self.clone(), number }));
        if task.as_mut().poll(&mut Context::from_waker(&ready)).is_pending() {
            locked(&self.0).tasks.insert(number, task);
        }
    }

    fn wake_at(&self, time: Duration, waker: Waker) {
        self.at(time, Box::new(move || waker.wake()));
    }
}

impl Inner {
    fn number(&mut self) -> u64 {
        self.count += 1;
        self.count
    }
}

impl Runtime for Clock {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        Box::pin(Timer { clock: self.clone(), at, asked: None })
    }

    fn spawn(&self, task: Task) {
        let mut inner = locked(&self.0);
        let number = inner.number();
        inner.tasks.insert(number, task);
        inner.ready.insert(number);
    }

    fn wrap_udp_socket(&self, _: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn now(&self) -> Instant {
        let inner = locked(&self.0);
        inner.began + inner.now
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock(..)")
    }
}

struct Ready {
    clock: Clock,
    number: u64,
}

impl Wake for Ready {
    fn wake(self: Arc<Self>) {
        locked(&self.clock.0).ready.insert(self.number);
    }
}

#[derive(Debug)]
struct Timer {
    clock: Clock,
    at: Instant,
    /// The time for which a wake-up was asked.
    asked: Option<Instant>,
}

impl AsyncTimer for Timer {
    fn reset(mut self: Pin<&mut Self>, at: Instant) {
        self.at = at;
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let began = locked(&self.clock.0).began;
        let time = self.at.saturating_duration_since(began);
        if self.clock.time() >= time {
            return Poll::Ready(());
        }
        if self.asked != Some(self.at) {
            self.asked = Some(self.at);
            self.clock.wake_at(time, cx.waker().clone());
        }
        Poll::Pending
    }
}
