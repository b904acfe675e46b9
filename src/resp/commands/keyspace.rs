//! Keys, whatever their value.

mod database;
mod key;
mod listing;
mod memory;
mod object;
mod transfer;

use crate::resp::table::{Command, Family, Flags, Keys, Run};

const READ: Flags = Flags::READONLY;
const FAST_READ: Flags = READ.and(Flags::FAST);
const WRITE: Flags = Flags::WRITE;
const FAST_WRITE: Flags = WRITE.and(Flags::FAST);
const GROW: Flags = WRITE.and(Flags::DENYOOM);
const FAMILY: Family = Family::Keyspace;

/// The commands of this family.
pub const COMMANDS: &[Command] = &[
    Command::new("del", -2, WRITE, Keys::ALL, FAMILY, Run::Data(key::del)).doc(
        "1.0.0",
        "Deletes keys; returns how many were there.",
        "key [key …]",
        "O(N) for N keys",
    ),
    Command::new("unlink", -2, FAST_WRITE, Keys::ALL, FAMILY, Run::Data(key::del)).doc(
        "4.0.0",
        "Deletes keys, as DEL: a value is one block, so freeing it takes constant time either way.",
        "key [key …]",
        "O(N) for N keys",
    ),
    Command::new("exists", -2, FAST_READ, Keys::ALL, FAMILY, Run::Data(key::exists)).doc(
        "1.0.0",
        "Returns how many of the keys are there, one named twice counted twice.",
        "key [key …]",
        "O(N) for N keys",
    ),
    Command::new("touch", -2, FAST_READ, Keys::ALL, FAMILY, Run::Data(key::touch)).doc(
        "3.2.1",
        "Counts a use of each key, as a read does; returns how many are there.",
        "key [key …]",
        "O(N) for N keys",
    ),
    Command::new("type", 2, FAST_READ, Keys::ONE, FAMILY, Run::Data(key::kind)).doc(
        "1.0.0",
        "Returns `string`, or `none` if the key is not there.",
        "key",
        "O(1)",
    ),
    Command::new("rename", 3, WRITE, Keys::TWO, FAMILY, Run::Data(transfer::rename)).doc(
        "1.0.0",
        "Gives a key another name, over whatever that name holds.",
        "key newkey",
        "O(N) for N bytes written to the log",
    ),
    Command::new("renamenx", 3, FAST_WRITE, Keys::TWO, FAMILY, Run::Data(transfer::renamenx)).doc(
        "1.0.0",
        "Gives a key another name, if that name is free.",
        "key newkey",
        "O(N) for N bytes written to the log",
    ),
    Command::new("copy", -3, GROW, Keys::TWO, FAMILY, Run::Data(transfer::copy)).doc(
        "6.2.0",
        "Copies a value and its expiry to another key, or to another database.",
        "source destination [DB destination-db] [REPLACE]",
        "O(N) for N bytes",
    ),
    Command::new("move", 3, FAST_WRITE, Keys::ONE, FAMILY, Run::Data(transfer::move_key)).doc(
        "1.0.0",
        "Moves a key to another database, if it is not there already.",
        "key db",
        "O(N) for N bytes written to the log",
    ),
    Command::new("keys", 2, READ, Keys::NONE, FAMILY, Run::AllShards(listing::keys)).doc(
        "1.0.0",
        "Returns every key that matches a pattern. Holds every shard meanwhile: prefer SCAN.",
        "pattern",
        "O(N) for N keys in the database",
    ),
    Command::new("scan", -2, READ, Keys::NONE, FAMILY, Run::AllShards(listing::scan)).doc(
        "2.8.0",
        "Goes through the keys in steps: every key that is there all the while is returned.",
        "cursor [MATCH pattern] [COUNT count] [TYPE type]",
        "O(count) for each call, O(N) for a whole scan",
    ),
    Command::new("randomkey", 1, READ, Keys::NONE, FAMILY, Run::AllShards(listing::randomkey)).doc(
        "1.0.0",
        "Returns any key, or null if there is none.",
        "",
        "O(1)",
    ),
    Command::new("dbsize", 1, FAST_READ, Keys::NONE, FAMILY, Run::AllShards(database::dbsize)).doc(
        "1.0.0",
        "Returns the number of keys, with those that expired a moment ago.",
        "",
        "O(1)",
    ),
    Command::new("flushdb", -1, WRITE, Keys::NONE, FAMILY, Run::AllShards(database::flushdb)).doc(
        "1.0.0",
        "Deletes every key of the selected database. ASYNC and SYNC are taken and mean the same.",
        "[ASYNC|SYNC]",
        "O(N) for N keys, O(1) if no other database has any",
    ),
    Command::new("flushall", -1, WRITE, Keys::NONE, FAMILY, Run::AllShards(database::flushall))
        .doc(
            "1.0.0",
            "Deletes every key of every database. ASYNC and SYNC are taken and mean the same.",
            "[ASYNC|SYNC]",
            "O(1), memory is freed in the background",
        ),
    Command::new("swapdb", 3, FAST_WRITE, Keys::NONE, FAMILY, Run::AllShards(database::swapdb))
        .doc(
            "4.0.0",
            "Exchanges two databases: every client sees the other one's keys at once.",
            "index1 index2",
            "O(1), O(N) for N watched keys",
        ),
    Command::new("object", -2, READ, Keys::SECOND, FAMILY, Run::Data(object::object))
        .doc("2.2.3", "Tells how a value is held.", "subcommand [key]", "O(1)")
        .with(object::SUBCOMMANDS),
    Command::new("memory", -2, READ, Keys::SECOND, FAMILY, Run::AllShards(memory::memory))
        .doc("4.0.0", "Tells what memory is used for.", "subcommand [argument …]", "O(1)")
        .with(memory::SUBCOMMANDS),
];

#[cfg(test)]
mod tests;
