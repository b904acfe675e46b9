//! CLIENT TRACKING, CACHING, GETREDIR, TRACKINGINFO.

use crate::resp::args::Args;
use crate::resp::commands::subcommand::shown;
use crate::resp::integer;
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;
use crate::resp::session::Session;
use crate::tracking::Options;

/// Prefixes that one client may have.
const MAX_PREFIXES: usize = 1000;

/// CLIENT TRACKING ON|OFF [REDIRECT id] [PREFIX prefix …] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]
pub(super) fn tracking(
    session: &mut Session,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    let (options, prefixes) = parse(session, args)?;
    if args.is(2, "off") {
        session.end_tracking();
    } else if args.is(2, "on") {
        check(session, options, &prefixes)?;
        session.begin_tracking(options, &prefixes);
    } else {
        return Err(Refusal::Syntax);
    }
    reply.ok();
    Ok(())
}

fn parse<'a>(session: &Session, args: &Args<'a>) -> Result<(Options, Vec<&'a [u8]>), Refusal> {
    let (mut options, mut prefixes) = (Options::default(), Vec::new());
    let mut at = 3;
    while at < args.len() {
        let has_value = at + 1 < args.len();
        if args.is(at, "redirect") && has_value {
            at += 1;
            if options.redirect != 0 {
                return Err(Refusal::other(
                    "ERR A client can only redirect to a single other client",
                ));
            }
            let id = u64::try_from(integer::argument(args.get(at))?).unwrap_or(0);
            if session.daemon.clients().get(id).is_none() {
                return Err(Refusal::other(
                    "ERR The client ID you want redirect to does not exist",
                ));
            }
            options.redirect = id;
        } else if args.is(at, "prefix") && has_value {
            at += 1;
            prefixes.push(args.get(at));
        } else if args.is(at, "bcast") {
            options.broadcast = true;
        } else if args.is(at, "optin") {
            options.opt_in = true;
        } else if args.is(at, "optout") {
            options.opt_out = true;
        } else if args.is(at, "noloop") {
            options.no_loop = true;
        } else {
            return Err(Refusal::Syntax);
        }
        at += 1;
    }
    Ok((options, prefixes))
}

/// Whether options go together, and with what the client has asked for before.
fn check(session: &Session, options: Options, prefixes: &[&[u8]]) -> Result<(), Refusal> {
    let no = |why: &'static str| Err(Refusal::other(why));
    let before = session.tracking().map(|tracked| tracked.options);
    if !options.broadcast && !prefixes.is_empty() {
        return no("ERR PREFIX option requires BCAST mode to be enabled");
    }
    if before.is_some_and(|before| before.broadcast != options.broadcast) {
        return no("ERR You can't switch BCAST mode on/off before disabling tracking for this \
                   client, and then re-enabling it with a different mode.");
    }
    if options.broadcast && (options.opt_in || options.opt_out) {
        return no("ERR OPTIN and OPTOUT are not compatible with BCAST");
    }
    if options.opt_in && options.opt_out {
        return no("ERR You can't specify both OPTIN mode and OPTOUT mode");
    }
    if before.is_some_and(|b| (options.opt_in && b.opt_out) || (options.opt_out && b.opt_in)) {
        return no("ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this \
                   client, and then re-enabling it with a different mode.");
    }
    if options.broadcast { check_prefixes(session, prefixes) } else { Ok(()) }
}

fn check_prefixes(session: &Session, prefixes: &[&[u8]]) -> Result<(), Refusal> {
    let held = session.daemon.tracker().prefixes(session.id());
    if held.len() + prefixes.len() > MAX_PREFIXES {
        return Err(Refusal::other("ERR too many prefixes; CLIENT TRACKING takes 1000"));
    }
    let overlap = |a: &[u8], b: &[u8]| a.starts_with(b) || b.starts_with(a);
    let refuse = |prefix: &[u8], what: &str, other: &[u8]| {
        Err(Refusal::other(format!(
            "ERR Prefix '{}' overlaps with {what} prefix '{}'. Prefixes for a single client must \
             not overlap.",
            shown(prefix),
            shown(other)
        )))
    };
    for (at, prefix) in prefixes.iter().enumerate() {
        if let Some(other) = held.iter().find(|other| overlap(prefix, other)) {
            return refuse(prefix, "an existing", other);
        }
        if let Some(other) = prefixes.iter().skip(at + 1).find(|other| overlap(prefix, other)) {
            return refuse(prefix, "another provided", other);
        }
    }
    Ok(())
}

/// CLIENT CACHING YES|NO
pub(super) fn caching(
    session: &mut Session,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    let Some(options) = session.tracking().map(|tracked| tracked.options) else {
        return Err(Refusal::other(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN \
             or OPTOUT mode enabled",
        ));
    };
    let (fits, wrong) = match () {
        () if args.is(2, "yes") => (
            options.opt_in,
            "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.",
        ),
        () if args.is(2, "no") => (
            options.opt_out,
            "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.",
        ),
        () => return Err(Refusal::Syntax),
    };
    if !fits {
        return Err(Refusal::other(wrong));
    }
    session.give_caching();
    reply.ok();
    Ok(())
}

/// CLIENT GETREDIR
pub(super) fn redirection(session: &Session) -> i64 {
    let redirect = session.tracking().map(|tracked| tracked.options.redirect);
    redirect.map_or(-1, |id| i64::try_from(id).unwrap_or(i64::MAX))
}

/// CLIENT TRACKINGINFO
pub(super) fn info(session: &Session, reply: &mut Reply<'_>) {
    let tracked = session.tracking();
    let options = tracked.map(|tracked| tracked.options).unwrap_or_default();
    let caching = session.caching_given();
    let flags = [
        (tracked.is_none(), "off"),
        (tracked.is_some(), "on"),
        (options.broadcast, "bcast"),
        (options.opt_in, "optin"),
        (options.opt_in && caching, "caching-yes"),
        (options.opt_out, "optout"),
        (options.opt_out && caching, "caching-no"),
        (options.no_loop, "noloop"),
        (tracked.is_some_and(|tracked| tracked.is_broken()), "broken_redirect"),
    ];
    let set = || flags.iter().filter(|(on, _)| *on);
    reply.map(3);
    reply.bulk(b"flags");
    reply.set(set().count());
    set().for_each(|(_, flag)| reply.bulk(flag.as_bytes()));
    reply.bulk(b"redirect");
    reply.int(redirection(session));
    reply.bulk(b"prefixes");
    let prefixes = session.daemon.tracker().prefixes(session.id());
    reply.array(prefixes.len());
    prefixes.iter().for_each(|prefix| reply.bulk(prefix));
}
