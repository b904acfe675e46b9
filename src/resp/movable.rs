//! Keys whose places the table of commands can't tell: behind a count, a keyword or a subcommand.
//! Pure.

use seawall_actors::redis::Enough;

use super::args::Args;
use super::table::Command;

/// The indexes of all keys of a command. Where its arguments make no sense, those that the table
/// knows: such a command is refused.
pub fn keys_of<'a>(command: &Command, args: &'a Args<'_>) -> impl Iterator<Item = usize> + 'a {
    let fixed = command.keys.indexes(args.len());
    fixed.chain(movable(command, args))
}

/// Those that stand behind a count, a keyword or a subcommand.
fn movable(command: &Command, args: &Args<'_>) -> Vec<usize> {
    match command.name {
        "lmpop" | "sintercard" | "zdiff" | "zinter" | "zintercard" | "zmpop" | "zunion" => {
            counted(args, 1).collect()
        }
        "blmpop" | "bzmpop" | "zdiffstore" | "zinterstore" | "zunionstore" | "eval" | "eval_ro"
        | "evalsha" | "evalsha_ro" | "fcall" | "fcall_ro" => counted(args, 2).collect(),
        "sort" => sort(args).store.into_iter().collect(),
        "georadius" => behind(args, 6, &["store", "storedist"]).collect(),
        "georadiusbymember" => behind(args, 5, &["store", "storedist"]).collect(),
        "xgroup" | "xinfo" if args.len() > 2 => vec![2],
        "xread" | "xreadgroup" => streams(args).collect(),
        _ => Vec::new(),
    }
}

/// Whether a command may touch keys that it does not name.
#[must_use]
pub fn is_script(command: &Command) -> bool {
    let scripts =
        ["eval", "eval_ro", "evalsha", "evalsha_ro", "fcall", "fcall_ro", "sort", "sort_ro"];
    scripts.contains(&command.name)
}

/// Whether a command is for every master of a Cluster, since each keeps scripts and functions for itself;
/// and whose success is one. A master that lacks a script that others have answers `NOSCRIPT`, and it is
/// loaded again.
#[must_use]
pub fn everywhere(command: &Command, args: &Args<'_>) -> Option<Enough> {
    let is_one_of = |words: &[&str]| words.iter().any(|word| args.is(1, word));
    match command.name {
        "script" | "function" if is_one_of(&["kill"]) => Some(Enough::One),
        "script" if is_one_of(&["load"]) => Some(Enough::One),
        "script" if is_one_of(&["flush"]) => Some(Enough::All),
        "function" if is_one_of(&["load", "delete", "flush", "restore"]) => Some(Enough::All),
        _ => None,
    }
}

/// So many keys as argument `at` says follow it.
fn counted(args: &Args<'_>, at: usize) -> std::ops::Range<usize> {
    let count = number(args.get(at)).and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    let end = (at + 1).saturating_add(count);
    if end <= args.len() { at + 1..end } else { 0..0 }
}

/// The arguments behind one of these words.
fn behind<'a>(
    args: &'a Args<'_>,
    from: usize,
    words: &'a [&str],
) -> impl Iterator<Item = usize> + 'a {
    (from..args.len().saturating_sub(1))
        .filter(move |at| words.iter().any(|word| args.is(*at, word)))
        .map(|at| at + 1)
}

/// Where SORT writes to, and the first of its patterns that make up names of keys.
#[derive(Debug, Default)]
struct Sort {
    store: Option<usize>,
    pattern: Option<usize>,
}

fn sort(args: &Args<'_>) -> Sort {
    let mut found = Sort::default();
    let mut at = 2;
    while at < args.len() {
        let next = at + 1;
        at += match () {
            () if args.is(at, "limit") => 3,
            // Without a star it names no key, and nothing is sorted.
            () if args.is(at, "by") => {
                if args.get(next).contains(&b'*') {
                    found.pattern = found.pattern.or(Some(next));
                }
                2
            }
            () if args.is(at, "get") => {
                found.pattern = found.pattern.or(Some(next));
                2
            }
            // The last one counts.
            () if args.is(at, "store") && next < args.len() => {
                found.store = Some(next);
                2
            }
            () => 1,
        };
    }
    found
}

/// The argument of SORT with which it reads keys that it does not name: the pattern of BY or GET.
#[must_use]
pub fn sort_pattern(args: &Args<'_>) -> Option<usize> {
    sort(args).pattern
}

/// The first half of what follows STREAMS.
fn streams(args: &Args<'_>) -> std::ops::Range<usize> {
    let mut at = 1;
    while at < args.len() {
        at += match () {
            () if args.is(at, "streams") => {
                let count = (args.len() - at - 1) / 2;
                return at + 1..at + 1 + count;
            }
            () if args.is(at, "group") => 3,
            () if args.is(at, "count") || args.is(at, "block") => 2,
            () => 1,
        };
    }
    0..0
}

/// How long a command may wait in Redis for something to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocks {
    /// Not at all.
    No,
    /// Milliseconds.
    For(u64),
    /// Until something comes.
    Forever,
}

/// How long a command blocks outside of a transaction. One whose timeout is none does not: Redis
/// refuses it at once.
#[must_use]
pub fn blocks(command: &Command, args: &Args<'_>) -> Blocks {
    let seconds = |at: usize| {
        let text = std::str::from_utf8(args.get(at)).ok();
        let seconds = text.and_then(|text| text.parse::<f64>().ok());
        match seconds.filter(|seconds| seconds.is_finite() && *seconds >= 0.0) {
            None => Blocks::No,
            Some(0.0) => Blocks::Forever,
            // Saturates.
            Some(seconds) => Blocks::For((seconds * 1000.0).ceil() as u64),
        }
    };
    match command.name {
        "blmove" | "blpop" | "brpop" | "brpoplpush" | "bzpopmax" | "bzpopmin" => {
            seconds(args.len() - 1)
        }
        "blmpop" | "bzmpop" => seconds(1),
        "xread" | "xreadgroup" => {
            let option = (1..args.len())
                .take_while(|at| !args.is(*at, "streams"))
                .find(|at| args.is(*at, "block"));
            match option.and_then(|at| number(args.get(at + 1))) {
                None => Blocks::No,
                Some(ms) => match u64::try_from(ms) {
                    Err(_) => Blocks::No,
                    Ok(0) => Blocks::Forever,
                    Ok(ms) => Blocks::For(ms),
                },
            }
        }
        _ => Blocks::No,
    }
}

fn number(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
