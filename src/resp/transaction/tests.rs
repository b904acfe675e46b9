//! The queue's rules.

use super::*;
use crate::resp::table::find;

fn args<'a>(input: &'a [u8], spans: &'a [Span]) -> Args<'a> {
    Args::new(input, spans)
}

#[test]
fn a_queue_keeps_arguments_of_its_own() {
    let mut transaction = Transaction::default();
    assert!(transaction.begin());
    assert!(!transaction.begin(), "MULTI does not nest");
    let command = find(b"ECHO").expect("ECHO is in the table");
    let spans = [Span { start: 0, len: 4 }, Span { start: 4, len: 2 }];
    assert!(transaction.push(command, &args(b"ECHOhi", &spans), 1 << 20));
    let Verdict::Run(queue) = transaction.close() else { panic!("nothing was wrong") };
    let words: Vec<_> = queue[0].args().from(0).collect();
    assert_eq!(words, [&b"ECHO"[..], b"hi"]);
    assert!(!transaction.is_open());
}

#[test]
fn a_flaw_discards_the_queue_once() {
    let mut transaction = Transaction::default();
    transaction.flaw();
    transaction.begin();
    assert!(matches!(transaction.close(), Verdict::Run(_)), "a flaw outside MULTI is none");
    transaction.begin();
    transaction.flaw();
    assert!(matches!(transaction.close(), Verdict::Discarded));
    transaction.begin();
    assert!(matches!(transaction.close(), Verdict::Run(_)));
}

#[test]
fn a_queue_is_bounded() {
    let mut transaction = Transaction::default();
    transaction.begin();
    let command = find(b"PING").expect("PING is in the table");
    let spans = [Span { start: 0, len: 4 }];
    assert!(!transaction.push(command, &args(b"PING", &spans), 10));
    assert!(matches!(transaction.close(), Verdict::Discarded));
}

#[test]
fn ending_watches_forgets_what_happened_to_them() {
    let mut transaction = Transaction::default();
    transaction.add_watch(Watched { db: 0, key: Box::from(&b"k"[..]), hash: 1 });
    transaction.flag().store(true, Ordering::Release);
    assert!(transaction.is_stale() && transaction.watches(0, b"k"));
    assert_eq!(transaction.unwatch().len(), 1);
    assert!(!transaction.is_stale() && transaction.watched().is_empty());
}
