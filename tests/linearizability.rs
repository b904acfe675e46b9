//! What clients see is what one client after the other would have seen, while actors fail and the
//! daemon is killed: every call is recorded, and an order looked for that explains all answers.
//!
//! `SEAWALL_HISTORY_ROUNDS` sets how many kills one history lives through, in each fsync mode:
//!
//! ```text
//! SEAWALL_HISTORY_ROUNDS=20 cargo test --test e2e linearizability -- --nocapture
//! ```

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};

use crate::support::linear::counters::{COUNT, Counters, Transaction};
use crate::support::linear::register::{Call, Register};
use crate::support::linear::{End, Entry, Moments, check};
use crate::support::raw::encode;
use crate::support::{Daemon, Raw, Reply, Setup, seed, setting, wait_until};

const KEYS: [&str; 5] = ["ash", "elm", "fir", "oak", "yew"];
const COUNTERS: [&str; COUNT] = ["one", "two", "six", "ten", "all"];
const CLIENTS: usize = 4;
const CLERKS: usize = 3;
/// Answers between two drills.
const STRETCH: u64 = 150;

/// What became of a call.
enum Heard {
    Answer(Reply),
    /// The daemon says that it was not executed.
    Refused,
    /// The daemon says that it does not know.
    Unknown,
    /// The connection broke.
    Broken,
}

fn hear(reply: io::Result<Reply>) -> Heard {
    match reply {
        Err(_) => Heard::Broken,
        Ok(Reply::Error(text)) => {
            let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
            if says(&["not executed", "LOADING", "was not applied"]) {
                Heard::Refused
            } else if says(&["outcome unknown", "outcome of this write is unknown"]) {
                Heard::Unknown
            } else {
                panic!("neither an answer nor what became of the call: {text}")
            }
        }
        Ok(reply) => Heard::Answer(reply),
    }
}

fn number(reply: &Reply) -> Option<i64> {
    match reply {
        Reply::Nil => None,
        Reply::Int(value) => Some(*value),
        other => Some(other.text().parse().expect("a number")),
    }
}

/// One connection that records what it does.
struct Recorder<'a, C> {
    client: Raw,
    moments: Moments,
    /// Answers over all clients, so that the test knows that they go on.
    done: &'a AtomicU64,
    history: Vec<C>,
}

impl<C> Recorder<'_, C> {
    /// Sends requests and hears the reply of the last; when they were sent, and when it was heard.
    fn call(&mut self, requests: &[Vec<&str>]) -> (u64, Heard, u64) {
        let batch: Vec<u8> = requests.iter().flat_map(|words| encode(words)).collect();
        let sent = self.moments.next();
        let mut last = self.client.try_send(batch).map(|()| Reply::Nil);
        for _ in requests {
            last = last.and_then(|_| self.client.try_receive());
        }
        let heard = hear(last);
        self.done.fetch_add(1, Ordering::Relaxed);
        (sent, heard, self.moments.next())
    }
}

/// A key and what was done to it.
type Touched = (usize, Entry<Call>);

impl Recorder<'_, Touched> {
    /// Reads and writes single keys until the connection breaks.
    fn use_keys(mut self, mut rng: SmallRng, values: &AtomicU64) -> Vec<Touched> {
        loop {
            let key = rng.random_range(0..KEYS.len());
            // A number of its own, far from the others, so that counting meets none of them.
            let fresh = values.fetch_add(1000, Ordering::Relaxed).cast_signed();
            let call = match rng.random_range(0..10) {
                0..3 => Call::Get(None),
                3 | 4 => Call::Set(fresh),
                5 => Call::SetNew(fresh, None),
                6 | 7 => Call::Increment(None),
                8 => Call::Delete(None),
                _ => {
                    if !self.swap(key, fresh) {
                        return self.history;
                    }
                    continue;
                }
            };
            let fresh = fresh.to_string();
            let name = KEYS[key];
            let words = match call {
                Call::Get(_) => vec!["GET", name],
                Call::Set(_) | Call::Swap { .. } => vec!["SET", name, &fresh],
                Call::SetNew(..) => vec!["SET", name, &fresh, "NX"],
                Call::Increment(_) => vec!["INCR", name],
                Call::Delete(_) => vec!["DEL", name],
            };
            if !self.note(key, call, &[words], answered) {
                return self.history;
            }
        }
    }

    /// Makes a call and records it; false if the connection broke.
    fn note(
        &mut self,
        key: usize,
        call: Call,
        requests: &[Vec<&str>],
        answered: impl Fn(Call, &Reply) -> Option<Call>,
    ) -> bool {
        let (sent, heard, ended) = self.call(requests);
        let (call, end) = match &heard {
            Heard::Answer(reply) => (answered(call, reply), End::Answered(ended)),
            Heard::Refused => (None, End::Answered(ended)),
            Heard::Unknown | Heard::Broken => (Some(call), End::Unknown(u64::MAX)),
        };
        self.history.extend(call.map(|call| (key, Entry { call, sent, end })));
        !matches!(heard, Heard::Broken)
    }

    /// Replaces what it has read, if nobody else did. False if the connection broke.
    fn swap(&mut self, key: usize, to: i64) -> bool {
        let name = KEYS[key];
        match self.call(&[vec!["WATCH", name]]).1 {
            Heard::Answer(_) => {}
            Heard::Refused | Heard::Unknown => return true,
            Heard::Broken => return false,
        }
        let (sent, heard, ended) = self.call(&[vec!["GET", name]]);
        let from = match heard {
            Heard::Answer(reply) => number(&reply),
            Heard::Refused | Heard::Unknown => {
                return !matches!(self.call(&[vec!["UNWATCH"]]).1, Heard::Broken);
            }
            Heard::Broken => return false,
        };
        let end = End::Answered(ended);
        self.history.push((key, Entry { call: Call::Get(from), sent, end }));
        let text = to.to_string();
        let requests = [vec!["MULTI"], vec!["SET", name, &text], vec!["EXEC"]];
        self.note(key, Call::Swap { from, to }, &requests, |call, reply| match reply {
            // Somebody was faster, and nothing has happened.
            Reply::Nil => None,
            reply => {
                assert_eq!(reply.items(), [Reply::ok()]);
                Some(call)
            }
        })
    }
}

