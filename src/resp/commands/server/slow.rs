//! SLOWLOG and LATENCY: what was slow.

use crate::resp::args::Args;
use crate::resp::commands::subcommand;
use crate::resp::integer;
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;
use crate::resp::session::Session;
use crate::resp::table::{Subcommand, sub};
use crate::slow::{Event, Latency};
use crate::stats::StatsSnapshot;

/// Entries that SLOWLOG GET answers unless told otherwise, Redis' number.
const USUAL: i64 = 10;

pub(super) const SLOWLOG: &[Subcommand] = &[
    sub("get", -2, "[count]", "Answers the newest slow commands: 10, or count; -1 for all."),
    sub("help", 2, "", "Prints this help."),
    sub("len", 2, "", "Answers how many slow commands are kept."),
    sub("reset", 2, "", "Forgets the slow commands."),
];

pub(super) const LATENCY: &[Subcommand] = &[
    sub("doctor", 2, "", "Says in words what was slow."),
    sub("help", 2, "", "Prints this help."),
    sub(
        "histogram",
        -2,
        "[command …]",
        "Answers, for these commands or all that ran, the calls by the time they waited.",
    ),
    sub("history", 3, "event", "Answers the slowest of each second that had one: time, ms."),
    sub("latest", 2, "", "Answers each event's newest sample and its maximum: time, ms, ms."),
    sub("reset", -2, "[event …]", "Forgets the samples of these events, or of all."),
];

pub(super) fn slowlog(
    session: &mut Session,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    let slow = session.daemon.slow();
    match subcommand::find("slowlog", SLOWLOG, args)?.name {
        "get" => {
            let count = match args.len() {
                2 => USUAL,
                3 => integer::argument(args.get(2)).unwrap_or(i64::MIN),
                _ => return Err(Refusal::Arity("slowlog|get".into())),
            };
            let count = match count {
                -1 => usize::MAX,
                n => usize::try_from(n).map_err(|_| {
                    Refusal::other("ERR count should be greater than or equal to -1")
                })?,
            };
            let entries = slow.log().newest(count);
            reply.array(entries.len());
            for entry in entries {
                reply.array(6);
                reply.int(i64::try_from(entry.id).unwrap_or(i64::MAX));
                reply.int(i64::try_from(entry.at / 1000).unwrap_or(i64::MAX));
                reply.int(i64::try_from(entry.took.as_micros()).unwrap_or(i64::MAX));
                reply.array(entry.args.len());
                entry.args.iter().for_each(|arg| reply.bulk(arg));
                reply.bulk(entry.addr.as_bytes());
                reply.bulk(entry.name.as_bytes());
            }
        }
        "len" => reply.count(slow.log().len()),
        "reset" => {
            slow.log().clear();
            reply.ok();
        }
        _ => subcommand::help("slowlog", SLOWLOG, reply),
    }
    Ok(())
}

pub(super) fn latency(
    session: &mut Session,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    let int = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let mut latency = session.daemon.slow().latency();
    let event = |at: usize| Event::ALL.into_iter().find(|event| args.is(at, event.name()));
    match subcommand::find("latency", LATENCY, args)?.name {
        "latest" => {
            let latest = latency.latest();
            reply.array(latest.len());
            for (event, sample, max_ms) in latest {
                reply.array(4);
                reply.bulk(event.name().as_bytes());
                [sample.second, sample.ms, max_ms].into_iter().for_each(|n| reply.int(int(n)));
            }
        }
        "history" => {
            // An event that there is not has no samples, as in Redis.
            let samples: Vec<_> = event(2).into_iter().flat_map(|e| latency.history(e)).collect();
            reply.array(samples.len());
            for sample in samples {
                reply.array(2);
                reply.int(int(sample.second));
                reply.int(int(sample.ms));
            }
        }
        "reset" => {
            let named = |known: &Event| (2..args.len()).any(|at| args.is(at, known.name()));
            let chosen = Event::ALL.into_iter().filter(|e| args.len() == 2 || named(e));
            reply.count(chosen.filter(|event| latency.reset(*event)).count());
        }
        "histogram" => histograms(&session.daemon.stats(), args, reply),
        "doctor" => {
            let off = session.daemon.config().settings().server.latency_threshold.is_none();
            reply.verbatim(&diagnosis(&latency, off));
        }
        _ => subcommand::help("latency", LATENCY, reply),
    }
    Ok(())
}

/// Redis' buckets: powers of two from 1024 ns to 2^30 ns, each with the calls up to it, named in
/// microseconds; a bucket that adds no call is left out.
fn histograms(stats: &StatsSnapshot, args: &Args<'_>, reply: &mut Reply<'_>) {
    const BITS: std::ops::RangeInclusive<u32> = 10..=30;
    let asked = |name: &str| args.len() == 2 || (2..args.len()).any(|at| args.is(at, name));
    let chosen: Vec<_> =
        stats.commands.iter().filter(|one| one.calls() > 0 && asked(one.command.name)).collect();
    reply.map(chosen.len());
    for one in chosen {
        let mut seen = 0;
        let buckets: Vec<_> = BITS
            .map(|bits| {
                (
                    bits,
                    if bits == *BITS.end() { one.calls() } else { one.latency.at_most_pow2(bits) },
                )
            })
            .filter(|(_, calls)| std::mem::replace(&mut seen, *calls) < *calls)
            .collect();
        reply.bulk(one.command.name.as_bytes());
        reply.map(2);
        reply.bulk(b"calls");
        reply.int(i64::try_from(one.calls()).unwrap_or(i64::MAX));
        reply.bulk(b"histogram_usec");
        reply.map(buckets.len());
        for (bits, calls) in buckets {
            reply.int((1i64 << bits) / 1000);
            reply.int(i64::try_from(calls).unwrap_or(i64::MAX));
        }
    }
}

fn diagnosis(latency: &Latency, off: bool) -> String {
    let latest = latency.latest();
    if latest.is_empty() {
        return if off {
            "Latency is not sampled: set server.latency_threshold, in Redis' words CONFIG SET \
             latency-monitor-threshold <milliseconds>.\n"
                .to_owned()
        } else {
            "Nothing was slower than server.latency_threshold since the last reset.\n".to_owned()
        };
    }
    latest
        .iter()
        .map(|(event, sample, max_ms)| {
            format!(
                "{}: {} of the seconds sampled had a wait over server.latency_threshold, the \
                 longest {max_ms} ms, the newest {} ms. SLOWLOG GET names the commands; a wait \
                 includes that for the shard and for the log, whose syncs /metrics shows.\n",
                event.name(),
                latency.history(*event).len(),
                sample.ms
            )
        })
        .collect()
}
