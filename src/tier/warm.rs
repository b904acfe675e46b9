//! Fills memory from the tier after the start, so that the first who come do not all miss.
//!
//! Keys are named by patterns, which Redis looks for with SCAN, or listed in a file. Both are
//! bounded: so many keys, so many bytes, so many keys a second, so long. Whoever asks for a key
//! meanwhile is answered as ever; what a client has written is newer and stays.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use seawall_actors::redis::{Node, Once, Request};
use seawall_actors::supervise::{
    ChildSpec, Failure, GivesUp, Handle, Label, Me, Restart, When, Worker,
};
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::Tier;
use super::question::Found;
use crate::loading::Loading;

/// Keys that SCAN is asked to look at in one step.
const LOOK_AT: usize = 500;
/// Keys that are fetched at once.
const BATCH: usize = 100;
/// Between two words on how far it is.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// After Redis could not be asked, or before there is room to put anything.
const TRY_AGAIN: Duration = Duration::from_millis(200);
/// The longest line of a file of keys; a longer one is no key.
const MAX_LINE: u64 = 64 << 10;

/// What is to be fetched, and when it is enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WarmUp {
    /// Patterns of keys, as SCAN has them.
    pub patterns: Vec<String>,
    /// A file of keys, one a line.
    pub file: Option<PathBuf>,
    /// The most keys.
    pub keys: u64,
    /// The most bytes of keys and values.
    pub bytes: u64,
    /// The most keys a second.
    pub rate: u64,
    /// The longest it may take.
    pub within: Duration,
}

impl WarmUp {
    /// Whether anything is named.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        !self.patterns.is_empty() || self.file.is_some()
    }
}

/// What the warmer is told.
#[derive(Debug)]
pub enum Msg {
    /// Fetch some more; sent to itself.
    Step,
}

impl Label for Msg {
    fn label(&self) -> &'static str {
        "step"
    }
}

/// What a start needs.
#[derive(Debug, Clone)]
pub struct Args {
    /// What and how much.
    pub plan: WarmUp,
    /// Whom to ask, and whom to tell.
    pub tier: Tier,
    /// While the log is loaded there is no room yet.
    pub loading: Arc<Loading>,
}

/// The warmer as a worker of the tree. It ends when it is done.
#[derive(Debug, Clone, Copy, Default)]
pub struct Warmer;

/// The warmer's place in the tree, if there is anything to fetch. Keys that it does not fetch are
/// fetched when they are asked for, so nothing depends on it.
pub(super) fn child(tier: &Tier, plan: &WarmUp, loading: &Arc<Loading>) -> Option<ChildSpec> {
    let args = Args { plan: plan.clone(), tier: tier.clone(), loading: Arc::clone(loading) };
    let restart = Restart { when: When::Transient, ..Restart::default() };
    let make = move || (Warmer, args.clone());
    plan.is_wanted().then(|| {
        ChildSpec::worker("redis-warmer", Handle::new(), restart, make).gives_up(GivesUp::Degrade)
    })
}

/// How far one pattern has been looked for.
#[derive(Debug, Default)]
struct Search {
    /// The node of a Cluster that is asked now.
    at: Option<Node>,
    /// SCAN's, there.
    cursor: u64,
    /// Nodes that are through. What moves to one of them meanwhile is not found.
    through: BTreeSet<Node>,
}

impl Search {
    /// Turns to a node that is not through; whether there is one.
    fn turn(&mut self, masters: &BTreeSet<Node>) -> bool {
        if self.at.as_ref().is_none_or(|at| !masters.contains(at)) {
            self.cursor = 0;
            self.at = masters.iter().find(|node| !self.through.contains(*node)).cloned();
        }
        self.at.is_some()
    }

    /// Takes in SCAN's cursor; whether all of this server, or node, has been seen.
    fn goes_on_at(&mut self, cursor: u64) -> bool {
        self.cursor = cursor;
        if cursor == 0 {
            self.through.extend(self.at.take());
        }
        cursor == 0
    }
}

/// Where it is.
#[derive(Debug)]
pub struct State {
    args: Args,
    began: Option<Instant>,
    told: Instant,
    /// Patterns that are not through, the last first.
    patterns: Vec<String>,
    /// Where the last of them is being looked for.
    search: Search,
    file: Option<BufReader<File>>,
    /// Found and not fetched.
    found: Vec<Box<[u8]>>,
    keys: u64,
    bytes: u64,
}

impl Worker for Warmer {
    type Msg = Msg;
    type Args = Args;
    type State = State;

    async fn init(&self, _me: &Me<Msg>, args: Args) -> Result<State, Failure> {
        let patterns = args.plan.patterns.iter().rev().cloned().collect();
        Ok(State {
            args,
            began: None,
            told: Instant::now(),
            patterns,
            search: Search::default(),
            file: None,
            found: Vec::new(),
            keys: 0,
            bytes: 0,
        })
    }

