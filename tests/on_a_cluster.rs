//! The tests that know of one Redis behind the daemon, once more before a Cluster of three masters.
//!
//! A few of them run each time (none where tests have no threads of their own); all do with
//! `SEAWALL_CASES=whole`. Their text is the same: what they take for the tier and for the server is
//! another thing here.
//!
//! Not here are those that have no sense on a Cluster, or one of their own:
//!
//! | tests | why |
//! |---|---|
//! | `tier_faults`, `tier_writes_server` | what befalls a server; `tier_faults_cluster` has it for nodes |
//! | `tier_changes`, `tier_links`, `tier_shown`, `tier_passage_tls`, `tier_clocks` | settings, which are the same, and links one by one |
//! | `tier_moves` | it moves from one to the other |
//! | `tier_passage_keys` | what is behind does not matter |
//! | `tier_passage_cluster`, `tier_pubsub`, `tier_topologies` | are about Clusters of their own |

#![allow(clippy::duplicate_mod, reason = "the same text before something else")]

mod support {
    pub use crate::support::*;

    pub mod redis {
        pub use crate::support::redis::behind;
        pub use crate::support::redis::cluster::Cluster as RedisServer;
    }

    pub mod tier {
        pub use crate::support::tier::*;

        pub type Tier = Tiered<super::redis::RedisServer>;
    }
}

#[path = "tier_bounds.rs"]
mod tier_bounds;
#[path = "tier_coherence.rs"]
mod tier_coherence;
#[path = "tier_freshness.rs"]
mod tier_freshness;
#[path = "tier_live.rs"]
mod tier_live;
#[path = "tier_passage.rs"]
mod tier_passage;
#[path = "tier_passage_crowds.rs"]
mod tier_passage_crowds;
#[path = "tier_passage_pipelines.rs"]
mod tier_passage_pipelines;
#[path = "tier_passage_users.rs"]
mod tier_passage_users;
#[path = "tier_reads.rs"]
mod tier_reads;
#[path = "tier_restarts.rs"]
mod tier_restarts;
#[path = "tier_rights.rs"]
mod tier_rights;
#[path = "tier_tracking.rs"]
mod tier_tracking;
#[path = "tier_writes.rs"]
mod tier_writes;
#[path = "tier_writes_faults.rs"]
mod tier_writes_faults;

/// Those that run each time.
const ALWAYS: [&str; 10] = [
    "commands_of_every_kind_see_what_redis_holds",
    "while_redis_hangs_memory_answers_and_nothing_waits_longer_than_it_may",
    "whatever_command_others_change_a_key_by_is_seen",
    "a_tracker_that_is_cut_off_doubts_what_it_missed",
    "every_kind_of_write_gets_to_redis",
    "an_outage_with_a_crash_in_it_loses_nothing_and_brings_nothing_back",
    "through_waits_for_redis_and_not_for_one_that_is_away",
    "replies_are_those_of_redis_in_resp3",
    "a_pipeline_that_is_cut_keeps_its_order_and_does_nothing_twice",
    "two_seawalls_in_trouble_show_nothing_that_they_may_not_and_agree_when_it_is_over",
];

/// Whether the test that asks is to run.
pub fn wanted() -> bool {
    let thread = std::thread::current();
    let name = thread.name().and_then(|name| name.rsplit("::").next()).unwrap_or_default();
    let wanted = ALWAYS.contains(&name) || support::whole();
    if !wanted {
        println!("LEFT OUT: it runs with SEAWALL_CASES=whole");
    }
    wanted
}
