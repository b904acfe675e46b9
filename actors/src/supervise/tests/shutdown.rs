use super::bench::*;
use crate::supervise::*;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn stops_in_reverse_order_through_the_levels() {
    let journal = Journal::default();
    let (a, a_spec) = puppet("a", &journal);
    let (_b, b_spec) = puppet("b", &journal);
    let (_c, c_spec) = puppet("c", &journal);
    let (_d, d_spec) = puppet("d", &journal);
    let inner = SupervisorSpec::new("in", Strategy::OneForOne).child(b_spec).child(c_spec);
    let tree = start(root().child(a_spec).child(ChildSpec::supervisor(inner)).child(d_spec)).await;
    journal.take();
    let report = tree.shutdown().await;
    let order: Vec<_> = report.stopped.iter().map(|stop| stop.path.to_string()).collect();
    assert_eq!(order, ["d", "in/c", "in/b", "in", "a", "root"]);
    assert!(report.stopped.iter().all(|stop| stop.how == StopHow::Orderly));
    let stopped: Vec<_> =
        journal.take().into_iter().filter(|line| line.ends_with("stopped")).collect();
    assert_eq!(stopped, ["d 1 stopped", "c 1 stopped", "b 1 stopped", "a 1 stopped"]);
    assert_eq!(report.end, TreeEnd::Stopped);
    assert!(a.is_gone());
    assert_eq!(tree.shutdown().await.end, TreeEnd::Stopped, "a second one finds it ended");
}

#[tokio::test(start_paused = true)]
async fn who_does_not_stop_within_its_grace_is_killed() {
    let journal = Journal::default();
    let (_a, a_spec) = puppet("a", &journal);
    let (_b, b_spec) = with_habit("b", &journal, Habit::HangsInStopped, quick());
    let (c, c_spec) = puppet("c", &journal);
    let grace = Duration::from_secs(2);
    let tree = start(root().child(a_spec).child(b_spec.grace(grace)).child(c_spec.grace(grace)));
    let tree = tree.await;
    tell(&c, Msg::Hang);
    let report = tree.shutdown().await;
    let how: Vec<_> = report.stopped.iter().map(|stop| stop.how).collect();
    assert_eq!(how, [StopHow::Killed, StopHow::Killed, StopHow::Orderly, StopHow::Orderly]);
    assert!(report.took >= grace * 2 && report.took < grace * 3, "{:?}", report.took);
    assert_eq!(report.end, TreeEnd::Stopped);
}

/// Code that blocks its thread cannot be killed. Real time: a paused clock would run ahead of
/// the blocked thread.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn code_that_blocks_is_reported_as_unkillable_and_not_restarted_beside_itself() {
    let journal = Journal::default();
    let (_a, a_spec) = puppet("a", &journal);
    let (b, b_spec) = puppet("b", &journal);
    let tree = start(root().child(a_spec).child(b_spec.grace(MS * 10))).await;
    tree.set_watchdog(MS * 50);
    tell(&b, Msg::Block(Duration::from_secs(3)));
    let end = tree.ended().await;
    assert_eq!(end, TreeEnd::Failed { culprit: "b".into(), cause: Exit::Unkillable });
    let log = journal.take();
    assert!(log.contains(&"a 1 stopped".to_owned()) && !log.contains(&"b 2 init".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn callers_that_wait_for_a_child_learn_at_once_that_the_tree_has_ended() {
    let journal = Journal::default();
    let (one, spec) = puppet("one", &journal);
    let tree = start(root().child(spec)).await;
    tell(&one, Msg::Panic);
    let waiting = tokio::spawn({
        let one = one.clone();
        async move {
            which(&one).await.ok();
            which(&one).await
        }
    });
    tokio::task::yield_now().await;
    tree.shutdown().await;
    let answer = waiting.await.unwrap();
    assert_eq!(answer, Err(CallError::NotExecuted(NotExecuted::Gone)));
}

#[tokio::test(start_paused = true)]
async fn who_is_to_stop_later_answers_until_then() {
    let journal = Journal::default();
    let (early, early_spec) = puppet("early", &journal);
    let (inner, inner_spec) = puppet("inner", &journal);
    let (_late, late_spec) = with_habit("late", &journal, Habit::HangsInStopped, quick());
    let subtree = SupervisorSpec::new("in", Strategy::OneForOne).child(inner_spec);
    let grace = Duration::from_secs(2);
    let spec = root().child(early_spec).child(ChildSpec::supervisor(subtree));
    let tree = start(spec.child(late_spec.grace(grace))).await;
    let (report, ()) = tokio::join!(tree.shutdown(), async {
        tokio::time::sleep(grace / 2).await;
        assert_eq!(which(&early).await, Ok(1));
        assert_eq!(which(&inner).await, Ok(1));
    });
    assert_eq!(report.end, TreeEnd::Stopped);
}
