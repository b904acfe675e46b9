use super::*;
use crate::policy::{Backoff, BreakerOptions, BreakerSettings};
use rand::SeedableRng;
use rand::rngs::SmallRng;

mod model;
mod roster;

const MS: Duration = Duration::from_millis(1);

fn restart(when: When) -> Restart {
    Restart {
        when,
        intensity: 3,
        period: MS * 1000,
        delay: Backoff::try_new(MS * 10, 2.0, MS * 40, 0.0).unwrap(),
        hold: None,
    }
}

fn held() -> Restart {
    let options = BreakerOptions {
        minimum_calls: 2,
        cool_down: MS * 100,
        max_cool_down: MS * 400,
        half_open_for: MS * 60,
        ..BreakerOptions::default()
    };
    let hold = BreakerSettings::try_new(options).unwrap().into();
    Restart { hold: Some(hold), ..restart(When::Permanent) }
}

/// A machine, the time it is told, and what it wants.
struct Bench {
    machine: Machine,
    now: Instant,
    rng: SmallRng,
    effects: Vec<Effect>,
}

impl Bench {
    fn new(strategy: Strategy, children: &[(Restart, GivesUp)]) -> Self {
        let policies = children.iter().map(|(restart, gives_up)| (restart, *gives_up));
        Self {
            machine: Machine::new(strategy, 100, MS * 1000, policies),
            now: Instant::now(),
            rng: SmallRng::seed_from_u64(1),
            effects: Vec::new(),
        }
    }

    fn permanent(strategy: Strategy, count: usize) -> Self {
        Self::new(strategy, &vec![(restart(When::Permanent), GivesUp::Escalate); count])
    }

    fn on(&mut self, event: Event) -> &mut Self {
        self.effects = self.machine.on(event, self.now, &mut self.rng);
        self
    }

    /// Begins, with every start going well.
    fn boot(mut self) -> Self {
        self.on(Event::Begin);
        self.bring_up();
        self
    }

    /// Reports every ordered start as up until no more are ordered; returns their order.
    fn bring_up(&mut self) -> Vec<usize> {
        let mut order = Vec::new();
        while let Some(child) = self.starts().first().copied() {
            assert_eq!(self.starts().len(), 1, "starts come one at a time");
            order.push(child);
            let incarnation = self.incarnation(child);
            self.on(Event::Up { child, incarnation });
        }
        order
    }

    /// Reports every ordered stop as done until no more are ordered; returns their order.
    fn bring_down(&mut self) -> Vec<usize> {
        let mut order = Vec::new();
        loop {
            let stops: Vec<_> = self.effects.iter().filter_map(stop_of).collect();
            let Some(child) = stops.first().copied() else { return order };
            assert_eq!(stops.len(), 1, "stops come one at a time");
            order.push(child);
            self.exit(child, Exit::Shutdown);
        }
    }

    fn exit(&mut self, child: usize, exit: Exit) -> &mut Self {
        let incarnation = self.incarnation(child);
        self.on(Event::Exited { child, incarnation, exit })
    }

    fn crash(&mut self, child: usize) -> &mut Self {
        self.exit(child, Exit::Panic("test".to_owned()))
    }

    fn incarnation(&self, child: usize) -> u64 {
        self.machine.children[&child].incarnation
    }

    /// Lets the child's timer run out, `after` later.
    fn fire(&mut self, child: usize, after: Duration) -> &mut Self {
        self.now += after;
        let generation = self.machine.children[&child].generation;
        self.on(Event::Timer { child, generation })
    }

    fn starts(&self) -> Vec<usize> {
        let start = |effect: &Effect| match effect {
            Effect::Start { child, .. } => Some(*child),
            _ => None,
        };
        self.effects.iter().filter_map(start).collect()
    }

    fn armed(&self) -> Vec<(usize, Duration)> {
        let arm = |effect: &Effect| match effect {
            Effect::Arm { child, after, .. } => Some((*child, *after)),
            _ => None,
        };
        self.effects.iter().filter_map(arm).collect()
    }

