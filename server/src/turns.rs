//! Whose public-key work is next: as much at once as there are cores, and in turns between the places that
//! ask for it, so that whoever asks for much waits behind itself.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

/// The cores, and those who wait for one.
#[derive(Clone)]
pub(crate) struct Turns(Arc<Mutex<Queue>>);

/// The right to keep one core busy, until this is dropped.
pub(crate) struct Turn(Option<Turns>);

struct Queue {
    free: usize,
    /// Who waits at each place, the first of them first. No queue is empty.
    waiting: HashMap<IpAddr, VecDeque<oneshot::Sender<Turn>>>,
    /// Every place where somebody waits, once, the next one first.
    order: VecDeque<IpAddr>,
}

impl Turns {
    /// For so many cores.
    pub(crate) fn of(cores: usize) -> Self {
        let queue = Queue { free: cores, waiting: HashMap::new(), order: VecDeque::new() };
        Self(Arc::new(Mutex::new(queue)))
    }

    /// Waits for a turn on behalf of a place; `None` if there will never be one. Each connection waits for
    /// one at most, so no more wait than there are strangers.
    pub(crate) async fn wait(&self, place: IpAddr) -> Option<Turn> {
        let waiting = {
            let mut queue = self.lock();
            if queue.free > 0 {
                queue.free -= 1;
                return Some(Turn(Some(self.clone())));
            }
            let (turn, waiting) = oneshot::channel();
            queue.join(place, turn);
            waiting
        };
        waiting.await.ok()
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing between two calls on its maps can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(turns) = self.0.take() else { return };
        loop {
            let Some(next) = turns.lock().next_or_free() else { return };
            match next.send(Turn(Some(turns.clone()))) {
                Ok(()) => return,
                // Whoever waited has gone in the meantime. The same turn is offered to the next.
                Err(mut turn) => turn.0 = None,
            }
        }
    }
}

impl Queue {
    fn join(&mut self, place: IpAddr, turn: oneshot::Sender<Turn>) {
        let waiting = self.waiting.entry(place).or_default();
        if waiting.is_empty() {
            self.order.push_back(place);
        }
        waiting.push_back(turn);
    }

    /// The first at the place that is next, which then is the last one; or else a core is free.
    fn next_or_free(&mut self) -> Option<oneshot::Sender<Turn>> {
        let next = self.next();
        self.free += usize::from(next.is_none());
        next
    }

    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        let place = self.order.pop_front()?;
        let waiting = self.waiting.get_mut(&place)?;
        let next = waiting.pop_front();
        if waiting.is_empty() {
            self.waiting.remove(&place);
        } else {
            self.order.push_back(place);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::Pin,
        task::{Context, Poll, Waker},
    };

    use super::*;

    type Waiting = Pin<Box<dyn Future<Output = Option<Turn>>>>;

    fn place(at: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, at])
    }

    /// Joins the queue.
    fn waits(turns: &Turns, at: u8) -> Waiting {
        let turns = turns.clone();
        let mut waiting: Waiting = Box::pin(async move { turns.wait(place(at)).await });
        assert!(turn(&mut waiting).is_none(), "the core is busy");
        waiting
    }

    fn turn(waiting: &mut Waiting) -> Option<Turn> {
        match waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(turn) => turn,
            Poll::Pending => None,
        }
    }

    /// Ends a turn again and again; says which of those who wait was next each time.
    fn order(mut now: Turn, mut waiting: Vec<(u8, Waiting)>) -> Vec<u8> {
        let mut order = Vec::new();
        while !waiting.is_empty() {
            drop(now);
            let next = waiting
                .iter_mut()
                .enumerate()
                .find_map(|(at, (_, waiting))| turn(waiting).map(|turn| (at, turn)));
            let (at, turn) = next.expect("somebody is next");
            order.push(waiting.remove(at).0);
            now = turn;
        }
        order
    }

    #[tokio::test]
    async fn whoever_asks_for_much_waits_behind_itself() {
        let turns = Turns::of(1);
        let now = turns.wait(place(1)).await.unwrap();
        let flood = [1, 1, 1, 1, 1, 2, 3, 3];
        let waiting = flood.map(|at| (at, waits(&turns, at)));
        assert_eq!(order(now, waiting.into()), [1, 2, 3, 1, 3, 1, 1, 1]);
        assert!(turns.lock().waiting.is_empty() && turns.lock().order.is_empty());
    }

    #[tokio::test]
    async fn as_many_turns_are_taken_as_there_are_cores() {
        let turns = Turns::of(2);
        let [first, second] = [turns.wait(place(1)).await, turns.wait(place(1)).await];
        let mut third = waits(&turns, 1);
        drop(first);
        let third = turn(&mut third).expect("a core is free");
        drop(waits(&turns, 1));
        drop((second, third));
        let [first, second] = [turns.wait(place(1)).await, turns.wait(place(2)).await];
        assert!(first.is_some() && second.is_some());
        drop(waits(&turns, 2));
    }

    #[tokio::test]
    async fn whoever_has_gone_is_passed_over() {
        let turns = Turns::of(1);
        let now = turns.wait(place(1)).await.unwrap();
        let gone = (0..10_000).map(|_| waits(&turns, 1)).collect::<Vec<_>>();
        let mut stays = waits(&turns, 1);
        drop(gone);
        drop(now);
        let given = turn(&mut stays).expect("its turn");
        // A turn that nobody has come to take is given back.
        let unread = waits(&turns, 1);
        drop(given);
        drop(unread);
        assert!(turns.wait(place(1)).await.is_some());
    }
}
