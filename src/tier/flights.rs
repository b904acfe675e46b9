//! Questions to the tier: one under way per key, however many ask.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::Value;
use seawall_actors::cache::store::Ticket;
use seawall_actors::clock::Clock;
use seawall_actors::redis::outbox::Gate;
use seawall_actors::redis::{Once, Pool, Request};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::news::News;
use super::question::{Answer, Found, Want};

/// Keys that are asked for in one pipeline.
const BATCH: usize = 128;
/// A value is there so long for those who missed the key before it was put into memory. That it is
/// so old is known to whoever takes it in, from its ticket.
const LINGER: Duration = Duration::from_millis(20);

/// Flights of one tier. Bounded by its askers: a connection asks for one round's keys at a time.
#[derive(Debug)]
pub(super) struct Flights {
    pool: Pool,
    clock: Clock,
    news: Arc<News>,
    loss: Loss,
    under_way: Mutex<HashMap<Box<[u8]>, Flight>>,
}

/// A question under way.
#[derive(Debug, Clone)]
struct Flight {
    ticket: Ticket,
    answer: watch::Receiver<Option<Found>>,
    /// Somebody did not wait for it: the answer goes to the shard.
    behind: Arc<AtomicBool>,
}

/// A key on its flight, and who is told.
struct Passenger {
    want: Want,
    landed: watch::Sender<Option<Found>>,
    behind: Arc<AtomicBool>,
}

/// How long one waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Patience {
    /// In any case.
    pub hard: Duration,
    /// If there is something to serve in its place.
    pub soft: Duration,
}

/// Whether Redis may have lost what it was given: one that comes back from a restart, or another
/// in its place, may know less than memory does, until the outbox has found out and made it good.
#[derive(Debug)]
pub(super) struct Loss {
    pub tracker: Pool,
    pub gate: Gate,
}

impl Loss {
    /// The connection over which it is known to have everything.
    fn ruled_out(&self) -> Option<u64> {
        let epoch = self.tracker.epoch();
        (epoch != 0 && epoch == self.gate.met()).then_some(epoch)
    }
}

impl Flights {
    pub fn new(pool: Pool, clock: Clock, news: Arc<News>, loss: Loss) -> Self {
        Self { pool, clock, news, loss, under_way: Mutex::default() }
    }

    fn table(&self) -> MutexGuard<'_, HashMap<Box<[u8]>, Flight>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks, or joins those who ask already, and waits for the answers, in the order of `wants`.
    pub async fn ask(self: &Arc<Self>, wants: Vec<Want>, patience: Patience) -> Vec<Answer> {
        let now = Instant::now();
        let flights = self.board(&wants, now + patience.hard);
        let mut answers = Vec::with_capacity(wants.len());
        for (want, mut flight) in wants.into_iter().zip(flights) {
            let wait = if want.stale { patience.soft } else { patience.hard };
            let landed = timeout_at(now + wait, flight.answer.wait_for(Option::is_some)).await;
            let found = match landed {
                Ok(Ok(found)) => found.clone(),
                // Whoever asked has died.
                Ok(Err(_)) => None,
                Err(_) => {
                    flight.behind.store(true, Ordering::Relaxed);
                    Some(Found::Unknown("it did not answer in time".into()))
                }
            };
            answers.push(Answer {
                key: want.key,
                hash: want.hash,
                ticket: flight.ticket,
                found: found.unwrap_or_else(|| Found::Unknown("the question was lost".into())),
            });
        }
        answers
    }

    /// Asks, and lets the shards know what comes back.
    pub fn refresh(self: &Arc<Self>, wants: &[Want], patience: Duration) {
        for flight in self.board(wants, Instant::now() + patience) {
            flight.behind.store(true, Ordering::Relaxed);
        }
    }

    /// A flight for each key; those that are new are started, together.
    fn board(self: &Arc<Self>, wants: &[Want], deadline: Instant) -> Vec<Flight> {
        let mut fresh: Vec<Passenger> = Vec::new();
        let mut flights = Vec::with_capacity(wants.len());
        {
            let mut table = self.table();
            for want in wants {
                // One that began before the tier had what is needed now, or before the key changed,
                // would tell of what was.
                if let Some(flight) = table.get(&want.key)
                    && flight.ticket.answers(&want.ticket)
                    && flight.answer.has_changed().is_ok()
                {
                    flights.push(flight.clone());
                    continue;
                }
                let (landed, answer) = watch::channel(None);
                let behind = Arc::new(AtomicBool::new(false));
                let flight = Flight { ticket: want.ticket, answer, behind: Arc::clone(&behind) };
                table.insert(want.key.clone(), flight.clone());
                flights.push(flight);
                fresh.push(Passenger { want: want.clone(), landed, behind });
            }
        }
        while !fresh.is_empty() {
            let rest = fresh.split_off(fresh.len().min(BATCH));
            let batch = std::mem::replace(&mut fresh, rest);
            let this = Arc::clone(self);
            // A task of its own: who asked first may leave before the others.
            tokio::spawn(async move { this.fly(batch, deadline).await });
        }
        flights
    }

