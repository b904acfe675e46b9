use std::sync::Arc;

use super::*;

#[test]
fn labels_stand_at_their_discriminants() {
    for (i, family) in Family::ALL.into_iter().enumerate() {
        assert_eq!(family as usize, i);
    }
    for (i, reason) in Rejection::ALL.into_iter().enumerate() {
        assert_eq!(reason as usize, i);
    }
}

#[test]
fn a_round_counts_each_command_with_the_time_of_the_round() {
    let stats = Stats::new();
    let mut round = Round { bytes_in: 300, bytes_out: 50, ..Round::default() };
    (0..9).for_each(|_| round.command(Family::Read));
    round.command(Family::Write);
    assert_eq!(round.commands(), 10);
    stats.round(&round, Duration::from_micros(4));
    let s = stats.snapshot();
    assert_eq!((s.commands(), s.bytes_in, s.bytes_out), (10, 300, 50));
    let counts: Vec<_> =
        s.families().filter(|f| f.1 > 0).map(|f| (f.0, f.1, f.2.count())).collect();
    assert_eq!(counts, [(Family::Read, 9, 9), (Family::Write, 1, 1)]);
    assert_eq!(s.families().next().unwrap().2.quantile(1.0), Some(4_000));
}

#[test]
fn error_codes_a_client_can_choose_do_not_add_labels() {
    let stats = Stats::new();
    for code in ["ERR", "OOM", "OOM", "MADEUP1", "MADEUP2", ""] {
        stats.error(code);
    }
    let s = stats.snapshot();
    let counted: Vec<_> = s.errors().filter(|(_, n)| *n > 0).collect();
    assert_eq!(counted, [("ERR", 1), ("OOM", 2), (OTHER_CODE, 3)]);
    assert_eq!(s.errors_total(), 6);
}

#[test]
fn a_connection_counts_until_its_guard_goes() {
    let stats = Arc::new(Stats::new());
    let (one, two) = (stats.connected(), stats.connected());
    drop(one);
    assert_eq!((stats.snapshot().accepted, stats.snapshot().connected), (2, 1));
    drop(two);
    assert_eq!(stats.snapshot().connected, 0);
}

#[test]
fn reset_forgets_the_traffic_and_keeps_the_state() {
    let stats = Arc::new(Stats::new());
    let guard = stats.connected();
    let mut round = Round { bytes_in: 1, bytes_out: 1, ..Round::default() };
    round.command(Family::Server);
    stats.round(&round, Duration::from_secs(1));
    stats.error("ERR");
    stats.rejected(Rejection::MaxClients);
    stats.protocol_error();
    stats.reloaded(true);
    stats.reloaded(false);
    stats.actor_restarted();
    stats.escalated();
    stats.reset();
    let left = StatsSnapshot {
        connected: 1,
        reloads_ok: 1,
        reloads_failed: 1,
        actor_restarts: 1,
        escalations: 1,
        latency: Stats::new().snapshot().latency,
        ..StatsSnapshot::default()
    };
    assert_eq!(stats.snapshot(), left);
    drop(guard);
    assert_eq!(stats.snapshot().connected, 0, "a reset must not make the count wrap");
}

#[tokio::test]
async fn follows_the_tree_until_it_is_gone() {
    let stats = Stats::new();
    let (tell, events) = broadcast::channel(8);
    let event = |lifecycle| TreeEvent {
        path: "cache/shard-0".into(),
        lifecycle,
        reason: None,
        restarts: 0,
        next_in: None,
        down_for: None,
    };
    for lifecycle in [Lifecycle::Up, Lifecycle::Restarting, Lifecycle::Trial, Lifecycle::Escalated]
    {
        tell.send(event(lifecycle)).unwrap();
    }
    drop(tell);
    stats.follow(events).await;
    let s = stats.snapshot();
    assert_eq!((s.actor_restarts, s.escalations), (2, 1));
}