    fn told(&self, lifecycle: Lifecycle) -> bool {
        self.effects
            .iter()
            .any(|e| matches!(e, Effect::Tell { lifecycle: l, .. } if *l == lifecycle))
    }

    fn finish(&self) -> Option<&Finish> {
        self.effects.iter().find_map(|effect| match effect {
            Effect::Finish(finish) => Some(finish),
            _ => None,
        })
    }
}

fn stop_of(effect: &Effect) -> Option<usize> {
    match effect {
        Effect::Stop { child } => Some(*child),
        _ => None,
    }
}

#[test]
fn boot_starts_in_order_and_is_ready_after_the_last() {
    let mut bench = Bench::permanent(Strategy::OneForOne, 3);
    bench.on(Event::Begin);
    assert_eq!(bench.bring_up(), [0, 1, 2]);
    assert!(bench.effects.contains(&Effect::Ready));
}

#[test]
fn an_empty_supervisor_is_ready_at_once_and_stops_at_once() {
    let mut bench = Bench::permanent(Strategy::OneForAll, 0);
    assert_eq!(bench.on(Event::Begin).effects, [Effect::Ready]);
    assert_eq!(bench.on(Event::Stop).effects, [Effect::Finish(Finish::Stopped)]);
}

#[test]
fn a_failed_start_does_not_hold_up_the_boot_of_its_siblings() {
    let mut bench = Bench::permanent(Strategy::OneForOne, 2);
    bench.on(Event::Begin);
    bench.exit(0, Exit::StartFailed("test".to_owned()));
    assert_eq!(bench.armed(), [(0, MS * 10)]);
    assert_eq!(bench.bring_up(), [1]);
    assert!(bench.effects.contains(&Effect::Ready));
}

#[test]
fn one_for_one_restarts_the_one_after_a_growing_delay() {
    let mut bench = Bench::permanent(Strategy::OneForOne, 3).boot();
    for delay in [10, 20, 40] {
        bench.crash(1);
        assert_eq!((bench.armed(), bench.starts()), (vec![(1, MS * delay)], vec![]));
        bench.fire(1, MS * delay);
        assert_eq!(bench.bring_up(), [1]);
    }
}

#[test]
fn a_life_long_enough_starts_the_delays_over() {
    let mut bench = Bench::permanent(Strategy::OneForOne, 1).boot();
    bench.crash(0).fire(0, MS * 10);
    bench.bring_up();
    bench.fire(0, MS * 40).crash(0);
    assert_eq!(bench.armed(), [(0, MS * 10)]);
}

#[test]
fn rest_for_one_stops_the_later_ones_in_reverse_and_starts_them_in_order() {
    let mut bench = Bench::permanent(Strategy::RestForOne, 4).boot();
    bench.crash(1);
    assert_eq!(bench.bring_down(), [3, 2]);
    assert!(bench.starts().is_empty(), "not before the delay");
    bench.fire(1, MS * 10);
    assert_eq!(bench.bring_up(), [1, 2, 3]);
}

#[test]
fn a_delay_that_ends_before_the_group_is_down_does_not_start_anything_early() {
    let mut bench = Bench::permanent(Strategy::RestForOne, 3).boot();
    bench.crash(0).fire(0, MS * 10);
    assert!(bench.starts().is_empty());
    // Two more are to be stopped: the last one was ordered with the crash.
    bench.exit(2, Exit::Shutdown);
    assert_eq!(bench.bring_down(), [1]);
    assert_eq!(bench.bring_up(), [0, 1, 2]);
}

#[test]
fn an_earlier_crash_widens_a_group_restart() {
    let mut bench = Bench::permanent(Strategy::RestForOne, 4).boot();
    bench.crash(2);
    bench.crash(0);
    bench.exit(3, Exit::Shutdown);
    assert_eq!(bench.bring_down(), [1]);
    bench.fire(0, MS * 10);
    assert_eq!(bench.bring_up(), [0, 1, 2, 3]);
}

#[test]
fn one_for_all_restarts_all() {
    let mut bench = Bench::permanent(Strategy::OneForAll, 3).boot();
    bench.crash(1);
    assert_eq!(bench.bring_down(), [2, 0]);
    bench.fire(1, MS * 10);
    assert_eq!(bench.bring_up(), [0, 1, 2]);
}

