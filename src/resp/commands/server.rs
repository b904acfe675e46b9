//! The server: INFO, CONFIG, COMMAND, ….

mod absent;
mod acl;
mod command;
mod config;
mod debug;
mod docs;
mod info;
mod past;
mod replication;
mod save;
mod shutdown;
mod slow;
mod small;
mod sw;
#[cfg(test)]
mod tests;
mod waitaof;

use crate::resp::table::{Command, Family, Flags, Keys, Run};

const ADMIN: Flags = Flags::ADMIN.and(Flags::LOADING);
const FREE: Flags = Flags::FAST.and(Flags::LOADING);

/// The commands of this family.
pub const COMMANDS: &[Command] = &[
    command("acl", -2, Flags::LOADING, Run::Session(acl::acl))
        .doc(
            "6.0.0",
            "Tells of the users, and of what was denied.",
            "subcommand [argument …]",
            "O(n) over the commands described",
        )
        .with(acl::ACL),
    command("asking", 1, Flags::FAST, Run::Session(absent::cluster)).doc(
        "3.0.0",
        "Refused: this is not a cluster.",
        "",
        "O(1)",
    ),
    command("bgrewriteaof", 1, Flags::ADMIN, Run::Session(absent::rewrite)).doc(
        "1.0.0",
        "Refused: the log's segments are never rewritten.",
        "",
        "O(1)",
    ),
    command("bgsave", -1, Flags::ADMIN, Run::Async(save::bgsave)).doc(
        "1.0.0",
        "Takes a snapshot in the background.",
        "[SCHEDULE]",
        "O(n) over the keys, in the background",
    ),
    command("cluster", -2, Flags::NONE, Run::Session(absent::cluster)).doc(
        "3.0.0",
        "Refused: this is not a cluster.",
        "subcommand [argument …]",
        "O(1)",
    ),
    command("command", -1, Flags::LOADING, Run::Session(command::command))
        .doc(
            "2.8.13",
            "Describes the commands.",
            "[subcommand [argument …]]",
            "O(n) over the commands described",
        )
        .with(command::SUBCOMMANDS),
    command("config", -2, ADMIN, Run::Async(config::config))
        .doc(
            "2.0.0",
            "Reads and changes settings.",
            "subcommand [argument …]",
            "O(n) over the settings",
        )
        .with(config::SUBCOMMANDS),
    command("debug", -2, ADMIN, Run::Async(debug::debug))
        .doc(
            "1.0.0",
            "For tests of clients and of the server; needs `debug.commands`.",
            "subcommand [argument …]",
            "Depends on the subcommand",
        )
        .with(debug::SUBCOMMANDS),
    command("failover", -1, Flags::ADMIN, Run::Session(absent::failover)).doc(
        "6.2.0",
        "Refused: there are no replicas.",
        "[argument …]",
        "O(1)",
    ),
    command("info", -1, Flags::LOADING, Run::Async(info::info)).doc(
        "1.0.0",
        "Reports on the server, section by section.",
        "[section [section …]]",
        "O(n) over the shards",
    ),
    command("lastsave", 1, FREE, Run::Session(save::last_save)).doc(
        "1.0.0",
        "Answers when the newest snapshot was begun, or else when the daemon was started: Unix \
         seconds.",
        "",
        "O(1)",
    ),
    command("latency", -2, ADMIN, Run::Session(slow::latency))
        .doc(
            "2.8.13",
            "Tells when clients waited long.",
            "subcommand [argument …]",
            "O(n) over the samples",
        )
        .with(slow::LATENCY),
    command("lolwut", -1, Flags::FAST.and(Flags::READONLY), Run::Session(small::lolwut)).doc(
        "5.0.0",
        "Draws a seawall and tells the version.",
        "[VERSION version]",
        "O(1)",
    ),
    command("migrate", -6, Flags::WRITE, Run::Session(absent::not_for_clients)).doc(
        "2.6.0",
        "Refused: Redis would connect to wherever a client says.",
        "host port key destination-db timeout [argument …]",
        "O(1)",
    ),
    command("module", -2, Flags::ADMIN, Run::Session(small::module))
        .doc("4.0.0", "Answers that there are no modules.", "LIST", "O(1)")
        .with(small::MODULE),
    command("monitor", 1, ADMIN, Run::Session(absent::monitor)).doc(
        "1.0.0",
        "Refused: no client sees what others send.",
        "",
        "O(1)",
    ),
    command("pfselftest", 1, Flags::ADMIN, Run::Session(absent::not_for_clients)).doc(
        "2.8.9",
        "Refused: Redis would answer nobody else for seconds.",
        "",
        "O(1)",
    ),
    command("psync", -3, Flags::ADMIN, Run::Session(replication::refused)).doc(
        "2.8.0",
        "Refused: there are no replicas.",
        "replicationid offset",
        "O(1)",
    ),
    command("readonly", 1, FREE, Run::Session(absent::cluster)).doc(
        "3.0.0",
        "Refused: this is not a cluster.",
        "",
        "O(1)",
    ),
    command("readwrite", 1, FREE, Run::Session(absent::cluster)).doc(
        "3.0.0",
        "Refused: this is not a cluster.",
        "",
        "O(1)",
    ),
    command("replconf", -1, ADMIN, Run::Session(replication::refused)).doc(
        "3.0.0",
        "Refused: there are no replicas.",
        "[argument …]",
        "O(1)",
    ),
    command("replicaof", 3, Flags::ADMIN, Run::Session(replication::replica_of)).doc(
        "5.0.0",
        "Takes NO ONE; refuses to follow a server.",
        "host port | NO ONE",
        "O(1)",
    ),
    command(
        "restore-asking",
        -4,
        Flags::WRITE.and(Flags::DENYOOM),
        Run::Session(absent::not_for_clients),
    )
    .doc(
        "3.0.0",
        "Refused: the nodes of a Cluster send it to each other.",
        "key ttl serialized-value [argument …]",
        "O(1)",
    ),
    command("role", 1, FREE, Run::Session(replication::role)).doc(
        "2.8.12",
        "Answers the role in replication: master, without replicas.",
        "",
        "O(1)",
    ),
    command("save", 1, Flags::ADMIN.and(Flags::NO_MULTI), Run::Async(save::save)).doc(
        "1.0.0",
        "Takes a snapshot and answers when it is finished; other clients go on meanwhile.",
        "",
        "O(n) over the keys",
    ),
    command("shutdown", -1, ADMIN.and(Flags::NO_MULTI), Run::Session(shutdown::shutdown)).doc(
        "1.0.0",
        "Stops the daemon in order.",
        "[NOSAVE|SAVE] [NOW] [FORCE] [ABORT]",
        "O(1)",
    ),
    command("slaveof", 3, Flags::ADMIN, Run::Session(replication::replica_of)).doc(
        "1.0.0",
        "An old name of REPLICAOF.",
        "host port | NO ONE",
        "O(1)",
    ),
    command("slowlog", -2, ADMIN, Run::Session(slow::slowlog))
        .doc(
            "2.2.12",
            "Tells which commands clients waited long for.",
            "subcommand [argument …]",
            "O(n) over the entries answered",
        )
        .with(slow::SLOWLOG),
    command("sw.drill", -3, ADMIN, Run::Async(sw::drill)).doc(
        "0.1.0",
        "Makes one actor, or a failpoint, fail, to watch it heal; needs `debug.drills`.",
        "PANIC|ERROR|HANG|KILL path | POINT failpoint [script]",
        "O(n) over the actors",
    ),
    command("sw.help", 1, FREE, Run::Session(sw::help)).doc(
        "0.1.0",
        "Lists the commands that only Seawall has.",
        "",
        "O(n) over the commands",
    ),
    Command::new(
        "sw.history",
        -2,
        Flags::READONLY.and(Flags::ADMIN),
        Keys::ONE,
        Family::Server,
        Run::Async(past::history),
    )
    .doc(
        "0.2.0",
        "Tells what the log still knows of a key: what happened, when, and who did it.",
        "key [COUNT count] [BEFORE lsn]",
        "O(n) over the log that is read, off the threads that serve",
    ),
    command(
        "sw.restore",
        -3,
        Flags::WRITE.and(Flags::ADMIN).and(Flags::NO_MULTI),
        Run::Async(past::restore),
    )
    .doc(
        "0.2.0",
        "Writes back what a key, or all keys with a prefix, held at a moment of the past.",
        "<key|PREFIX prefix> <lsn|TIME unix-time-milliseconds> [NX]",
        "O(n) over the log and the newest snapshot before it, read twice, and the keys restored",
    ),
    command("sw.tree", 1, Flags::LOADING, Run::Async(sw::tree)).doc(
        "0.1.0",
        "Draws the supervision tree as it stands.",
        "",
        "O(n) over the actors",
    ),
    command("sw.version", 1, FREE, Run::Session(sw::version)).doc(
        "0.1.0",
        "Answers Seawall's own version.",
        "",
        "O(1)",
    ),
    command("sync", 1, Flags::ADMIN, Run::Session(replication::refused)).doc(
        "1.0.0",
        "Refused: there are no replicas.",
        "",
        "O(1)",
    ),
    command("time", 1, FREE, Run::Session(small::time)).doc(
        "2.6.0",
        "Answers the wall time: seconds, and microseconds (in steps of 1000).",
        "",
        "O(1)",
    ),
    command("wait", 3, Flags::NONE, Run::Session(replication::wait)).doc(
        "3.0.0",
        "Answers 0: there are no replicas to wait for.",
        "numreplicas timeout",
        "O(1)",
    ),
    command("waitaof", 4, Flags::NO_MULTI, Run::Async(waitaof::waitaof)).doc(
        "7.2.0",
        "Waits until the log has on the disk what was written so far.",
        "numlocal numreplicas timeout",
        "O(1)",
    ),
];

const fn command(name: &'static str, arity: i8, flags: Flags, run: Run) -> Command {
    Command::new(name, arity, flags, Keys::NONE, Family::Server, run)
}
