//! What a read may have seen. Pure.
//!
//! - *Nothing made up*: a value that somebody wrote to this key before the read was over; where a
//!   client of another place wrote it, one that Redis has had.
//! - *What was written here is seen here*: nothing that Redis held before what a client of the same
//!   Seawall wrote, and was told so, before the read began; nor its absence.
//! - *Nothing goes back*: nothing that Redis held before what somebody has read, in the same life of
//!   the same Seawall, before this read began.
//! - *Nothing outlives its time*: no value whose time was over for certain.
//! - *Nothing stays old*: nothing that Redis had put something else in the place of longer ago than
//!   the bound, with Redis well.
//! - *Through is through*: where replies wait for Redis, Redis had it when the reply came.

use std::collections::{BTreeMap, HashMap};

use super::history::{Act, Id, Kind, Op, Place, kind};
use super::truth::{At, Ticks, Truth};

/// How much time of a value's own may be lost in roundings, microseconds.
const ROUNDING: u64 = 20_000;

/// What is asked of a history.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Redis was well all the time. If not, what memory lacks may be answered as absent, and what it
    /// has may be served for as long as it takes.
    pub well: bool,
    /// How long after a change the older value may be served, microseconds.
    pub bound: u64,
    /// At which Seawall replies wait for Redis.
    pub through: Option<usize>,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Findings {
    /// What is wrong, and the key that it is about.
    pub violations: Vec<(usize, String)>,
    pub reads: u64,
    /// Reads of something that Redis did not hold any more, and the longest ago, microseconds.
    pub stale: u64,
    pub oldest: u64,
}

/// Whether a key's values may end by themselves.
fn may_end(key: usize) -> bool {
    matches!(kind(key), Kind::Timed | Kind::Leased)
}

struct Case<'a> {
    ops: &'a [Op],
    truth: &'a Truth,
    ticks: &'a Ticks,
    terms: Terms,
    /// Writes of values, by Seawall and key, in their order.
    own: HashMap<(usize, usize), Vec<usize>>,
    written: HashMap<(usize, Id), usize>,
    /// Keys, and writes to them that may leave them absent: when they began, and the time to live.
    ending: HashMap<usize, Vec<u64>>,
}

/// All that is known of a key, for people: what clients did, and what Redis executed between when and
/// when.
pub fn story(key: usize, ops: &[Op], truth: &Truth, ticks: &Ticks) -> String {
    let mut lines: Vec<(u64, String)> = Vec::new();
    for op in ops.iter().filter(|op| op.key == key) {
        let ended = op.ended.map_or("?".to_owned(), |ended| ended.to_string());
        let Op { place, client, life, act, begun, .. } = op;
        lines.push((*begun, format!("to {ended}: {place:?}.{life} client {client} {act:?}")));
    }
    for (at, state) in truth.events(key) {
        let (from, to) = (truth.earliest(at, ticks), truth.latest(at, ticks));
        lines.push((from, format!("to {to}: Redis {at}: {state:?}")));
    }
    lines.sort();
    lines.iter().map(|(at, line)| format!("  {at} {line}\n")).collect()
}

/// Looks for reads that saw what they may not have seen. Each client's calls are in its order.
pub fn check(ops: &[Op], truth: &Truth, ticks: &Ticks, terms: Terms) -> Findings {
    let mut case = Case {
        ops,
        truth,
        ticks,
        terms,
        own: HashMap::new(),
        written: HashMap::new(),
        ending: HashMap::new(),
    };
    for (n, op) in ops.iter().enumerate() {
        match op.act {
            Act::Put { id, ttl_ms } => {
                case.written.insert((op.key, id), n);
                if let Some(ttl) = ttl_ms {
                    case.ending.entry(op.key).or_default().push(op.begun + ttl * 1000);
                }
            }
            Act::Expire { ttl_ms } => {
                case.ending.entry(op.key).or_default().push(op.begun + ttl_ms * 1000);
            }
            _ => {}
        }
        if let (Place::Wall(wall), Act::Put { .. } | Act::Delete | Act::DeleteNone) =
            (op.place, op.act)
        {
            case.own.entry((wall, op.key)).or_default().push(n);
        }
    }
    let mut findings = Findings::default();
    for (n, op) in ops.iter().enumerate() {
        let found = match (op.place, op.act) {
            (Place::Wall(wall), Act::Read { seen }) => {
                findings.reads += 1;
                case.note_age(n, seen, &mut findings);
                case.read(n, wall, seen)
            }
            (Place::Wall(wall), Act::Put { .. })
                if terms.through == Some(wall) && !may_end(op.key) =>
            {
                case.through(n)
            }
            _ => Ok(()),
        };
        let wrong = found.err().map(|why| (op.key, format!("{why}: {op:?}")));
        findings.violations.extend(wrong);
    }
    case.monotonic(&mut findings.violations);
    findings
}

