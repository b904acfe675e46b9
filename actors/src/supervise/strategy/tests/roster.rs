//! Children that come and go.

use super::*;

fn permanent() -> (Restart, GivesUp) {
    (restart(When::Permanent), GivesUp::Escalate)
}

impl Bench {
    fn add(&mut self, child: usize) -> &mut Self {
        let (restart, gives_up) = permanent();
        self.on(Event::Add { child, restart, gives_up })
    }

    fn remove(&mut self, child: usize) -> &mut Self {
        self.on(Event::Remove { child })
    }

    /// Whether this child has just been taken out: its callers know, the world knows, it is gone.
    fn took_out(&self, child: usize) -> bool {
        let told = |e: &Effect| matches!(e, Effect::Tell { child: c, lifecycle: Lifecycle::Removed, .. } if *c == child);
        self.effects.contains(&Effect::Publish { child, stand: Stand::Gone })
            && self.effects.iter().any(told)
            && self.effects.contains(&Effect::Forget { child })
            && !self.machine.children.contains_key(&child)
    }
}

#[test]
fn an_added_child_is_started_and_healed_like_the_others() {
    let mut bench = Bench::permanent(Strategy::OneForOne, 2).boot();
    bench.add(2);
    assert!(bench.told(Lifecycle::Added));
    assert_eq!(bench.bring_up(), [2]);
    bench.crash(2);
    assert_eq!(bench.armed(), [(2, MS * 10)]);
    bench.fire(2, MS * 10);
    assert_eq!(bench.bring_up(), [2]);
}

#[test]
fn an_added_child_is_the_last_of_its_group() {
    for (strategy, down, up) in [
        (Strategy::RestForOne, vec![2], vec![1, 2]),
        (Strategy::OneForAll, vec![2, 0], vec![0, 1, 2]),
    ] {
        let mut bench = Bench::permanent(strategy, 2).boot();
        bench.add(2);
        bench.bring_up();
        bench.crash(1);
        assert_eq!(bench.bring_down(), down);
        bench.fire(1, MS * 10);
        assert_eq!(bench.bring_up(), up);
    }
}

#[test]
fn a_child_added_while_its_group_restarts_starts_with_it() {
    let mut bench = Bench::permanent(Strategy::RestForOne, 3).boot();
    bench.crash(1);
    bench.add(3);
    assert!(bench.starts().is_empty(), "not while the group is stopped");
    bench.exit(2, Exit::Shutdown);
    bench.fire(1, MS * 10);
    assert_eq!(bench.bring_up(), [1, 2, 3]);
}

#[test]
fn a_child_added_before_the_beginning_starts_last() {
    let mut bench = Bench::permanent(Strategy::OneForOne, 1);
    bench.add(1).on(Event::Begin);
    assert_eq!(bench.bring_up(), [0, 1]);
}

#[test]
fn no_child_is_added_to_a_supervisor_that_ends() {
    let mut bench = Bench::permanent(Strategy::OneForOne, 1).boot();
    bench.on(Event::Stop);
    assert!(!bench.machine.takes_children());
    assert!(bench.add(1).effects.is_empty());
}

#[test]
fn removing_a_child_that_runs_stops_it_and_nobody_else() {
    for strategy in [Strategy::OneForOne, Strategy::RestForOne, Strategy::OneForAll] {
        let mut bench = Bench::permanent(strategy, 3).boot();
        bench.remove(1);
        assert!(!bench.took_out(1), "not before it is down");
        assert_eq!(bench.bring_down(), [1]);
        assert!(bench.took_out(1) && bench.starts().is_empty() && bench.armed().is_empty());
        bench.on(Event::Stop);
        assert_eq!(bench.bring_down(), [2, 0]);
        assert_eq!(bench.finish(), Some(&Finish::Stopped));
    }
}

#[test]
fn a_child_that_crashes_while_it_is_removed_is_just_gone() {
    for strategy in [Strategy::OneForOne, Strategy::RestForOne, Strategy::OneForAll] {
        let mut bench = Bench::permanent(strategy, 2).boot();
        bench.remove(0).crash(0);
        assert!(bench.took_out(0) && bench.armed().is_empty() && bench.starts().is_empty());
    }
}

#[test]
fn a_child_can_be_removed_while_it_starts_and_its_successor_in_the_queue_goes_on() {
    let mut bench = Bench::permanent(Strategy::RestForOne, 2);
    bench.on(Event::Begin).remove(0);
    assert_eq!(bench.starts(), [1], "it waits for nobody who leaves");
    bench.exit(0, Exit::Shutdown);
    assert!(bench.took_out(0));
}

