use super::bench::*;
use crate::supervise::*;
use std::time::Duration;

fn cause(end: TreeEnd) -> (String, Exit) {
    match end {
        TreeEnd::Failed { culprit, cause } => (culprit.to_string(), cause),
        TreeEnd::Stopped => panic!("it failed"),
    }
}

#[tokio::test(start_paused = true)]
async fn too_many_crashes_escalate_to_the_root_which_names_the_culprit() {
    let journal = Journal::default();
    let (wal, wal_spec) = puppet("wal", &journal);
    let (shard, shard_spec) = puppet("shard-0", &journal);
    let cache = SupervisorSpec::new("cache", Strategy::OneForOne).child(shard_spec);
    let tree = start(root().child(wal_spec).child(ChildSpec::supervisor(cache))).await;
    let crasher = shard.clone();
    tokio::spawn(async move {
        // Until it is gone: four crashes for each of the subtree's two lives.
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        while crasher.cast_by(Msg::Panic, deadline).await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
    let (culprit, why) = cause(tree.ended().await);
    assert_eq!(culprit, "cache/shard-0");
    assert_eq!(why, Exit::Panic("told to panic".to_owned()));
    assert!(wal.is_gone() && shard.is_gone());
    let log = journal.take();
    assert_eq!(log.iter().filter(|line| line.ends_with("init")).count(), 1 + 4 + 4);
    assert_eq!(log.last().unwrap(), "wal 1 dropped", "stopped in good order");
    assert!(log.contains(&"wal 1 stopped".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_subtree_that_degrades_is_left_down_and_the_daemon_goes_on() {
    let journal = Journal::default();
    let (cache, cache_spec) = puppet("cache", &journal);
    let (link, link_spec) =
        with_habit("link", &journal, Habit::Good, Restart { intensity: 0, ..quick() });
    let links = SupervisorSpec {
        restart: Restart { intensity: 0, ..quick() },
        gives_up: GivesUp::Degrade,
        ..SupervisorSpec::new("links", Strategy::OneForOne).child(link_spec)
    };
    let tree = start(root().child(cache_spec).child(ChildSpec::supervisor(links))).await;
    assert!(tree.degraded().is_empty());
    let mut events = tree.subscribe();
    tell(&link, Msg::Panic);
    let event = until(&mut events, Lifecycle::Degraded).await;
    assert_eq!(&*event.path, "links");
    assert!(
        matches!(event.reason, Some(Exit::GaveUp { ref culprit, .. }) if &**culprit == "links/link")
    );
    let degraded: Vec<_> = tree.degraded().iter().map(|r| r.path.to_string()).collect();
    assert_eq!(degraded, ["links"]);
    assert_eq!(which(&cache).await, Ok(1));
    assert_eq!(which(&link).await, Err(CallError::NotExecuted(NotExecuted::Gone)));
    assert_eq!(tree.shutdown().await.end, TreeEnd::Stopped);
}

#[tokio::test(start_paused = true)]
async fn every_way_to_fail_a_start_is_an_exit() {
    let failures = [
        (Habit::FailsToStart, Exit::StartFailed("no start".to_owned())),
        (Habit::PanicsInMake, Exit::StartFailed("panic: panic in make".to_owned())),
        (Habit::PanicsInInit, Exit::StartFailed("panic: panic in init".to_owned())),
        (Habit::HangsInInit, Exit::StartFailed("timed out".to_owned())),
        (Habit::PanicsInStarted, Exit::Panic("panic in started".to_owned())),
    ];
    for (habit, exit) in failures {
        let journal = Journal::default();
        let restart = Restart { intensity: 1, ..quick() };
        let (handle, spec) = with_habit("one", &journal, habit, restart);
        let (bystander, bystander_spec) = puppet("two", &journal);
        let started =
            Tree::start(root().child(spec).child(bystander_spec), TreeOptions::default()).await;
        // Whether the root gives up while or after the tree counts as started.
        let end = match started {
            Ok(tree) => tree.ended().await,
            Err(StartError::Ended(end)) => end,
            Err(other) => panic!("{other}"),
        };
        assert_eq!(cause(end), ("one".to_owned(), exit));
        assert!(handle.is_gone() && bystander.is_gone());
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_that_takes_too_long_is_undone() {
    let journal = Journal::default();
    let (one, one_spec) = puppet("one", &journal);
    let (_two, two_spec) = with_habit("two", &journal, Habit::HangsInInit, quick());
    let options = TreeOptions { start_within: MS * 100, ..TreeOptions::default() };
    let started = Tree::start(root().child(one_spec).child(two_spec), options).await;
    assert_eq!(started.err(), Some(StartError::TimedOut { pending: vec!["two".to_owned()] }));
    assert!(one.is_gone());
    assert!(journal.take().contains(&"one 1 stopped".to_owned()));
}

#[tokio::test]
async fn names_that_make_no_path_are_refused() {
    let journal = Journal::default();
    let spec = |name: &str| puppet(name, &journal).1;
    let refused = |spec| async { Tree::start(spec, TreeOptions::default()).await.err() };
    let path = |path: &str| path.to_owned();
    let twice = root().child(spec("a")).child(spec("a"));
    assert_eq!(refused(twice).await, Some(SpecError::DuplicateId { path: path("a") }.into()));
    let like_root = root().child(spec("root"));
    assert_eq!(
        refused(like_root).await,
        Some(SpecError::DuplicateId { path: path("root") }.into())
    );
    let inner = SupervisorSpec::new("in", Strategy::OneForOne).child(spec("a/b"));
    let nested = root().child(ChildSpec::supervisor(inner));
    assert_eq!(refused(nested).await, Some(SpecError::BadId { path: path("in/a/b") }.into()));
}

#[tokio::test(start_paused = true)]
async fn a_drill_that_cannot_be_is_refused_with_the_reason() {
    let journal = Journal::default();
    let (_, spec) = puppet("shard-0", &journal);
    let cache = SupervisorSpec::new("cache", Strategy::OneForOne).child(spec);
    let tree = start(root().child(ChildSpec::supervisor(cache))).await;
    let unknown = tree.drill("cache/shard-9", Drill::Kill).unwrap_err();
    assert!(unknown.to_string().ends_with("there are: cache, cache/shard-0"), "{unknown}");
    assert_eq!(tree.drill("root", Drill::Kill), Err(DrillError::Root));
    let hang = tree.drill("cache", Drill::Hang);
    assert_eq!(hang, Err(DrillError::SupervisorHang { path: "cache".to_owned() }));
    tree.shutdown().await;
    let late = tree.drill("cache/shard-0", Drill::Panic);
    assert!(matches!(late, Err(DrillError::NotRunning { .. })), "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn a_condition_is_shown_with_the_part_it_is_about_until_it_ends() {
    let journal = Journal::default();
    let (_, spec) = puppet("link", &journal);
    let conditions = Conditions::new();
    let options = TreeOptions { conditions: conditions.clone(), ..TreeOptions::default() };
    let tree = Tree::start(root().child(spec), options).await.unwrap();
    let (link, other) = (conditions.declare("link", "unreachable"), conditions.declare("x", "y"));
    link.set("connection refused");
    other.set("of no actor");
    let picture = tree.snapshot().render();
    assert!(picture.ends_with("mailbox 0  unreachable: connection refused"), "{picture}");
    let reasons: Vec<_> = tree.degraded().iter().map(ToString::to_string).collect();
    assert_eq!(reasons, ["link: connection refused", "x: of no actor"]);
    link.clear();
    drop(other);
    assert!(tree.degraded().is_empty() && tree.snapshot().root.children[0].conditions.is_empty());
}
