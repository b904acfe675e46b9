//! AUTH: who the client is.

use std::sync::Arc;
use std::time::Instant;

use crate::acl::DEFAULT;
use crate::acl::gate::Login;
use crate::resp::args::Args;
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;
use crate::resp::session::Session;

const NO_PASSWORD: &str = "ERR AUTH <password> called without any password configured for the \
    default user. Are you sure your configuration is correct?";

pub(super) fn auth(
    session: &mut Session,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    let (user, password) = match args.len() {
        2 => (DEFAULT.as_bytes(), args.get(1)),
        3 => (args.get(1), args.get(2)),
        _ => return Err(Refusal::Syntax),
    };
    if args.len() == 2 && no_password(session) {
        return Err(Refusal::other(NO_PASSWORD));
    }
    log_in(session, user, password)?;
    reply.ok();
    Ok(())
}

fn no_password(session: &Session) -> bool {
    session.daemon.config().settings().users.default_user().takes_any_password()
}

/// Checks user and password; on success the session is that user's. Where no password is needed
/// any will do, as in Redis.
///
/// # Errors
/// `WRONGPASS`. Who the session was before it stays.
pub(super) fn log_in(session: &mut Session, user: &[u8], given: &[u8]) -> Result<(), Refusal> {
    let now = Instant::now();
    let daemon = Arc::clone(&session.daemon);
    let (gate, from) = (daemon.gate(), session.client().endpoints.peer());
    if let Err(wait) = gate.may_try(from, now) {
        gate.login(Login::Throttled, from, now);
        return Err(Refusal::other(format!(
            "WRONGPASS not looked at: too many wrong passwords came from this address; try again \
             in {} s",
            wait.as_secs() + 1
        )));
    }
    let users = Arc::clone(&daemon.config().settings().users);
    if let Some(user) = users.authenticate(user, given) {
        session.authenticate(user);
        // Whoever closes connections of users that are gone sees this one's user from here on. If
        // it looked before, the new settings are there to be seen.
        if session.follow(&daemon.config().settings().users) {
            gate.login(Login::Accepted, from, now);
            return Ok(());
        }
        session.close_after_reply = true;
    }
    gate.login(Login::Refused, from, now);
    session.note_refused("auth", b"AUTH", user);
    if let Some(withheld) = daemon.clients().may_complain(now) {
        let (client, addr) = (session.id(), &session.client().addr);
        // A client that puts a password where the user's name belongs is not to find it here.
        let user = std::str::from_utf8(user).ok().and_then(|name| users.get(name));
        let user = user.map_or("(unknown)", |user| user.name());
        tracing::info!(client, %addr, user, withheld, "login failed");
    }
    Err(Refusal::other("WRONGPASS invalid username-password pair or user is disabled."))
}
