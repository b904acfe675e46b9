//! Slows down who guesses passwords: so many wrong ones at once, then one a second, per address.
//!
//! Memory is bounded by what an address is looked up by: a keyed hash of it picks one of a fixed
//! number of token buckets. Two addresses in the same bucket share it, which a stranger can't
//! aim at, for the key is random. Pure: the time is passed in.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Wrong passwords that an address may give in a row.
pub const BURST: u32 = 10;
/// After which time it may give one more.
pub const ONE_MORE: Duration = Duration::from_secs(1);
/// Buckets that all addresses share.
const BUCKETS: usize = 4096;

/// Until when the wrong passwords of its addresses are paid off; `None`: they are.
type Bucket = Option<Instant>;

/// The buckets.
#[derive(Debug)]
pub struct Throttle {
    buckets: Box<[Bucket]>,
    key: RandomState,
}

impl Default for Throttle {
    fn default() -> Self {
        Self { buckets: vec![None; BUCKETS].into(), key: RandomState::new() }
    }
}

impl Throttle {
    /// Whether this address may try a password now; `None` stands for a Unix socket.
    ///
    /// # Errors
    /// How long it has to wait.
    pub fn may_try(&mut self, from: Option<IpAddr>, now: Instant) -> Result<(), Duration> {
        let debt = self.bucket(from).map_or(Duration::ZERO, |until| until.duration_since(now));
        match debt.checked_sub(ONE_MORE * (BURST - 1)) {
            Some(over) if !over.is_zero() => Err(over),
            _ => Ok(()),
        }
    }

    /// The address gave a wrong one.
    pub fn failed(&mut self, from: Option<IpAddr>, now: Instant) {
        let bucket = self.bucket(from);
        let until = bucket.unwrap_or(now).max(now) + ONE_MORE;
        // Many connections may have been let in at once: the debt is no longer than the burst.
        *bucket = Some(until.min(now + ONE_MORE * BURST));
    }

    fn bucket(&mut self, from: Option<IpAddr>) -> &mut Bucket {
        // Who has one IPv6 address has its network of 64 bits.
        let network = match from.map(|address| address.to_canonical()) {
            Some(IpAddr::V6(address)) => {
                let [a, b, c, d, ..] = address.segments();
                Some(IpAddr::from([a, b, c, d, 0, 0, 0, 0]))
            }
            other => other,
        };
        let at = self.key.hash_one(network) as usize % BUCKETS;
        &mut self.buckets[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7)));

    #[test]
    fn a_burst_is_free_and_then_one_a_second() {
        let (mut throttle, begin) = (Throttle::default(), Instant::now());
        let mut tried = 0;
        for ms in 0..20_000 {
            let now = begin + Duration::from_millis(ms);
            if throttle.may_try(HOME, now).is_ok() {
                throttle.failed(HOME, now);
                tried += 1;
            }
        }
        assert_eq!(tried, BURST + 19);
    }

    #[test]
    fn who_waits_as_told_may_try_and_after_a_quiet_time_has_the_whole_burst() {
        let (mut throttle, begin) = (Throttle::default(), Instant::now());
        (0..BURST).for_each(|_| throttle.failed(HOME, begin));
        let wait = throttle.may_try(HOME, begin).expect_err("the burst is used up");
        assert_eq!(wait, ONE_MORE);
        assert_eq!(throttle.may_try(HOME, begin + wait), Ok(()));
        let later = begin + ONE_MORE * BURST;
        for _ in 0..BURST {
            assert_eq!(throttle.may_try(HOME, later), Ok(()));
            throttle.failed(HOME, later);
        }
        assert!(throttle.may_try(HOME, later).is_err());
    }

    #[test]
    fn addresses_do_not_wait_for_each_other_but_a_network_of_ipv6_is_one() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        let v6 = |text: &str| Some(text.parse::<IpAddr>().expect("an address"));
        (0..BURST).for_each(|_| throttle.failed(v6("2001:db8::1"), now));
        assert!(throttle.may_try(v6("2001:db8::ffff"), now).is_err());
        // One in 4096 shares a bucket by chance: not all of ten do.
        let mut free = |n: u8| throttle.may_try(Some(IpAddr::from([10, 0, 0, n])), now).is_ok();
        assert!((0..10).map(&mut free).filter(|free| *free).count() >= 8);
    }

    #[test]
    fn many_at_once_owe_no_more_than_a_burst() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        (0..100_000).for_each(|_| throttle.failed(HOME, now));
        assert_eq!(throttle.may_try(HOME, now), Err(ONE_MORE));
    }
}
