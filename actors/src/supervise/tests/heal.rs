use super::bench::*;
use crate::policy::{BreakerOptions, BreakerSettings};
use crate::supervise::*;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn heals_after_a_panic_an_error_and_a_kill_and_says_why() {
    let journal = Journal::default();
    let (handle, spec) = puppet("one", &journal);
    let tree = start(root().child(spec)).await;
    let mut events = tree.subscribe();
    assert_eq!(which(&handle).await, Ok(1));
    tell(&handle, Msg::Panic);
    let reason = until(&mut events, Lifecycle::Restarting).await.reason;
    assert_eq!(reason, Some(Exit::Panic("told to panic".to_owned())));
    assert_eq!(which(&handle).await, Ok(2));
    tell(&handle, Msg::Fail);
    let reason = until(&mut events, Lifecycle::Restarting).await.reason;
    assert_eq!(reason, Some(Exit::Error("told to fail".to_owned())));
    assert_eq!(which(&handle).await, Ok(3));
    tree.drill("one", Drill::Kill).unwrap();
    let event = until(&mut events, Lifecycle::Restarting).await;
    assert_eq!((event.reason, &*event.path), (Some(Exit::Killed), "one"));
    assert_eq!(which(&handle).await, Ok(4));
    assert_eq!(tree.snapshot().find("one").unwrap().restarts, 3);
}

#[tokio::test(start_paused = true)]
async fn every_drill_heals() {
    let journal = Journal::default();
    let (handle, spec) = puppet("one", &journal);
    let tree = start(root().child(spec)).await;
    let mut events = tree.subscribe();
    let drills = [
        (Drill::Panic, Exit::Panic("drill: panic".to_owned())),
        (Drill::Error, Exit::Error("drill: error".to_owned())),
        (Drill::Hang, Exit::Hung),
    ];
    for (incarnation, (drill, exit)) in (2..).zip(drills) {
        tree.drill("one", drill).unwrap();
        assert_eq!(until(&mut events, Lifecycle::Restarting).await.reason, Some(exit));
        assert_eq!(which(&handle).await, Ok(incarnation));
    }
    assert_eq!(tree.snapshot().find("one").unwrap().mailbox, Some(0));
}

#[tokio::test(start_paused = true)]
async fn a_successor_starts_after_its_predecessors_state_is_dropped() {
    let journal = Journal::default();
    let (handle, spec) = puppet("one", &journal);
    let tree = start(root().child(spec)).await;
    tell(&handle, Msg::Panic);
    which(&handle).await.ok();
    which(&handle).await.unwrap();
    tree.drill("one", Drill::Kill).unwrap();
    let mut events = tree.subscribe();
    until(&mut events, Lifecycle::Up).await;
    let order = ["one 1 init", "one 1 dropped", "one 2 init", "one 2 dropped", "one 3 init"];
    assert_eq!(journal.take(), order);
}

