//! HELLO: which protocol, and who is there.

use super::auth::log_in;
use super::naming;
use crate::resp::args::Args;
use crate::resp::commands::subcommand;
use crate::resp::integer;
use crate::resp::refusal::Refusal;
use crate::resp::reply::{Proto, Reply};
use crate::resp::session::Session;
use crate::resp::version::REDIS_VERSION;

const NOAUTH: &str = "NOAUTH HELLO must be called with the client already authenticated, \
    otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client \
    and select the RESP protocol version at the same time";

pub(super) fn hello(
    session: &mut Session,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    let proto = match args.len() {
        1 => session.proto,
        _ => match integer::parse(args.get(1)) {
            Some(2) => Proto::V2,
            Some(3) => Proto::V3,
            Some(_) => return Err(Refusal::other("NOPROTO unsupported protocol version")),
            None => {
                return Err(Refusal::other(
                    "ERR Protocol version is not an integer or out of range",
                ));
            }
        },
    };
    let mut login = None;
    let mut name = None;
    let mut at = 2;
    while at < args.len() {
        let more = args.len() - at - 1;
        if args.is(at, "auth") && more >= 2 {
            login = Some((args.get(at + 1), args.get(at + 2)));
            at += 3;
        } else if args.is(at, "setname") && more >= 1 {
            name = Some(naming::check(args.get(at + 1), naming::CLIENT_NAMES)?);
            at += 2;
        } else {
            let option = subcommand::shown(args.get(at));
            return Err(Refusal::other(format!("ERR Syntax error in HELLO option '{option}'")));
        }
    }
    if let Some((user, password)) = login {
        log_in(session, user, password)?;
    }
    if !session.authenticated() {
        return Err(Refusal::other(NOAUTH));
    }
    if let Some(name) = name {
        session.client().set_name(name);
    }
    session.speak(proto);
    reply.set_proto(proto);
    greet(session, reply);
    Ok(())
}

/// Clients decide by `server` and `version` what they may send, so both are Redis'.
fn greet(session: &Session, reply: &mut Reply<'_>) {
    reply.map(7);
    let mut pair = |name: &str, value: &str| {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    };
    pair("server", "redis");
    pair("version", REDIS_VERSION);
    reply.bulk(b"proto");
    reply.int(if session.proto == Proto::V3 { 3 } else { 2 });
    reply.bulk(b"id");
    reply.int(i64::try_from(session.id()).unwrap_or(i64::MAX));
    for (name, value) in [("mode", "standalone"), ("role", "master")] {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"modules");
    reply.array(0);
}
