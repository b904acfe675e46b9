#![allow(clippy::unwrap_used, reason = "a failure is the end of a test")]

use proptest::prelude::*;

use super::*;
use crate::journal::Record;

fn batch(sizes: &[usize]) -> RecordBatch {
    let mut batch = RecordBatch::new();
    for &size in sizes {
        batch.push(&Record::Set { db: 0, key: b"k", value: &vec![b'x'; size], expires_at: None });
    }
    batch
}

proptest! {
    /// Frames are whole batches, in order, complete, and small unless one batch is large.
    #[test]
    fn frames_are_whole_batches_in_order(
        batches in prop::collection::vec(prop::collection::vec(0usize..400, 1..4), 1..40),
        pops in 0usize..8,
    ) {
        let mut pending = Pending::default();
        let (mut lsn, mut model) = (1, Vec::new());
        for sizes in &batches {
            let batch = batch(sizes);
            pending.push(&RecordBatch::new(), &batch, lsn);
            lsn += u64::from(batch.count());
            model.push((batch.as_bytes().to_vec(), lsn));
        }
        let (mut written, mut next, mut popped) = (Vec::new(), 1, 0);
        while let Some(chunk) = pending.peek() {
            prop_assert_eq!(chunk.first, next);
            next += u64::from(chunk.count);
            prop_assert!(model.iter().any(|&(_, end)| end == next), "a batch is torn apart");
            let single = model.iter().any(|(bytes, _)| bytes == chunk.payload);
            prop_assert!(chunk.payload.len() <= FRAME_TARGET || single);
            written.extend_from_slice(chunk.payload);
            popped += 1;
            if popped == pops {
                prop_assert!(pending.skip_to(next - 1));
            } else {
                pending.pop();
            }
        }
        prop_assert_eq!(next, lsn);
        prop_assert_eq!(written, model.into_iter().flat_map(|(bytes, _)| bytes).collect::<Vec<_>>());
    }
}

#[test]
fn a_gap_or_half_a_frame_is_noticed() {
    let mut pending = Pending::default();
    pending.push(&RecordBatch::new(), &batch(&[1, 1, 1]), 5);
    assert!(!pending.skip_to(3), "record 4 is missing");
    assert!(!pending.skip_to(6), "6 lies inside the frame");
    assert!(pending.skip_to(4) && !pending.is_empty());
    assert!(pending.skip_to(7) && pending.is_empty());
}
