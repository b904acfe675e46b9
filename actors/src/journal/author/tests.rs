#![allow(clippy::unwrap_used, reason = "a failure is the end of a test")]

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::journal::{Item, Record, Records};

fn batch(key: &[u8]) -> RecordBatch {
    let mut batch = RecordBatch::new();
    batch.push(&Record::Delete { db: 0, key });
    batch
}

/// What a reader of all this makes of it: who wrote which key.
fn attributed(log: &RecordBatch) -> Vec<(Vec<u8>, Option<Identity<'static>>)> {
    let (mut known, mut now, mut found) = (HashMap::new(), 0, Vec::new());
    let mut records = Records::new(log.as_bytes());
    while let Some(item) = records.next_item() {
        match item.unwrap() {
            Item::Note(Note { number, identity }) => {
                now = number;
                known.extend(identity.map(|identity| (number, identity.into_owned())));
            }
            Item::Record(Record::Delete { key, .. }) => {
                found.push((key.to_vec(), known.get(&now).cloned()));
            }
            Item::Record(other) => panic!("{other:?}"),
        }
    }
    found
}

#[test]
fn one_author_alone_is_noted_once() {
    let (mut credits, mut log) = (Credits::default(), RecordBatch::new());
    let author = Author::new(7, "10.0.0.1:5000", "default");
    for _ in 0..3 {
        credits.note(Some(&author), 10, 1000, &mut log);
        log.extend(&batch(b"k"));
    }
    assert_eq!(log.count(), 4);
    author.rename("importer");
    credits.note(Some(&author), 10, 1000, &mut log);
    log.extend(&batch(b"k"));
    let names: Vec<_> =
        attributed(&log).into_iter().map(|(_, who)| who.unwrap().name.into_owned()).collect();
    assert_eq!(names, ["", "", "", "importer"]);
}

#[test]
fn an_author_among_others_costs_three_bytes_a_batch() {
    let (mut credits, mut log) = (Credits::default(), RecordBatch::new());
    let authors = [1, 2].map(|number| Author::new(number, "10.0.0.1:5000", "default"));
    for author in &authors {
        credits.note(Some(author), 10, 1000, &mut log);
    }
    let described = log.as_bytes().len();
    credits.note(Some(&authors[0]), 10, 1000, &mut log);
    assert_eq!(log.as_bytes().len() - described, 3);
    assert!(described < 70, "{described}");
}

#[test]
fn every_epoch_says_everything_anew() {
    let (mut credits, mut log) = (Credits::default(), RecordBatch::new());
    let author = Author::new(1, "10.0.0.1:5000", "default");
    credits.note(Some(&author), 600, 1000, &mut log);
    credits.note(Some(&author), 600, 1000, &mut log);
    assert_eq!(log.count(), 1);
    log.clear();
    credits.note(Some(&author), 600, 1000, &mut log);
    assert_eq!((log.count(), attributed(&log)), (1, Vec::new()));
    log.extend(&batch(b"k"));
    assert_eq!(attributed(&log)[0].1.as_ref().unwrap().address, "10.0.0.1:5000");
}

#[test]
fn long_texts_are_cut_between_characters() {
    let author = Author::new(1, &"é".repeat(100), "default");
    author.rename(&"x".repeat(1000));
    let mut log = RecordBatch::new();
    Credits::default().note(Some(&author), 1, 1000, &mut log);
    log.extend(&batch(b"k"));
    let who = attributed(&log)[0].1.clone().unwrap();
    assert_eq!((who.address.len(), who.name.len()), (64, 64));
}

#[test]
fn a_note_of_another_shape_is_passed_over() {
    for body in [&[][..], &[0x80], &[1, 5, b'a'], &[1, 1, 0xff, 0, 0]] {
        assert_eq!(Note::decode(body), None, "{body:?}");
    }
    let mut more = Vec::new();
    let identity = Identity { address: "a".into(), user: "b".into(), name: "c".into() };
    let note = Note { number: 300, identity: Some(identity) };
    note.encode(&mut more);
    assert_eq!(more.len(), note.encoded_len());
    more.extend_from_slice(b"of a later version");
    assert_eq!(Note::decode(&more), Some(note));
}

proptest! {
    #[test]
    fn a_reader_learns_who_wrote_each_record(
        writes in prop::collection::vec((0..5u64, 1..400usize, any::<bool>()), 0..60)
    ) {
        let authors: Vec<_> = (1..5).map(|n| Author::new(n, &format!("host:{n}"), "u")).collect();
        let (mut credits, mut log) = (Credits::default(), RecordBatch::new());
        let (mut names, mut due) = ([0; 5], Vec::new());
        for (n, &(who, bytes, rename)) in writes.iter().enumerate() {
            let author = who.checked_sub(1).map(|at| &authors[at as usize]);
            if let (Some(author), true) = (author, rename) {
                names[who as usize] = n;
                author.rename(&n.to_string());
            }
            credits.note(author, bytes, 1000, &mut log);
            log.extend(&batch(&n.to_le_bytes()));
            due.push(author.map(|a| {
                let name = names[who as usize];
                (a.address.clone(), if name == 0 { String::new() } else { name.to_string() })
            }));
        }
        let found: Vec<_> = attributed(&log)
            .into_iter()
            .map(|(_, who)| who.map(|w| (w.address.into_owned(), w.name.into_owned())))
            .collect();
        // A name "0" looks like none above.
        prop_assume!(!writes.first().is_some_and(|w| w.2));
        prop_assert_eq!(found, due);
    }
}
