//! `wal.recovery = "prefix"`: a damaged log is cut before it is opened, loudly.

use std::ops::ControlFlow;

use seawall_actors::clock::Clock;
use seawall_actors::wal::inspect::{Verdict, inspect};
use seawall_actors::wal::repair::{Base, Plan};
use seawall_actors::wal::{DataDir, OpenError};
use tracing::{error, warn};

/// Cuts the log at the first damage, as `seawall wal repair --yes` does. One of which nothing would
/// stay is left as it is, and the start refuses it: an empty cache in its place is nobody's wish.
/// Blocks, and reads the whole log.
///
/// # Errors
/// [`OpenError`]: the file system. What was done until then is gone on with by the next start.
pub(super) fn mend(data: &DataDir, clock: &Clock) -> Result<(), OpenError> {
    // Where there is no log, or it cannot be read, opening it says so.
    let Ok(found) = inspect(data.path(), |_| ControlFlow::Continue(())) else { return Ok(()) };
    if found.verdict() != Verdict::Corrupt {
        return Ok(());
    }
    let Some(plan) = Plan::new(&found, &Base::all(data.path(), &found)?) else { return Ok(()) };
    for finding in &found.findings {
        error!(
            file = %finding.path.display(),
            offset = finding.offset,
            bytes = finding.bytes,
            first_lsn = finding.first_lsn,
            last_lsn = finding.last_lsn,
            what = finding.what,
            "the log is damaged"
        );
    }
    if plan.empties {
        warn!(
            "nothing of the log would stay, so it is not cut, although wal.recovery is \"prefix\""
        );
        return Ok(());
    }
    let kept = plan.carry_out(data, clock)?;
    let kept: Vec<String> = kept.iter().map(|path| path.display().to_string()).collect();
    error!(
        keeps_up_to_lsn = plan.keeps,
        goes_on_behind_lsn = plan.last,
        records_lost_at_least = found.last_lsn.saturating_sub(plan.keeps),
        of_these_readable = found.readable_behind,
        kept_in = kept.join(", "),
        stands_for_it = plan.base.map(|base| base.begin),
        "a damaged log was mended, because wal.recovery is \"prefix\": it is cut at its first damage, \
         or begins behind it where a snapshot stands for that; what was taken out is kept"
    );
    Ok(())
}
