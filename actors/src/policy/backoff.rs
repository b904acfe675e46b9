//! How long to wait before the next try: exponential, capped, with jitter.
//!
//! After Marc Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015): with
//! `jitter = 1` this is his *full jitter*, which spreads out callers that failed together.

use std::time::Duration;

use rand::Rng;

/// An exponential backoff. Only valid ones exist.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    base: Duration,
    factor: f64,
    max: Duration,
    jitter: f64,
}

/// Why a backoff cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBackoff {
    /// `base` is zero: a child that dies at once would be restarted in a busy loop.
    #[error("the base delay must be longer than zero")]
    ZeroBase,
    /// `max` is shorter than `base`.
    #[error("the longest delay must not be shorter than the base delay")]
    MaxBelowBase,
    /// `factor` is below 1, infinite or not a number.
    #[error("the factor must be a finite number of at least 1")]
    Factor,
    /// `jitter` is outside 0..=1.
    #[error("the jitter must lie between 0 and 1")]
    Jitter,
}

impl Backoff {
    /// A delay of `base` that grows by `factor` with every attempt, never above `max`, of which
    /// the share `jitter` (0 = none, 1 = full jitter) is drawn at random.
    ///
    /// # Errors
    /// [`InvalidBackoff`], naming the value that is out of range.
    pub fn try_new(
        base: Duration,
        factor: f64,
        max: Duration,
        jitter: f64,
    ) -> Result<Self, InvalidBackoff> {
        if base.is_zero() {
            return Err(InvalidBackoff::ZeroBase);
        }
        if max < base {
            return Err(InvalidBackoff::MaxBelowBase);
        }
        if !factor.is_finite() || factor < 1.0 {
            return Err(InvalidBackoff::Factor);
        }
        if !(0.0..=1.0).contains(&jitter) {
            return Err(InvalidBackoff::Jitter);
        }
        Ok(Self { base, factor, max, jitter })
    }

    /// The delay before try number `attempt` (0 = the first one after a failure).
    pub fn delay(&self, attempt: u32, rng: &mut impl Rng) -> Duration {
        let cap = self.cap(attempt);
        if self.jitter == 0.0 {
            return cap;
        }
        let unit: f64 = rng.random();
        // At most 1.0, and a rounding error upwards is cut off: never above the cap.
        cap.mul_f64((1.0 - self.jitter + self.jitter * unit).clamp(0.0, 1.0)).min(cap)
    }

    /// The longest delay before try number `attempt`, that is without jitter.
    #[must_use]
    pub fn cap(&self, attempt: u32) -> Duration {
        // A power that overflows becomes infinite, which is above `max` like any other.
        let grown =
            self.base.as_secs_f64() * self.factor.powi(i32::try_from(attempt).unwrap_or(i32::MAX));
        if grown >= self.max.as_secs_f64() {
            self.max
        } else {
            Duration::try_from_secs_f64(grown).map_or(self.max, |d| d.min(self.max))
        }
    }

    /// The longest delay ever.
    #[must_use]
    pub fn max(&self) -> Duration {
        self.max
    }
}

impl Default for Backoff {
    /// 50 ms, doubling, at most 10 s, full jitter.
    fn default() -> Self {
        Self {
            base: Duration::from_millis(50),
            factor: 2.0,
            max: Duration::from_secs(10),
            jitter: 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    proptest! {
        #[test]
        fn never_above_max_nor_below_the_fixed_share(
            base_ns in 1u64..10_000_000_000, more_ns in 0u64..100_000_000_000, factor in 1.0f64..1e300,
            jitter in 0.0f64..=1.0, attempt: u32, seed: u64,
        ) {
            let base = Duration::from_nanos(base_ns);
            let max = base + Duration::from_nanos(more_ns);
            let backoff = Backoff::try_new(base, factor, max, jitter).unwrap();
            let delay = backoff.delay(attempt, &mut SmallRng::seed_from_u64(seed));
            let cap = backoff.cap(attempt);
            prop_assert!(delay <= cap && cap <= max);
            let floor = cap.mul_f64(1.0 - jitter).saturating_sub(Duration::from_micros(1));
            prop_assert!(delay >= floor, "{delay:?} {floor:?}");
        }

        #[test]
        fn the_cap_never_shrinks(attempt in 0u32..1_000_000, factor in 1.0f64..100.0) {
            let backoff = Backoff::try_new(
                Duration::from_millis(1), factor, Duration::from_secs(3600), 1.0).unwrap();
            prop_assert!(backoff.cap(attempt) <= backoff.cap(attempt + 1));
        }
    }

    #[test]
    fn doubles_without_jitter() {
        let ms = Duration::from_millis;
        let backoff = Backoff::try_new(ms(10), 2.0, ms(65), 0.0).unwrap();
        let mut rng = SmallRng::seed_from_u64(1);
        let delays: Vec<_> = (0..5).map(|n| backoff.delay(n, &mut rng)).collect();
        assert_eq!(delays, [ms(10), ms(20), ms(40), ms(65), ms(65)]);
    }

    #[test]
    fn full_jitter_spreads_over_the_whole_range() {
        let backoff =
            Backoff::try_new(Duration::from_secs(1), 1.0, Duration::from_secs(1), 1.0).unwrap();
        let mut rng = SmallRng::seed_from_u64(7);
        let draws: Vec<f64> = (0..1000).map(|_| backoff.delay(0, &mut rng).as_secs_f64()).collect();
        let mean = draws.iter().sum::<f64>() / 1000.0;
        assert!((0.45..0.55).contains(&mean), "{mean}");
        assert!(draws.iter().any(|d| *d < 0.05) && draws.iter().any(|d| *d > 0.95));
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        let s = Duration::from_secs;
        for (backoff, why) in [
            (Backoff::try_new(s(0), 2.0, s(1), 1.0), InvalidBackoff::ZeroBase),
            (Backoff::try_new(s(2), 2.0, s(1), 1.0), InvalidBackoff::MaxBelowBase),
            (Backoff::try_new(s(1), 0.5, s(1), 1.0), InvalidBackoff::Factor),
            (Backoff::try_new(s(1), f64::NAN, s(1), 1.0), InvalidBackoff::Factor),
            (Backoff::try_new(s(1), 2.0, s(1), 1.1), InvalidBackoff::Jitter),
            (Backoff::try_new(s(1), 2.0, s(1), f64::NAN), InvalidBackoff::Jitter),
        ] {
            assert_eq!(backoff, Err(why));
        }
    }
}
