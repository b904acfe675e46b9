//! WAITAOF: waits until what was written so far is on the disk.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::resp::args::Args;
use crate::resp::integer;
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;
use crate::resp::session::Session;
use crate::resp::table::BoxFuture;

/// How often the log is asked while somebody waits. The log wakes nobody for a sync that no
/// reply depends on.
const ASK_EVERY: Duration = Duration::from_millis(5);

pub(super) fn waitaof<'a>(
    session: &'a mut Session,
    args: Args<'a>,
    reply: &'a mut Reply<'_>,
) -> BoxFuture<'a, Result<(), Refusal>> {
    Box::pin(async move {
        let local = integer::argument(args.get(1))?;
        if !(0..=1).contains(&local) {
            return Err(Refusal::other("ERR value is out of range, value must between 0 and 1"));
        }
        let replicas = integer::argument(args.get(2))?;
        if replicas < 0 {
            return Err(Refusal::other("ERR value is out of range, must be positive"));
        }
        let timeout = integer::parse(args.get(3))
            .ok_or_else(|| Refusal::other("ERR timeout is not an integer or out of range"))?;
        let timeout = u64::try_from(timeout)
            .map(Duration::from_millis)
            .map_err(|_| Refusal::other("ERR timeout is negative"))?;
        let on_disk = match (session.daemon.log(), local) {
            (None, 1) => {
                return Err(Refusal::other(
                    "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.",
                ));
            }
            (None, _) => false,
            // This client's writes have been answered, so they are among those.
            (Some(log), _) => wait(session, log.stats.lsn, timeout, local == 1).await,
        };
        reply.array(2);
        reply.int(i64::from(on_disk));
        // Nobody will ever acknowledge, so replicas are not waited for.
        reply.int(0);
        Ok(())
    })
}

/// Whether the log is durable up to `lsn`; if `patient`, within `timeout` (zero: for as long as
/// the client stays and the daemon goes on).
async fn wait(session: &Session, lsn: u64, timeout: Duration, patient: bool) -> bool {
    let begun = Instant::now();
    loop {
        let log = session.daemon.log();
        // What was on disk is not any more while the log has no base.
        if log.is_some_and(|log| log.stats.durable >= lsn && !log.stats.baseless) {
            return true;
        }
        let late = !timeout.is_zero() && begun.elapsed() >= timeout;
        if !patient || late || session.client().is_killed() || session.daemon.life().stopping {
            return false;
        }
        sleep(ASK_EVERY).await;
    }
}
