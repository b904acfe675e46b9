use super::*;
use proptest::prelude::*;

fn options() -> BreakerOptions {
    BreakerOptions {
        window: WindowKind::Count(4),
        minimum_calls: 3,
        failure_rate: 0.5,
        slow_calls: Some(SlowCalls { longer_than: MS * 100, rate: 0.75 }),
        cool_down: MS * 100,
        cool_down_factor: 2.0,
        max_cool_down: MS * 350,
        permits: 2,
        half_open_for: MS * 50,
    }
}

const MS: Duration = Duration::from_millis(1);

fn breaker() -> Breaker {
    Breaker::new(BreakerSettings::try_new(options()).unwrap())
}

fn ask(breaker: &mut Breaker, now: Instant) -> Result<Permit, Duration> {
    match breaker.on(BreakerEvent::Ask, now).admission {
        Some(Admission::Granted(permit)) => Ok(permit),
        Some(Admission::Refused { retry_in }) => Err(retry_in),
        None => panic!("an ask is always answered"),
    }
}

fn call(breaker: &mut Breaker, ok: bool, took: Duration, now: Instant) -> BreakerEffects {
    let permit = ask(breaker, now).unwrap();
    breaker.on(
        if ok {
            BreakerEvent::Success { permit, took }
        } else {
            BreakerEvent::Failure { permit, took }
        },
        now,
    )
}

fn opened(now: Instant) -> Breaker {
    let mut breaker = breaker();
    for _ in 0..3 {
        call(&mut breaker, false, MS, now);
    }
    assert_eq!(breaker.state(), BreakerState::Open { until: now + MS * 100 });
    breaker
}

#[test]
fn the_default_settings_are_valid() {
    assert!(BreakerSettings::try_new(BreakerOptions::default()).is_ok());
}

#[test]
fn new_settings_take_effect_from_the_next_count_or_trial_on() {
    let now = Instant::now();
    let new = BreakerOptions { minimum_calls: 1, cool_down: MS * 20, ..options() };
    let new = BreakerSettings::try_new(BreakerOptions { max_cool_down: MS * 50, ..new }).unwrap();
    let mut breaker = breaker();
    call(&mut breaker, false, MS, now);
    breaker.configure(new);
    assert_eq!(breaker.state(), BreakerState::Closed, "what was counted before counts no more");
    call(&mut breaker, false, MS, now);
    assert_eq!(breaker.state(), BreakerState::Open { until: now + MS * 20 });

    let mut breaker = opened(now);
    breaker.configure(new);
    assert_eq!(breaker.state(), BreakerState::Open { until: now + MS * 100 }, "as it was to");
    let later = now + MS * 100;
    call(&mut breaker, false, MS, later);
    assert_eq!(breaker.state(), BreakerState::Open { until: later + MS * 50 });
}

#[test]
fn wrong_settings_do_not_exist() {
    type Spoil = fn(&mut BreakerOptions);
    let cases: [(Spoil, InvalidBreaker); 10] = [
        (|o| o.window = WindowKind::Count(0), InvalidBreaker::Window),
        (|o| o.window = WindowKind::Count(2), InvalidBreaker::Window),
        (|o| o.window = WindowKind::Time(Duration::ZERO), InvalidBreaker::Window),
        (|o| o.minimum_calls = 0, InvalidBreaker::MinimumCalls),
        (|o| o.failure_rate = f64::NAN, InvalidBreaker::Rate),
        (|o| o.cool_down = MS * 351, InvalidBreaker::CoolDown),
        (|o| o.cool_down_factor = 0.9, InvalidBreaker::Factor),
        (|o| o.permits = 0, InvalidBreaker::Permits),
        (|o| o.half_open_for = Duration::ZERO, InvalidBreaker::HalfOpen),
        (|o| o.max_cool_down = Duration::MAX, InvalidBreaker::TooLong),
    ];
    for (spoil, why) in cases {
        let mut options = options();
        spoil(&mut options);
        assert_eq!(BreakerSettings::try_new(options), Err(why));
    }
}

