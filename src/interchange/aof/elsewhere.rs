//! What commands that are not held here do to keys that may hold strings.
//!
//! Redis has run them, or they would not stand in the file. So after `RPUSH key …` the key holds
//! no string, whatever stood before; and after `SETBIT key …` it holds one that is not known here.

use crate::resp::args::Args;
use crate::resp::integer;
use crate::resp::table::{Command, Flags};

/// An argument of an unknown command that is longer is taken for a value, not for a key.
const MAX_KEY: usize = 1024;

/// Commands on strings; the first key is the one that is written.
const ON_STRINGS: [&str; 8] =
    ["bitfield", "bitop", "pfadd", "pfcount", "pfmerge", "restore", "restore-asking", "setbit"];

/// What a key holds then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Something else than a string, or nothing.
    NoString,
    /// Perhaps a string; which one is not known.
    Unsure,
}

/// The keys that a command has written, and what they hold then.
pub(super) fn written<'a>(command: &Command, args: &Args<'a>) -> Vec<(&'a [u8], Fate)> {
    let keys = command.keys.indexes(args.len()).map(|i| args.get(i));
    match command.name {
        name if ON_STRINGS.contains(&name) => keys.take(1).map(|key| (key, Fate::Unsure)).collect(),
        // A script may have done anything with its keys.
        "eval" | "evalsha" | "fcall" => {
            let count = integer::parse(args.get(2)).and_then(|count| count.try_into().ok());
            args.from(3).take(count.unwrap_or(usize::MAX)).map(|key| (key, Fate::Unsure)).collect()
        }
        "sort" | "georadius" | "georadiusbymember" => (2..args.len().saturating_sub(1))
            .filter(|&i| args.is(i, "STORE") || args.is(i, "STOREDIST"))
            .map(|i| (args.get(i + 1), Fate::NoString))
            .collect(),
        _ if command.flags.has(Flags::WRITE) => keys.map(|key| (key, Fate::NoString)).collect(),
        _ => Vec::new(),
    }
}

/// The same of a command that nobody here has heard of: each of its arguments may be a key.
pub(super) fn written_by_unknown<'a>(args: &Args<'a>) -> impl Iterator<Item = &'a [u8]> {
    args.from(1).filter(|key| key.len() <= MAX_KEY)
}
