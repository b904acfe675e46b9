//! When it is worth telling that writes do not get to Redis. Pure.

use std::time::Duration;

use super::gate::OutboxState;
use super::lag::Lag;
use crate::clock::UnixMs;

/// The condition's name.
pub const WAITING: &str = "writes_waiting";

/// A write that is younger is on its way.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Why writes wait, if they do for too long, or if nothing but a change in Redis ends it.
pub(super) fn reason(state: &OutboxState, lag: &Lag, now: UnixMs) -> Option<String> {
    let waits = Duration::from_millis(now.saturating_sub(lag.oldest_ms?));
    if waits < PATIENCE && !matches!(state, OutboxState::Refused(_)) {
        return None;
    }
    let why = match state {
        OutboxState::Refused(why) => format!("Redis refuses: {why}"),
        OutboxState::Waiting(why) => format!("Redis cannot be asked: {why}"),
        OutboxState::Reconciling(why) => format!("everything is compared: {why}"),
        OutboxState::Starting => "Redis has not been asked yet".to_owned(),
        OutboxState::InStep | OutboxState::CatchingUp => {
            "more is written than Redis or the way there takes".to_owned()
        }
    };
    let Lag { records, bytes, .. } = lag;
    let waits = match waits.as_secs() {
        0 => "less than a second".to_owned(),
        seconds => format!("{seconds} s"),
    };
    Some(format!(
        "{records} records ({bytes} bytes) wait in the log for Redis, the oldest for {waits}: {why}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lag(since: UnixMs) -> Lag {
        Lag { records: 3, bytes: 70, oldest_ms: Some(since) }
    }

    #[test]
    fn what_is_on_its_way_is_no_plight() {
        let away = OutboxState::Waiting("gone".into());
        assert_eq!(reason(&away, &Lag::default(), 99_000), None, "nothing waits");
        assert_eq!(reason(&away, &lag(95_000), 99_999), None);
        assert_eq!(reason(&OutboxState::InStep, &lag(95_000), 99_999), None);
    }

    #[test]
    fn what_waits_for_long_is() {
        let away = OutboxState::Waiting("no_link: gone".into());
        let due = "3 records (70 bytes) wait in the log for Redis, the oldest for 5 s: Redis cannot \
                   be asked: no_link: gone";
        assert_eq!(reason(&away, &lag(95_000), 100_000).as_deref(), Some(due));
        assert!(reason(&OutboxState::CatchingUp, &lag(95_000), 100_000).is_some());
    }

    #[test]
    fn a_refusal_is_told_at_once() {
        let full = OutboxState::Refused("OOM command not allowed".into());
        let told = reason(&full, &lag(99_999), 100_000).unwrap_or_default();
        let due = "the oldest for less than a second: Redis refuses: OOM command not allowed";
        assert!(told.ends_with(due), "{told}");
    }
}