#[test]
fn temporary_is_never_restarted_and_transient_only_after_an_abnormal_exit() {
    let mut bench = Bench::new(
        Strategy::OneForOne,
        &[
            (restart(When::Temporary), GivesUp::Escalate),
            (restart(When::Transient), GivesUp::Escalate),
        ],
    )
    .boot();
    bench.crash(0);
    assert!(bench.armed().is_empty() && bench.told(Lifecycle::Finished));
    bench.crash(1);
    assert_eq!(bench.armed().len(), 1);
    bench.fire(1, MS * 10);
    bench.bring_up();
    bench.exit(1, Exit::Normal);
    assert!(bench.armed().is_empty() && bench.told(Lifecycle::Finished));
}

#[test]
fn a_temporary_child_does_not_come_back_with_its_group() {
    let permanent = (restart(When::Permanent), GivesUp::Escalate);
    let temporary = (restart(When::Temporary), GivesUp::Escalate);
    let mut bench =
        Bench::new(Strategy::OneForAll, &[permanent.clone(), temporary, permanent]).boot();
    bench.crash(0);
    assert_eq!(bench.bring_down(), [2, 1]);
    bench.fire(0, MS * 10);
    assert_eq!(bench.bring_up(), [0, 2]);
}

#[test]
fn too_many_exits_escalate_once_after_everything_is_down() {
    let mut bench = Bench::permanent(Strategy::OneForOne, 3).boot();
    for _ in 0..3 {
        bench.crash(1).fire(1, MS * 40);
        bench.bring_up();
    }
    bench.crash(1);
    assert!(bench.told(Lifecycle::Escalated) && bench.finish().is_none());
    assert_eq!(bench.bring_down(), [2, 0]);
    assert!(matches!(bench.finish(), Some(Finish::GaveUp { child: 1, .. })));
    assert!(bench.on(Event::Stop).effects.is_empty());
}

#[test]
fn the_supervisors_own_intensity_counts_all_children_together() {
    let policies = vec![(restart(When::Permanent), GivesUp::Escalate); 2];
    let mut bench = Bench::permanent(Strategy::OneForOne, 2);
    bench.machine =
        Machine::new(Strategy::OneForOne, 1, MS * 1000, policies.iter().map(|(r, g)| (r, *g)));
    let mut bench = bench.boot();
    bench.crash(0);
    bench.crash(1);
    assert!(bench.told(Lifecycle::Escalated));
}

#[test]
fn a_child_that_degrades_is_left_down_and_the_rest_goes_on() {
    let children = [
        (restart(When::Permanent), GivesUp::Degrade),
        (restart(When::Permanent), GivesUp::Escalate),
    ];
    let mut bench = Bench::new(Strategy::OneForOne, &children).boot();
    for _ in 0..3 {
        bench.crash(0).fire(0, MS * 40);
        bench.bring_up();
    }
    bench.crash(0);
    assert!(bench.told(Lifecycle::Degraded) && bench.finish().is_none());
    assert!(bench.effects.contains(&Effect::Publish { child: 0, stand: Stand::Gone }));
    bench.fire(0, MS * 1000);
    assert!(bench.effects.is_empty());
    bench.on(Event::Stop);
    assert_eq!(bench.bring_down(), [1]);
    assert_eq!(bench.finish(), Some(&Finish::Stopped));
}

#[test]
fn what_cannot_be_killed_is_never_started_again() {
    let mut bench = Bench::permanent(Strategy::OneForOne, 2).boot();
    bench.exit(0, Exit::Unkillable);
    assert_eq!(bench.bring_down(), [1]);
    assert!(matches!(bench.finish(), Some(Finish::GaveUp { child: 0, cause: Exit::Unkillable })));
    // Nor is a subtree with such a child in it.
    let children = [(restart(When::Permanent), GivesUp::Degrade)];
    let mut bench = Bench::new(Strategy::OneForOne, &children).boot();
    let cause = Box::new(Exit::Unkillable);
    bench.exit(0, Exit::GaveUp { culprit: "a/b".into(), cause });
    assert!(bench.told(Lifecycle::Degraded) && bench.armed().is_empty());
}