#[test]
fn too_few_calls_open_nothing() {
    let now = Instant::now();
    let mut breaker = breaker();
    call(&mut breaker, false, MS, now);
    call(&mut breaker, false, MS, now);
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn slow_calls_open_it_too() {
    let now = Instant::now();
    let mut breaker = breaker();
    call(&mut breaker, true, MS * 100, now);
    call(&mut breaker, true, MS * 100, now);
    let effects = call(&mut breaker, true, MS * 100, now);
    assert!(matches!(effects.entered, Some(BreakerState::Open { .. })));
}

#[test]
fn refuses_until_the_cool_down_is_over_then_grants_its_permits() {
    let now = Instant::now();
    let mut breaker = opened(now);
    assert_eq!(ask(&mut breaker, now + MS * 99), Err(MS));
    let trial = now + MS * 100;
    let first = ask(&mut breaker, trial).unwrap();
    let second = ask(&mut breaker, trial).unwrap();
    assert_eq!(ask(&mut breaker, trial), Err(MS * 50));
    breaker.on(BreakerEvent::Success { permit: first, took: MS }, trial);
    let done = breaker.on(BreakerEvent::Success { permit: second, took: MS }, trial);
    assert_eq!(done.entered, Some(BreakerState::Closed));
}

#[test]
fn a_failed_trial_opens_it_for_longer_up_to_the_maximum_and_success_resets_that() {
    let mut now = Instant::now();
    let mut breaker = opened(now);
    let mut wait = MS * 100;
    for expected in [200, 350, 350] {
        now += wait;
        call(&mut breaker, false, MS, now);
        wait = MS * expected;
        assert_eq!(breaker.state(), BreakerState::Open { until: now + wait });
    }
    now += wait;
    call(&mut breaker, true, MS, now);
    call(&mut breaker, true, MS, now);
    assert_eq!(breaker.state(), BreakerState::Closed);
    for _ in 0..3 {
        call(&mut breaker, false, MS, now);
    }
    assert_eq!(breaker.state(), BreakerState::Open { until: now + MS * 100 });
}

#[test]
fn a_lost_permit_does_not_stick() {
    let now = Instant::now();
    let mut breaker = opened(now);
    let trial = now + MS * 100;
    let lost = ask(&mut breaker, trial).unwrap();
    breaker.on(BreakerEvent::Tick, trial + MS * 50);
    assert_eq!(breaker.state(), BreakerState::Open { until: trial + MS * 250 });
    // It turns up after all, too late to say anything.
    let late = breaker.on(BreakerEvent::Success { permit: lost, took: MS }, trial + MS * 60);
    assert_eq!(late, BreakerEffects::default());
}

#[test]
fn a_permit_given_back_is_granted_again() {
    let now = Instant::now();
    let mut breaker = opened(now);
    let trial = now + MS * 100;
    let (first, _) = (ask(&mut breaker, trial).unwrap(), ask(&mut breaker, trial).unwrap());
    breaker.on(BreakerEvent::Unused { permit: first }, trial);
    assert!(ask(&mut breaker, trial).is_ok());
    assert!(ask(&mut breaker, trial).is_err());
}

#[test]
fn an_outcome_from_before_a_change_is_ignored() {
    let now = Instant::now();
    let mut breaker = breaker();
    let early = ask(&mut breaker, now).unwrap();
    for _ in 0..3 {
        call(&mut breaker, false, MS, now);
    }
    let trial = now + MS * 100;
    ask(&mut breaker, trial).unwrap();
    breaker.on(BreakerEvent::Failure { permit: early, took: MS }, trial);
    assert!(matches!(breaker.state(), BreakerState::HalfOpen { .. }));
}

proptest! {
    /// Whatever comes: nothing is granted before the cool-down is over, half-open never grants
    /// more than its permits nor outlives its time, and one can always get in again.
    #[test]
    fn keeps_its_promises(steps in prop::collection::vec((0u8..6, 0u64..120, any::<usize>()), 1..300)) {
        let mut now = Instant::now();
        let mut breaker = breaker();
        let mut permits = Vec::new();
        let mut out_in_half_open: i64 = 0;
        for (what, gap, pick) in steps {
            now += MS * u32::try_from(gap).unwrap();
            let before = breaker.state();
            let permit = (!permits.is_empty()).then(|| permits[pick % permits.len()]);
            let event = match (what, permit) {
                (0, Some(permit)) => BreakerEvent::Success { permit, took: MS },
                (1, Some(permit)) => BreakerEvent::Failure { permit, took: MS },
                (2, Some(permit)) => BreakerEvent::Success { permit, took: MS * 200 },
                (3, _) => BreakerEvent::Tick,
                _ => BreakerEvent::Ask,
            };
            let effects = breaker.on(event, now);
            if effects.entered.is_some() {
                out_in_half_open = 0;
            }
            if let BreakerState::HalfOpen { until } = breaker.state() {
                prop_assert!(now < until);
            }
            match effects.admission {
                Some(Admission::Granted(permit)) => {
                    permits.push(permit);
                    if let BreakerState::Open { until } = before {
                        prop_assert!(now >= until);
                    }
                    if matches!(breaker.state(), BreakerState::HalfOpen { .. }) {
                        out_in_half_open += 1;
                        prop_assert!(out_in_half_open <= 2);
                    }
                }
                Some(Admission::Refused { retry_in }) => {
                    prop_assert!(retry_in <= MS * 350);
                    prop_assert_ne!(breaker.state(), BreakerState::Closed);
                }
                None => {}
            }
        }
        breaker.on(BreakerEvent::Tick, now + MS * 50);
        prop_assert!(ask(&mut breaker, now + MS * 400).is_ok());
    }
}