    async fn started(&self, me: &Me<Msg>, state: &mut State) -> Result<(), Failure> {
        if let Some(path) = state.args.plan.file.clone() {
            state.file = open(path).await;
        }
        me.send(Msg::Step);
        Ok(())
    }

    async fn handle(&self, me: &Me<Msg>, _msg: Msg, state: &mut State) -> Result<(), Failure> {
        if state.args.loading.is_on() {
            me.send_after(TRY_AGAIN, Msg::Step);
            return Ok(());
        }
        let began = *state.began.get_or_insert_with(Instant::now);
        if let Some(why) = state.enough(began) {
            state.tell(began, why);
            me.stop("warm");
            return Ok(());
        }
        let pause = match state.step().await {
            Ok(fetched) => state.pace(fetched),
            Err(_) => TRY_AGAIN,
        };
        if state.told.elapsed() >= TELL_EVERY {
            state.told = Instant::now();
            state.tell(began, "goes on");
        }
        me.send_after(pause, Msg::Step);
        Ok(())
    }
}

impl State {
    /// Why nothing more is fetched.
    fn enough(&self, began: Instant) -> Option<&'static str> {
        let plan = &self.args.plan;
        if self.patterns.is_empty() && self.file.is_none() && self.found.is_empty() {
            Some("everything named is in memory")
        } else if self.keys >= plan.keys {
            Some("redis.warm_keys is reached")
        } else if self.bytes >= plan.bytes {
            Some("redis.warm_bytes is reached")
        } else if began.elapsed() >= plan.within {
            Some("redis.warm_within is over")
        } else {
            None
        }
    }

    fn tell(&self, began: Instant, outcome: &str) {
        let seconds = began.elapsed().as_secs_f64().max(0.001);
        info!(
            keys = self.keys,
            bytes = self.bytes,
            per_second = (self.keys as f64 / seconds) as u64,
            "warm-up: {outcome}"
        );
    }

    /// As long as so many keys take at the rate that is allowed.
    fn pace(&self, fetched: usize) -> Duration {
        Duration::from_secs_f64(fetched as f64 / self.args.plan.rate.max(1) as f64)
    }

    /// Looks for keys, or fetches some of those found; how many were fetched.
    async fn step(&mut self) -> Result<usize, ()> {
        if !self.args.tier.tracker.tracked().is_some_and(|tracker| tracker.up) {
            // What is fetched before Redis announces changes is in doubt as soon as it does.
            return Err(());
        }
        if self.found.is_empty() {
            self.look().await?;
        }
        let room = usize::try_from(self.args.plan.keys - self.keys).unwrap_or(BATCH);
        let take = self.found.len().min(BATCH).min(room);
        if take == 0 {
            return Ok(0);
        }
        let tier = &self.args.tier;
        let tickets = tier.news.tickets(tier.pool.settings().timeout).await;
        let after = tickets.iter().flatten().map(|ticket| ticket.after).max().unwrap_or(0);
        // What Redis lacks of our writes it would tell of as it was before them.
        let mut acknowledged = tier.news.follow();
        let arrived = acknowledged.wait_for(|lsn| *lsn >= after);
        if !matches!(timeout(tier.pool.settings().timeout, arrived).await, Ok(Ok(_))) {
            return Err(());
        }
        let answers = tier.look_up(&self.found[..take]).await.map_err(|_| ())?;
        let (keys, bytes) = (&mut self.keys, &mut self.bytes);
        let values = self.found.drain(..take).zip(answers).filter(|(key, found)| {
            let Found::Value { value, .. } = found else { return false };
            *keys += 1;
            *bytes += (key.len() + value.len()) as u64;
            true
        });
        tier.news.unasked(values, &tickets);
        Ok(take)
    }

    /// More keys: of the file first, then of the patterns.
    async fn look(&mut self) -> Result<(), ()> {
        if let Some(mut file) = self.file.take() {
            let read = tokio::task::spawn_blocking(move || {
                let keys = lines(&mut file, LOOK_AT);
                (file, keys)
            });
            let Ok((file, keys)) = read.await else { return Ok(()) };
            self.file = (!keys.is_empty()).then_some(file);
            self.found = keys;
            return Ok(());
        }
        let Some(pattern) = self.patterns.last() else { return Ok(()) };
        let Args { tier, .. } = &self.args;
        let settings = tier.pool.settings();
        if settings.cluster {
            let masters = tier.pool.masters();
            if masters.is_empty() {
                return Err(());
            }
            if !self.search.turn(&masters) {
                self.end_of_pattern();
                return Ok(());
            }
        }
        let mut scan = redis::cmd("SCAN");
        scan.arg(self.search.cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(LOOK_AT);
        scan.arg("TYPE").arg("string");
        let request = Request { deadline: Instant::now() + settings.timeout, once: Once::OrMore };
        let answer = match &self.search.at {
            Some(node) => tier.pool.run_at(node, &scan, request).await,
            None => tier.pool.run(&scan, request).await,
        };
        let Some((next, keys)) = page(answer.map_err(|_| ())?) else {
            warn!(pattern, "warm-up: Redis does not answer SCAN; the pattern is left out");
            self.end_of_pattern();
            return Ok(());
        };
        if self.search.goes_on_at(next) && !settings.cluster {
            self.end_of_pattern();
        }
        self.found = keys;
        Ok(())
    }

    fn end_of_pattern(&mut self) {
        self.patterns.pop();
        self.search = Search::default();
    }
}