    async fn fly(&self, batch: Vec<Passenger>, deadline: Instant) {
        let after = batch.iter().map(|p| p.want.ticket.after).max().unwrap_or(0);
        let mut acknowledged = self.news.follow();
        let ready = timeout_at(deadline, acknowledged.wait_for(|lsn| *lsn >= after));
        let ready = matches!(ready.await, Ok(Ok(_)));
        let before = self.loss.ruled_out();
        let found = if ready {
            self.look_up(batch.iter().map(|p| &*p.want.key), deadline).await
        } else {
            Err("it lacks writes that wait in the log".into())
        };
        let whole = before.is_some() && before == self.loss.ruled_out();
        let mut found = found.map(Vec::into_iter);
        let mut lingering = Vec::new();
        for Passenger { want, landed, behind } in batch {
            let found = match &mut found {
                Ok(found) => found
                    .next()
                    .unwrap_or_else(|| Found::Unknown("it did not answer every question".into())),
                Err(why) => Found::Unknown(Arc::clone(why)),
            };
            // Against what is in memory only one counts that has what it was given.
            let found = match want.stale && !whole {
                true => Found::Unknown("it may lack what it had".into()),
                false => found,
            };
            let stays = matches!(found, Found::Value { .. });
            if !stays {
                self.forget(&want.key, &behind);
            }
            landed.send_replace(Some(found.clone()));
            if behind.load(Ordering::Relaxed) {
                let Want { key, hash, ticket, .. } = want.clone();
                self.news.found(Answer { key, hash, ticket, found });
            }
            if stays {
                // With its sender: a flight without one is taken for lost.
                lingering.push((want.key, behind, landed));
            }
        }
        if lingering.is_empty() {
            return;
        }
        // Whoever missed the key before the answer was put into memory may board only now.
        tokio::time::sleep(LINGER).await;
        for (key, behind, _landed) in lingering {
            self.forget(&key, &behind);
        }
    }

    /// Takes a flight out of the table. Somebody with a later ticket may have put another in its
    /// place; that one stays.
    fn forget(&self, key: &[u8], behind: &Arc<AtomicBool>) {
        let mut table = self.table();
        if table.get(key).is_some_and(|flight| Arc::ptr_eq(&flight.behind, behind)) {
            table.remove(key);
        }
    }

    pub async fn look_up<'k>(
        &self,
        keys: impl Iterator<Item = &'k [u8]>,
        deadline: Instant,
    ) -> Result<Vec<Found>, Arc<str>> {
        let mut pipeline = redis::pipe();
        for key in keys {
            pipeline.cmd("GET").arg(key).cmd("PTTL").arg(key);
        }
        let request = Request { deadline, once: Once::OrMore };
        // A time to live is counted from before Redis said it: none lasts longer here than there.
        let now = self.clock.unix_ms();
        let answers = self
            .pool
            .pipe_checked(&pipeline, request, plausible)
            .await
            .map_err(|failure| Arc::from(failure.to_string()))?;
        let mut answers = answers.into_iter();
        let mut found = Vec::new();
        while let (Some(value), Some(ttl)) = (answers.next(), answers.next()) {
            found.push(read(value, &ttl, now));
        }
        Ok(found)
    }
}

/// Whether these may be the answers to as many GETs and PTTLs.
fn plausible(answers: &[Value]) -> bool {
    answers.chunks(2).all(|pair| {
        matches!(
            pair,
            [
                Value::BulkString(_) | Value::Nil | Value::ServerError(_),
                Value::Int(_) | Value::ServerError(_)
            ]
        )
    })
}

/// What GET and PTTL say together.
fn read(value: Value, ttl: &Value, now: u64) -> Found {
    let value = match value {
        Value::BulkString(bytes) => Arc::from(bytes),
        Value::Nil => return Found::Absent,
        Value::ServerError(error) if error.code() == "WRONGTYPE" => return Found::Foreign,
        Value::ServerError(error) => {
            return Found::Unknown(format!("it refuses: {}", error.code()).into());
        }
        _ => return Found::Unknown("it answered something else than a string".into()),
    };
    match ttl {
        Value::Int(-1) => Found::Value { value, expires_at: None },
        Value::Int(ms) if *ms >= 0 => {
            Found::Value { value, expires_at: Some(now.saturating_add(ms.unsigned_abs())) }
        }
        // It expired in between.
        Value::Int(_) => Found::Absent,
        _ => Found::Unknown("it did not say when the key expires".into()),
    }
}
