//! The checker checked: histories that are known to be good or bad, and every small one.

use proptest::prelude::*;

use super::counters::{Counters, Transaction};
use super::register::{Call, Register};
use super::{End, Entry, Model, check};

/// Sent, and answered.
fn at<C>(sent: u64, ended: u64, call: C) -> Entry<C> {
    Entry { call, sent, end: End::Answered(ended) }
}

/// Sent, and with any effect only before `by`.
fn lost<C>(sent: u64, by: u64, call: C) -> Entry<C> {
    Entry { call, sent, end: End::Unknown(by) }
}

fn explained(history: &[Entry<Call>]) -> bool {
    check::<Register>(None, history).is_ok()
}

#[test]
fn calls_that_overlap_may_have_either_order() {
    let both = [at(0, 5, Call::Set(1)), at(1, 6, Call::Set(2))];
    for value in [1, 2] {
        let history = [&both[..], &[at(7, 8, Call::Get(Some(value)))]].concat();
        assert!(explained(&history), "{value}");
    }
    let turns = [
        at(0, 9, Call::Set(1)),
        at(1, 2, Call::Get(None)),
        at(3, 4, Call::Get(Some(1))),
        at(5, 6, Call::Get(Some(1))),
    ];
    assert!(explained(&turns));
}

#[test]
fn a_call_of_unknown_outcome_may_have_happened_or_not() {
    let begun = [at(0, 1, Call::Set(1)), lost(2, u64::MAX, Call::Set(2))];
    for values in [[1, 1], [1, 2], [2, 2]] {
        let [a, b] = values.map(|value| Call::Get(Some(value)));
        assert!(explained(&[&begun[..], &[at(3, 4, a), at(5, 6, b)]].concat()), "{values:?}");
    }
    // But not half, not twice, and not after its time.
    let [one, two] = [1, 2].map(|value| Call::Get(Some(value)));
    assert!(!explained(&[&begun[..], &[at(3, 4, two), at(5, 6, one)]].concat()));
    let ended = [at(0, 1, Call::Set(1)), lost(2, 7, Call::Set(2))];
    assert!(explained(&[&ended[..], &[at(3, 8, one), at(9, 10, two)]].concat()));
    assert!(!explained(&[&ended[..], &[at(8, 9, one), at(10, 11, two)]].concat()));
    let counted = [lost(0, u64::MAX, Call::Increment(None)), at(2, 3, Call::Get(Some(2)))];
    assert!(!explained(&counted));
}

#[test]
fn histories_that_cannot_be_are_rejected() {
    let bad: [(&str, &[Entry<Call>]); 9] = [
        ("an acknowledged write is lost", &[at(0, 1, Call::Set(1)), at(2, 3, Call::Get(None))]),
        (
            "a stale read",
            &[at(0, 1, Call::Set(1)), at(2, 3, Call::Set(2)), at(4, 5, Call::Get(Some(1)))],
        ),
        (
            "a value that was read is taken back",
            &[
                at(0, 1, Call::Set(1)),
                lost(2, 9, Call::Set(2)),
                at(3, 4, Call::Get(Some(2))),
                at(10, 11, Call::Get(Some(1))),
            ],
        ),
        ("a value from nowhere", &[at(0, 5, Call::Set(1)), at(1, 4, Call::Get(Some(3)))]),
        (
            "two clients counted to the same number",
            &[at(0, 5, Call::Increment(Some(1))), at(1, 4, Call::Increment(Some(1)))],
        ),
        (
            "a deletion comes back",
            &[
                at(0, 1, Call::Set(1)),
                at(2, 3, Call::Delete(Some(true))),
                at(4, 5, Call::SetNew(2, Some(false))),
            ],
        ),
        (
            "two clients took the lock",
            &[at(0, 5, Call::SetNew(1, Some(true))), at(1, 4, Call::SetNew(2, Some(true)))],
        ),
        (
            "a swap overwrote what it had not read",
            &[
                at(0, 1, Call::Set(1)),
                at(2, 9, Call::Swap { from: Some(1), to: 2 }),
                at(3, 9, Call::Swap { from: Some(1), to: 3 }),
            ],
        ),
        (
            "two readers saw two orders",
            &[
                at(0, 20, Call::Set(1)),
                at(1, 21, Call::Set(2)),
                at(2, 3, Call::Get(Some(1))),
                at(4, 5, Call::Get(Some(2))),
                at(6, 7, Call::Get(Some(1))),
            ],
        ),
    ];
    for (name, history) in bad {
        assert!(!explained(history), "{name}");
    }
}

