//! Whether Redis is within reach, as a condition of the links.

use std::time::Duration;

use seawall_actors::redis::{Pool, PoolState};
use seawall_actors::supervise::Condition;
use tokio::time::{Instant, timeout_at};

/// The condition's name.
pub const UNREACHABLE: &str = "unreachable";

/// Without a link for this long, one is not just about to come.
const PATIENCE: Duration = Duration::from_secs(1);

/// Keeps the condition for as long as it is polled: set once the breaker is open, or once no link
/// has been up for a second; cleared by the first link.
pub async fn follow(pool: Pool, condition: Condition) {
    let mut changes = pool.changes();
    let mut down_since = None;
    loop {
        let state = pool.state();
        if let PoolState::Up(_) = state {
            down_since = None;
            condition.clear();
            changes.next().await;
            continue;
        }
        let since = *down_since.get_or_insert_with(Instant::now);
        let held = matches!(state, PoolState::Open { .. });
        // A breaker that lets one try through has not closed for that.
        if held || condition.holds() || since.elapsed() >= PATIENCE {
            condition.set(&reason(held, pool.trouble().as_ref().map(|trouble| &*trouble.why)));
            changes.next().await;
        } else {
            let _ = timeout_at(since + PATIENCE, changes.next()).await;
        }
    }
}

fn reason(held: bool, why: Option<&str>) -> String {
    let breaker = if held { "; the breaker is open and lets one try at a time" } else { "" };
    let why = why.unwrap_or("no connection has come up yet");
    format!(
        "no link to Redis: {why}{breaker}. Reads are answered from memory as far as \
         redis.stale_if_error allows, writes wait in the log"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_says_what_happened_and_what_it_means() {
        let open = reason(true, Some("10.0.0.7:6379: Connection refused"));
        assert!(open.contains("10.0.0.7:6379: Connection refused; the breaker is open"), "{open}");
        let first = reason(false, None);
        assert!(first.contains("no connection has come up yet. Reads"), "{first}");
        assert!(!first.contains("breaker"), "{first}");
    }
}
