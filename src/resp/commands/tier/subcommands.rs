//! What the families among the commands of a Redis tier lead to, so that users can be given one and
//! not the other. Redis dispatches them, and may know more of them.

use crate::resp::table::{Subcommand, sub};

const HELP: Subcommand = sub("help", 2, "", "Prints a help.");

pub(super) const FUNCTION: &[Subcommand] = &[
    sub("delete", 3, "library-name", "Deletes a library and its functions."),
    sub("dump", 2, "", "Answers all libraries, serialized."),
    sub("flush", -2, "[ASYNC|SYNC]", "Deletes all libraries."),
    HELP,
    sub("kill", 2, "", "Ends the function that runs."),
    sub("list", -2, "[LIBRARYNAME pattern] [WITHCODE]", "Tells of the libraries."),
    sub("load", -3, "[REPLACE] function-code", "Makes a library."),
    sub("restore", -3, "serialized-value [FLUSH|APPEND|REPLACE]", "Makes the libraries of a dump."),
    sub("stats", 2, "", "Tells of the function that runs."),
];

pub(super) const SCRIPT: &[Subcommand] = &[
    sub("debug", 3, "<YES|SYNC|NO>", "Refused: a connection to Redis is not one client's own."),
    sub("exists", -3, "sha1 [sha1 …]", "Answers which scripts Redis knows."),
    sub("flush", -2, "[ASYNC|SYNC]", "Makes Redis forget all scripts."),
    HELP,
    sub("kill", 2, "", "Ends the script that runs."),
    sub("load", 3, "script", "Makes Redis remember a script."),
];

pub(super) const XGROUP: &[Subcommand] = &[
    sub(
        "create",
        -5,
        "key group <id|$> [MKSTREAM] [ENTRIESREAD entries-read]",
        "Makes a consumer group.",
    ),
    sub("createconsumer", 5, "key group consumer", "Makes a consumer in a group."),
    sub("delconsumer", 5, "key group consumer", "Deletes a consumer of a group."),
    sub("destroy", 4, "key group", "Deletes a consumer group."),
    HELP,
    sub("setid", -5, "key group <id|$> [ENTRIESREAD entries-read]", "Sets a group's last id."),
];

pub(super) const XINFO: &[Subcommand] = &[
    sub("consumers", 4, "key group", "Tells of the consumers of a group."),
    sub("groups", 3, "key", "Tells of the groups of a stream."),
    HELP,
    sub("stream", -3, "key [FULL [COUNT count]]", "Tells of a stream."),
];