#[test]
fn transactions_that_saw_each_other_by_half_are_rejected() {
    let transaction = |steps: &[(usize, i64)], answers: &[i64]| Transaction {
        steps: steps.to_vec(),
        answers: Some(answers.to_vec()),
    };
    let transfer = transaction(&[(0, -5), (1, 5)], &[-5, 5]);
    let sees = |a, b| transaction(&[(0, 0), (1, 0)], &[a, b]);
    let run = |history: &[Entry<Transaction>]| check::<Counters>([0; 5], history).is_ok();
    assert!(run(&[at(0, 9, transfer.clone()), at(1, 8, sees(-5, 5)), at(2, 3, sees(0, 0))]));
    assert!(!run(&[at(0, 9, transfer.clone()), at(1, 8, sees(-5, 0))]), "half of it");
    assert!(!run(&[at(0, 9, transfer), at(1, 2, sees(-5, 5)), at(3, 8, sees(0, 0))]), "undone");
    // Write skew: each read what the other had not written yet.
    let skew = [
        at(0, 9, transaction(&[(0, 0), (1, 1)], &[0, 1])),
        at(1, 8, transaction(&[(1, 0), (0, 1)], &[0, 1])),
    ];
    assert!(!run(&skew));
}

#[test]
fn a_violation_says_how_far_the_answers_can_be_explained() {
    let history = [
        at(0, 1, Call::Set(1)),
        at(2, 3, Call::Get(Some(1))),
        at(4, 5, Call::Get(Some(9))),
        at(6, 7, Call::Get(Some(1))),
    ];
    let violation = check::<Register>(None, &history).expect_err("9 was never written");
    assert_eq!(violation.explained, 2);
    let text = violation.to_string();
    assert!(text.contains("Some(1)") && text.contains("Get(Some(9))"), "{text}");
}

fn a_call() -> impl Strategy<Value = Call> {
    let value = || 0..3i64;
    let held = || prop::option::of(value());
    prop_oneof![
        3 => held().prop_map(Call::Get),
        2 => value().prop_map(Call::Set),
        1 => (value(), any::<bool>()).prop_map(|(v, a)| Call::SetNew(v, Some(a))),
        1 => (1..4i64).prop_map(|a| Call::Increment(Some(a))),
        1 => any::<bool>().prop_map(|a| Call::Delete(Some(a))),
        1 => (held(), value()).prop_map(|(from, to)| Call::Swap { from, to }),
    ]
}

/// Calls at any moments, with any answers.
fn a_small_history() -> impl Strategy<Value = Vec<Entry<Call>>> {
    let entry = (a_call(), 0..12u64, 1..8u64, 0..4u8);
    prop::collection::vec(entry, 0..6).prop_map(|entries| {
        let shape = |(n, (call, sent, lasts, how)): (u64, (Call, u64, u64, u8))| {
            // Moments are unique.
            let (sent, ended) = (sent * 8 + n, (sent + lasts) * 8 + n);
            let end = match how {
                0 if matches!(call, Call::Get(_)) => End::Answered(ended),
                0 => End::Unknown(ended),
                _ => End::Answered(ended),
            };
            Entry { call, sent, end }
        };
        (0..).zip(entries).map(shape).collect()
    })
}