/// The call with its answer.
#[allow(clippy::unnecessary_wraps, reason = "a swap may have had no effect")]
fn answered(call: Call, reply: &Reply) -> Option<Call> {
    Some(match call {
        Call::Get(_) => Call::Get(number(reply)),
        Call::SetNew(value, _) => Call::SetNew(value, Some(*reply == Reply::ok())),
        Call::Increment(_) => Call::Increment(number(reply)),
        Call::Delete(_) => Call::Delete(Some(*reply == Reply::Int(1))),
        Call::Set(_) | Call::Swap { .. } => {
            assert_eq!(*reply, Reply::ok());
            call
        }
    })
}

impl Recorder<'_, Entry<Transaction>> {
    /// Moves amounts between counters, and reads them, until the connection breaks. What is
    /// rolled back is not recorded: it must never have been.
    fn keep_books(mut self, mut rng: SmallRng) -> Vec<Entry<Transaction>> {
        loop {
            let counters: Vec<usize> = (0..COUNT).collect();
            let picked: Vec<usize> = counters.choose_multiple(&mut rng, 3).copied().collect();
            let amount = rng.random_range(1..1000);
            let kind = rng.random_range(0..5);
            let steps = match kind {
                0 => counters.iter().map(|&counter| (counter, 0)).collect(),
                1 => vec![(picked[0], 0), (picked[1], 0), (picked[2], amount)],
                _ => vec![(picked[0], -amount), (picked[1], amount), (picked[2], 0)],
            };
            let amounts: Vec<String> = steps.iter().map(|(_, n)| n.to_string()).collect();
            let words = steps.iter().zip(&amounts).map(|(&(counter, n), text)| match n {
                0 => vec!["GET", COUNTERS[counter]],
                _ => vec!["INCRBY", COUNTERS[counter], text],
            });
            let mut requests: Vec<Vec<&str>> = match kind {
                0 => vec![[&["MGET"][..], &COUNTERS].concat()],
                _ => std::iter::once(vec!["MULTI"]).chain(words).collect(),
            };
            match kind {
                0 => {}
                1 | 2 => requests.push(vec!["EXEC"]),
                3 => requests.push(vec!["SW.EXEC", "ROLLBACK"]),
                _ => {
                    requests.insert(rng.random_range(1..=requests.len()), vec!["INCR", "text"]);
                    requests.push(vec!["SW.EXEC", "ROLLBACK"]);
                    if !self.roll_back(&requests) {
                        return self.history;
                    }
                    continue;
                }
            }
            let (sent, heard, ended) = self.call(&requests);
            let (answers, end) = match &heard {
                Heard::Answer(reply) => {
                    let values = reply.items().iter().map(|item| number(item).unwrap_or(0));
                    (Some(values.collect()), End::Answered(ended))
                }
                Heard::Refused => continue,
                Heard::Unknown | Heard::Broken => (None, End::Unknown(u64::MAX)),
            };
            self.history.push(Entry { call: Transaction { steps, answers }, sent, end });
            if matches!(heard, Heard::Broken) {
                return self.history;
            }
        }
    }

    /// A transaction whose failure undoes it; false if the connection broke.
    fn roll_back(&mut self, requests: &[Vec<&str>]) -> bool {
        let batch: Vec<u8> = requests.iter().flat_map(|words| encode(words)).collect();
        let mut last = self.client.try_send(batch).map(|()| Reply::Nil);
        for _ in requests {
            last = last.and_then(|_| self.client.try_receive());
        }
        match last {
            Ok(Reply::Error(text)) if text.starts_with("EXECABORT") => true,
            Ok(reply) => matches!(hear(Ok(reply)), Heard::Refused | Heard::Unknown),
            Err(_) => false,
        }
    }
}

