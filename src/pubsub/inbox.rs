//! What waits for one connection, bounded in bytes.
//!
//! Publishers put pushes in and go on; the connection takes them out between its rounds, and is
//! woken if it waits for its client. One for which too much waits is told so and gets nothing any
//! more: it closes itself.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::{Ledger, Push, Space};
use crate::resp::reply::Reply;

/// What happened in an inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// There is something to send.
    Pushes,
    /// There was too much, and it was dropped.
    Overflow,
}

/// The inbox of one connection.
#[derive(Debug)]
pub struct Inbox {
    client: u64,
    ledger: Arc<Ledger>,
    /// Subscriptions by [`Space`], for CLIENT LIST.
    counts: [AtomicU32; Space::ALL.len()],
    /// What waits; changes under the lock, and is read without it between two rounds.
    bytes: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Push>,
    waker: Option<Waker>,
    /// Whether each push wakes the connection. While its socket takes nothing, only an overflow
    /// does.
    eager: bool,
    overflowed: bool,
    closed: bool,
}

impl Inbox {
    pub(super) fn new(client: u64, ledger: Arc<Ledger>) -> Self {
        Self {
            client,
            ledger,
            counts: Default::default(),
            bytes: AtomicUsize::new(0),
            state: Mutex::default(),
        }
    }

    /// The id of its connection.
    #[must_use]
    pub const fn client(&self) -> u64 {
        self.client
    }

    /// Most bytes that may wait in it.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.ledger.limit()
    }

    /// Bytes that wait in it.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    /// Subscriptions of one kind.
    #[must_use]
    pub fn subscriptions(&self, space: Space) -> u32 {
        self.counts.get(space as usize).map_or(0, |count| count.load(Relaxed))
    }

    /// Whether there is any subscription.
    #[must_use]
    pub fn is_subscribed(&self) -> bool {
        self.counts.iter().any(|count| count.load(Relaxed) > 0)
    }

    pub(super) fn note_subscriptions(&self, space: Space, count: usize) {
        if let Some(counter) = self.counts.get(space as usize) {
            counter.store(u32::try_from(count).unwrap_or(u32::MAX), Relaxed);
        }
    }

    /// Puts a push in, behind all that wait.
    pub fn put(&self, push: Push) {
        let cost = push.cost();
        let mut state = self.lock();
        if state.closed || state.overflowed {
            return;
        }
        let bytes = self.bytes().saturating_add(cost);
        let mut dropped = VecDeque::new();
        let waker = if bytes > self.ledger.limit() {
            state.overflowed = true;
            self.ledger.overflowed();
            dropped = self.empty(&mut state);
            state.waker.take()
        } else {
            state.queue.push_back(push);
            self.bytes.store(bytes, Relaxed);
            self.ledger.waits(cost);
            if state.eager { state.waker.take() } else { None }
        };
        drop(state);
        drop(dropped);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Ready if something has arrived; otherwise the task is woken when it has. Pushes count only
    /// if they are `wanted`, an overflow always.
    pub fn poll(&self, cx: &mut Context<'_>, wanted: bool) -> Poll<Arrival> {
        let mut state = self.lock();
        if state.overflowed {
            return Poll::Ready(Arrival::Overflow);
        }
        if wanted && !state.queue.is_empty() {
            return Poll::Ready(Arrival::Pushes);
        }
        state.eager = wanted;
        if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            state.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Takes out what waits and writes it, until that is more than `most` bytes.
    pub fn take(&self, reply: &mut Reply<'_>, most: usize) {
        if self.bytes() == 0 {
            return;
        }
        let mut taken = VecDeque::new();
        let mut state = self.lock();
        let mut bytes = 0;
        while bytes <= most
            && let Some(push) = state.queue.pop_front()
        {
            bytes += push.cost();
            taken.push_back(push);
        }
        self.bytes.store(self.bytes().saturating_sub(bytes), Relaxed);
        self.ledger.waits_no_more(bytes);
        drop(state);
        let subscribed = self.is_subscribed();
        for push in taken {
            push.encode(reply, subscribed);
        }
    }

    /// Drops what waits, except what `keep` takes.
    pub(super) fn retain(&self, keep: impl Fn(&Push) -> bool) {
        if self.bytes() == 0 {
            return;
        }
        let mut state = self.lock();
        let mut bytes = 0;
        state.queue.retain(|push| {
            let kept = keep(push);
            bytes += if kept { 0 } else { push.cost() };
            kept
        });
        self.bytes.store(self.bytes().saturating_sub(bytes), Relaxed);
        self.ledger.waits_no_more(bytes);
    }

    /// The connection has ended: drops what waits and takes nothing any more.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.waker = None;
        let dropped = self.empty(&mut state);
        drop(state);
        drop(dropped);
    }

    fn empty(&self, state: &mut State) -> VecDeque<Push> {
        self.ledger.waits_no_more(self.bytes.swap(0, Relaxed));
        std::mem::take(&mut state.queue)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
