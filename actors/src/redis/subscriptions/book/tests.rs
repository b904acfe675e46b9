use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const NAMES: usize = 5;

fn topic(n: usize) -> Topic {
    let name = Arc::from(format!("{}", n / 2).as_bytes());
    if n.is_multiple_of(2) { Topic::Channel(name) } else { Topic::Pattern(name) }
}

#[derive(Debug, Clone)]
enum Step {
    Want(usize, bool),
    Off(bool),
    Begin,
    Lose,
    Again,
    Take,
    /// Answers what was taken; those for which it is set are refused.
    Answer([bool; NAMES]),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..NAMES, any::<bool>()).prop_map(|(n, wanted)| Step::Want(n, wanted)),
        1 => any::<bool>().prop_map(Step::Off),
        1 => Just(Step::Begin),
        1 => Just(Step::Lose),
        1 => Just(Step::Again),
        5 => Just(Step::Take),
        5 => prop::array::uniform(prop::bool::weighted(0.2)).prop_map(Step::Answer),
    ]
}

/// A Redis, and what was sent to it and not answered.
#[derive(Default)]
struct Model {
    wanted: BTreeSet<Topic>,
    off: bool,
    connected: bool,
    subscribed: BTreeSet<Topic>,
    refused: BTreeMap<Topic, ()>,
    under_way: Vec<Change>,
}

impl Model {
    fn answer(&mut self, book: &mut Book, refuse: &[bool; NAMES]) {
        for Change { topic: one, subscribe } in std::mem::take(&mut self.under_way) {
            let at = (0..NAMES).find(|n| topic(*n) == one).expect("one of them");
            let refused = subscribe && refuse[at];
            if !subscribe {
                self.subscribed.remove(&one);
            } else if refused {
                self.refused.insert(one.clone(), ());
            } else {
                self.subscribed.insert(one.clone());
            }
            book.settle(one, if refused { Err("no".into()) } else { Ok(()) });
        }
    }
}

proptest! {
    /// Whatever happens, once all is asked and answered Redis has exactly what is wanted.
    #[test]
    fn redis_gets_to_have_what_is_wanted(steps in prop::collection::vec(step(), 1..80)) {
        let (mut book, mut model) = (Book::default(), Model::default());
        for step in steps {
            match step {
                Step::Want(n, wanted) => {
                    book.want(topic(n), wanted);
                    if wanted {
                        model.wanted.insert(topic(n));
                    } else {
                        model.wanted.remove(&topic(n));
                    }
                }
                Step::Off(off) => {
                    book.set_off(off);
                    model.off = off;
                }
                Step::Begin | Step::Lose => {
                    model.connected = matches!(step, Step::Begin);
                    if model.connected { book.begins() } else { book.lost() }
                    model.subscribed.clear();
                    model.under_way.clear();
                }
                Step::Again => book.try_refused_again(),
                // One piece at a time.
                Step::Take if !model.under_way.is_empty() => {}
                Step::Take => {
                    let taken = book.take();
                    prop_assert!(model.connected || taken.is_empty());
                    for Change { topic, subscribe } in &taken {
                        prop_assert_eq!(model.subscribed.contains(topic), !subscribe);
                    }
                    model.under_way = taken;
                }
                Step::Answer(refuse) => model.answer(&mut book, &refuse),
            }
            for n in 0..NAMES {
                // A name on its way out is not confirmed for whoever wants it again.
                let confirmed = book.standing(&topic(n)) == Standing::Confirmed;
                prop_assert!(!confirmed || model.off || model.subscribed.contains(&topic(n)));
            }
            prop_assert_eq!(book.counts().wanted, model.wanted.len());
            prop_assert_eq!(book.needs_connection(), !model.off && !model.wanted.is_empty());
        }
        if !model.connected {
            book.begins();
            model.subscribed.clear();
            model.under_way.clear();
        }
        for _ in 0..4 {
            model.answer(&mut book, &[false; NAMES]);
            book.try_refused_again();
            model.under_way = book.take();
        }
        prop_assert_eq!(book.has_due(), false);
        let expected = if model.off { BTreeSet::new() } else { model.wanted.clone() };
        prop_assert_eq!(&model.subscribed, &expected);
        prop_assert_eq!(book.counts().confirmed, expected.len());
        prop_assert_eq!(book.counts().refused, 0);
        for one in model.wanted.clone() {
            book.want(one, false);
        }
        while let taken @ [_, ..] = &book.take()[..] {
            model.under_way = taken.to_vec();
            model.answer(&mut book, &[false; NAMES]);
        }
        prop_assert!(book.topics.is_empty(), "nothing is left of what nobody wants");
        prop_assert_eq!(book.counts(), Counts::default());
    }
}

#[test]
fn much_is_asked_for_piece_by_piece() {
    let mut book = Book::default();
    book.begins();
    for n in 0..2 * MOST + 1 {
        book.want(Topic::Channel(Arc::from(format!("{n}").as_bytes())), true);
    }
    assert_eq!([book.take().len(), book.take().len(), book.take().len()], [MOST, MOST, 1]);
    book.want(Topic::Channel(Arc::from(vec![b'x'; BYTES])), true);
    book.want(topic(0), true);
    book.want(topic(1), true);
    assert_eq!(book.take().len(), 1);
}

#[test]
fn a_refusal_is_told_while_it_lasts() {
    let mut book = Book::default();
    book.begins();
    book.want(topic(0), true);
    book.take();
    book.settle(topic(0), Err("NOPERM no".into()));
    assert_eq!(book.standing(&topic(0)), Standing::Refused("NOPERM no".into()));
    assert_eq!(book.a_refusal(), Some((&topic(0), "NOPERM no")));
    book.try_refused_again();
    assert_eq!((book.standing(&topic(0)), book.take().len()), (Standing::Pending, 1));
    book.settle(topic(0), Err("NOPERM no".into()));
    book.want(topic(0), false);
    assert_eq!((book.a_refusal(), book.counts()), (None, Counts::default()));
}
