//! MULTI, EXEC, SW.EXEC, DISCARD, WATCH, UNWATCH. What they do is in the connection, which owns the queue.

use crate::resp::table::{Command, Family, Flags, Keys, Run, TransactionStep};

const FLAGS: Flags = Flags::FAST.and(Flags::LOADING);

/// The commands of this family.
pub const COMMANDS: &[Command] = &[
    Command::new("multi", 1, FLAGS, Keys::NONE, Family::Transaction, step(TransactionStep::Multi))
        .doc("1.2.0", "Opens a transaction: commands are queued until EXEC.", "", "O(1)"),
    Command::new(
        "exec",
        1,
        Flags::LOADING,
        Keys::NONE,
        Family::Transaction,
        step(TransactionStep::Exec),
    )
    .doc(
        "1.2.0",
        "Runs the queued commands as one, unless a watched key has changed.",
        "",
        "Depends on the queued commands",
    ),
    Command::new(
        "sw.exec",
        -1,
        Flags::LOADING,
        Keys::NONE,
        Family::Transaction,
        step(TransactionStep::SwExec),
    )
    .doc(
        "0.2.0",
        "Runs the queued commands as EXEC does; with ROLLBACK, one that fails undoes them all.",
        "[ROLLBACK]",
        "Depends on the queued commands",
    ),
    Command::new(
        "discard",
        1,
        FLAGS,
        Keys::NONE,
        Family::Transaction,
        step(TransactionStep::Discard),
    )
    .doc(
        "2.0.0",
        "Drops the queued commands and ends all watches.",
        "",
        "O(N) in watched keys",
    ),
    Command::new("watch", -2, FLAGS, Keys::ALL, Family::Transaction, step(TransactionStep::Watch))
        .doc(
            "2.2.0",
            "Makes EXEC fail if one of the keys changes before it.",
            "key [key ...]",
            "O(1) per key",
        ),
    Command::new(
        "unwatch",
        1,
        FLAGS,
        Keys::NONE,
        Family::Transaction,
        step(TransactionStep::Unwatch),
    )
    .doc("2.2.0", "Ends all watches of this connection.", "", "O(N) in watched keys"),
];

const fn step(step: TransactionStep) -> Run {
    Run::Transaction(step)
}
