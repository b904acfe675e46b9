#![allow(clippy::unwrap_used, reason = "a failure is the end of a test")]

use proptest::prelude::*;

use super::*;
use crate::journal::{Author, Credits, Item, Record, RecordBatch, Records};
use crate::wal::replay::Origin;

const QUERY: Query<'_> = Query { db: 0, key: b"k", count: 100, upto: Lsn::MAX };

/// Segments, oldest first, told as the driver does.
fn told(query: &Query<'_>, segments: &[RecordBatch]) -> Vec<Event> {
    let mut chronicle = Chronicle::default();
    let firsts = segments.iter().scan(1, |next, segment| {
        let first = *next;
        *next += u64::from(segment.count());
        Some(first)
    });
    let pairs: Vec<_> = firsts.zip(segments).collect();
    for (first, segment) in pairs.into_iter().rev() {
        let mut stretch = Stretch::new(query);
        let mut records = Records::new(segment.as_bytes());
        while let Some(item) = records.next_item() {
            let lsn = first + records.position() - 1;
            stretch.take(Origin { lsn, wall_ms: 1000 * lsn }, item.unwrap());
        }
        chronicle.prepend(stretch);
    }
    chronicle.into_events(query.count)
}

fn segment(records: &[Record<'_>]) -> RecordBatch {
    let mut batch = RecordBatch::new();
    records.iter().for_each(|record| batch.push(record));
    batch
}

fn set(expires_at: Option<UnixMs>) -> Record<'static> {
    Record::Set { db: 0, key: b"k", value: b"four", expires_at }
}

const DELETE: Record<'static> = Record::Delete { db: 0, key: b"k" };

#[test]
fn what_concerns_the_key_is_told_newest_first() {
    let segments = [
        segment(&[set(None), Record::Set { db: 1, key: b"k", value: b"", expires_at: None }]),
        segment(&[Record::Delete { db: 0, key: b"other" }, Record::Flush { db: Some(1) }]),
        segment(&[
            Record::SwapDb { a: 4, b: 0 },
            Record::SwapDb { a: 4, b: 5 },
            Record::Expire { db: 0, key: b"k", expires_at: Some(99) },
            Record::Flush { db: None },
            Record::Evict { db: 0, key: b"k" },
        ]),
    ];
    let events = told(&QUERY, &segments);
    let told: Vec<_> = events.iter().map(|event| (event.lsn, event.change)).collect();
    let expected = [
        (9, Change::Evict),
        (8, Change::Flush),
        (7, Change::Expire { expires_at: Some(99) }),
        (5, Change::Swap(4)),
        (1, Change::Set { size: 4, expires_at: None }),
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_deletion_behind_the_keys_time_is_an_expiry() {
    // Its record is the second one, of the second 2.
    for (expires_at, change) in [(Some(2000), Change::Expired), (Some(2001), Change::Delete)] {
        let segments = [segment(&[set(expires_at)]), segment(&[DELETE])];
        assert_eq!(told(&QUERY, &segments)[0].change, change);
        // Also where the event that tells is not asked for.
        let events = told(&Query { count: 1, ..QUERY }, &segments);
        assert_eq!((events.len(), events[0].change), (1, change));
    }
    let kept = [set(Some(2)), Record::Expire { db: 0, key: b"k", expires_at: None }, DELETE];
    assert_eq!(told(&QUERY, &[segment(&kept)])[0].change, Change::Delete);
}

#[test]
fn who_was_named_in_an_earlier_segment_is_found_there() {
    let author = Author::new(3, "host:1", "default");
    let mut credits = Credits::default();
    let mut first = RecordBatch::new();
    credits.note(Some(&author), 10, 1000, &mut first);
    first.extend(&segment(&[Record::Delete { db: 0, key: b"other" }]));
    let mut third = RecordBatch::new();
    credits.note(None, 10, 1000, &mut third);
    third.extend(&segment(&[DELETE]));
    credits.note(Some(&author), 10, 1000, &mut third);
    third.extend(&segment(&[set(None)]));
    let events = told(&QUERY, &[first, segment(&[set(None)]), third]);
    let authors: Vec<_> = events.iter().map(|e| e.author.as_ref().map(|a| &*a.address)).collect();
    assert_eq!(authors, [Some("host:1"), None, Some("host:1")]);
}

proptest! {
    /// Batches of any authors, cut into segments anywhere: within an epoch's length everybody is
    /// known again.
    #[test]
    fn everybody_is_known_wherever_the_segments_end(
        batches in prop::collection::vec((0..4u64, any::<bool>(), any::<bool>()), 1..80),
        count in 1..20usize,
    ) {
        let authors: Vec<_> = (1..4).map(|n| Author::new(n, &format!("host:{n}"), "u")).collect();
        let mut credits = Credits::default();
        let (mut segments, mut truth) = (vec![RecordBatch::new()], Vec::new());
        for &(who, ours, cut) in &batches {
            let author = who.checked_sub(1).map(|at| &authors[at as usize]);
            let last = segments.last_mut().unwrap();
            credits.note(author, 10, 100, last);
            let key: &[u8] = if ours { b"k" } else { b"other" };
            last.push(&Record::Set { db: 0, key, value: b"v", expires_at: None });
            if ours {
                truth.push((who > 0).then(|| format!("host:{who}")));
            }
            if cut {
                segments.push(RecordBatch::new());
            }
        }
        truth.reverse();
        truth.truncate(count);
        let told: Vec<_> = told(&Query { count, ..QUERY }, &segments)
            .into_iter()
            .map(|event| event.author.map(|author| author.address.into_owned()))
            .collect();
        prop_assert_eq!(told, truth);
    }
}

#[test]
fn a_note_is_no_event() {
    let mut batch = RecordBatch::new();
    Credits::default().note(Some(&Author::new(1, "a", "b")), 1, 10, &mut batch);
    let items: Vec<_> = std::iter::from_fn({
        let mut records = Records::new(batch.as_bytes());
        move || records.next_item().map(|item| matches!(item.unwrap(), Item::Note(_)))
    })
    .collect();
    assert_eq!(items, [true]);
    assert_eq!(told(&QUERY, &[batch]), []);
}
