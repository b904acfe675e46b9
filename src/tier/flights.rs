//! Questions to the tier: one under way per key, however many ask.
//!
//! Who asks first about a key makes a *flight* of it; who asks while it is under way waits for the
//! same answer. What is asked in one turn of the runtime goes together: one pipeline, one task, one
//! timer.

mod flight;
mod lingering;
mod reading;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hashbrown::HashTable;
use redis::{Cmd, Pipeline};
use seawall_actors::clock::Clock;
use seawall_actors::journal::Lsn;
use seawall_actors::redis::outbox::{Gate, Met};
use seawall_actors::redis::{Once, Pool, Request};
use tokio::time::{Instant, timeout_at};

use self::flight::{Flight, Passenger};
use self::lingering::Lingering;
use self::reading::{plausible, read};
use super::news::News;
use super::question::{Answer, Found, Want};

/// Keys that are asked for in one pipeline.
const BATCH: usize = 128;
/// A value is there for this long at least, and for twice as long at most, for those who missed the
/// key before it was put into memory. That it is so old is known to whoever takes it in, from its
/// ticket.
const LINGER: Duration = Duration::from_millis(20);

/// Flights of one tier. Bounded by its askers: a connection asks for one round's keys at a time.
#[derive(Debug)]
pub(super) struct Flights {
    pool: Pool,
    clock: Clock,
    news: Arc<News>,
    loss: Loss,
    table: Mutex<Table>,
}

/// What is under way, and what is about to be.
#[derive(Debug, Default)]
struct Table {
    /// By key.
    flights: HashTable<Arc<Flight>>,
    /// Who is to be taken along next. Somebody is on the way to fetch them, if there are any.
    waiting: Vec<Passenger>,
    /// Until when those who wait must have their answer: the first of them decides.
    deadline: Option<Instant>,
    lingering: Lingering,
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
    pub links: Pool,
    pub tracker: Pool,
    pub gate: Gate,
}

impl Loss {
    /// What says that it has everything, over the connection that there is. Whoever is asked is the
    /// same Redis.
    fn ruled_out(&self) -> Option<Met> {
        let (epoch, met) = (self.tracker.epoch(), self.gate.met());
        let over_it = epoch != 0 && epoch == met.epoch;
        (over_it && self.links.is_where(&self.tracker)).then_some(met)
    }
}

impl Table {
    /// The flight that answers a question, a new one if there is none.
    fn board(&mut self, want: &Want) -> Arc<Flight> {
        if let Some(flight) = self.flights.find_mut(want.hash, |other| other.key == want.key) {
            if flight.answers(&want.ticket) {
                return Arc::clone(flight);
            }
            let fresh = Arc::new(Flight::of(want));
            *flight = Arc::clone(&fresh);
            self.waiting.push(Passenger::new(Arc::clone(&fresh), want.stale));
            return fresh;
        }
        let fresh = Arc::new(Flight::of(want));
        self.flights.insert_unique(want.hash, Arc::clone(&fresh), |flight| flight.hash);
        self.waiting.push(Passenger::new(Arc::clone(&fresh), want.stale));
        fresh
    }

    /// Takes a flight out. Somebody with a later ticket may have put another in its place; that
    /// one stays.
    fn forget(&mut self, flight: &Arc<Flight>) {
        if let Ok(entry) = self.flights.find_entry(flight.hash, |other| Arc::ptr_eq(other, flight))
        {
            entry.remove();
        }
    }
}

