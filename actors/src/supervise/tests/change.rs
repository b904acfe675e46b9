//! Children that are added to a tree that runs, and removed.

use super::bench::*;
use crate::policy::{BreakerOptions, BreakerSettings};
use crate::supervise::*;
use std::time::Duration;

async fn links(children: Vec<ChildSpec>) -> Tree {
    let links = SupervisorSpec { children, ..SupervisorSpec::new("links", Strategy::OneForOne) };
    start(root().child(ChildSpec::supervisor(links))).await
}

fn paths(tree: &Tree) -> Vec<String> {
    let mut lines = tree.snapshot().lines();
    lines.iter_mut().for_each(|line| {
        *line = line
            .split_whitespace()
            .find(|word| word.chars().all(char::is_alphanumeric))
            .unwrap_or_default()
            .to_owned();
    });
    lines
}

#[tokio::test(start_paused = true)]
async fn an_added_child_runs_heals_and_belongs_to_the_tree() {
    let journal = Journal::default();
    let (a, a_spec) = puppet("a", &journal);
    let (b, b_spec) = puppet("b", &journal);
    let tree = links(vec![a_spec]).await;
    let mut events = tree.subscribe();
    assert_eq!(tree.add("links", b_spec).await, Ok(Added::Up));
    let event = until(&mut events, Lifecycle::Added).await;
    assert_eq!(&*event.path, "links/b");
    assert_eq!(which(&b).await, Ok(1));
    tell(&b, Msg::Panic);
    which(&b).await.ok();
    assert_eq!(which(&b).await, Ok(2));
    assert_eq!(tree.snapshot().find("links/b").unwrap().restarts, 1);
    tree.drill("links/b", Drill::Kill).unwrap();
    assert_eq!(paths(&tree), ["root", "links", "a", "b"]);
    let report = tree.shutdown().await;
    let order: Vec<_> = report.stopped.iter().map(|stop| stop.path.to_string()).collect();
    assert!(order.ends_with(&["links/a".to_owned(), "links".to_owned(), "root".to_owned()]));
    assert!(a.is_gone() && b.is_gone());
}

