//! What to do after a failure, and how often that may be done at all. Pure.
//!
//! A budget bounds retries to a share of the traffic, so that an outage is never multiplied by
//! those who wait for its end (after the *retry budget* of Google's *SRE Book*, "Handling
//! Overload", and of Finagle).

use std::time::{Duration, Instant};

use rand::Rng;

use super::failure::{Executed, Failure, FailureKind};
use crate::policy::Backoff;

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Once more, on another connection if there is one.
    Now,
    /// Once more, after this long.
    After(Duration),
    /// No more: the failure is the answer.
    Stop,
}

/// Tokens: each command earns a share of one, each retry costs one.
#[derive(Debug)]
pub struct Budget {
    /// In hundredths.
    tokens: u32,
    share: u8,
}

/// Retries that may come at once after a quiet time.
const RESERVE: u32 = 10;
/// One retry, in hundredths.
const ONE: u32 = 100;

impl Budget {
    /// A budget of `share` retries for every hundred commands.
    #[must_use]
    pub fn new(share: u8) -> Self {
        Self { tokens: if share == 0 { 0 } else { RESERVE * ONE }, share }
    }

    /// A command was sent.
    pub fn earn(&mut self) {
        let most = if self.share == 0 { 0 } else { RESERVE * ONE };
        self.tokens = (self.tokens + u32::from(self.share)).min(most);
    }

    /// Asks for a retry.
    pub fn spend(&mut self) -> bool {
        match self.tokens.checked_sub(ONE) {
            Some(left) => {
                self.tokens = left;
                true
            }
            None => false,
        }
    }

    /// Another share from now on.
    pub fn set_share(&mut self, share: u8) {
        *self = Self { tokens: self.tokens.min(Self::new(share).tokens), share };
    }
}

/// The waits between tries of one command.
const WAIT: Duration = Duration::from_millis(10);
const LONGEST_WAIT: Duration = Duration::from_millis(200);

/// Decides, from the failure of try number `attempt` (0 = the first). `again` says whether the
/// command may be executed twice.
pub fn next(
    failure: &Failure,
    again: bool,
    attempt: u32,
    now: Instant,
    deadline: Instant,
    budget: &mut Budget,
    rng: &mut impl Rng,
) -> Next {
    if failure.executed == Executed::Unknown && !again {
        return Next::Stop;
    }
    let wait = match failure.kind {
        // Its time is over, or will not be over in time.
        FailureKind::BreakerOpen { .. }
        | FailureKind::NoLink
        | FailureKind::Crowded
        | FailureKind::Deadline => return Next::Stop,
        // Credentials do not get right by themselves within a command's time.
        FailureKind::Auth => return Next::Stop,
        // Somebody else may be there already.
        FailureKind::Broken
        | FailureKind::Garbage
        | FailureKind::ReadOnly
        | FailureKind::MasterDown
        | FailureKind::Moved
            if attempt == 0 =>
        {
            Duration::ZERO
        }
        _ => Backoff::try_new(WAIT, 2.0, LONGEST_WAIT, 1.0).unwrap_or_default().delay(attempt, rng),
    };
    let left = deadline.saturating_duration_since(now);
    if left <= wait || !budget.spend() {
        return Next::Stop;
    }
    if wait.is_zero() { Next::Now } else { Next::After(wait) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::SmallRng;

    fn decide(failure: &Failure, again: bool, attempt: u32, left_ms: u64) -> Next {
        let now = Instant::now();
        let mut rng = SmallRng::seed_from_u64(1);
        let deadline = now + Duration::from_millis(left_ms);
        next(failure, again, attempt, now, deadline, &mut Budget::new(10), &mut rng)
    }

    #[test]
    fn what_may_have_happened_is_never_sent_twice_unless_it_may() {
        let failure = Failure::after(FailureKind::Broken, "reset");
        assert_eq!(decide(&failure, false, 0, 1000), Next::Stop);
        assert_eq!(decide(&failure, true, 0, 1000), Next::Now);
    }

    #[test]
    fn a_failover_is_tried_at_once_and_then_with_pauses() {
        let failure = Failure::before(FailureKind::ReadOnly, "READONLY");
        assert_eq!(decide(&failure, false, 0, 1000), Next::Now);
        assert!(matches!(decide(&failure, false, 1, 1000), Next::After(_)));
    }

    #[test]
    fn no_wait_beyond_the_deadline() {
        let failure = Failure::before(FailureKind::Loading, "LOADING");
        for attempt in 0..20 {
            assert_eq!(decide(&failure, true, attempt, 0), Next::Stop);
            if let Next::After(wait) = decide(&failure, true, attempt, 150) {
                assert!(wait < Duration::from_millis(150), "{wait:?}");
            }
        }
    }

    #[test]
    fn an_open_breaker_is_not_asked_again() {
        let retry_in = Duration::from_millis(1);
        let failure = Failure::before(FailureKind::BreakerOpen { retry_in }, "open");
        assert_eq!(decide(&failure, true, 0, 1000), Next::Stop);
    }

    proptest! {
        #[test]
        fn retries_stay_within_the_share(share in 0u8..=100, commands in 1usize..2000) {
            let mut budget = Budget::new(share);
            let mut retries = 0;
            for _ in 0..commands {
                budget.earn();
                while budget.spend() {
                    retries += 1;
                }
            }
            let allowed = RESERVE as usize + commands * usize::from(share) / 100;
            let most = if share == 0 { 0 } else { allowed };
            prop_assert!(retries <= most, "{retries} of {commands} at {share} %");
        }
    }
}
