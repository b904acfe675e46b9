//! INFO's section about the Redis behind: links, breaker, and what they mean for the cache.

use std::fmt::Write as _;

use seawall_actors::cache::store::NearStats;
use seawall_actors::redis::{FailureKind, LinkStats, PoolState};

use super::one_line;
use super::report::Report;
use super::sections::lines;

pub(super) fn redis(r: &Report, out: &mut String) {
    let Some(tier) = &r.tier else {
        lines!(out, "redis_configured" => 0);
        return;
    };
    let (state, up, next_trial) = match tier.state {
        PoolState::Up(up) => ("up", up, 0),
        PoolState::Connecting => ("connecting", 0, 0),
        PoolState::Open { retry_in } => ("breaker_open", 0, retry_in.as_millis()),
    };
    let (stats, clock) = (&tier.stats, tier.clock.as_ref());
    let clock_of = clock.and_then(|clock| clock.node.as_ref());
    lines!(out,
        "redis_configured" => 1,
        "redis_in_use" => u8::from(tier.in_use),
        "redis_address" => tier.at,
        "redis_state" => state,
        "redis_next_trial_ms" => next_trial,
        "redis_last_trouble" => tier.trouble.as_ref().map_or_else(String::new, |t| one_line(&t.why)),
        "redis_last_trouble_ms_ago" => tier.trouble.as_ref().map_or(0, |t| t.at.elapsed().as_millis()),
        "redis_clock_ahead_ms" => clock.map_or(0, |clock| clock.skew.ahead_ms),
        "redis_clock_within_ms" => clock.map_or(0, |clock| clock.skew.within_ms),
        "redis_clock_of" => clock_of.map_or_else(String::new, ToString::to_string),
        "redis_links" => stats.links.len(),
        "redis_links_up" => up,
        "redis_commands" => stats.commands,
        "redis_retries" => stats.retries,
        "redis_failures" => stats.failures.iter().sum::<u64>(),
    );
    for (kind, n) in FailureKind::NAMES.iter().zip(stats.failures).filter(|(_, n)| *n > 0) {
        let _ = write!(out, "redis_failures_{kind}:{n}\r\n");
    }
    let near = |of: fn(&NearStats) -> u64| -> u64 {
        r.shards.iter().flatten().filter_map(|s| s.near.as_ref()).map(of).sum()
    };
    lines!(out,
        "redis_fills" => near(|n| n.fills),
        "redis_stale_served" => near(|n| n.stale),
        "redis_expired_served" => near(|n| n.expired),
        "redis_expired_kept" => near(|n| n.kept),
        "redis_expired_kept_bytes" => near(|n| n.kept_bytes),
        "redis_early_refreshes" => near(|n| n.early),
        "redis_invalidated" => near(|n| n.invalidated),
        "redis_gaps" => near(|n| n.gaps),
        "redis_pending_writes" => near(|n| n.pending),
    );
    let heard = &tier.tracker;
    lines!(out,
        "redis_tracking" => u8::from(heard.up && !heard.refused),
        "redis_announcements" => heard.announcements,
        "redis_announced_keys" => heard.keys,
        "redis_announced_flushes" => heard.flushes,
        "redis_tracker_gaps" => heard.gaps,
        "redis_announcement_overflows" => tier.overflows,
    );
    let heard = &tier.pubsub;
    lines!(out,
        "redis_pubsub" => u8::from(heard.on),
        "redis_pubsub_subscriptions" => heard.wanted,
        "redis_pubsub_confirmed" => heard.confirmed,
        "redis_pubsub_refused" => heard.refused,
        "redis_pubsub_messages" => heard.messages,
        "redis_pubsub_gaps" => heard.gaps,
        "redis_pubsub_unconfirmed" => heard.unconfirmed,
    );
    for link in &stats.links {
        let LinkStats { id, age, in_use, waits, waited, reconnects } = link;
        let _ = write!(
            out,
            "redis_link{id}:up={},age_ms={},in_use={in_use},waits={waits},wait_usec={},\
             reconnects={reconnects}\r\n",
            u8::from(age.is_some()),
            age.unwrap_or_default().as_millis(),
            waited.as_micros(),
        );
    }
}
