use std::sync::Arc;

use super::*;
use crate::resp::table::{Family, find};

fn command(name: &str) -> &'static Command {
    find(name.as_bytes()).unwrap()
}

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
    let mut round = Round::default();
    round.transferred(300, 50);
    (0..9).for_each(|_| round.command(command("get")));
    round.command(command("set"));
    round.command(command("mget"));
    stats.round(&mut round, Duration::from_micros(4));
    assert_eq!(round, Round::default(), "ready for the next");
    let s = stats.snapshot();
    assert_eq!((s.commands.calls(), s.bytes_in, s.bytes_out), (11, 300, 50));
    let calls: Vec<_> = s.commands.iter().map(|c| (c.command.name, c.calls())).collect();
    assert_eq!(calls, [("get", 9), ("mget", 1), ("set", 1)]);
    let families: Vec<_> = s
        .commands
        .families()
        .filter(|(_, latency)| latency.count() > 0)
        .map(|(family, latency)| (family, latency.count(), latency.quantile(1.0)))
        .collect();
    assert_eq!(families, [(Family::Read, 10, Some(4_000)), (Family::Write, 1, Some(4_000))]);
}

#[test]
fn a_failed_call_is_a_call_and_a_refused_one_is_not() {
    let stats = Stats::new();
    let mut round = Round::default();
    round.command(command("incr"));
    stats.round(&mut round, Duration::from_micros(1));
    stats.failed(command("incr"), "ERR");
    stats.refused(Some(command("incr")), "NOAUTH");
    stats.refused(None, "ERR");
    let s = stats.snapshot();
    let incr = s.commands.get("incr").unwrap();
    assert_eq!((incr.calls(), incr.failed, incr.refused), (1, 1, 1));
    assert_eq!(s.errors_total(), 3);
    assert!(s.commands.get("get").is_none(), "what never ran is not shown");
}

#[test]
fn error_codes_a_client_can_choose_do_not_add_labels() {
    let stats = Stats::new();
    for code in ["ERR", "OOM", "OOM", "MADEUP1", "MADEUP2", ""] {
        stats.refused(None, code);
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
    let mut round = Round::default();
    round.transferred(1, 1);
    round.command(command("info"));
    stats.round(&mut round, Duration::from_secs(1));
    stats.failed(command("info"), "ERR");
    stats.rejected(Rejection::MaxClients);
    stats.protocol_error();
    stats.reloaded(true);
    stats.reloaded(false);
    stats.actor_restarted();
    stats.escalated();
    stats.reset();
    let left = stats.snapshot();
    assert_eq!((left.connected, left.reloads_ok, left.reloads_failed), (1, 1, 1));
    assert_eq!((left.actor_restarts, left.escalations), (1, 1));
    assert_eq!((left.accepted, left.bytes_in, left.bytes_out, left.protocol_errors), (0, 0, 0, 0));
    assert_eq!(
        (left.commands.iter().count(), left.errors_total(), left.rejected_total()),
        (0, 0, 0)
    );
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
