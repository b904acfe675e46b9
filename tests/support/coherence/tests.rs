//! The rules find what they are there for, and nothing else.

use super::history::{Act, Id, Op, Place};
use super::rules::{Findings, Terms, check};
use super::truth::Truth;

const OWN: usize = 0;
const SHARED: usize = 16;
const TIMED: usize = 32;
const COUNTED: usize = 44;

fn op(place: Place, client: usize, key: usize, act: Act, begun: u64, ended: u64) -> Op {
    Op { place, client, life: 0, key, act, begun, ended: Some(ended) }
}

fn put(place: Place, key: usize, id: Id, begun: u64) -> Op {
    let client = if place == Place::Wall(0) { 0 } else { 7 };
    op(place, client, key, Act::Put { id, ttl_ms: None }, begun, begun + 10)
}

/// A read by a client of its own at the first Seawall.
fn read(key: usize, seen: Option<Id>, begun: u64) -> Op {
    op(Place::Wall(0), 1, key, Act::Read { seen }, begun, begun + 10)
}

const WELL: Terms = Terms { well: true, bound: 1_000_000, through: None };
const TROUBLED: Terms = Terms { well: false, ..WELL };

/// Ticks are sent every hundred microseconds, and answered after ten.
fn findings(terms: Terms, truth: &str, ops: &[Op]) -> Findings {
    let ticks = (0..100).map(|n| (n * 100, n * 100 + 10)).collect();
    check(ops, &Truth::of(truth), &ticks, terms)
}

#[track_caller]
fn fine(terms: Terms, truth: &str, ops: &[Op]) {
    let findings = findings(terms, truth, ops);
    assert!(findings.violations.is_empty(), "{:#?}", findings.violations);
}

#[track_caller]
fn wrong(terms: Terms, truth: &str, ops: &[Op], why: &str) {
    let violations = findings(terms, truth, ops).violations;
    assert!(violations.len() == 1 && violations[0].1.contains(why), "{violations:#?}");
}

const HERE: Place = Place::Wall(0);
const THERE: Place = Place::Wall(1);

#[test]
fn nothing_is_made_up() {
    fine(WELL, "SET k16 1", &[put(THERE, SHARED, 1, 0), read(SHARED, Some(1), 20)]);
    wrong(WELL, "SET k16 1", &[read(SHARED, Some(1), 20)], "nobody ever wrote");
    wrong(TROUBLED, "SET k16 1", &[put(THERE, SHARED, 1, 90), read(SHARED, Some(1), 20)], "yet");
    wrong(TROUBLED, "", &[put(THERE, SHARED, 1, 0), read(SHARED, Some(1), 20)], "never had it");
    // What was written here need not have got to Redis.
    fine(WELL, "", &[put(HERE, OWN, 1, 0), read(OWN, Some(1), 20)]);
}

#[test]
fn what_was_written_here_is_seen_here() {
    let both = [put(HERE, OWN, 1, 0), put(HERE, OWN, 2, 20), read(OWN, Some(1), 40)];
    wrong(TROUBLED, "SET k0 1; SET k0 2", &both, "was written here before");
    // While the second was under way.
    let [first, second, _] = both;
    fine(TROUBLED, "SET k0 1; SET k0 2", &[first, second, read(OWN, Some(1), 25)]);
    // The same client cannot have missed it.
    let same = op(HERE, 0, OWN, Act::Read { seen: Some(1) }, 25, 35);
    wrong(TROUBLED, "SET k0 1; SET k0 2", &[first, second, same], "was written here before");
    // Another's, before and after.
    let theirs = [put(THERE, SHARED, 1, 0), put(HERE, SHARED, 2, 20), read(SHARED, Some(1), 40)];
    wrong(TROUBLED, "SET k16 1; SET k16 2", &theirs, "was written here before");
    fine(TROUBLED, "SET k16 2; SET k16 1", &theirs);
    // Ours was put together with the next one.
    let more = [theirs[0], theirs[1], put(HERE, SHARED, 3, 30), theirs[2]];
    wrong(TROUBLED, "SET k16 1; SET k16 3", &more, "was written here before");
    // Nor is what others deleted before a deletion here found nothing.
    let none = op(HERE, 0, OWN, Act::DeleteNone, 20, 30);
    let back = [first, none, read(OWN, Some(1), 40)];
    wrong(TROUBLED, "SET k0 1; UNLINK k0", &back, "was written here before");
    // Nobody knows where Redis executed a deletion.
    let gone = op(HERE, 0, SHARED, Act::Delete, 220, 230);
    let late = read(SHARED, Some(1), 240);
    fine(TROUBLED, "UNLINK k16; SET tick 2; SET k16 1; SET tick 3", &[theirs[0], gone, late]);
    wrong(
        TROUBLED,
        "SET k16 1; SET tick 1; UNLINK k16; SET tick 3",
        &[theirs[0], gone, late],
        "was written here before",
    );
}

