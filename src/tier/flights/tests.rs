use std::sync::Arc;

use seawall_actors::cache::store::Ticket;

use super::super::question::{Found, Want};
use super::Table;
use super::flight::Passenger;
use super::lingering::Lingering;

fn want(key: &[u8], seq: u64) -> Want {
    let ticket = Ticket { after: 0, seq, changed: seq };
    // Every key has the same hash here: they are told apart all the same.
    Want { key: key.into(), hash: 7, ticket, stale: false }
}

fn value() -> Found {
    Found::Value { value: Arc::from(*b"v"), expires_at: None }
}

#[test]
fn who_asks_the_same_waits_for_the_same_flight_and_others_leave_with_it() {
    let mut table = Table::default();
    let first = table.board(&want(b"a", 1));
    assert!(Arc::ptr_eq(&first, &table.board(&want(b"a", 1))));
    let other = table.board(&want(b"b", 1));
    assert!(!Arc::ptr_eq(&first, &other));
    let keys: Vec<&[u8]> = table.waiting.iter().map(|p| &*p.flight.key).collect();
    assert_eq!(keys, [&b"a"[..], b"b"]);
}

#[test]
fn a_flight_from_before_a_change_is_not_boarded_and_leaves_the_later_one_in_its_place() {
    let mut table = Table::default();
    let early = table.board(&want(b"a", 1));
    let late = table.board(&want(b"a", 2));
    assert!(!Arc::ptr_eq(&early, &late));
    // An earlier question is answered by the later flight, too.
    assert!(Arc::ptr_eq(&late, &table.board(&want(b"a", 1))));
    table.forget(&early);
    assert!(Arc::ptr_eq(&late, &table.board(&want(b"a", 2))));
    table.forget(&late);
    assert!(table.flights.is_empty());
}

#[test]
fn a_value_may_be_boarded_when_it_has_landed_and_nothing_else() {
    let mut table = Table::default();
    let flight = table.board(&want(b"a", 1));
    assert!(!flight.land(value()));
    assert!(Arc::ptr_eq(&flight, &table.board(&want(b"a", 1))));
    for found in [Found::Absent, Found::Foreign, Found::Unknown("why".into())] {
        let flight = table.board(&want(b"b", 1));
        flight.land(found);
        assert!(!Arc::ptr_eq(&flight, &table.board(&want(b"b", 1))));
        table.flights.clear();
    }
}

#[tokio::test]
async fn nobody_waits_for_a_question_that_was_lost() {
    let mut table = Table::default();
    let flight = table.board(&want(b"a", 1));
    table.waiting.clear();
    assert!(matches!(flight.landed().await, Found::Unknown(_)));
    assert!(!Arc::ptr_eq(&flight, &table.board(&want(b"a", 1))), "and nobody joins it");
}

#[test]
fn an_answer_goes_to_the_shard_if_somebody_left_before_it_came() {
    let mut table = Table::default();
    let flight = table.board(&want(b"a", 1));
    assert!(matches!(flight.leave_behind(), Found::Unknown(_)));
    assert!(flight.land(value()), "the shard is told");
    assert_eq!(flight.leave_behind(), value(), "who leaves too late has it");
    assert!(!flight.land(Found::Absent), "it has landed already");
    drop(Passenger::new(Arc::clone(&flight), false));
    assert_eq!(flight.leave_behind(), value());
}

#[test]
fn what_has_landed_stays_for_a_whole_turn_and_goes_with_the_next() {
    let (mut table, mut lingering) = (Table::default(), Lingering::default());
    assert!(!lingering.needs_sweeper(), "nothing is there");
    lingering.add(table.board(&want(b"a", 1)));
    assert!(lingering.needs_sweeper());
    assert!(!lingering.needs_sweeper(), "one is enough");
    assert_eq!(lingering.turn().expect("something is left").len(), 0);
    lingering.add(table.board(&want(b"b", 1)));
    let gone = lingering.turn().expect("something is left");
    assert_eq!(*gone[0].key, *b"a");
    assert_eq!(lingering.turn().expect("something is left").len(), 1);
    assert!(lingering.turn().is_none(), "the sweeper may go");
    lingering.add(table.board(&want(b"c", 1)));
    assert!(lingering.needs_sweeper(), "and another one is needed");
}
