//! Whether Redis' clock says the same as ours, or those of a Cluster's masters, as a condition of the
//! links.

use std::time::Duration;

use seawall_actors::redis::{Pool, ServerClock};
use seawall_actors::supervise::Condition;

/// The condition's name.
pub const CLOCKS_DIFFER: &str = "clocks_differ";

/// So much is told.
const TOLD_MS: u64 = 1000;

/// Keeps the condition for as long as it is polled.
pub async fn follow(pool: Pool, condition: Condition) {
    let mut comparisons = pool.comparisons();
    loop {
        match reason(&pool.clocks()) {
            Some(reason) => condition.set(&reason),
            None => condition.clear(),
        }
        comparisons.next().await;
    }
}

/// Why the clocks are worth a word. The one that is farthest from ours comes first, and is named if it
/// is one of several.
fn reason(clocks: &[ServerClock]) -> Option<String> {
    let count = clocks.iter().filter(|clock| clock.skew.at_least_ms() >= TOLD_MS).count();
    let ServerClock { node, skew } = clocks.first().filter(|_| count > 0)?;
    let whose = node.as_ref().map_or_else(|| "Redis'".to_owned(), |node| format!("{node}'s"));
    let others = match count {
        1 => String::new(),
        count => format!(", and those of {count} masters differ in all"),
    };
    let (way, when) = match skew.ahead_ms > 0 {
        true => ("ahead of", "earlier"),
        false => ("behind", "later"),
    };
    let by = Duration::from_millis(skew.ahead_ms.unsigned_abs());
    let within = Duration::from_millis(skew.within_ms);
    Some(format!(
        "{whose} clock is {by:.1?} {way} this machine's (give or take {within:.0?}){others}: what is \
         written here with a time to live expires that much {when} there. Set all clocks by the same \
         source (NTP)"
    ))
}

#[cfg(test)]
mod tests {
    use seawall_actors::redis::{Node, Skew};

    use super::*;

    fn clock(port: Option<u16>, ahead_ms: i64, within_ms: u64) -> ServerClock {
        let node = port.map(|port| Node { host: "h".into(), port });
        ServerClock { node, skew: Skew { ahead_ms, within_ms } }
    }

    #[test]
    fn of_several_the_farthest_is_named_and_the_others_are_counted() {
        let [far, near, well] =
            [clock(Some(7), -9_000, 2), clock(Some(8), 2_000, 2), clock(Some(9), 1, 1)];
        assert_eq!(reason(&[]), None);
        assert_eq!(reason(std::slice::from_ref(&well)), None);
        let one = reason(&[far.clone(), well.clone()]).unwrap_or_default();
        assert!(one.starts_with("h:7's clock is 9.0s behind") && !one.contains("masters"), "{one}");
        let two = reason(&[far, near, well]).unwrap_or_default();
        assert!(two.contains("h:7's") && two.contains("2 masters"), "{two}");
    }

    #[test]
    fn a_difference_is_told_once_it_is_a_second_for_sure() {
        let reason = |ahead_ms, within_ms| reason(&[clock(None, ahead_ms, within_ms)]);
        assert_eq!(reason(900, 1), None);
        assert_eq!(reason(-5_000, 4_500), None, "it may be less");
        let ahead = reason(3_200, 2).unwrap_or_default();
        assert!(
            ahead.contains("Redis' clock is 3.2s ahead of") && ahead.contains("earlier there"),
            "{ahead}"
        );
        let behind = reason(-3_200, 2).unwrap_or_default();
        assert!(behind.contains("3.2s behind") && behind.contains("later there"), "{behind}");
    }
}
