//! Commands of Redis that are about something that is not here: known, and refused with the
//! reason, in Redis' own words where a Redis without that feature has some.

use crate::resp::args::Args;
use crate::resp::commands::subcommand;
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;
use crate::resp::session::Session;

/// CLUSTER, READONLY, READWRITE, ASKING: client libraries match on Redis' text to tell a single
/// server from a cluster.
pub(super) fn cluster(
    _session: &mut Session,
    _args: &Args<'_>,
    _reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    Err(Refusal::other("ERR This instance has cluster support disabled"))
}

pub(super) fn failover(
    _session: &mut Session,
    args: &Args<'_>,
    _reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    Err(Refusal::other(if args.is(1, "abort") {
        "ERR No failover in progress."
    } else {
        "ERR FAILOVER requires connected replicas."
    }))
}

pub(super) fn monitor(
    _session: &mut Session,
    _args: &Args<'_>,
    _reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    Err(Refusal::other(
        "ERR MONITOR is not supported: it would show every client's keys and values to one, and \
         slow all of them; see SLOWLOG, LATENCY and /metrics",
    ))
}

pub(super) fn rewrite(
    _session: &mut Session,
    _args: &Args<'_>,
    _reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    Err(Refusal::other("ERR the log is made of segments that are never rewritten"))
}

/// MIGRATE, PFSELFTEST, RESTORE-ASKING: commands for those who run a Redis, which serves others, too.
pub(super) fn not_for_clients(
    _session: &mut Session,
    args: &Args<'_>,
    _reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    let name = subcommand::shown(args.get(0)).to_ascii_uppercase();
    Err(Refusal::other(format!(
        "ERR {name} is for whoever runs Redis, and not passed on; send it to Redis itself"
    )))
}
