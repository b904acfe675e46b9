//! Publish and subscribe through Redis: what this process is subscribed to there, whichever
//! connection it has, and who is told what comes.
//!
//! The connection is a link's like any other, and carries nothing else. It is made when somebody
//! first subscribes. What is published while there is none, nobody here hears of: on the next one
//! everything is subscribed to again, and that something may have been missed is told.

mod book;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use redis::{Pipeline, PushInfo, PushKind, ServerError, Value};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tracing::info;

use self::book::{Book, Change, Standing};
use super::failure::{Failure, FailureKind};
use super::link::LinkMsg;
use super::nodes::Node;
use crate::supervise::{Condition, Conditions, Handle};

pub use book::Topic;

/// Its place in the tree.
pub const PATH: &str = "links/redis-subscriber";
/// The condition it is in while messages that are wanted do not get here.
pub const NOT_LISTENING: &str = "not_listening";

/// Is told what is published in Redis.
pub trait Receiver: Send + Sync {
    /// A message to a channel, for those who have subscribed to it by this name, or by this
    /// pattern. One that matches several is told once by each. Called by the connection itself, in
    /// the order of Redis: MUST NOT block.
    fn receive(&self, by: By<'_>, channel: &[u8], payload: &[u8]);
}

/// What a message came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By<'a> {
    /// The channel's own name.
    Name,
    /// This pattern.
    Pattern(&'a [u8]),
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Subscriptions {
    inner: Arc<Inner>,
}

struct Inner {
    book: Mutex<Book>,
    /// Changes with each answer of Redis.
    answered: watch::Sender<()>,
    /// Whether there is to be a connection.
    needed: watch::Sender<bool>,
    /// What is published goes to Redis.
    on: AtomicBool,
    /// What comes from Redis counts.
    listens: AtomicBool,
    /// The actor that owns the connection, while there is one.
    link: Mutex<Option<Handle<LinkMsg>>>,
    /// It knows that there is something to do.
    poked: AtomicBool,
    /// The number of the connection whose messages count.
    epoch: AtomicU64,
    receiver: OnceLock<Arc<dyn Receiver>>,
    /// Messages may have been missed since everything was subscribed to.
    missed: AtomicBool,
    deaf: Condition,
    /// Whose turn it is, of the nodes of a Cluster.
    turn: AtomicUsize,
    messages: AtomicU64,
    gaps: AtomicU64,
    unconfirmed: AtomicU64,
}

/// How it stands, and what has happened since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SubscriptionStats {
    /// Publishing and subscribing go through Redis.
    pub on: bool,
    /// Channels and patterns that somebody here has subscribed to.
    pub wanted: usize,
    /// Those that Redis has confirmed.
    pub confirmed: usize,
    /// Those that Redis refuses.
    pub refused: usize,
    /// Messages that have come; one that came by several subscriptions counts with each.
    pub messages: u64,
    /// Times that messages may have been missed: everything was subscribed to again.
    pub gaps: u64,
    /// Subscriptions that were confirmed to clients before Redis had them.
    pub unconfirmed: u64,
}

impl std::fmt::Debug for Subscriptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscriptions").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Subscriptions {
    /// Without any, and without a link yet; `on` as in [`Subscriptions::set_on`].
    #[must_use]
    pub fn new(conditions: &Conditions, on: bool) -> Self {
        let mut book = Book::default();
        book.set_off(!on);
        let inner = Inner {
            book: Mutex::new(book),
            answered: watch::Sender::new(()),
            needed: watch::Sender::new(false),
            on: AtomicBool::new(on),
            listens: AtomicBool::new(on),
            link: Mutex::default(),
            poked: AtomicBool::new(false),
            epoch: AtomicU64::new(0),
            receiver: OnceLock::new(),
            missed: AtomicBool::new(false),
            deaf: conditions.declare(PATH, NOT_LISTENING),
            turn: AtomicUsize::new(0),
            messages: AtomicU64::new(0),
            gaps: AtomicU64::new(0),
            unconfirmed: AtomicU64::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Whom to tell. Once, before anything is wanted.
    pub fn tell(&self, receiver: Arc<dyn Receiver>) {
        let _ = self.inner.receiver.set(receiver);
    }

    /// Somebody wants this, or nobody any more. Only writes it down.
    pub fn want(&self, topic: Topic, wanted: bool) {
        self.change(|book| book.want(topic, wanted));
    }

    /// Whether Redis is asked for what is wanted. Turned off, nothing that comes counts.
    pub fn set_on(&self, on: bool) {
        self.inner.on.store(on, Relaxed);
        self.inner.listens.store(on, Relaxed);
        self.change(|book| book.set_off(!on));
        self.inner.answered.send_replace(());
    }

    /// Listens to Redis before anything is published there, and waits until Redis has confirmed what
    /// is wanted now, no longer than until `deadline`: or whoever listens here would miss what is
    /// published here in between. [`Subscriptions::set_on`] follows.
    pub async fn listen(&self, deadline: Instant) {
        self.inner.listens.store(true, Relaxed);
        self.change(|book| book.set_off(false));
        let mut answered = self.inner.answered.subscribe();
        while {
            let counts = self.book().counts();
            counts.confirmed + counts.refused < counts.wanted
        } {
            answered.mark_unchanged();
            if !matches!(timeout_at(deadline, answered.changed()).await, Ok(Ok(()))) {
                return;
            }
        }
    }

    /// Publishes nothing in Redis any more, and hears what was published there until
    /// [`Subscriptions::set_on`] ends that, too.
    pub fn publish_here(&self) {
        self.inner.on.store(false, Relaxed);
    }

    /// Whether it is.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.inner.on.load(Relaxed)
    }

    /// Waits until Redis has confirmed these, no longer than until `deadline`; whether it has.
    ///
    /// # Errors
    /// Redis refuses one of them, in these words.
    pub async fn confirmed(
        &self,
        topics: &[Topic],
        deadline: Instant,
    ) -> Result<bool, (Topic, Arc<str>)> {
        let mut answered = self.inner.answered.subscribe();
        loop {
            answered.mark_unchanged();
            if stand(&self.book(), topics)? {
                return Ok(true);
            }
            if !matches!(timeout_at(deadline, answered.changed()).await, Ok(Ok(()))) {
                // With the book in hand: an answer that comes now ends what begins here.
                let book = self.book();
                let all = stand(&book, topics)?;
                if !all {
                    self.inner.unconfirmed.fetch_add(topics.len() as u64, Relaxed);
                    self.deaf("Redis has not confirmed a subscription in time");
                }
                return Ok(all);
            }
        }
    }

    /// The numbers now.
    #[must_use]
    pub fn stats(&self) -> SubscriptionStats {
        let counts = self.book().counts();
        let of = |counter: &AtomicU64| counter.load(Relaxed);
        SubscriptionStats {
            on: self.is_on(),
            wanted: counts.wanted,
            confirmed: counts.confirmed,
            refused: counts.refused,
            messages: of(&self.inner.messages),
            gaps: of(&self.inner.gaps),
            unconfirmed: of(&self.inner.unconfirmed),
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Nothing in there panics half way.
        self.inner.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is wanted, and lets the link know.
    fn change(&self, change: impl FnOnce(&mut Book)) {
        let mut book = self.book();
        change(&mut book);
        let (needed, due) = (book.needs_connection(), book.has_due());
        self.inner.needed.send_if_modified(|was| std::mem::replace(was, needed) != needed);
        if !needed {
            self.inner.deaf.clear();
        }
        drop(book);
        if due
            && let Some(link) = self.link().as_ref()
            && !self.inner.poked.swap(true, Relaxed)
            && link.cast(LinkMsg::Subscribe).is_err()
        {
            // Its next connection begins with everything.
            self.inner.poked.store(false, Relaxed);
        }
    }

    /// Messages that are wanted do not get here.
    fn deaf(&self, why: &str) {
        if *self.inner.needed.borrow() {
            self.inner.missed.store(true, Relaxed);
            self.inner.deaf.set(&format!(
                "what is published in Redis does not get to those who have subscribed here, and \
                 nobody keeps it for them: {why}"
            ));
        }
    }
}

/// Whether all of these are confirmed.
fn stand(book: &Book, topics: &[Topic]) -> Result<bool, (Topic, Arc<str>)> {
    let mut all = true;
    for topic in topics {
        match book.standing(topic) {
            Standing::Confirmed => {}
            Standing::Pending => all = false,
            Standing::Refused(why) => return Err((topic.clone(), why)),
        }
    }
    Ok(all)
}

// === What the link does with it ===

impl Subscriptions {
    /// The actor that owns the connection from now on.
    pub(super) fn served_by(&self, link: Handle<LinkMsg>) {
        *self.link() = Some(link);
    }

    fn link(&self) -> MutexGuard<'_, Option<Handle<LinkMsg>>> {
        // It is replaced whole.
        self.inner.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is to be a connection.
    pub(super) fn needs_connection(&self) -> bool {
        *self.inner.needed.borrow()
    }

    /// Waits until there is to be one.
    pub(super) async fn needed(&self) {
        // `self` keeps the other end.
        let _ = self.inner.needed.subscribe().wait_for(|needed| *needed).await;
    }

    /// Connection number `epoch` takes the place of the one before, if there was one. It is
    /// subscribed to nothing: what was published since the other one's last message is missed, and
    /// no message comes twice.
    pub(super) fn begins(&self, epoch: u64) {
        self.inner.poked.store(false, Relaxed);
        self.inner.turn.store(0, Relaxed);
        let mut book = self.book();
        if book.counts().confirmed > 0 {
            self.inner.missed.store(true, Relaxed);
        }
        self.inner.epoch.store(epoch, Relaxed);
        book.begins();
    }

    /// There is no connection.
    pub(super) fn lost(&self, why: &str) {
        self.book().lost();
        self.deaf(why);
    }

    /// What was refused is to be asked for once more.
    pub(super) fn try_refused_again(&self) {
        self.change(Book::try_refused_again);
    }

    /// What to ask for now, and the commands for it; `None`: nothing.
    pub(super) fn take(&self) -> Option<(Vec<Change>, Pipeline)> {
        self.inner.poked.store(false, Relaxed);
        let changes = self.book().take();
        let mut commands = redis::pipe();
        for Change { topic, subscribe } in &changes {
            let verb = match (topic, subscribe) {
                (Topic::Channel(_), true) => "SUBSCRIBE",
                (Topic::Channel(_), false) => "UNSUBSCRIBE",
                (Topic::Pattern(_), true) => "PSUBSCRIBE",
                (Topic::Pattern(_), false) => "PUNSUBSCRIBE",
            };
            // One name each: Redis refuses the whole of a command for one name in it.
            commands.cmd(verb).arg(topic.name());
        }
        (!changes.is_empty()).then_some((changes, commands))
    }

    /// What Redis has answered. Whether there is more to ask for.
    ///
    /// # Errors
    /// The answers are not those to what was asked, or say that Redis can't now.
    pub(super) fn settle(
        &self,
        changes: Vec<Change>,
        answers: Vec<Value>,
    ) -> Result<bool, Failure> {
        if answers.len() != changes.len() {
            let text = "subscriptions were not answered one by one";
            return Err(Failure::after(FailureKind::Garbage, text));
        }
        let mut book = self.book();
        for (change, answer) in changes.into_iter().zip(answers) {
            let answer = match answer {
                Value::ServerError(error) => match Failure::of_reply(&error) {
                    Some(failure) => return Err(failure),
                    None => Err(text(&error)),
                },
                Value::Push { .. } => Ok(()),
                _ => {
                    let text = "a subscription was answered by something else";
                    return Err(Failure::after(FailureKind::Garbage, text));
                }
            };
            book.settle(change.topic, answer);
        }
        let more = book.has_due();
        if !more {
            self.whole(&book);
        }
        drop(book);
        self.inner.answered.send_replace(());
        Ok(more)
    }

    /// Redis has been asked for everything, and has answered.
    fn whole(&self, book: &Book) {
        if self.inner.missed.swap(false, Relaxed) {
            self.inner.gaps.fetch_add(1, Relaxed);
            info!(
                path = PATH,
                event = "listening",
                topics = book.counts().confirmed,
                "subscribed again in Redis; what was published there meanwhile was missed"
            );
        }
        match book.a_refusal() {
            None => self.inner.deaf.clear(),
            Some((topic, why)) => self.inner.deaf.set(&format!(
                "Redis refuses {} of the channels and patterns that clients here have subscribed \
                 to, as {}; allow them to the user of redis.username (ACL SETUSER … &pattern): {why}",
                book.counts().refused,
                topic.name().escape_ascii(),
            )),
        }
    }

    /// What connection number `epoch` hears.
    pub(super) fn hear(&self, epoch: u64, push: PushInfo) {
        if epoch != self.inner.epoch.load(Relaxed) || !self.inner.listens.load(Relaxed) {
            return;
        }
        let Some(receiver) = self.inner.receiver.get() else { return };
        let mut data = push.data.into_iter().map(bytes);
        let mut next = || data.next().flatten();
        let told = match push.kind {
            PushKind::Message => next().zip(next()).map(|(channel, payload)| {
                receiver.receive(By::Name, &channel, &payload);
            }),
            PushKind::PMessage => {
                next().zip(next()).zip(next()).map(|((pattern, channel), payload)| {
                    receiver.receive(By::Pattern(&pattern), &channel, &payload);
                })
            }
            _ => None,
        };
        if told.is_some() {
            self.inner.messages.fetch_add(1, Relaxed);
        }
    }
}

// === Nodes of a Cluster, of which any will do ===

impl Subscriptions {
    /// Where to go this time: to the node in `redis.url`, and if that was in vain, to the next that
    /// is known.
    pub(super) fn next_node(&self, home: Node, known: BTreeSet<Node>) -> Node {
        let turn = self.inner.turn.fetch_add(1, Relaxed);
        let others: Vec<Node> = known.into_iter().filter(|node| *node != home).collect();
        let at = turn % (others.len() + 1);
        at.checked_sub(1).and_then(|at| others.get(at).cloned()).unwrap_or(home)
    }
}

/// An error as Redis sent it.
fn text(error: &ServerError) -> Arc<str> {
    let text = format!("{} {}", error.code(), error.details().unwrap_or_default());
    text.trim_end().into()
}

fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.into_bytes()),
        _ => None,
    }
}