#[test]
fn what_was_written_here_does_not_disappear() {
    let seen = [put(HERE, OWN, 1, 0), read(OWN, None, 40)];
    wrong(TROUBLED, "SET k0 1", &seen, "was written here before");
    let gone = op(HERE, 0, OWN, Act::Delete, 20, 30);
    fine(TROUBLED, "SET k0 1; UNLINK k0", &[seen[0], gone, seen[1]]);
    // Another's deletion, and only one that can have come by then.
    let seen = [put(HERE, SHARED, 1, 0), read(SHARED, None, 40)];
    fine(WELL, "SET k16 1; UNLINK k16", &seen);
    wrong(WELL, "SET k16 1; SET tick 1; UNLINK k16", &seen, "was written here before");
    // Another's write makes it be asked for, which may be in vain where Redis is in trouble.
    let theirs = [seen[0], put(THERE, SHARED, 2, 20), seen[1]];
    fine(TROUBLED, "SET k16 1; SET k16 2", &theirs);
    wrong(WELL, "SET k16 1; SET k16 2", &theirs, "was written here before");
}

#[test]
fn nothing_goes_back() {
    let ops = |life| {
        let writes = [put(THERE, SHARED, 1, 0), put(Place::Redis, SHARED, 2, 20)];
        let mut back = read(SHARED, Some(1), 60);
        back.life = life;
        [writes[0], writes[1], read(SHARED, Some(2), 40), back]
    };
    wrong(TROUBLED, "SET k16 1; SET k16 2", &ops(0), "goes back");
    fine(TROUBLED, "SET k16 2; SET k16 1", &ops(0));
    fine(TROUBLED, "SET k16 1; SET k16 2; SET k16 1", &ops(0));
    // It had been killed in between: what was there is asked for.
    fine(TROUBLED, "SET k16 1; SET k16 2", &ops(1));
    // Reads that overlap have no order.
    let mut overlaps = ops(0);
    overlaps[3].begun = 45;
    fine(TROUBLED, "SET k16 1; SET k16 2", &overlaps);
}

#[test]
fn nothing_outlives_its_time() {
    let timed = Act::Put { id: 1, ttl_ms: Some(5) };
    let write = op(THERE, 7, TIMED, timed, 0, 10);
    fine(WELL, "SET k32 1", &[write, read(TIMED, Some(1), 5_000)]);
    wrong(WELL, "SET k32 1", &[write, read(TIMED, Some(1), 50_000)], "its time was over");
    fine(WELL, "SET k32 1; UNLINK k32", &[write, read(TIMED, None, 5_000)]);
}

#[test]
fn nothing_stays_old() {
    let terms = Terms { bound: 500, ..WELL };
    let writes = [put(THERE, SHARED, 1, 0), put(Place::Redis, SHARED, 2, 20)];
    let truth = "SET k16 1; SET k16 2; SET tick 1";
    let at = |begun, seen| [writes[0], writes[1], read(SHARED, seen, begun)];
    fine(terms, truth, &at(600, Some(1)));
    wrong(terms, truth, &at(700, Some(1)), "Redis held something else for 590");
    fine(terms, truth, &at(700, Some(2)));
    wrong(terms, truth, &at(700, None), "held something for long");
    // Deleted here, and Redis does not have that yet.
    let gone = op(HERE, 0, SHARED, Act::Delete, 690, 720);
    let [first, second, nothing] = at(700, None);
    fine(
        terms,
        "SET k16 1; SET k16 2; SET tick 1; SET tick 8; UNLINK k16",
        &[first, second, gone, nothing],
    );
    let found = findings(terms, truth, &at(600, Some(1)));
    assert_eq!((found.reads, found.stale, found.oldest), (1, 1, 490));
}

#[test]
fn through_is_through() {
    let terms = Terms { through: Some(0), ..WELL };
    let write = [put(HERE, SHARED, 1, 105)];
    fine(terms, "SET tick 1; SET k16 1; SET tick 2", &write);
    wrong(terms, "SET tick 1; SET tick 2; SET k16 1", &write, "answered before");
    fine(WELL, "SET tick 1; SET tick 2; SET k16 1", &write);
}

#[test]
fn counters_count() {
    let count = |got, begun| op(HERE, 0, COUNTED, Act::Count { got: Some(got) }, begun, begun + 10);
    let truth = "INCR k44; INCR k44";
    let ops = |seen| [count(1, 0), count(2, 20), read(COUNTED, seen, 40)];
    fine(WELL, truth, &ops(Some(2)));
    wrong(TROUBLED, truth, &ops(Some(1)), "2 was counted through it");
    wrong(WELL, truth, &ops(None), "2 was counted through it");
    wrong(TROUBLED, truth, &ops(Some(3)), "never counted that far");
}
