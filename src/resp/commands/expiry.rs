//! Times to live.

mod expire;
mod remaining;

use seawall_actors::cache::store::Expiry;
use seawall_actors::clock::UnixMs;

use crate::resp::table::{Command, Family, Flags, Keys, Run};

const READ: Flags = Flags::READONLY.and(Flags::FAST);
const WRITE: Flags = Flags::WRITE.and(Flags::FAST);

/// How an entry with this expiry is written again under another key, or later.
pub(super) fn lasting(expires_at: Option<UnixMs>) -> Expiry {
    expires_at.map_or(Expiry::Never, Expiry::At)
}

/// The commands of this family.
pub const COMMANDS: &[Command] = &[
    Command::new("expire", -3, WRITE, Keys::ONE, Family::Expiry, Run::Data(expire::expire)).doc(
        "1.0.0",
        "Makes a key expire after so many seconds; at once if that is not positive.",
        "key seconds [NX|XX|GT|LT]",
        "O(1)",
    ),
    Command::new("pexpire", -3, WRITE, Keys::ONE, Family::Expiry, Run::Data(expire::pexpire)).doc(
        "2.6.0",
        "Makes a key expire after so many milliseconds; at once if that is not positive.",
        "key milliseconds [NX|XX|GT|LT]",
        "O(1)",
    ),
    Command::new("expireat", -3, WRITE, Keys::ONE, Family::Expiry, Run::Data(expire::expireat))
        .doc(
            "1.2.0",
            "Makes a key expire at a time; at once if that has passed.",
            "key unix-seconds [NX|XX|GT|LT]",
            "O(1)",
        ),
    Command::new("pexpireat", -3, WRITE, Keys::ONE, Family::Expiry, Run::Data(expire::pexpireat))
        .doc(
            "2.6.0",
            "Makes a key expire at a time; at once if that has passed.",
            "key unix-milliseconds [NX|XX|GT|LT]",
            "O(1)",
        ),
    Command::new("persist", 2, WRITE, Keys::ONE, Family::Expiry, Run::Data(expire::persist)).doc(
        "2.2.0",
        "Makes a key last; 1 if it had an expiry.",
        "key",
        "O(1)",
    ),
    Command::new("ttl", 2, READ, Keys::ONE, Family::Expiry, Run::Data(remaining::ttl)).doc(
        "1.0.0",
        "Returns the seconds until a key expires; -1 if it does not, -2 if it is not there.",
        "key",
        "O(1)",
    ),
    Command::new("pttl", 2, READ, Keys::ONE, Family::Expiry, Run::Data(remaining::pttl)).doc(
        "2.6.0",
        "Returns the milliseconds until a key expires; -1 if it does not, -2 if it is not there.",
        "key",
        "O(1)",
    ),
    Command::new(
        "expiretime",
        2,
        READ,
        Keys::ONE,
        Family::Expiry,
        Run::Data(remaining::expiretime),
    )
    .doc(
        "7.0.0",
        "Returns when a key expires in Unix seconds; -1 if never, -2 if it is not there.",
        "key",
        "O(1)",
    ),
    Command::new(
        "pexpiretime",
        2,
        READ,
        Keys::ONE,
        Family::Expiry,
        Run::Data(remaining::pexpiretime),
    )
    .doc(
        "7.0.0",
        "Returns when a key expires in Unix milliseconds; -1 if never, -2 if it is not there.",
        "key",
        "O(1)",
    ),
];

#[cfg(test)]
mod tests;