#[test]
fn a_child_can_be_removed_before_its_turn_to_start() {
    let mut bench = Bench::permanent(Strategy::OneForOne, 2);
    bench.on(Event::Begin).remove(1);
    assert!(bench.took_out(1));
    bench.remove(0).exit(0, Exit::Shutdown);
    assert!(bench.took_out(0) && bench.effects.contains(&Effect::Ready));
}

#[test]
fn a_child_that_waits_for_its_restart_is_removed_at_once_and_its_timer_finds_nobody() {
    let mut bench = Bench::permanent(Strategy::OneForOne, 2).boot();
    bench.crash(1);
    let generation = bench.machine.children[&1].generation;
    bench.remove(1);
    assert!(bench.took_out(1));
    assert!(bench.on(Event::Timer { child: 1, generation }).effects.is_empty());
}

#[test]
fn a_group_no_longer_waits_for_the_one_it_went_down_with_once_that_is_removed() {
    let mut bench = Bench::permanent(Strategy::RestForOne, 3).boot();
    bench.crash(1);
    assert_eq!(bench.bring_down(), [2]);
    bench.remove(1);
    assert!(bench.took_out(1));
    assert_eq!(bench.bring_up(), [2]);
}

#[test]
fn a_child_that_its_breaker_holds_is_removed_at_once() {
    let mut bench = Bench::new(Strategy::OneForOne, &[(held(), GivesUp::Escalate)]).boot();
    bench.crash(0).fire(0, MS * 10);
    bench.bring_up();
    bench.crash(0);
    assert!(bench.told(Lifecycle::Held));
    assert!(bench.remove(0).took_out(0));
}

#[test]
fn a_child_that_is_degraded_or_finished_is_removed_at_once() {
    let none = Restart { intensity: 0, ..restart(When::Permanent) };
    let temporary = (restart(When::Temporary), GivesUp::Escalate);
    let mut bench = Bench::new(Strategy::OneForOne, &[(none, GivesUp::Degrade), temporary]).boot();
    bench.crash(0);
    assert!(bench.told(Lifecycle::Degraded));
    assert!(bench.remove(0).took_out(0));
    bench.crash(1);
    assert!(bench.told(Lifecycle::Finished));
    assert!(bench.remove(1).took_out(1));
}

#[test]
fn a_child_that_goes_down_with_its_group_is_removed_in_its_turn() {
    let mut bench = Bench::permanent(Strategy::OneForAll, 4).boot();
    bench.crash(1);
    bench.remove(0).remove(3);
    assert!(bench.effects.is_empty(), "3 is being stopped, 2 is next, then 0");
    bench.exit(3, Exit::Shutdown);
    assert!(bench.took_out(3));
    assert_eq!(bench.bring_down(), [2, 0]);
    assert!(bench.took_out(0));
    bench.fire(1, MS * 10);
    assert_eq!(bench.bring_up(), [1, 2]);
}

#[test]
fn what_cannot_be_killed_cannot_be_removed() {
    let none = Restart { intensity: 0, ..restart(When::Permanent) };
    let mut bench = Bench::new(Strategy::OneForOne, &[(none, GivesUp::Degrade)]).boot();
    bench.remove(0).exit(0, Exit::Unkillable);
    assert!(bench.told(Lifecycle::Degraded) && bench.machine.is_lost(0));
    assert!(bench.remove(0).effects.is_empty());
}

#[test]
fn a_removal_is_carried_out_by_a_supervisor_that_is_ending_too() {
    let mut bench = Bench::permanent(Strategy::OneForOne, 3).boot();
    bench.on(Event::Stop).remove(1);
    bench.exit(2, Exit::Shutdown).exit(1, Exit::Shutdown);
    assert!(bench.took_out(1));
    assert_eq!(bench.bring_down(), [0]);
    assert_eq!(bench.finish(), Some(&Finish::Stopped));
}

#[test]
fn nothing_is_left_of_children_that_came_and_went() {
    let mut bench = Bench::permanent(Strategy::RestForOne, 1).boot();
    for child in 1..1000 {
        bench.add(child).bring_up();
        bench.remove(child).bring_down();
        assert!(bench.took_out(child));
    }
    assert_eq!((bench.machine.children.len(), bench.machine.queue.len()), (1, 0));
    // Nor of those whose turn to start never came.
    bench.crash(0);
    for child in 1000..2000 {
        bench.add(child);
        assert!(bench.remove(child).took_out(child));
    }
    assert_eq!((bench.machine.children.len(), bench.machine.queue.len()), (1, 1));
    bench.fire(0, MS * 10);
    assert_eq!(bench.bring_up(), [0]);
}
