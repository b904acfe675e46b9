//! Whether Redis' clock says the same as ours, as a condition of the links.

use std::time::Duration;

use seawall_actors::redis::{Pool, Skew};
use seawall_actors::supervise::Condition;

/// The condition's name.
pub const CLOCKS_DIFFER: &str = "clocks_differ";

/// So much is told.
const TOLD_MS: u64 = 1000;

/// Keeps the condition for as long as it is polled.
pub async fn follow(pool: Pool, condition: Condition) {
    let mut measures = pool.skews();
    loop {
        match pool.skew().and_then(reason) {
            Some(reason) => condition.set(&reason),
            None => condition.clear(),
        }
        measures.next().await;
    }
}

/// Why the clocks are worth a word.
fn reason(skew: Skew) -> Option<String> {
    if skew.at_least_ms() < TOLD_MS {
        return None;
    }
    let (way, when) = match skew.ahead_ms > 0 {
        true => ("ahead of", "earlier"),
        false => ("behind", "later"),
    };
    let by = Duration::from_millis(skew.ahead_ms.unsigned_abs());
    let within = Duration::from_millis(skew.within_ms);
    Some(format!(
        "Redis' clock is {by:.1?} {way} this machine's (give or take {within:.0?}): what is written \
         here with a time to live expires that much {when} in Redis. Set both clocks by the same \
         source (NTP)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_told_once_it_is_a_second_for_sure() {
        let reason = |ahead_ms, within_ms| reason(Skew { ahead_ms, within_ms });
        assert_eq!(reason(900, 1), None);
        assert_eq!(reason(-5_000, 4_500), None, "it may be less");
        let ahead = reason(3_200, 2).unwrap_or_default();
        assert!(ahead.contains("3.2s ahead of") && ahead.contains("earlier in Redis"), "{ahead}");
        let behind = reason(-3_200, 2).unwrap_or_default();
        assert!(behind.contains("3.2s behind") && behind.contains("later in Redis"), "{behind}");
    }
}