#[tokio::test(start_paused = true)]
async fn a_hang_is_found_and_long_work_with_progress_is_not_one() {
    let journal = Journal::default();
    let (handle, spec) = puppet("one", &journal);
    let tree = start(root().child(spec)).await;
    tree.set_watchdog(Duration::from_secs(2));
    let mut events = tree.subscribe();
    tell(&handle, Msg::Work(Duration::from_secs(10)));
    assert_eq!(which(&handle).await, Ok(1));
    tell(&handle, Msg::Hang);
    let began = tokio::time::Instant::now();
    assert_eq!(until(&mut events, Lifecycle::Restarting).await.reason, Some(Exit::Hung));
    assert!(began.elapsed() <= Duration::from_secs(4), "{:?}", began.elapsed());
    assert_eq!(which(&handle).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn tells_not_executed_from_unknown() {
    let journal = Journal::default();
    let (handle, spec) = puppet("one", &journal);
    let down = handle.call(MS, Msg::Which).await;
    assert_eq!(down, Err(CallError::NotExecuted(NotExecuted::Down)));
    let tree = start(root().child(spec)).await;
    tell(&handle, Msg::Panic);
    // In the mailbox behind the panic: nobody can say.
    assert_eq!(which(&handle).await, Err(CallError::Unknown(Unknown::Died)));
    assert_eq!(which(&handle).await, Ok(2));
    tell(&handle, Msg::Hang);
    let late = handle.call(MS, Msg::Which).await;
    assert_eq!(late, Err(CallError::Unknown(Unknown::Deadline)));
    tree.shutdown().await;
    let gone = handle.call(MS, Msg::Which).await;
    assert_eq!(gone, Err(CallError::NotExecuted(NotExecuted::Gone)));
}

#[tokio::test(start_paused = true)]
async fn a_reason_given_by_the_actor_is_not_taken_for_a_kill() {
    let journal = Journal::default();
    let restart = Restart { when: When::Transient, ..quick() };
    let (handle, spec) = with_habit("one", &journal, Habit::Good, restart);
    let tree = start(root().child(spec)).await;
    let mut events = tree.subscribe();
    tell(&handle, Msg::StopYourself);
    assert_eq!(until(&mut events, Lifecycle::Finished).await.reason, Some(Exit::Normal));
    assert!(handle.is_gone());
    assert_eq!(journal.take(), ["one 1 init", "one 1 stopped", "one 1 dropped"]);
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_answers_callers_at_once_and_lets_them_in_after_a_good_trial() {
    let journal = Journal::default();
    let options = BreakerOptions { minimum_calls: 2, ..BreakerOptions::default() };
    let hold = Some(BreakerSettings::try_new(options).unwrap());
    let (handle, spec) = with_habit(
        "link",
        &journal,
        Habit::Good,
        Restart { hold: hold.map(Into::into), ..quick() },
    );
    let tree = start(root().child(spec)).await;
    let mut events = tree.subscribe();
    for _ in 0..2 {
        handle.cast_by(Msg::Panic, tokio::time::Instant::now() + MS * 100).await.ok();
        while !matches!(
            events.recv().await.unwrap().lifecycle,
            Lifecycle::Restarting | Lifecycle::Held
        ) {}
    }
    let began = tokio::time::Instant::now();
    let refused = which(&handle).await;
    assert!(
        matches!(refused, Err(CallError::NotExecuted(NotExecuted::BreakerOpen { retry_in }))
            if retry_in > Duration::from_secs(4) && retry_in <= Duration::from_secs(5)),
        "{refused:?}"
    );
    assert!(began.elapsed() < MS);
    let line = tree.snapshot().render();
    assert!(line.contains("held") && line.contains("breaker open"), "{line}");
    until(&mut events, Lifecycle::Trial).await;
    until(&mut events, Lifecycle::Up).await;
    assert_eq!(which(&handle).await, Ok(3));
    until(&mut events, Lifecycle::Recovered).await;
    assert_eq!(tree.snapshot().find("link").unwrap().breaker, Some("closed"));
}

#[tokio::test(start_paused = true)]
async fn rest_for_one_takes_the_later_ones_along() {
    let journal = Journal::default();
    let (_a, a_spec) = puppet("a", &journal);
    let (b, b_spec) = puppet("b", &journal);
    let (c, c_spec) = puppet("c", &journal);
    let spec = SupervisorSpec::new("root", Strategy::RestForOne);
    let tree = start(spec.child(a_spec).child(b_spec).child(c_spec)).await;
    journal.take();
    let mut events = tree.subscribe();
    tell(&b, Msg::Panic);
    until(&mut events, Lifecycle::Up).await;
    assert_eq!(which(&c).await, Ok(2));
    let order = ["b 1 dropped", "c 1 stopped", "c 1 dropped", "b 2 init", "c 2 init"];
    assert_eq!(journal.take(), order);
}

#[tokio::test(start_paused = true)]
async fn children_of_a_killed_supervisor_are_gone_before_it_restarts() {
    for drill in [Drill::Kill, Drill::Panic, Drill::Error] {
        let journal = Journal::default();
        let (a, a_spec) = puppet("a", &journal);
        let (b, b_spec) = puppet("b", &journal);
        let cache = SupervisorSpec::new("cache", Strategy::OneForOne).child(a_spec).child(b_spec);
        let tree = start(root().child(ChildSpec::supervisor(cache))).await;
        assert_eq!(which(&a).await, Ok(1));
        let mut events = tree.subscribe();
        tree.drill("cache", drill).unwrap();
        until(&mut events, Lifecycle::Restarting).await;
        assert!(!a.is_up() && !b.is_up());
        assert_eq!((which(&a).await, which(&b).await), (Ok(2), Ok(2)));
        let mut log = journal.take();
        log[2..4].sort();
        let order = ["a 1 init", "b 1 init", "a 1 dropped", "b 1 dropped", "a 2 init", "b 2 init"];
        assert_eq!(log, order, "{drill:?}");
        assert_eq!(tree.snapshot().find("cache/a").unwrap().restarts, 1);
    }
}

/// Real time: the drop blocks a thread, far longer than the delay before the restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_waits_for_states_that_take_long_to_drop() {
    let journal = Journal::default();
    let (a, a_spec) = with_habit("a", &journal, Habit::DropsSlowly, quick());
    let cache = SupervisorSpec::new("cache", Strategy::OneForOne).child(a_spec);
    let cache = SupervisorSpec { restart: quick(), ..cache };
    let tree = start(root().child(ChildSpec::supervisor(cache))).await;
    tell(&a, Msg::Panic);
    while which(&a).await != Ok(2) {}
    tree.drill("cache", Drill::Kill).unwrap();
    while which(&a).await != Ok(3) {}
    let order = ["a 1 init", "a 1 dropped", "a 2 init", "a 2 dropped", "a 3 init"];
    assert_eq!(journal.take(), order);
}