#[test]
fn an_open_breaker_holds_the_child_and_lets_it_back_on_trial() {
    let mut bench = Bench::new(Strategy::OneForOne, &[(held(), GivesUp::Escalate)]).boot();
    bench.crash(0);
    assert_eq!(bench.armed(), [(0, MS * 10)], "one exit is not enough");
    bench.fire(0, MS * 10);
    bench.bring_up();
    bench.crash(0);
    let until = bench.now + MS * 100;
    assert!(bench.told(Lifecycle::Held));
    assert!(bench.effects.contains(&Effect::Publish { child: 0, stand: Stand::Open { until } }));
    bench.fire(0, MS * 100);
    assert!(bench.told(Lifecycle::Trial));
    bench.bring_up();
    // The trial fails: held for longer.
    bench.crash(0);
    assert_eq!(bench.armed(), [(0, MS * 200)]);
    bench.fire(0, MS * 200);
    bench.bring_up();
    assert_eq!(bench.armed(), [(0, MS * 30)], "half of half-open's time");
    bench.fire(0, MS * 30);
    assert!(bench.told(Lifecycle::Recovered));
    assert_eq!(bench.machine.breaker(0), Some("closed"));
}

#[test]
fn a_breaker_follows_its_settings_while_the_child_lives() {
    let held = held();
    let was = held.hold.as_ref().unwrap().settings();
    let (change, settings) = tokio::sync::watch::channel(was);
    let child = Restart { hold: Some(settings.into()), ..held };
    let mut bench = Bench::new(Strategy::OneForOne, &[(child, GivesUp::Escalate)]).boot();
    let once = BreakerOptions { minimum_calls: 1, cool_down: MS * 40, ..*was };
    change.send_replace(BreakerSettings::try_new(once).unwrap());
    bench.crash(0);
    assert!(bench.told(Lifecycle::Held), "one exit is enough now");
    assert_eq!(bench.armed(), [(0, MS * 40)]);
}

#[test]
fn a_trial_that_its_group_cuts_short_is_tried_again_at_once() {
    let children = [(restart(When::Permanent), GivesUp::Escalate), (held(), GivesUp::Escalate)];
    let mut bench = Bench::new(Strategy::RestForOne, &children).boot();
    bench.crash(1).fire(1, MS * 10);
    bench.bring_up();
    bench.crash(1).fire(1, MS * 100);
    bench.bring_up();
    bench.crash(0);
    assert_eq!(bench.bring_down(), [1]);
    bench.fire(0, MS * 10);
    assert_eq!(bench.bring_up(), [0, 1]);
}

#[test]
fn a_trial_that_lives_is_good_even_when_its_timer_is_late() {
    let mut bench = Bench::new(Strategy::OneForOne, &[(held(), GivesUp::Escalate)]).boot();
    bench.crash(0).fire(0, MS * 10);
    bench.bring_up();
    bench.crash(0).fire(0, MS * 100);
    bench.bring_up();
    bench.fire(0, MS * 5000);
    assert!(bench.told(Lifecycle::Recovered));
    assert_eq!(bench.machine.breaker(0), Some("closed"));
}

#[test]
fn a_stop_while_unbegun_waiting_or_starting_ends_it() {
    let mut unbegun = Bench::permanent(Strategy::OneForOne, 2);
    assert_eq!(unbegun.on(Event::Stop).finish(), Some(&Finish::Stopped));
    assert!(unbegun.on(Event::Begin).effects.is_empty());
    let mut waiting = Bench::permanent(Strategy::OneForOne, 1).boot();
    waiting.crash(0);
    assert_eq!(waiting.on(Event::Stop).finish(), Some(&Finish::Stopped));
    let mut starting = Bench::permanent(Strategy::OneForOne, 2);
    starting.on(Event::Begin).on(Event::Stop);
    assert_eq!(starting.bring_down(), [0]);
    assert_eq!(starting.finish(), Some(&Finish::Stopped));
}
