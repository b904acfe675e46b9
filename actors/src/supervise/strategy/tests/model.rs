//! Any machine against a naive world: whatever happens in whatever order, the promises hold.

use super::Strategy as Kind;
use super::*;
use proptest::prelude::{
    Just, ProptestConfig, TestCaseError, any, prop, prop_assert, prop_assert_eq, prop_oneof,
    proptest,
};
use proptest::strategy::Strategy as _;

/// What really runs, by the effects alone. Children are listed by number; those that are added
/// come last, those that are removed stay as `gone`.
struct World {
    children: Vec<(Restart, GivesUp)>,
    running: Vec<Option<u64>>,
    up: Vec<bool>,
    started: Vec<u64>,
    /// The one that is stopped in its turn. A removal stops out of turn.
    stopping: Option<usize>,
    leaving: Vec<bool>,
    gone: Vec<bool>,
    /// Still runs, whatever was tried.
    lost: Vec<bool>,
    /// Every timer ever armed: stale ones are fired too.
    timers: Vec<(usize, u64, Instant)>,
    /// When an open breaker lets each child start again.
    open_until: Vec<Option<Instant>>,
    finished: u32,
    escalated: u32,
    ending: bool,
}

impl World {
    fn new(children: Vec<(Restart, GivesUp)>) -> Self {
        let mut world = Self {
            children: Vec::new(),
            running: Vec::new(),
            up: Vec::new(),
            started: Vec::new(),
            stopping: None,
            leaving: Vec::new(),
            gone: Vec::new(),
            lost: Vec::new(),
            timers: Vec::new(),
            open_until: Vec::new(),
            finished: 0,
            escalated: 0,
            ending: false,
        };
        children.into_iter().for_each(|child| world.add(child));
        world
    }

    fn add(&mut self, child: (Restart, GivesUp)) {
        self.children.push(child);
        self.running.push(None);
        self.up.push(false);
        self.started.push(0);
        self.leaving.push(false);
        self.gone.push(false);
        self.lost.push(false);
        self.open_until.push(None);
    }

    fn live(&self) -> Vec<usize> {
        (0..self.children.len()).filter(|child| self.running[*child].is_some()).collect()
    }
}

/// No more children than this are added in one run, so that most of them live through something.
const MOST_ADDED: usize = 12;

fn child() -> impl proptest::strategy::Strategy<Value = (Restart, GivesUp)> {
    let when = prop_oneof![Just(When::Permanent), Just(When::Transient), Just(When::Temporary)];
    (when, 0u32..4, prop::bool::weighted(0.3), any::<bool>()).prop_map(
        |(when, intensity, hold, degrade)| {
            let base = if hold { held() } else { restart(When::Permanent) };
            let gives_up = if degrade { GivesUp::Degrade } else { GivesUp::Escalate };
            (Restart { when, intensity, ..base }, gives_up)
        },
    )
}

fn kind() -> impl proptest::strategy::Strategy<Value = Kind> {
    prop_oneof![Just(Kind::OneForOne), Just(Kind::RestForOne), Just(Kind::OneForAll)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]
    #[test]
    fn keeps_its_promises(
        strategy in kind(),
        children in prop::collection::vec(child(), 0..6),
        intensity in 0u32..12,
        seed: u64,
        more in prop::collection::vec(child(), MOST_ADDED),
        steps in prop::collection::vec((0u8..40, any::<usize>(), 0u32..60), 0..200),
    ) {
        let policies = children.iter().map(|(restart, gives_up)| (restart, *gives_up));
        let mut machine = Machine::new(strategy, intensity, MS * 1000, policies);
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut now = Instant::now();
        let mut world = World::new(children);
        let mut more = more.into_iter();
        let effects = machine.on(Event::Begin, now, &mut rng);
        check(&mut world, &machine, effects, now, strategy)?;
        for (what, pick, gap) in steps {
            now += MS * gap;
            let live = world.live();
            let count = world.children.len();
            let event = match what {
                0 => { world.ending = true; Event::Stop }
                1..=9 if !world.timers.is_empty() => {
                    // The nearest ones most often, any old one now and then.
                    let len = world.timers.len();
                    let at = if what == 1 { pick % len } else { len - 1 - pick % len.min(count.max(1)) };
                    let (child, generation, due) = world.timers[at];
                    now = now.max(due);
                    Event::Timer { child, generation }
                }
                10..=20 => match live.iter().find(|c| !world.up[**c]) {
                    Some(&child) => {
                        let Some(incarnation) = world.running[child] else { continue };
                        world.up[child] = true;
                        Event::Up { child, incarnation }
                    }
                    None => continue,
                },
                32..=34 if !world.ending => match more.next() {
                    Some((restart, gives_up)) => {
                        world.add((restart.clone(), gives_up));
                        Event::Add { child: count, restart, gives_up }
                    }
                    None => continue,
                },
                35..=37 => {
                    // Now and then one that was never there, or is gone.
                    let child = pick % (count + 1);
                    let known = world.lost.get(child).is_some_and(|lost| !lost);
                    if known && world.finished == 0 { world.leaving[child] = true; }
                    Event::Remove { child }
                }
                _ => {
                    // A child that was told to stop does, sooner or later, before others crash.
                    let chosen = match world.stopping {
                        Some(child) if pick % 3 != 0 => Some(child),
                        _ => (!live.is_empty()).then(|| live[pick % live.len()]),
                    };
                    let Some(child) = chosen else { continue };
                    let Some(incarnation) = world.running[child].take() else { continue };
                    world.up[child] = false;
                    let exit = match what {
                        21 => Exit::Normal,
                        22 => { world.lost[child] = true; world.leaving[child] = false; Exit::Unkillable }
                        23 => Exit::StartFailed("test".to_owned()),
                        _ if world.stopping == Some(child) || world.leaving[child] => Exit::Shutdown,
                        _ => Exit::Panic("test".to_owned()),
                    };
                    if world.stopping == Some(child) { world.stopping = None; }
                    Event::Exited { child, incarnation, exit }
                }
            };
            let effects = machine.on(event, now, &mut rng);
            check(&mut world, &machine, effects, now, strategy)?;
        }
        // Whatever happened, a stop ends it, in as many steps as there are children.
        let effects = machine.on(Event::Stop, now, &mut rng);
        world.ending = true;
        check(&mut world, &machine, effects, now, strategy)?;
        for _ in 0..world.children.len() {
            let leaving = world.live().into_iter().find(|child| world.leaving[*child]);
            let Some(child) = world.stopping.take().or(leaving) else { break };
            let Some(incarnation) = world.running[child].take() else { break };
            let exit = Exit::Shutdown;
            let effects = machine.on(Event::Exited { child, incarnation, exit }, now, &mut rng);
            check(&mut world, &machine, effects, now, strategy)?;
        }
        prop_assert_eq!(world.finished, 1);
        prop_assert!(world.running.iter().all(Option::is_none));
        // And after the end, nothing.
        for (child, generation, _) in world.timers.clone() {
            let late = machine.on(Event::Timer { child, generation }, now, &mut rng);
            prop_assert!(late.is_empty());
        }
    }
}