/// Lets actors fail, one after the other, and then kills the daemon.
fn disturb(daemon: &mut Daemon, done: &AtomicU64, rng: &mut SmallRng) {
    let wait_progress = || {
        let before = done.load(Ordering::Relaxed);
        wait_until("calls are answered", || done.load(Ordering::Relaxed) > before + STRETCH);
    };
    let mut drills = ["cache/shard-0", "cache/shard-1", "cache/shard-2", "wal", "wal"];
    drills.shuffle(rng);
    let mut control = daemon.connect();
    for path in drills {
        wait_progress();
        let how = ["panic", "kill", "error"].choose(rng).expect("there are some");
        // It may still be on its way back from the last one.
        wait_until("the drill is taken", || {
            control.run(&format!("SW.DRILL {how} {path}")) == Reply::ok()
        });
    }
    wait_progress();
    std::thread::sleep(Duration::from_micros(rng.random_range(0..2000)));
    daemon.kill();
}

/// What had no outcome by now has one: the daemon is dead.
fn end_all<C>(history: &mut [Entry<C>], now: u64) {
    for entry in history {
        if let End::Unknown(by) = &mut entry.end {
            *by = now.min(*by);
        }
    }
}

/// Everybody works until the daemon, which has its troubles, is killed. It is owned here, so that a
/// failure ends it, and with it those that are waited for.
fn one_life(
    mut daemon: Daemon,
    moments: &Moments,
    done: &AtomicU64,
    values: &AtomicU64,
    rng: &mut SmallRng,
) -> (Daemon, Vec<Touched>, Vec<Entry<Transaction>>) {
    std::thread::scope(|scope| {
        let mut fresh = || SmallRng::seed_from_u64(rng.random());
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| (recorder(&daemon, moments, done), fresh()))
            .map(|(recorder, rng)| scope.spawn(move || recorder.use_keys(rng, values)))
            .collect();
        let clerks: Vec<_> = (0..CLERKS)
            .map(|_| (recorder(&daemon, moments, done), fresh()))
            .map(|(recorder, rng)| scope.spawn(move || recorder.keep_books(rng)))
            .collect();
        disturb(&mut daemon, done, rng);
        let clients = clients.into_iter().flat_map(|c| c.join().expect("a client ends well"));
        let clerks = clerks.into_iter().flat_map(|c| c.join().expect("a clerk ends well"));
        let (touched, entries) = (clients.collect(), clerks.collect());
        (daemon, touched, entries)
    })
}

fn survive(fsync: &str) {
    let mut rng = SmallRng::seed_from_u64(seed());
    let rounds = setting("SEAWALL_HISTORY_ROUNDS", 2);
    let mut daemon = Setup::new()
        .with("debug.drills", "true")
        .with("cache.shards", "3")
        .with("wal.fsync", &format!("{fsync:?}"))
        .start();
    assert_eq!(daemon.connect().run("SET text abc"), Reply::ok());
    let (moments, done, values) = (Moments::default(), AtomicU64::new(0), AtomicU64::new(1000));
    let mut keys: BTreeMap<usize, Vec<Entry<Call>>> = BTreeMap::new();
    let mut books = Vec::new();
    for _ in 0..rounds {
        let (touched, entries);
        (daemon, touched, entries) = one_life(daemon, &moments, &done, &values, &mut rng);
        for (key, entry) in touched {
            keys.entry(key).or_default().push(entry);
        }
        books.extend(entries);
        let now = moments.next();
        keys.values_mut().for_each(|history| end_all(history, now));
        end_all(&mut books, now);
        daemon.restart();
    }
    // What is there at last is part of the history, too.
    let mut client = recorder(&daemon, &moments, &done);
    for (key, name) in KEYS.into_iter().enumerate() {
        client.note(key, Call::Get(None), &[vec!["GET", name]], answered);
    }
    for (key, entry) in client.history {
        keys.entry(key).or_default().push(entry);
    }
    for (key, history) in &keys {
        if let Err(violation) = check::<Register>(None, history) {
            panic!("{fsync}: {}: {violation}", KEYS[*key]);
        }
    }
    if let Err(violation) = check::<Counters>([0; COUNT], &books) {
        panic!("{fsync}: transactions: {violation}");
    }
    let calls: usize = keys.values().map(Vec::len).sum();
    println!("{fsync}: {calls} calls on keys, {} transactions, {rounds} kills", books.len());
}

fn recorder<'a, C>(daemon: &Daemon, moments: &Moments, done: &'a AtomicU64) -> Recorder<'a, C> {
    Recorder { client: daemon.connect(), moments: moments.clone(), done, history: Vec::new() }
}

#[test]
fn histories_are_linearizable_with_fsync_always() {
    survive("always");
}

#[test]
fn histories_are_linearizable_with_fsync_everysec() {
    survive("everysec");
}

#[test]
fn histories_are_linearizable_with_fsync_no() {
    survive("no");
}
