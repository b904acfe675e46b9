//! What Redis executed, in its order, from its append-only file.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use super::super::reply;
use super::history::{Id, KEYS, number};

/// What keys begin with whose values are ticks: 0, 1, 2, …
pub const TICK: &str = "tick";

/// Where in the order of all commands something was executed.
pub type At = usize;

/// When each tick was sent, and when it was answered; `u64::MAX`: nobody knows.
pub type Ticks = Vec<(u64, u64)>;

/// See the module.
#[derive(Debug, Default)]
pub struct Truth {
    /// What a key held from there on, per key.
    events: Vec<Vec<(At, Option<Id>)>>,
    /// Where each value was first put, and where last.
    spans: HashMap<(usize, Id), (At, At)>,
    ticks: Vec<(At, usize)>,
    counters: HashMap<usize, Id>,
    end: At,
}

impl Truth {
    /// Reads the file of a server that keeps one and never rewrites it.
    pub fn read(dir: &Path) -> Self {
        let mut this = Self { events: vec![Vec::new(); KEYS], ..Self::default() };
        let file = File::open(dir.join("appendonlydir/appendonly.aof.1.incr.aof"));
        let mut file = BufReader::new(file.expect("an append-only file"));
        while !file.fill_buf().expect("a file").is_empty() {
            let command = reply::read(&mut file, &mut Vec::new()).expect("whole commands");
            let words: Vec<String> = command.items().iter().map(reply::Reply::text).collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            this.execute(&words);
        }
        this
    }

    /// The same from words, a command a line.
    #[cfg(test)]
    pub fn of(lines: &str) -> Self {
        let mut this = Self { events: vec![Vec::new(); KEYS], ..Self::default() };
        for line in lines.split(';') {
            this.execute(&line.split_whitespace().collect::<Vec<_>>());
        }
        this
    }

    fn execute(&mut self, words: &[&str]) {
        let at = self.end;
        self.end += 1;
        match *words {
            ["SET", key, n, ..] if key.starts_with(TICK) => {
                self.ticks.push((at, n.parse().expect("a tick")));
            }
            ["SET", key, id, ..] => {
                if let Some(key) = number(key) {
                    self.put(at, key, id.parse().expect("an id"));
                }
            }
            ["INCR", key] => {
                let key = number(key).expect("a counter");
                let count = self.counters.entry(key).or_default();
                *count += 1;
                let count = *count;
                self.put(at, key, count);
            }
            ["DEL" | "UNLINK", ref keys @ ..] => {
                for key in keys.iter().filter_map(|key| number(key)) {
                    self.events[key].push((at, None));
                    self.counters.remove(&key);
                }
            }
            _ => {}
        }
    }

    fn put(&mut self, at: At, key: usize, id: Id) {
        self.events[key].push((at, Some(id)));
        self.spans.entry((key, id)).or_insert((at, at)).1 = at;
    }

    /// Where a value was put first, and where last; `None`: Redis never had it.
    pub fn span(&self, key: usize, id: Id) -> Option<(At, At)> {
        self.spans.get(&(key, id)).copied()
    }

    /// Where what was put there gave way to something else.
    pub fn superseded(&self, key: usize, at: At) -> Option<At> {
        let events = &self.events[key];
        events.get(events.partition_point(|event| event.0 <= at)).map(|event| event.0)
    }

    /// What a key held from where on.
    pub fn events(&self, key: usize) -> impl Iterator<Item = (At, Option<Id>)> + '_ {
        self.events[key].iter().copied()
    }

    /// From where to where a key was absent; `None`: from the beginning, to the end.
    pub fn absences(&self, key: usize) -> impl Iterator<Item = (Option<At>, Option<At>)> + '_ {
        let events = &self.events[key];
        let first = (None, events.first().map(|event| event.0));
        let absent = |n: usize| events[n].1.is_none();
        let later = (0..events.len())
            .filter(move |n| absent(*n))
            .map(|n| (Some(events[n].0), events.get(n + 1).map(|event| event.0)));
        std::iter::once(first).chain(later)
    }

    /// The last of a counter's increments.
    pub fn count(&self, key: usize) -> Id {
        self.counters.get(&key).copied().unwrap_or(0)
    }

    /// When it had been executed for certain.
    pub fn latest(&self, at: At, ticks: &Ticks) -> u64 {
        let behind = self.ticks.partition_point(|tick| tick.0 < at);
        let ended = self.ticks[behind..].iter().filter_map(|(_, n)| ticks.get(*n).map(|t| t.1));
        // One that was answered says so, however many before it were not.
        ended.take(100).min().unwrap_or(u64::MAX)
    }

    /// When it had not yet been executed for certain.
    pub fn earliest(&self, at: At, ticks: &Ticks) -> u64 {
        let before = self.ticks.partition_point(|tick| tick.0 < at);
        let last = self.ticks[..before].last();
        last.and_then(|(_, n)| ticks.get(*n)).map_or(0, |tick| tick.0)
    }

    /// Where the first tick that was sent after this moment was executed.
    pub fn first_sent_after(&self, moment: u64, ticks: &Ticks) -> Option<At> {
        let of = |n: usize| ticks.get(n).map_or(u64::MAX, |tick| tick.0);
        let place = self.ticks.partition_point(|(_, n)| of(*n) <= moment);
        self.ticks.get(place).map(|tick| tick.0)
    }
}