impl Case<'_> {
    /// Where Redis had what was written here, or what took its place here on the way.
    fn settled(&self, wall: usize, write: usize) -> Option<At> {
        let key = self.ops[write].key;
        let own = self.own.get(&(wall, key))?;
        for n in &own[own.partition_point(|n| *n < write)..] {
            // Where Redis executed a deletion is not known.
            let Act::Put { id, .. } = self.ops[*n].act else { return None };
            match self.truth.span(key, id) {
                Some((first, _)) => return Some(first),
                // It may have been sent as a deletion, since its time was over.
                None if may_end(key) => return None,
                None => {}
            }
        }
        None
    }

    /// The last write of a client of this Seawall that was answered before a call began.
    fn last_own(&self, wall: usize, read: usize) -> Option<usize> {
        let op = &self.ops[read];
        let before = |n: &&usize| {
            let write = &self.ops[**n];
            let ended = write.ended.is_some_and(|ended| ended < op.begun);
            ended || (write.ended.is_some() && write.client == op.client && **n < read)
        };
        self.own.get(&(wall, op.key))?.iter().rev().find(before).copied()
    }

    fn note_age(&self, read: usize, seen: Option<Id>, findings: &mut Findings) {
        let op = &self.ops[read];
        let next = seen
            .and_then(|id| self.truth.span(op.key, id))
            .and_then(|(_, last)| self.truth.superseded(op.key, last));
        if let Some(next) = next {
            let age = op.begun.saturating_sub(self.truth.latest(next, self.ticks));
            findings.stale += u64::from(age > 0);
            findings.oldest = findings.oldest.max(age);
        }
    }

    fn read(&self, read: usize, wall: usize, seen: Option<Id>) -> Result<(), String> {
        match seen {
            Some(id) if kind(self.ops[read].key) == Kind::Counted => self.counted(read, wall, id),
            Some(id) => self.value(read, wall, id),
            None => self.nothing(read, wall),
        }?;
        self.age(read, seen)
    }

    /// A value was seen.
    fn value(&self, read: usize, wall: usize, id: Id) -> Result<(), String> {
        let op = &self.ops[read];
        let key = op.key;
        let Some(&write) = self.written.get(&(key, id)) else {
            return Err("nobody ever wrote this, or was told that it was refused".to_owned());
        };
        let (wrote, span) = (&self.ops[write], self.truth.span(key, id));
        if op.ended.is_some_and(|ended| wrote.begun > ended) {
            return Err("it was not written yet".to_owned());
        }
        let ours = wrote.place == Place::Wall(wall);
        if !ours && span.is_none() {
            return Err(format!("Redis never had it, and it is another's: {wrote:?}"));
        }
        if let (Act::Put { ttl_ms: Some(ttl), .. }, Some(ended)) = (wrote.act, wrote.ended)
            && self.terms.well
            && kind(key) == Kind::Timed
            && op.begun > ended + ttl * 1000 + ROUNDING
        {
            return Err(format!("its time was over: {wrote:?}"));
        }
        let Some(own) = self.last_own(wall, read) else { return Ok(()) };
        let before = match (ours, span) {
            (true, _) => write < own,
            (false, Some((_, last))) => match self.settled(wall, own) {
                Some(settled) => last < settled,
                None => self.truth.latest(last, self.ticks) < self.ops[own].begun,
            },
            (false, None) => false,
        };
        match before {
            true => Err(format!("{:?} was written here before", self.ops[own])),
            false => Ok(()),
        }
    }

    /// Nothing was seen.
    fn nothing(&self, read: usize, wall: usize) -> Result<(), String> {
        let op = &self.ops[read];
        let (key, ended) = (op.key, op.ended.unwrap_or(u64::MAX));
        if kind(key) == Kind::Counted {
            return self.counted(read, wall, 0);
        }
        // Whatever came after it: its own time, or one that somebody gave it.
        let over = |ends: &Vec<u64>| ends.iter().any(|end| *end <= ended);
        if self.ending.get(&key).is_some_and(over) {
            return Ok(());
        }
        let Some(own) = self.last_own(wall, read) else { return Ok(()) };
        let deletes = |act| matches!(act, Act::Delete | Act::DeleteNone);
        if deletes(self.ops[own].act) {
            return Ok(());
        }
        let later = |n: &usize| *n > own && self.ops[*n].begun <= ended;
        if self.own[&(wall, key)].iter().any(|n| later(n) && deletes(self.ops[*n].act)) {
            return Ok(());
        }
        let settled = self.settled(wall, own);
        let after = |at: At| match settled {
            Some(settled) => at > settled,
            None => self.truth.latest(at, self.ticks) >= self.ops[own].begun,
        };
        let due = |at: At| self.truth.earliest(at, self.ticks) <= ended;
        let mut absences = self.truth.absences(key).filter_map(|(from, _)| from);
        if absences.any(|at| after(at) && due(at)) {
            return Ok(());
        }
        // What somebody else changed is dropped, and nobody can be asked.
        let theirs = |other: &Op| {
            other.key == key
                && other.place != op.place
                && !matches!(other.act, Act::Read { .. })
                && other.begun <= ended
        };
        if !self.terms.well && self.ops.iter().any(theirs) {
            return Ok(());
        }
        Err(format!("{:?} was written here before", self.ops[own]))
    }

    /// A counter was seen.
    fn counted(&self, read: usize, wall: usize, seen: Id) -> Result<(), String> {
        let op = &self.ops[read];
        if seen > self.truth.count(op.key) {
            return Err("Redis never counted that far".to_owned());
        }
        if seen == 0 && !self.terms.well {
            return Ok(());
        }
        let before = |other: &&Op| {
            other.place == Place::Wall(wall)
                && other.key == op.key
                && other.ended.is_some_and(|ended| ended < op.begun)
        };
        let counted = self.ops.iter().filter(before).filter_map(|other| match other.act {
            Act::Count { got } => got,
            _ => None,
        });
        match counted.max() {
            Some(most) if most > seen => Err(format!("{most} was counted through it before")),
            _ => Ok(()),
        }
    }

    fn age(&self, read: usize, seen: Option<Id>) -> Result<(), String> {
        let mut findings = Findings::default();
        let op = &self.ops[read];
        // What is deleted here is absent here at once.
        let deletes = |other: &&Op| {
            matches!(other.act, Act::Delete | Act::DeleteNone)
                && (other.key, other.place) == (op.key, op.place)
                && op.ended.is_some_and(|ended| other.begun <= ended)
                && other
                    .ended
                    .is_none_or(|ended| ended.saturating_add(self.terms.bound) >= op.begun)
        };
        let asked = seen.is_none() && self.terms.well && !may_end(op.key);
        if asked && !self.ops.iter().any(|other| deletes(&other)) {
            let recent = |(from, to): (Option<At>, Option<At>)| {
                from.is_none_or(|at| Some(self.truth.earliest(at, self.ticks)) <= op.ended)
                    && to.is_none_or(|at| {
                        let gone = self.truth.latest(at, self.ticks);
                        gone.saturating_add(self.terms.bound) >= op.begun
                    })
            };
            if !self.truth.absences(op.key).any(recent) {
                return Err("Redis has held something for long".to_owned());
            }
        }
        self.note_age(read, seen, &mut findings);
        match self.terms.well && findings.oldest > self.terms.bound {
            true => Err(format!("Redis held something else for {} µs", findings.oldest)),
            false => Ok(()),
        }
    }

    /// A write that was answered is in Redis before what was sent there afterwards.
    fn through(&self, write: usize) -> Result<(), String> {
        let op = &self.ops[write];
        let (Place::Wall(wall), Some(ended)) = (op.place, op.ended) else { return Ok(()) };
        let Some(tick) = self.truth.first_sent_after(ended, self.ticks) else { return Ok(()) };
        match self.settled(wall, write) {
            Some(at) if at > tick => {
                Err("it was answered before Redis had it, and Redis was well".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Reads of one life of one Seawall, key by key.
    fn monotonic(&self, violations: &mut Vec<(usize, String)>) {
        // By Seawall, life and key: which call, and where Redis had what it saw.
        type Seen = Vec<(usize, (At, At))>;
        let mut reads: BTreeMap<(usize, u32, usize), Seen> = BTreeMap::new();
        for (n, op) in self.ops.iter().enumerate() {
            let (Place::Wall(wall), Act::Read { seen: Some(id) }) = (op.place, op.act) else {
                continue;
            };
            let span = self.truth.span(op.key, id).or_else(|| {
                let settled = self.settled(wall, *self.written.get(&(op.key, id))?)?;
                Some((settled, settled))
            });
            if let Some(span) = span {
                reads.entry((wall, op.life, op.key)).or_default().push((n, span));
            }
        }
        for reads in reads.values_mut() {
            let mut ended: Vec<(u64, At, usize)> = reads
                .iter()
                .filter_map(|(n, (first, _))| Some((self.ops[*n].ended?, *first, *n)))
                .collect();
            ended.sort_unstable();
            reads.sort_unstable_by_key(|(n, _)| self.ops[*n].begun);
            let (mut before, mut newest) = (ended.into_iter().peekable(), None);
            for (n, (_, last)) in reads {
                let op = &self.ops[*n];
                while let Some((_, first, read)) = before.next_if(|seen| seen.0 < op.begun) {
                    if newest.is_none_or(|(newest, _)| first > newest) {
                        newest = Some((first, read));
                    }
                }
                if let Some((first, read)) = newest
                    && *last < first
                {
                    let seen = &self.ops[read];
                    violations.push((op.key, format!("it goes back behind {seen:?}: {op:?}")));
                }
            }
        }
    }
}
