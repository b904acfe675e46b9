//! CLIENT KILL, in its old form (one address) and its new one (filters).

use seawall_actors::clock::UnixMs;

use super::listing::{Kind, kind};
use crate::resp::args::Args;
use crate::resp::clients::ClientInfo;
use crate::resp::commands::subcommand;
use crate::resp::integer;
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;
use crate::resp::session::Session;

/// Which connections to close; all conditions have to hold.
struct Filter<'a> {
    id: Option<u64>,
    kind: Option<Kind>,
    user: Option<&'a [u8]>,
    addr: Option<&'a [u8]>,
    laddr: Option<&'a [u8]>,
    /// At least so old, in seconds.
    min_age: Option<u64>,
    skip_me: bool,
}

impl Filter<'_> {
    fn takes(&self, client: &ClientInfo, me: u64, now: UnixMs) -> bool {
        let age = now.saturating_sub(client.connected_at) / 1000;
        self.id.is_none_or(|id| id == client.id)
            && self.kind.is_none_or(|kind| kind.takes(client))
            && self.user.is_none_or(|user| user == client.user().as_bytes())
            && self.addr.is_none_or(|addr| addr == client.addr.as_bytes())
            && self.laddr.is_none_or(|laddr| laddr == client.laddr.as_bytes())
            && self.min_age.is_none_or(|min| age >= min)
            && !(self.skip_me && client.id == me)
    }
}

pub(super) fn kill(
    session: &mut Session,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    let old_form = args.len() == 3;
    let filter = if old_form { by_address(args) } else { by_filters(session, args)? };
    let (me, now) = (session.id(), session.daemon.now());
    let mut killed = 0;
    for client in session.daemon.clients().all() {
        if filter.takes(&client, me, now) {
            killed += 1;
            if client.id == me {
                // The client is to read how many it killed, itself among them.
                session.close_after_reply = true;
            } else {
                client.kill();
            }
        }
    }
    match (old_form, killed) {
        (true, 0) => return Err(Refusal::other("ERR No such client")),
        (true, _) => reply.ok(),
        (false, n) => reply.int(n),
    }
    Ok(())
}

fn by_address<'a>(args: &Args<'a>) -> Filter<'a> {
    Filter {
        id: None,
        kind: None,
        user: None,
        addr: Some(args.get(2)),
        laddr: None,
        min_age: None,
        skip_me: false,
    }
}

fn by_filters<'a>(session: &Session, args: &Args<'a>) -> Result<Filter<'a>, Refusal> {
    let mut filter = Filter {
        id: None,
        kind: None,
        user: None,
        addr: None,
        laddr: None,
        min_age: None,
        skip_me: true,
    };
    let mut at = 2;
    while at < args.len() {
        if at + 1 >= args.len() {
            return Err(Refusal::Syntax);
        }
        let value = args.get(at + 1);
        if args.is(at, "id") {
            let id = integer::parse(value).and_then(|id| u64::try_from(id).ok());
            filter.id = Some(
                id.filter(|id| *id > 0)
                    .ok_or_else(|| Refusal::other("ERR client-id should be greater than 0"))?,
            );
        } else if args.is(at, "type") {
            filter.kind = Some(kind(args, at + 1)?);
        } else if args.is(at, "user") {
            let settings = session.daemon.config().settings();
            let known = std::str::from_utf8(value).ok().and_then(|name| settings.users.get(name));
            filter.user = Some(value);
            if known.is_none() {
                let user = subcommand::shown(value);
                return Err(Refusal::other(format!("ERR No such user '{user}'")));
            }
        } else if args.is(at, "addr") {
            filter.addr = Some(value);
        } else if args.is(at, "laddr") {
            filter.laddr = Some(value);
        } else if args.is(at, "skipme") {
            filter.skip_me = match () {
                () if args.is(at + 1, "yes") => true,
                () if args.is(at + 1, "no") => false,
                () => return Err(Refusal::Syntax),
            };
        } else if args.is(at, "maxage") {
            let age = integer::parse(value)
                .ok_or_else(|| Refusal::other("ERR maxage is not an integer or out of range"))?;
            filter.min_age = Some(
                u64::try_from(age)
                    .ok()
                    .filter(|age| *age > 0)
                    .ok_or_else(|| Refusal::other("ERR maxage should be greater than 0"))?,
            );
        } else {
            return Err(Refusal::Syntax);
        }
        at += 2;
    }
    Ok(filter)
}