impl Flights {
    pub fn new(pool: Pool, clock: Clock, news: Arc<News>, loss: Loss) -> Self {
        Self { pool, clock, news, loss, table: Mutex::default() }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks, or joins those who ask already, and waits for the answers, in the order of `wants`.
    pub async fn ask(self: &Arc<Self>, wants: Vec<Want>, patience: Patience) -> Vec<Answer> {
        let now = Instant::now();
        let flights = self.board(&wants, now + patience.hard);
        let mut answers = Vec::with_capacity(wants.len());
        for (want, flight) in wants.into_iter().zip(flights) {
            // Every flight lands by its deadline, which is no later than ours: only whoever has
            // less patience needs a clock of his own.
            let found = if want.stale {
                match timeout_at(now + patience.soft, flight.landed()).await {
                    Ok(found) => found.clone(),
                    Err(_) => flight.leave_behind(),
                }
            } else {
                flight.landed().await.clone()
            };
            answers.push(Answer { key: want.key, hash: want.hash, ticket: flight.ticket, found });
        }
        answers
    }

    /// Asks, and lets the shards know what comes back.
    pub fn refresh(self: &Arc<Self>, wants: &[Want], patience: Duration) {
        let flights = self.board(wants, Instant::now() + patience);
        // Those that have landed already.
        let here: Vec<Answer> = flights
            .iter()
            .filter_map(|flight| Some(flight.answer(flight.tell_the_shard()?)))
            .collect();
        if !here.is_empty() {
            self.news.found(here);
        }
    }

    /// A flight for each key. Those that are new leave together, with whatever others ask for
    /// until then.
    fn board(self: &Arc<Self>, wants: &[Want], deadline: Instant) -> Vec<Arc<Flight>> {
        let mut table = self.table();
        let flights = wants.iter().map(|want| table.board(want)).collect();
        if !table.waiting.is_empty() && table.deadline.is_none() {
            table.deadline = Some(deadline);
            let this = Arc::clone(self);
            // A task of its own: who asked first may leave before the others.
            tokio::spawn(async move { this.fetch_waiting().await });
        }
        flights
    }

    /// Takes those along who wait.
    async fn fetch_waiting(self: &Arc<Self>) {
        let (mut waiting, deadline) = {
            let mut table = self.table();
            (std::mem::take(&mut table.waiting), table.deadline.take())
        };
        let Some(deadline) = deadline else { return };
        let reached = self.news.reached();
        // Those whose writes Redis lacks must not hold up the others.
        let later: Vec<Passenger> =
            waiting.extract_if(.., |passenger| passenger.after() > reached).collect();
        if !later.is_empty() {
            let this = Arc::clone(self);
            tokio::spawn(async move { this.fly_in_batches(later, deadline).await });
        }
        self.fly_in_batches(waiting, deadline).await;
    }

    async fn fly_in_batches(self: &Arc<Self>, mut passengers: Vec<Passenger>, deadline: Instant) {
        while passengers.len() > BATCH {
            let batch = passengers.split_off(passengers.len() - BATCH);
            let this = Arc::clone(self);
            tokio::spawn(async move { this.fly(batch, deadline).await });
        }
        if !passengers.is_empty() {
            self.fly(passengers, deadline).await;
        }
    }

    async fn fly(self: &Arc<Self>, batch: Vec<Passenger>, deadline: Instant) {
        let after = batch.iter().map(Passenger::after).max().unwrap_or(0);
        let found = if self.acknowledged_by(after, deadline).await {
            // It counts only against what is in memory.
            let asks = batch.iter().any(|passenger| passenger.stale);
            let before = if asks { self.loss.ruled_out() } else { None };
            let keys = batch.iter().map(|passenger| &*passenger.flight.key);
            let found = self.look_up(keys, deadline).await;
            let whole = before.filter(|before| Some(before) == self.loss.ruled_out().as_ref());
            found.map(|found| (found, whole))
        } else {
            Err("it lacks writes that wait in the log".into())
        };
        self.land(batch, found);
    }

    /// Waits until Redis has every write up to `after`; `false` if that takes too long.
    async fn acknowledged_by(&self, after: Lsn, deadline: Instant) -> bool {
        if self.news.reached() >= after {
            return true;
        }
        let mut acknowledged = self.news.follow();
        let reached = acknowledged.wait_for(|lsn| *lsn >= after);
        matches!(timeout_at(deadline, reached).await, Ok(Ok(_)))
    }

    /// Hands the answers out: what was found, and what says that Redis had what it was given.
    fn land(
        self: &Arc<Self>,
        batch: Vec<Passenger>,
        found: Result<(Vec<Found>, Option<Met>), Arc<str>>,
    ) {
        let (mut found, met) = match found {
            Ok((found, met)) => (Ok(found.into_iter()), met),
            Err(why) => (Err(why), None),
        };
        let mut landing = Vec::with_capacity(batch.len());
        for passenger in batch {
            let found = match &mut found {
                Ok(found) => found
                    .next()
                    .unwrap_or_else(|| Found::Unknown("it did not answer every question".into())),
                Err(why) => Found::Unknown(Arc::clone(why)),
            };
            // Against what is in memory only one counts that has what it was given.
            let whole = || met.as_ref().is_some_and(|met| met.tells_of(&passenger.flight.key));
            let found = match passenger.stale && !whole() {
                true => Found::Unknown("it may lack what it had".into()),
                false => found,
            };
            landing.push((passenger, found));
        }
        {
            let mut table = self.table();
            for (passenger, found) in &landing {
                match found {
                    // Whoever missed the key before the answer was put into memory may board only
                    // now.
                    Found::Value { .. } => table.lingering.add(Arc::clone(&passenger.flight)),
                    _ => table.forget(&passenger.flight),
                }
            }
            if table.lingering.needs_sweeper() {
                let this = Arc::clone(self);
                tokio::spawn(async move { this.sweep().await });
            }
        }
        let mut left_behind = Vec::new();
        for (passenger, found) in landing {
            if passenger.flight.land(found.clone()) {
                left_behind.push(passenger.flight.answer(found));
            }
        }
        if !left_behind.is_empty() {
            self.news.found(left_behind);
        }
    }

    /// Takes out what has lingered, until nothing is left.
    async fn sweep(&self) {
        loop {
            tokio::time::sleep(LINGER).await;
            let mut table = self.table();
            let Some(gone) = table.lingering.turn() else { return };
            for flight in &gone {
                table.forget(flight);
            }
        }
    }

    pub async fn look_up<'k>(
        &self,
        keys: impl ExactSizeIterator<Item = &'k [u8]>,
        deadline: Instant,
    ) -> Result<Vec<Found>, Arc<str>> {
        let mut pipeline = Pipeline::with_capacity(keys.len() * 2);
        for key in keys {
            for name in ["GET", "PTTL"] {
                let mut command = Cmd::with_capacity(2, name.len() + key.len());
                command.arg(name).arg(key);
                pipeline.add_command(command);
            }
        }
        let request = Request { deadline, once: Once::OrMore };
        // A time to live is counted from before Redis said it: none lasts longer here than there.
        let now = self.clock.unix_ms();
        let answers = self
            .pool
            .pipe_checked(&pipeline, request, plausible)
            .await
            .map_err(|failure| Arc::from(failure.to_string()))?;
        let mut found = Vec::with_capacity(answers.len() / 2);
        let mut answers = answers.into_iter();
        while let (Some(value), Some(ttl)) = (answers.next(), answers.next()) {
            found.push(read(value, &ttl, now));
        }
        Ok(found)
    }
}