async fn open(path: PathBuf) -> Option<BufReader<File>> {
    let shown = path.clone();
    let opened = tokio::task::spawn_blocking(move || File::open(&path)).await;
    match opened {
        Ok(Ok(file)) => Some(BufReader::new(file)),
        Ok(Err(error)) => {
            unreadable(&shown, &error);
            None
        }
        Err(_) => None,
    }
}

fn unreadable(path: &Path, error: &std::io::Error) {
    warn!(
        file = %path.display(),
        %error,
        "warm-up: redis.warm_file cannot be read; its keys are fetched when they are asked for"
    );
}

/// Up to so many keys; none at the end of the file.
fn lines(file: &mut BufReader<File>, most: usize) -> Vec<Box<[u8]>> {
    let mut keys = Vec::new();
    let mut line = Vec::new();
    while keys.len() < most {
        line.clear();
        match file.by_ref().take(MAX_LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        let key = line.trim_ascii_end();
        if !key.is_empty() {
            keys.push(key.into());
        }
    }
    keys
}

/// SCAN's cursor and keys.
fn page(answer: Value) -> Option<(u64, Vec<Box<[u8]>>)> {
    let Value::Array(parts) = answer else { return None };
    let mut parts = parts.into_iter();
    let (Some(Value::BulkString(cursor)), Some(Value::Array(keys))) = (parts.next(), parts.next())
    else {
        return None;
    };
    let cursor = std::str::from_utf8(&cursor).ok()?.parse().ok()?;
    let keys = keys.into_iter().filter_map(|key| match key {
        Value::BulkString(key) => Some(key.into_boxed_slice()),
        _ => None,
    });
    Some((cursor, keys.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_keys_is_read_in_pieces() {
        let mut path = tempfile::NamedTempFile::new().expect("a file");
        std::io::Write::write_all(&mut path, b"one\r\n\ntwo \nthree").expect("written");
        let mut file = BufReader::new(File::open(path.path()).expect("there"));
        let text = |keys: Vec<Box<[u8]>>| -> Vec<String> {
            keys.iter().map(|key| String::from_utf8_lossy(key).into_owned()).collect()
        };
        assert_eq!(text(lines(&mut file, 2)), ["one", "two"]);
        assert_eq!(text(lines(&mut file, 2)), ["three"]);
        assert!(lines(&mut file, 2).is_empty());
    }

    #[test]
    fn a_pattern_is_looked_for_on_one_node_after_the_other() {
        let node = |port| Node { host: "h".into(), port };
        let mut search = Search::default();
        let both = BTreeSet::from([node(1), node(2)]);
        assert!(search.turn(&both) && !search.goes_on_at(7));
        assert!(search.turn(&both));
        assert_eq!((search.at.clone(), search.cursor), (Some(node(1)), 7), "the same, further on");
        assert!(search.goes_on_at(0) && search.turn(&both));
        assert_eq!((search.at.clone(), search.cursor), (Some(node(2)), 0));
        // One that is a master no more has no cursor of use to another.
        assert!(!search.goes_on_at(9) && search.turn(&BTreeSet::from([node(1), node(3)])));
        assert_eq!((search.at.clone(), search.cursor), (Some(node(3)), 0));
        assert!(search.goes_on_at(0) && !search.turn(&BTreeSet::from([node(1), node(3)])));
    }

    #[test]
    fn only_a_page_of_scan_is_one() {
        let answer =
            redis::parse_redis_value(b"*2\r\n$2\r\n17\r\n*1\r\n$1\r\na\r\n").expect("RESP");
        assert_eq!(page(answer), Some((17, vec![Box::from(*b"a")])));
        for other in [&b"+OK\r\n"[..], b"*1\r\n$1\r\n0\r\n", b"*2\r\n$1\r\nx\r\n*0\r\n"] {
            assert_eq!(page(redis::parse_redis_value(other).expect("RESP")), None);
        }
    }
}
