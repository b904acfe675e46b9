//! What is packed comes back byte for byte; what was not packed here is refused.

#![allow(clippy::unwrap_used, reason = "a failure is the end of a test")]

use proptest::prelude::*;

use super::*;
use crate::journal::{Record, RecordBatch, Records};

/// Values from one byte over and over to noise, with a length on either side of every edge.
fn any_value() -> impl Strategy<Value = Vec<u8>> {
    (0usize..3 * SAMPLED_FROM, 1usize..=256, any::<u64>()).prop_map(|(len, letters, seed)| {
        let mut state = seed | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state as usize % letters) as u8
        };
        (0..len).map(|_| next()).collect()
    })
}

fn batch(values: &[(Vec<u8>, Vec<u8>, Option<u64>)]) -> RecordBatch {
    let mut batch = RecordBatch::new();
    for (key, value, expires_at) in values {
        batch.push(&Record::Set { db: 3, key, value, expires_at: *expires_at });
        batch.push(&Record::Delete { db: 3, key });
    }
    batch
}

fn entries() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>, Option<u64>)>> {
    let key = proptest::collection::vec(any::<u8>(), 0..40);
    let at = proptest::option::of(1u64..u64::MAX);
    proptest::collection::vec((key, any_value(), at), 0..6)
}

proptest! {
    #[test]
    fn what_is_packed_comes_back(entries in entries(), above in 0usize..600) {
        let batch = batch(&entries);
        let mut packer = Packer::default();
        let mut out = vec![1, 2, 3];
        match packer.pack(batch.as_bytes(), above) {
            Some(packed) => {
                prop_assert!(packed.len() < batch.as_bytes().len());
                unpack(packed, &mut out).unwrap();
                prop_assert_eq!(&out, batch.as_bytes());
                let first = Records::new(packed).find_map(Result::err);
                prop_assert_eq!(first, Some(DecodeError::UnknownCritical(PACKED_SET)));
            }
            // Whatever is plain stays as it is.
            None => {
                unpack(batch.as_bytes(), &mut out).unwrap();
                prop_assert_eq!(&out, batch.as_bytes());
            }
        }
    }

    #[test]
    fn a_change_anywhere_is_an_error_or_other_records_but_never_a_panic(
        entries in entries(), at: prop::sample::Index, by in 1u8..=255, cut: prop::sample::Index,
    ) {
        let batch = batch(&entries);
        let mut packer = Packer::default();
        if let Some(packed) = packer.pack(batch.as_bytes(), 16) {
            let mut packed = packed.to_vec();
            let at = at.index(packed.len());
            packed[at] ^= by;
            let mut out = Vec::new();
            let _ = unpack(&packed, &mut out);
            prop_assert!(out.capacity() <= MAX_RATIO * packed.len() + batch.as_bytes().len());
            packed.truncate(cut.index(packed.len()));
            let _ = unpack(&packed, &mut out);
        }
    }

    #[test]
    fn garbage_is_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut out = Vec::new();
        let _ = unpack(&bytes, &mut out);
        // Noise seldom begins like a packed record.
        let mut record = Vec::new();
        put_head(&mut record, PACKED_SET, bytes.len());
        record.extend_from_slice(&bytes);
        let _ = unpack(&record, &mut out);
        prop_assert!(out.capacity() <= MAX_RATIO * record.len() + 64);
    }
}

#[test]
fn a_declared_length_that_no_block_can_have_takes_no_memory() {
    for value_len in [MAX_VALUE as u64 + 1, MAX_VALUE as u64, u64::MAX] {
        let mut body = vec![0, 1, b'k', 0];
        put_varint(&mut body, value_len);
        body.extend_from_slice(&[0xf0; 64]);
        let mut record = Vec::new();
        put_head(&mut record, PACKED_SET, body.len());
        record.extend_from_slice(&body);
        let mut out = Vec::new();
        assert_eq!(unpack(&record, &mut out), Err(DecodeError::Malformed));
        assert!(out.capacity() < 100, "{} bytes taken", out.capacity());
    }
}

#[test]
fn a_value_that_does_not_shrink_by_an_eighth_stays_as_it_is() {
    let mut packer = Packer::default();
    let noise: Vec<u8> =
        (0u32..4000).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let text = b"one value and the next value ".repeat(20);
    for (value, packs) in [(noise, false), (text, true)] {
        let batch = batch(&[(b"k".to_vec(), value, None)]);
        assert_eq!(packer.pack(batch.as_bytes(), 10).is_some(), packs);
    }
}

#[test]
fn only_values_above_the_threshold_are_packed() {
    let batch = batch(&[(b"k".to_vec(), vec![b'x'; 100], None)]);
    let mut packer = Packer::default();
    assert!(packer.pack(batch.as_bytes(), 100).is_none());
    assert!(packer.pack(batch.as_bytes(), 99).is_some());
}

#[test]
fn a_large_value_leaves_no_memory_behind() {
    let batch = batch(&[(b"k".to_vec(), vec![b'x'; 4 * KEEP], None)]);
    let mut packer = Packer::default();
    assert!(packer.pack(batch.as_bytes(), 100).is_some());
    packer.trim();
    assert!(packer.block.capacity() <= KEEP && packer.out.capacity() <= KEEP);
}

/// The bytes that docs/wal-format.md promises.
#[test]
fn the_layout_is_the_documented_one() {
    let batch = batch(&[(b"key".to_vec(), vec![b'x'; 300], Some(5))]);
    let mut packer = Packer::default();
    let packed = packer.pack(batch.as_bytes(), 100).unwrap();
    let (kind, body, _) = split_record(packed).unwrap();
    assert_eq!(kind, 7);
    assert_eq!(&body[..8], b"\x03\x03key\x05\xac\x02");
    assert_eq!(lz4_flex::block::decompress(&body[8..], 300).unwrap(), vec![b'x'; 300]);
}
