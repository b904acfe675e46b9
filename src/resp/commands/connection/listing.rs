//! CLIENT LIST and CLIENT INFO.

use crate::resp::args::Args;
use crate::resp::clients::ClientInfo;
use crate::resp::commands::subcommand;
use crate::resp::integer;
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;
use crate::resp::session::Session;

/// The kinds of connections that Redis tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Normal,
    /// Has subscribed to something.
    Subscriber,
    /// Replicas and masters: there are none.
    Absent,
}

impl Kind {
    /// Whether a client is of this kind.
    pub fn takes(self, client: &ClientInfo) -> bool {
        match self {
            Self::Normal => !client.is_subscriber(),
            Self::Subscriber => client.is_subscriber(),
            Self::Absent => false,
        }
    }
}

/// Reads a connection type.
///
/// # Errors
/// Redis' text for an unknown one.
pub(super) fn kind(args: &Args<'_>, at: usize) -> Result<Kind, Refusal> {
    match () {
        () if args.is(at, "normal") => Ok(Kind::Normal),
        () if args.is(at, "pubsub") => Ok(Kind::Subscriber),
        () if ["master", "replica", "slave"].iter().any(|k| args.is(at, k)) => Ok(Kind::Absent),
        () => {
            let kind = subcommand::shown(args.get(at));
            Err(Refusal::other(format!("ERR Unknown client type '{kind}'")))
        }
    }
}

pub(super) fn info(session: &Session, reply: &mut Reply<'_>) {
    let mut line = String::new();
    session.client().describe(session.daemon.now(), &mut line);
    line.push('\n');
    reply.verbatim(&line);
}

pub(super) fn list(
    session: &Session,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    let clients = session.daemon.clients();
    let listed = match args.len() {
        2 => clients.all(),
        4 if args.is(2, "type") => {
            let kind = kind(args, 3)?;
            clients.all().into_iter().filter(|client| kind.takes(client)).collect()
        }
        n if n > 3 && args.is(2, "id") => {
            let ids: Result<Vec<u64>, Refusal> = args.from(3).map(client_id).collect();
            // Bounded by what the query buffer holds.
            ids?.into_iter().filter_map(|id| clients.get(id)).collect()
        }
        _ => return Err(Refusal::Syntax),
    };
    let now = session.daemon.now();
    let mut text = String::new();
    for client in listed {
        client.describe(now, &mut text);
        text.push('\n');
    }
    reply.verbatim(&text);
    Ok(())
}

fn client_id(text: &[u8]) -> Result<u64, Refusal> {
    integer::parse(text)
        .and_then(|id| u64::try_from(id).ok())
        .filter(|id| *id > 0)
        .ok_or_else(|| Refusal::other("ERR Invalid client ID"))
}
