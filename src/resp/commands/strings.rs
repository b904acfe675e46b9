//! String values.

mod expiry_option;
mod many;
mod range;
mod read;
mod set;

use crate::resp::table::{Command, Family, Flags, Keys, Run};

const READ: Flags = Flags::READONLY;
const FAST_READ: Flags = Flags::READONLY.and(Flags::FAST);
const FAST_REMOVE: Flags = Flags::WRITE.and(Flags::FAST);
const WRITE: Flags = Flags::WRITE.and(Flags::DENYOOM);
const FAST_WRITE: Flags = WRITE.and(Flags::FAST);

/// The commands of this family.
pub const COMMANDS: &[Command] = &[
    Command::new("get", 2, FAST_READ, Keys::ONE, Family::Read, Run::Data(read::get)).doc(
        "1.0.0",
        "Returns the value of a key, or null.",
        "key",
        "O(1)",
    ),
    Command::new("mget", -2, FAST_READ, Keys::ALL, Family::Read, Run::Data(many::mget)).doc(
        "1.0.0",
        "Returns the values of several keys, null for each that is not there.",
        "key [key …]",
        "O(N) for N keys",
    ),
    Command::new("strlen", 2, FAST_READ, Keys::ONE, Family::Read, Run::Data(read::strlen)).doc(
        "2.2.0",
        "Returns a value's length in bytes, 0 if there is none.",
        "key",
        "O(1)",
    ),
    Command::new("getrange", 4, READ, Keys::ONE, Family::Read, Run::Data(range::getrange)).doc(
        "2.4.0",
        "Returns the bytes from start to end, both included; negative ones count from the end.",
        "key start end",
        "O(N) for N bytes returned",
    ),
    Command::new("substr", 4, READ, Keys::ONE, Family::Read, Run::Data(range::getrange)).doc(
        "1.0.0",
        "The old name of GETRANGE.",
        "key start end",
        "O(N) for N bytes returned",
    ),
    Command::new("getdel", 2, FAST_REMOVE, Keys::ONE, Family::Write, Run::Data(read::getdel)).doc(
        "6.2.0",
        "Returns the value of a key and deletes the key.",
        "key",
        "O(1)",
    ),
    Command::new("getex", -2, FAST_REMOVE, Keys::ONE, Family::Write, Run::Data(read::getex)).doc(
        "6.2.0",
        "Returns the value of a key and changes when the key expires.",
        "key [EX seconds|PX milliseconds|EXAT unix-seconds|PXAT unix-milliseconds|PERSIST]",
        "O(1)",
    ),
    Command::new("getset", 3, FAST_WRITE, Keys::ONE, Family::Write, Run::Data(set::getset)).doc(
        "1.0.0",
        "Sets a value and returns the one that was there.",
        "key value",
        "O(1)",
    ),
    Command::new("set", -3, WRITE, Keys::ONE, Family::Write, Run::Data(set::set)).doc(
        "1.0.0",
        "Sets a value: always, only on absence (NX), on presence (XX), or on an expected value \
         (IFEQ). GET returns the value that was there.",
        "key value [NX|XX|IFEQ comparison-value] [GET] [EX seconds|PX milliseconds|\
         EXAT unix-seconds|PXAT unix-milliseconds|KEEPTTL]",
        "O(1)",
    ),
    Command::new("setex", 4, WRITE, Keys::ONE, Family::Write, Run::Data(set::setex)).doc(
        "2.0.0",
        "Sets a value that expires after so many seconds.",
        "key seconds value",
        "O(1)",
    ),
    Command::new("psetex", 4, WRITE, Keys::ONE, Family::Write, Run::Data(set::psetex)).doc(
        "2.6.0",
        "Sets a value that expires after so many milliseconds.",
        "key milliseconds value",
        "O(1)",
    ),
    Command::new("setnx", 3, FAST_WRITE, Keys::ONE, Family::Write, Run::Data(set::setnx)).doc(
        "1.0.0",
        "Sets a value only if the key is not there.",
        "key value",
        "O(1)",
    ),
    Command::new("mset", -3, WRITE, Keys::PAIRS, Family::Write, Run::Data(many::mset)).doc(
        "1.0.1",
        "Sets several keys, all at once or none.",
        "key value [key value …]",
        "O(N) for N keys",
    ),
    Command::new("msetnx", -3, WRITE, Keys::PAIRS, Family::Write, Run::Data(many::msetnx)).doc(
        "1.0.1",
        "Sets several keys, all at once, only if none of them is there.",
        "key value [key value …]",
        "O(N) for N keys",
    ),
    Command::new("append", 3, FAST_WRITE, Keys::ONE, Family::Write, Run::Data(range::append)).doc(
        "2.0.0",
        "Appends to a value, or sets it; returns the new length.",
        "key value",
        "O(N) for N bytes written to the log",
    ),
    Command::new("setrange", 4, WRITE, Keys::ONE, Family::Write, Run::Data(range::setrange)).doc(
        "2.2.0",
        "Overwrites part of a value from an offset on, with zero bytes before it where needed.",
        "key offset value",
        "O(N) for N bytes written to the log",
    ),
];

#[cfg(test)]
mod tests;