#[tokio::test(start_paused = true)]
async fn a_child_of_the_root_and_a_whole_subtree_can_be_added_and_removed() {
    let journal = Journal::default();
    let (a, a_spec) = puppet("a", &journal);
    let (b, b_spec) = puppet("b", &journal);
    let (c, c_spec) = puppet("c", &journal);
    let tree = start(root()).await;
    let links = SupervisorSpec::new("links", Strategy::OneForOne).child(a_spec);
    assert_eq!(tree.add("root", ChildSpec::supervisor(links)).await, Ok(Added::Up));
    assert_eq!(tree.add("/links/", b_spec).await, Ok(Added::Up));
    assert_eq!(tree.add("root", c_spec).await, Ok(Added::Up));
    assert_eq!(paths(&tree), ["root", "links", "a", "b", "c"]);
    assert_eq!(which(&b).await, Ok(1));
    journal.take();
    assert_eq!(tree.remove("links").await, Ok(StopHow::Orderly));
    assert!(a.is_gone() && b.is_gone());
    assert_eq!(which(&c).await, Ok(1));
    assert_eq!(journal.take(), ["b 1 stopped", "b 1 dropped", "a 1 stopped", "a 1 dropped"]);
    assert_eq!(paths(&tree), ["root", "c"]);
    assert!(matches!(tree.drill("links/a", Drill::Kill), Err(DrillError::UnknownPath { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_removed_child_is_gone_and_its_name_is_free() {
    let journal = Journal::default();
    let (a, a_spec) = puppet("a", &journal);
    let (b, b_spec) = puppet("b", &journal);
    let tree = links(vec![a_spec, b_spec]).await;
    let mut events = tree.subscribe();
    assert_eq!(tree.remove("links/a").await, Ok(StopHow::Orderly));
    let event = until(&mut events, Lifecycle::Removed).await;
    assert_eq!((&*event.path, event.reason), ("links/a", Some(Exit::Shutdown)));
    assert_eq!(which(&a).await, Err(CallError::NotExecuted(NotExecuted::Gone)));
    assert_eq!(paths(&tree), ["root", "links", "b"]);
    let again = tree.remove("links/a").await;
    assert_eq!(again, Err(RemoveError::Unknown { path: "links/a".to_owned() }));
    let (a, a_spec) = puppet("a", &journal);
    assert_eq!(tree.add("links", a_spec).await, Ok(Added::Up));
    assert_eq!((which(&a).await, which(&b).await), (Ok(1), Ok(1)));
    assert_eq!(paths(&tree), ["root", "links", "b", "a"]);
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_that_restarts_starts_the_children_it_has_now() {
    for drill in [Drill::Kill, Drill::Panic, Drill::Error] {
        let journal = Journal::default();
        let (a, a_spec) = puppet("a", &journal);
        let (b, b_spec) = puppet("b", &journal);
        let (c, c_spec) = puppet("c", &journal);
        let tree = links(vec![a_spec, b_spec]).await;
        tree.add("links", c_spec).await.unwrap();
        tree.remove("links/a").await.unwrap();
        let mut events = tree.subscribe();
        tree.drill("links", drill).unwrap();
        until(&mut events, Lifecycle::Restarting).await;
        assert_eq!((which(&b).await, which(&c).await), (Ok(2), Ok(2)), "{drill:?}");
        assert!(a.is_gone());
        assert_eq!(paths(&tree), ["root", "links", "b", "c"]);
        let (d, d_spec) = puppet("d", &journal);
        assert_eq!(tree.add("links", d_spec).await, Ok(Added::Up));
        assert_eq!(which(&d).await, Ok(1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_child_whose_supervisor_dies_while_it_is_removed_does_not_come_back() {
    let journal = Journal::default();
    let (a, a_spec) = with_habit("a", &journal, Habit::HangsInStopped, quick());
    let (b, b_spec) = puppet("b", &journal);
    let tree = links(vec![a_spec, b_spec]).await;
    let mut events = tree.subscribe();
    let (removed, ()) = tokio::join!(tree.remove("links/a"), async {
        until(&mut events, Lifecycle::Stopping).await;
        let twice = tree.remove("links/a").await;
        assert_eq!(twice, Err(RemoveError::Leaving { path: "links/a".to_owned() }));
        tree.drill("links", Drill::Kill).unwrap();
    });
    assert_eq!(removed, Err(RemoveError::Orphaned { path: "links/a".to_owned() }));
    assert_eq!(&*until(&mut events, Lifecycle::Removed).await.path, "links/a");
    assert_eq!(which(&b).await, Ok(2));
    assert!(a.is_gone());
    assert_eq!(paths(&tree), ["root", "links", "b"]);
    assert!(!journal.take().contains(&"a 2 init".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn changes_wait_for_a_supervisor_that_is_being_restarted() {
    let journal = Journal::default();
    let (a, a_spec) = puppet("a", &journal);
    let (b, b_spec) = puppet("b", &journal);
    let tree = links(vec![a_spec]).await;
    let mut events = tree.subscribe();
    tree.drill("links", Drill::Kill).unwrap();
    until(&mut events, Lifecycle::Restarting).await;
    let (added, removed) = tokio::join!(tree.add("links", b_spec), tree.remove("links/a"));
    assert_eq!((added, removed), (Ok(Added::Up), Ok(StopHow::Orderly)));
    assert_eq!(which(&b).await, Ok(1));
    assert!(a.is_gone());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_added_is_refused_with_the_reason() {
    let journal = Journal::default();
    let spec = |name: &str| puppet(name, &journal).1;
    let path = |path: &str| path.to_owned();
    let tree = links(vec![spec("a")]).await;
    let add = |place: &'static str, spec| {
        let tree = tree.handle();
        async move { tree.add(place, spec).await.unwrap_err() }
    };
    assert_eq!(
        add("links", spec("a")).await,
        SpecError::DuplicateId { path: path("links/a") }.into()
    );
    assert_eq!(
        add("root", spec("root")).await,
        SpecError::DuplicateId { path: path("root") }.into()
    );
    assert_eq!(
        add("links", spec("b/c")).await,
        SpecError::BadId { path: path("links/b/c") }.into()
    );
    let inner = SupervisorSpec::new("in", Strategy::OneForOne).child(spec("x")).child(spec("x"));
    let twice = SpecError::DuplicateId { path: path("links/in/x") };
    assert_eq!(add("links", ChildSpec::supervisor(inner)).await, twice.into());
    assert_eq!(add("none", spec("b")).await, NoSupervisor::Unknown { path: path("none") }.into());
    let worker = NoSupervisor::Worker { path: path("links/a") };
    assert_eq!(add("links/a", spec("b")).await, worker.into());
    assert_eq!(tree.remove("root").await, Err(RemoveError::Root));
    let unknown = tree.remove("none/a").await;
    assert_eq!(unknown, Err(NoSupervisor::Unknown { path: path("none") }.into()));
    assert_eq!(paths(&tree), ["root", "links", "a"]);
    tree.shutdown().await;
    let late = NoSupervisor::NotRunning { path: path("links"), state: ChildState::Stopped };
    assert_eq!(add("links", spec("b")).await, late.clone().into());
    assert_eq!(tree.remove("links/a").await, Err(late.into()));
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_has_a_bounded_number_of_children() {
    let journal = Journal::default();
    let spec = |at: usize| puppet(&format!("c{at}"), &journal).1;
    let tree = links((0..MAX_CHILDREN).map(spec).collect()).await;
    let one_more = tree.add("links", spec(MAX_CHILDREN)).await;
    let path = format!("links/c{MAX_CHILDREN}");
    assert_eq!(one_more, Err(SpecError::TooMany { path: path.clone() }.into()));
    let started = Tree::start(
        SupervisorSpec { children: (0..=MAX_CHILDREN).map(spec).collect(), ..root() },
        TreeOptions::default(),
    );
    let path = path.trim_start_matches("links/").to_owned();
    assert_eq!(started.await.err(), Some(SpecError::TooMany { path }.into()));
}

#[tokio::test(start_paused = true)]
async fn a_child_that_fails_its_first_start_stays_and_can_be_removed_while_it_waits() {
    let journal = Journal::default();
    let restart = Restart { intensity: 100, ..quick() };
    let (a, a_spec) = with_habit("a", &journal, Habit::FailsToStart, restart);
    let tree = links(vec![]).await;
    let failed = Exit::StartFailed("no start".to_owned());
    assert_eq!(tree.add("links", a_spec).await, Ok(Added::Failed(failed.clone())));
    assert_eq!(tree.snapshot().find("links/a").unwrap().last_exit, Some(failed));
    assert_eq!(tree.remove("links/a").await, Ok(StopHow::Orderly));
    assert!(a.is_gone());
    let before = journal.take().len();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((before, journal.take().len()), (2, 0), "its timer is void");
}

#[tokio::test(start_paused = true)]
async fn a_child_can_be_removed_while_it_starts() {
    let journal = Journal::default();
    let (a, a_spec) = with_habit("a", &journal, Habit::HangsInInit, quick());
    let tree = links(vec![]).await;
    let mut events = tree.subscribe();
    let (added, removed) = tokio::join!(tree.add("links", a_spec), async {
        until(&mut events, Lifecycle::Added).await;
        tree.remove("links/a").await
    });
    assert_eq!(removed, Ok(StopHow::Orderly));
    assert_eq!(added, Ok(Added::Failed(Exit::Shutdown)));
    assert!(a.is_gone());
    assert_eq!(paths(&tree), ["root", "links"]);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_is_held_or_degraded_is_removed_and_no_longer_counts() {
    let journal = Journal::default();
    let options = BreakerOptions { minimum_calls: 1, ..BreakerOptions::default() };
    let hold = Some(BreakerSettings::try_new(options).unwrap());
    let (a, a_spec) =
        with_habit("a", &journal, Habit::Good, Restart { hold: hold.map(Into::into), ..quick() });
    let (b, b_spec) = with_habit("b", &journal, Habit::Good, Restart { intensity: 0, ..quick() });
    let tree = links(vec![a_spec, b_spec.gives_up(GivesUp::Degrade)]).await;
    let mut events = tree.subscribe();
    tell(&a, Msg::Panic);
    until(&mut events, Lifecycle::Held).await;
    tell(&b, Msg::Panic);
    until(&mut events, Lifecycle::Degraded).await;
    assert_eq!(tree.degraded().len(), 1);
    assert_eq!(tree.remove("links/a").await, Ok(StopHow::Orderly));
    assert_eq!(tree.remove("links/b").await, Ok(StopHow::Orderly));
    assert!(a.is_gone() && b.is_gone() && tree.degraded().is_empty());
    assert_eq!(paths(&tree), ["root", "links"]);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_does_not_stop_within_its_grace_is_killed_and_gone() {
    let journal = Journal::default();
    let (a, a_spec) = with_habit("a", &journal, Habit::HangsInStopped, quick());
    let tree = links(vec![]).await;
    let grace = Duration::from_secs(2);
    tree.add("links", a_spec.grace(grace)).await.unwrap();
    let began = tokio::time::Instant::now();
    assert_eq!(tree.remove("links/a").await, Ok(StopHow::Killed));
    assert!(began.elapsed() >= grace && began.elapsed() < grace * 2, "{:?}", began.elapsed());
    assert!(a.is_gone());
    assert_eq!(paths(&tree), ["root", "links"]);
}

/// Real time: the thread is blocked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_that_cannot_be_killed_stays_in_the_tree_as_degraded() {
    let journal = Journal::default();
    let (a, a_spec) = puppet("a", &journal);
    let tree = links(vec![a_spec.grace(MS * 10).gives_up(GivesUp::Degrade)]).await;
    tell(&a, Msg::Block(Duration::from_secs(3)));
    let unkillable = Err(RemoveError::Unkillable { path: "links/a".to_owned() });
    assert_eq!(tree.remove("links/a").await, unkillable);
    assert_eq!(tree.snapshot().find("links/a").unwrap().state, ChildState::Degraded);
    assert_eq!(tree.remove("links/a").await, unkillable);
}

/// A supervisor's time to stop grows with the children it is given: with its own few seconds
/// alone, it would be killed before the last of them.
#[tokio::test(start_paused = true)]
async fn the_grace_of_a_supervisor_follows_its_children() {
    let journal = Journal::default();
    let tree = links(vec![]).await;
    let grace = Duration::from_secs(20);
    for name in ["a", "b", "c"] {
        let (_, spec) = with_habit(name, &journal, Habit::HangsInStopped, quick());
        tree.add("links", spec.grace(grace)).await.unwrap();
    }
    tree.remove("links/b").await.unwrap();
    let report = tree.shutdown().await;
    let how: Vec<_> = report.stopped.iter().map(|stop| (&*stop.path, stop.how)).collect();
    assert_eq!(
        how,
        [
            ("links/c", StopHow::Killed),
            ("links/a", StopHow::Killed),
            ("links", StopHow::Orderly),
            ("root", StopHow::Orderly),
        ]
    );
    assert!(report.took >= grace * 2 && report.took < grace * 3, "{:?}", report.took);
}

/// Whatever is asked for in whatever order by several at once, and whoever is killed meanwhile: in
/// the end there is what the answers say, and it works.
#[tokio::test(start_paused = true)]
async fn many_changes_at_once_with_crashes_in_between_leave_what_was_asked_for() {
    let journal = Journal::default();
    let (_a, a_spec) = puppet("a", &journal);
    let tree = links(vec![a_spec]).await;
    let changes = (0..8).map(|who| {
        let (tree, journal) = (tree.handle(), journal.clone());
        tokio::spawn(async move {
            let mut handle = None;
            for round in 0..20 {
                let name = format!("w{who}");
                let (worker, spec) = puppet(&name, &journal);
                match tree.add("links", spec).await {
                    Ok(_) => handle = Some(worker),
                    Err(AddError::Supervisor(NoSupervisor::NotRunning { .. })) => continue,
                    Err(other) => panic!("{other}"),
                }
                if round == 19 {
                    break;
                }
                tokio::time::sleep(MS * (who * 7 + round)).await;
                loop {
                    match tree.remove(&format!("links/{name}")).await {
                        Ok(_) | Err(RemoveError::Orphaned { .. }) => break,
                        Err(RemoveError::Supervisor(NoSupervisor::NotRunning { .. })) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
            }
            handle
        })
    });
    let changes: Vec<_> = changes.collect();
    // Slowly enough for the root not to give up over it.
    for _ in 0..2 {
        tokio::time::sleep(MS * 200).await;
        tree.drill("links", Drill::Kill).ok();
        tokio::time::sleep(Duration::from_secs(31)).await;
    }
    for (who, changed) in changes.into_iter().enumerate() {
        let handle = changed.await.unwrap();
        let here = tree.snapshot().find(&format!("links/w{who}")).is_some();
        match handle.filter(|handle| !handle.is_gone()) {
            Some(handle) => {
                assert!(here);
                which(&handle).await.unwrap();
            }
            None => assert!(!here),
        }
    }
    assert_eq!(tree.shutdown().await.end, TreeEnd::Stopped);
}