/// Whether any order of any choice of calls explains the answers: by trying them all.
fn some_order(state: Option<i64>, left: &[Entry<Call>]) -> bool {
    if left.iter().all(|entry| matches!(entry.end, End::Unknown(_))) {
        return true;
    }
    (0..left.len()).any(|index| {
        let mut rest = left.to_vec();
        let entry = rest.remove(index);
        let unknown = matches!(entry.end, End::Unknown(_));
        let in_time = rest.iter().all(|other| match other.end {
            End::Answered(ended) => ended > entry.sent,
            // Whether it comes later or never is decided when its turn comes.
            End::Unknown(_) => true,
        });
        let late = |other: &Entry<Call>| other.end.moment() < entry.sent;
        let after: Vec<_> = rest.iter().filter(|other| !late(other)).cloned().collect();
        (unknown && some_order(state, &rest))
            || (in_time
                && Register::step(&state, &entry.call).is_some_and(|s| some_order(s, &after)))
    })
}

/// A key that does behave, and clients whose calls take effect at some moment while they wait.
fn played(plan: &[(usize, u8, Call)]) -> Vec<Entry<Call>> {
    const CLIENTS: usize = 4;
    let mut state = None;
    let mut waiting: [Option<(u64, Call, bool)>; CLIENTS] = [None; CLIENTS];
    let mut history = Vec::new();
    for (moment, &(client, what, call)) in (0..).zip(plan) {
        let slot = &mut waiting[client % CLIENTS];
        match slot {
            None => *slot = Some((moment, call, false)),
            Some((_, call, took_effect @ false)) if what < 2 => {
                *call = answer(*call, state);
                *took_effect = true;
                state = Register::step(&state, call).expect("answered by the state");
            }
            Some((sent, call, true)) => {
                history.push(at(*sent, moment, *call));
                *slot = None;
            }
            Some((sent, call, false)) => {
                // A connection broke before the call had any effect.
                history.push(lost(*sent, moment, unheard(*call)));
                *slot = None;
            }
        }
    }
    // Those broke at the end; some had taken effect.
    let open = waiting.into_iter().flatten();
    history.extend(open.map(|(sent, call, _)| lost(sent, u64::MAX, unheard(call))));
    history
}

/// The call with the answer that this state gives.
fn answer(call: Call, state: Option<i64>) -> Call {
    match call {
        Call::Get(_) => Call::Get(state),
        Call::SetNew(value, _) => Call::SetNew(value, Some(state.is_none())),
        Call::Increment(_) => Call::Increment(Some(state.unwrap_or(0) + 1)),
        Call::Delete(_) => Call::Delete(Some(state.is_some())),
        Call::Swap { to, .. } => Call::Swap { from: state, to },
        Call::Set(_) => call,
    }
}

fn unheard(call: Call) -> Call {
    match call {
        Call::SetNew(value, _) => Call::SetNew(value, None),
        Call::Increment(_) => Call::Increment(None),
        Call::Delete(_) => Call::Delete(None),
        other => other,
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None, // there is no lib.rs beside which to keep them
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_search_agrees_with_trying_every_order(history in a_small_history()) {
        prop_assert_eq!(explained(&history), some_order(None, &history));
    }

    #[test]
    fn what_a_key_that_behaves_answers_is_explained(
        plan in prop::collection::vec((0..4usize, 0..3u8, a_call()), 0..160)
    ) {
        let history = played(&plan);
        if let Err(violation) = check::<Register>(None, &history) {
            panic!("{violation}");
        }
    }

    #[test]
    fn one_wrong_answer_among_right_ones_is_found(
        plan in prop::collection::vec((0..4usize, 0..3u8, a_call()), 40..160),
        which in any::<prop::sample::Index>(),
    ) {
        let mut history = played(&plan);
        let answered = |entry: &Entry<Call>| {
            matches!((entry.call, entry.end), (Call::Get(_), End::Answered(_)))
        };
        let reads: Vec<usize> = (0..history.len()).filter(|&i| answered(&history[i])).collect();
        prop_assume!(!reads.is_empty());
        // Nobody ever writes such a number.
        history[*which.get(&reads)].call = Call::Get(Some(-7));
        prop_assert!(!explained(&history));
    }
}
