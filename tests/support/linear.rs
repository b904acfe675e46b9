//! Whether a recorded history is linearizable: each call took effect at one moment between its
//! being sent and its being answered, in an order that explains every answer.
//!
//! The search is that of Wing and Gong ("Testing and Verifying Concurrent Objects", 1993) with
//! the memory of Lowe ("Testing for Linearizability", 2017): from a state, any call may be next
//! that was sent before the first answer still outstanding; a state met again with the same calls
//! behind it is not searched again. It is pure, and knows of an object only its [`Model`]. Over
//! states that hold several keys, with transactions as calls, the same search decides strict
//! serializability.

pub mod counters;
pub mod register;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fmt::{self, Debug};
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// States that one search may meet. What the tests record needs far fewer; a history that needs
/// more was recorded with too many calls of unknown outcome.
const MAX_STATES: usize = 2_000_000;

/// What an object does when calls come one after the other.
pub trait Model {
    type State: Clone + Eq + Hash + Debug;
    /// A call with its answer, if it had one.
    type Call: Debug;

    /// The state behind the call; `None` if the object would not have answered so.
    fn step(state: &Self::State, call: &Self::Call) -> Option<Self::State>;
}

/// Moments: each is later than every one before, over all threads.
#[derive(Debug, Clone, Default)]
pub struct Moments(Arc<AtomicU64>);

impl Moments {
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Answered at this moment: it has taken effect by then.
    Answered(u64),
    /// Outcome unknown: it took effect by this moment (`u64::MAX`: or will), or never does.
    Unknown(u64),
}

impl End {
    const fn moment(self) -> u64 {
        match self {
            Self::Answered(at) | Self::Unknown(at) => at,
        }
    }
}

/// One call of a history.
#[derive(Debug, Clone)]
pub struct Entry<C> {
    pub call: C,
    /// When it was sent.
    pub sent: u64,
    pub end: End,
}

/// A history that no order of its calls explains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The most calls that could be put in an order.
    pub explained: usize,
    /// Where they lead to, and what cannot come next: for people.
    text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Which calls are in the order already.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Done(Vec<u64>);

impl Done {
    fn has(&self, index: usize) -> bool {
        self.0[index / 64] >> (index % 64) & 1 == 1
    }

    fn with(&self, index: usize) -> Self {
        let mut more = self.clone();
        more.0[index / 64] |= 1 << (index % 64);
        more
    }
}

/// A prefix of an order, and what may come next.
struct Prefix<S> {
    state: S,
    done: Done,
    /// Answered calls that are not in it.
    left: usize,
    /// Next ones to try, the best last; the flag says that it never takes effect.
    next: Vec<(usize, bool)>,
}

/// Looks for an order of the calls that explains every answer.
///
/// # Errors
/// There is none.
///
/// # Panics
/// After [`MAX_STATES`] states.
pub fn check<M: Model>(initial: M::State, history: &[Entry<M::Call>]) -> Result<(), Violation> {
    let mut calls: Vec<&Entry<M::Call>> = history.iter().collect();
    calls.sort_by_key(|entry| entry.sent);
    let left = calls.iter().filter(|entry| matches!(entry.end, End::Answered(_))).count();
    let done = Done(vec![0; calls.len().div_ceil(64)]);
    let next = candidates(&calls, &done);
    let mut met = HashSet::from([(done.clone(), initial.clone())]);
    let mut path = vec![Prefix { state: initial, done, left, next }];
    let mut best = (usize::MAX, String::new());
    while let Some(prefix) = path.last_mut() {
        if prefix.left == 0 {
            return Ok(());
        }
        if prefix.left < best.0 {
            best = (prefix.left, describe::<M>(&calls, prefix));
        }
        let Some((index, never)) = prefix.next.pop() else {
            path.pop();
            continue;
        };
        let entry = calls[index];
        let state = match never {
            true => Some(prefix.state.clone()),
            false => M::step(&prefix.state, &entry.call),
        };
        let Some(state) = state else { continue };
        let done = prefix.done.with(index);
        let left = prefix.left - usize::from(matches!(entry.end, End::Answered(_)));
        if met.insert((done.clone(), state.clone())) {
            assert!(met.len() < MAX_STATES, "the search meets too many states");
            let next = candidates(&calls, &done);
            path.push(Prefix { state, done, left, next });
        }
    }
    Err(Violation { explained: left - best.0, text: best.1 })
}

/// The calls that may come next: those sent before the first end of any that is left. The one
/// with that end may also never take effect, if its outcome is unknown; for the others that can
/// wait, because leaving a call out changes nothing for them.
fn candidates<C>(calls: &[&Entry<C>], done: &Done) -> Vec<(usize, bool)> {
    let mut first_end = u64::MAX;
    let mut open = Vec::new();
    for (index, entry) in calls.iter().enumerate() {
        if entry.sent > first_end {
            break;
        }
        if !done.has(index) {
            first_end = first_end.min(entry.end.moment());
            open.push((index, false));
        }
    }
    open.retain(|&(index, _)| calls[index].sent < first_end);
    let gone = open.iter().find(|&&(index, _)| calls[index].end == End::Unknown(first_end));
    let gone = gone.filter(|_| first_end < u64::MAX).map(|&(index, _)| (index, true));
    // What ended first is tried first: it is the likeliest to be next.
    open.sort_by_key(|&(index, _)| std::cmp::Reverse(calls[index].end.moment()));
    gone.into_iter().chain(open).collect()
}

fn describe<M: Model>(calls: &[&Entry<M::Call>], prefix: &Prefix<M::State>) -> String {
    use fmt::Write as _;
    const SHOWN: usize = 24;
    let mut text = format!(
        "no order of the calls explains the answers; {} of {} are explained by the state {:?}, and \
         none of these can be next:\n",
        calls.len() - prefix.left,
        calls.len(),
        prefix.state
    );
    let open = calls.iter().enumerate().filter(|&(index, _)| !prefix.done.has(index));
    for (_, entry) in open.take(SHOWN) {
        // A String takes any text.
        let _ = writeln!(text, "  {:>8} {:?} {:?}", entry.sent, entry.end, entry.call);
    }
    text
}
