use proptest::prelude::*;

use super::*;

#[test]
fn an_empty_histogram_has_no_quantile() {
    let empty = Histogram::new().snapshot();
    assert_eq!((empty.count(), empty.sum_ns(), empty.quantile(0.5)), (0, 0, None));
}

#[test]
fn buckets_adjoin_and_grow() {
    for i in 0..BUCKETS - 1 {
        assert_eq!(index(upper(i)), i, "upper bound of {i}");
        assert_eq!(index(upper(i) + 1), i + 1, "first above {i}");
    }
    assert_eq!(index(0), 0);
    assert_eq!(index(u64::MAX), BUCKETS - 1);
    assert_eq!(upper(BUCKETS - 1), 1 << MAX_BITS);
}

#[test]
fn a_duration_beyond_the_last_bucket_is_reported_as_the_maximum() {
    let h = Histogram::new();
    h.record(u64::MAX);
    assert_eq!(h.snapshot().quantile(0.99), Some(u64::MAX));
    assert_eq!(h.snapshot().at_most_pow2(MAX_BITS + 1), 1);
}

#[test]
fn reset_forgets() {
    let h = Histogram::new();
    h.record_n(5_000, 3);
    h.reset();
    assert_eq!(h.snapshot(), Histogram::new().snapshot());
}

#[test]
fn threads_lose_no_count() {
    let h = Histogram::new();
    std::thread::scope(|scope| {
        for t in 0..4u64 {
            let h = &h;
            scope.spawn(move || (0..10_000).for_each(|i| h.record_n(i * t, 2)));
        }
    });
    assert_eq!(h.snapshot().count(), 80_000);
    assert_eq!(h.snapshot().sum_ns(), 2 * (1 + 2 + 3) * (9_999 * 10_000 / 2));
}

fn durations() -> impl Strategy<Value = Vec<(u64, u64)>> {
    // Evenly over magnitudes, so that every power of two is hit.
    let ns = (0u32..MAX_BITS).prop_flat_map(|bits| (1u64 << bits) / 2..=(1u64 << bits));
    prop::collection::vec((ns, 1u64..4), 1..200)
}

proptest! {
    #[test]
    fn agrees_with_the_exact_list(recorded in durations(), q in 0.0f64..=1.0, bits in 0u32..=MAX_BITS) {
        let h = Histogram::new();
        let mut exact = Vec::new();
        for (ns, n) in &recorded {
            h.record_n(*ns, *n);
            exact.extend((0..*n).map(|_| *ns));
        }
        exact.sort_unstable();
        let s = h.snapshot();
        prop_assert_eq!(s.count(), exact.len() as u64);
        prop_assert_eq!(s.sum_ns(), exact.iter().sum::<u64>());
        prop_assert_eq!(s.max_ns(), *exact.last().unwrap());

        let rank = ((q * exact.len() as f64).ceil() as usize).clamp(1, exact.len());
        let truth = exact[rank - 1];
        let answer = s.quantile(q).unwrap();
        prop_assert!(answer >= truth, "{} below {}", answer, truth);
        prop_assert!(answer <= truth + truth / SUB + 1, "{} too far above {}", answer, truth);

        let at_most = exact.iter().filter(|ns| **ns <= 1 << bits).count() as u64;
        prop_assert_eq!(s.at_most_pow2(bits), at_most);
    }
}
