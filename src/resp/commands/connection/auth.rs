//! AUTH: the one user `default` and its password.

use std::time::Instant;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::resp::args::Args;
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;
use crate::resp::session::Session;

/// The one user there is.
const DEFAULT_USER: &[u8] = b"default";

const NO_PASSWORD: &str = "ERR AUTH <password> called without any password configured for the \
    default user. Are you sure your configuration is correct?";

pub(super) fn auth(
    session: &mut Session,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    let (user, password) = match args.len() {
        2 => (DEFAULT_USER, args.get(1)),
        3 => (args.get(1), args.get(2)),
        _ => return Err(Refusal::Syntax),
    };
    if args.len() == 2 && session.daemon.config().settings().server.password.is_none() {
        return Err(Refusal::other(NO_PASSWORD));
    }
    log_in(session, user, password)?;
    reply.ok();
    Ok(())
}

/// Checks user and password; on success the session is authenticated. Without a configured
/// password `default` may give any, as in Redis.
///
/// # Errors
/// `WRONGPASS`. An authenticated session stays so.
pub(super) fn log_in(session: &mut Session, user: &[u8], given: &[u8]) -> Result<(), Refusal> {
    let settings = session.daemon.config().settings();
    let right = match &settings.server.password {
        Some(password) => same(password.expose().as_bytes(), given),
        None => true,
    };
    if user != DEFAULT_USER || !right {
        if let Some(withheld) = session.daemon.clients().may_complain(Instant::now()) {
            let (client, addr) = (session.id(), &session.client().addr);
            tracing::info!(client, %addr, withheld, "login failed");
        }
        return Err(Refusal::other(
            "WRONGPASS invalid username-password pair or user is disabled.",
        ));
    }
    session.authenticate();
    Ok(())
}

/// Compares digests, so that neither content nor length of the password shows in the time taken.
fn same(password: &[u8], given: &[u8]) -> bool {
    let (password, given) = (Sha256::digest(password), Sha256::digest(given));
    password.as_slice().ct_eq(given.as_slice()).into()
}
