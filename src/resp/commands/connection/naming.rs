//! What clients call themselves: SETNAME and SETINFO.

use crate::resp::args::Args;
use crate::resp::commands::subcommand;
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;
use crate::resp::session::Session;

/// Longest name in bytes: every connection keeps three, and CLIENT LIST shows them all.
const MAX_NAME: usize = 1024;

/// What a refusal of CLIENT SETNAME calls the name.
pub(super) const CLIENT_NAMES: &str = "Client names";

/// A name without spaces, newlines and other characters that would break CLIENT LIST.
///
/// # Errors
/// Redis' text, which begins with `what`; or, for a name too long, our own.
pub(super) fn check<'a>(name: &'a [u8], what: &str) -> Result<&'a str, Refusal> {
    if name.len() > MAX_NAME {
        return Err(Refusal::other(format!("ERR {what} cannot be longer than {MAX_NAME} bytes")));
    }
    std::str::from_utf8(name)
        .ok()
        .filter(|text| text.bytes().all(|b| b.is_ascii_graphic()))
        .ok_or_else(|| {
            Refusal::other(format!(
                "ERR {what} cannot contain spaces, newlines or special characters."
            ))
        })
}

pub(super) fn set_name(
    session: &Session,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    session.client().set_name(check(args.get(2), CLIENT_NAMES)?);
    reply.ok();
    Ok(())
}

pub(super) fn get_name(session: &Session, reply: &mut Reply<'_>) {
    let name = session.client().name();
    reply.bulk_or_null(Some(name.as_bytes()).filter(|name| !name.is_empty()));
}

pub(super) fn set_info(
    session: &Session,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    let value = args.get(3);
    if args.is(2, "lib-name") {
        session.client().set_lib_name(check(value, "lib-name")?);
    } else if args.is(2, "lib-ver") {
        session.client().set_lib_ver(check(value, "lib-ver")?);
    } else {
        let option = subcommand::shown(args.get(2));
        return Err(Refusal::other(format!("ERR Unrecognized option '{option}'")));
    }
    reply.ok();
    Ok(())
}
