//! INFO: sections of `name:value` lines, under Redis' names where Redis has one.

mod process;
mod redis;
mod report;
mod seawall;
mod sections;

use report::Report;

use crate::resp::args::Args;
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;
use crate::resp::session::Session;
use crate::resp::table::BoxFuture;

/// Appends one section's lines.
type Write = fn(&Report, &mut String);

/// Every section in order: its name as asked for, its heading, its lines, and whether it belongs
/// to the default answer.
const SECTIONS: &[(&str, &str, Write, bool)] = &[
    ("server", "Server", sections::server, true),
    ("clients", "Clients", sections::clients, true),
    ("memory", "Memory", sections::memory, true),
    ("persistence", "Persistence", sections::persistence, true),
    ("stats", "Stats", sections::stats, true),
    ("replication", "Replication", sections::replication, true),
    ("cpu", "CPU", sections::cpu, true),
    ("modules", "Modules", |_, _| {}, true),
    ("commandstats", "Commandstats", sections::commandstats, false),
    ("errorstats", "Errorstats", sections::errorstats, true),
    ("latencystats", "Latencystats", sections::latencystats, false),
    ("cluster", "Cluster", sections::cluster, true),
    ("keyspace", "Keyspace", sections::keyspace, true),
    ("familystats", "Familystats", sections::familystats, false),
    ("redis", "Redis", redis::redis, true),
    ("seawall", "Seawall", seawall::seawall, true),
];

pub(super) fn info<'a>(
    session: &'a mut Session,
    args: Args<'a>,
    reply: &'a mut Reply<'_>,
) -> BoxFuture<'a, Result<(), Refusal>> {
    Box::pin(async move {
        let report = Report::gather(&*session.daemon).await;
        reply.verbatim(&write(&report, &args));
        Ok(())
    })
}

/// The sections that the arguments ask for, each once, in Redis' order. Unknown names are passed
/// over.
fn write(report: &Report, args: &Args<'_>) -> String {
    let mut text = String::new();
    for (name, heading, lines, default) in SECTIONS {
        let asked = |at: usize| {
            args.is(at, name)
                || args.is(at, "everything")
                || (args.is(at, "all") && *name != "modules")
                || (args.is(at, "default") && *default)
        };
        if if args.len() == 1 { *default } else { (1..args.len()).any(asked) } {
            if !text.is_empty() {
                text.push_str("\r\n");
            }
            text.push_str("# ");
            text.push_str(heading);
            text.push_str("\r\n");
            lines(report, &mut text);
        }
    }
    text
}

/// A reason may come from an error with several lines; INFO has one line for each field.
fn one_line(text: &str) -> String {
    text.replace(['\r', '\n'], " ")
}

#[cfg(test)]
mod tests;
