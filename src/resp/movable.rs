//! Keys whose places the table of commands can't tell: behind a count, a keyword or a subcommand.
//! Pure.

use super::args::Args;
use super::table::Command;

/// The indexes of all keys of a command that Redis may run. Where its arguments make no sense,
/// those that the table knows: such a command is refused.
#[must_use]
pub fn keys_of(command: &Command, args: &Args<'_>) -> Vec<usize> {
    let mut keys: Vec<usize> = command.keys.indexes(args.len()).collect();
    match command.name {
        "lmpop" | "sintercard" | "zdiff" | "zinter" | "zintercard" | "zmpop" | "zunion" => {
            keys.extend(counted(args, 1));
        }
        "blmpop" | "bzmpop" | "zdiffstore" | "zinterstore" | "zunionstore" | "eval" | "eval_ro"
        | "evalsha" | "evalsha_ro" | "fcall" | "fcall_ro" => keys.extend(counted(args, 2)),
        "sort" => keys.extend(behind(args, 2, &["store"])),
        "georadius" => keys.extend(behind(args, 6, &["store", "storedist"])),
        "georadiusbymember" => keys.extend(behind(args, 5, &["store", "storedist"])),
        "migrate" => {
            keys.retain(|at| !args.get(*at).is_empty());
            if let Some(at) = (6..args.len()).find(|at| args.is(*at, "keys")) {
                keys.extend(at + 1..args.len());
            }
        }
        "xgroup" | "xinfo" if args.len() > 2 => keys.push(2),
        "xread" | "xreadgroup" => keys.extend(streams(args)),
        _ => {}
    }
    keys
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