fn check(
    world: &mut World,
    machine: &Machine,
    effects: Vec<Effect>,
    now: Instant,
    strategy: Kind,
) -> Result<(), TestCaseError> {
    for effect in effects {
        match effect {
            Effect::Start { child, incarnation } => {
                prop_assert!(!world.ending, "a start after the stop");
                prop_assert!(world.running[child].is_none(), "two incarnations");
                prop_assert!(!world.lost[child], "beside one that still runs");
                prop_assert!(!world.leaving[child] && !world.gone[child], "although removed");
                prop_assert!(incarnation > world.started[child]);
                let (restart, _) = &world.children[child];
                prop_assert!(restart.when != When::Temporary || world.started[child] == 0);
                if let Some(until) = world.open_until[child].take() {
                    prop_assert!(now >= until, "before the cool-down was over");
                }
                prop_assert!(world.stopping.is_none() || strategy == Kind::OneForOne);
                if strategy != Kind::OneForOne {
                    let later = world.running[child + 1..].iter().any(Option::is_some);
                    prop_assert!(!later, "out of order");
                    let starting = (0..child)
                        .any(|c| world.running[c].is_some() && !world.up[c] && !world.leaving[c]);
                    prop_assert!(!starting, "before the one before it was up");
                }
                world.started[child] = incarnation;
                world.running[child] = Some(incarnation);
                world.up[child] = false;
            }
            Effect::Stop { child } => {
                prop_assert!(world.running[child].is_some(), "nothing to stop");
                if world.leaving[child] {
                    continue;
                }
                prop_assert!(world.stopping.is_none(), "two stops at a time");
                let later = world.running[child + 1..].iter().any(Option::is_some);
                prop_assert!(!later, "not in reverse order");
                world.stopping = Some(child);
            }
            Effect::Arm { child, generation, after } => {
                world.timers.push((child, generation, now + after));
            }
            Effect::Publish { child, stand } => {
                prop_assert!(world.running[child].is_none());
                if let Stand::Open { until } = stand {
                    prop_assert!(until > now && until <= now + MS * 400);
                    world.open_until[child] = Some(until);
                }
            }
            Effect::Tell { lifecycle: Lifecycle::Escalated, .. } => {
                world.escalated += 1;
                world.ending = true;
                prop_assert_eq!(world.escalated, 1, "two escalations");
            }
            Effect::Forget { child } => {
                prop_assert!(world.leaving[child] && !world.gone[child], "not asked for");
                prop_assert!(world.running[child].is_none(), "while it runs");
                world.gone[child] = true;
            }
            Effect::Tell { .. } | Effect::Ready => {}
            Effect::Finish(finish) => {
                world.finished += 1;
                prop_assert!(world.ending);
                prop_assert_eq!(world.finished, 1, "two ends");
                prop_assert!(world.running.iter().all(Option::is_none), "left behind");
                let gave_up = matches!(finish, Finish::GaveUp { .. });
                prop_assert_eq!(gave_up, world.escalated == 1);
            }
        }
    }
    for child in 0..world.children.len() {
        let removed = world.leaving[child] && world.running[child].is_none();
        prop_assert_eq!(removed, world.gone[child], "a removed child stays, or goes too early");
    }
    prop_assert_eq!(machine.children.len(), world.gone.iter().filter(|gone| !**gone).count());
    Ok(())
}
