//! What the machine knows about one child, and when that child may run again.

use std::time::{Duration, Instant};

use rand::Rng;

use super::super::spec::{GivesUp, Restart, When};
use crate::policy::breaker::{Admission, BreakerEvent, BreakerState, Permit};
use crate::policy::{Breaker, Intensity};

/// Where a child is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Not running, nothing due but its turn in the queue.
    Idle,
    Starting,
    Up,
    Stopping,
    /// Its restart is due when its timer runs out.
    Waiting,
    /// Its breaker is open until its timer runs out.
    Held,
    /// Ended, and not to be restarted for its own sake.
    Done,
    /// Given up, left down.
    Degraded,
}

impl Stage {
    /// Whether there is an incarnation.
    pub fn runs(self) -> bool {
        matches!(self, Self::Starting | Self::Up | Self::Stopping)
    }
}

/// When a child may run again after it ended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    After(Duration),
    /// The breaker holds it.
    Held(Duration),
    /// It has ended too often.
    Never,
}

#[derive(Debug)]
pub(super) struct Child {
    pub restart: Restart,
    pub gives_up: GivesUp,
    pub stage: Stage,
    /// Counts starts; 0 = never started.
    pub incarnation: u64,
    /// Counts whatever makes an armed timer void.
    pub generation: u64,
    /// Whether it is being removed: it is not started again, and forgotten once it is down.
    pub leaving: bool,
    /// Whether an incarnation may still run that nothing could end. Never forgotten, for whoever
    /// took its place would run beside it.
    pub lost: bool,
    /// Whether its first start has come to an end, good or bad.
    pub attempted: bool,
    pub breaker: Option<Breaker>,
    permit: Option<Permit>,
    intensity: Intensity,
    attempt: u32,
}

impl Child {
    pub fn new(restart: &Restart, gives_up: GivesUp) -> Self {
        Self {
            breaker: restart.hold.as_ref().map(|hold| Breaker::new(hold.settings().one_trial())),
            intensity: Intensity::new(restart.intensity, restart.period),
            restart: restart.clone(),
            gives_up,
            stage: Stage::Idle,
            incarnation: 0,
            generation: 0,
            leaving: false,
            lost: false,
            attempted: false,
            permit: None,
            attempt: 0,
        }
    }

    /// How long it has to live for its past to be forgotten; well within half-open's time, so
    /// that a trial that goes well never runs out of it.
    pub fn settle_after(&self) -> Duration {
        let max = self.restart.delay.max();
        match &self.breaker {
            Some(breaker) => max.min(breaker.settings().half_open_for / 2),
            None => max,
        }
    }

    /// It has lived long enough; whether that ended a trial.
    pub fn settled(&mut self, now: Instant) -> bool {
        self.attempt = 0;
        let Some(breaker) = &mut self.breaker else { return false };
        let on_trial = breaker.state() != BreakerState::Closed;
        if let Some(permit) = self.permit {
            breaker.on(BreakerEvent::Success { permit, took: Duration::ZERO }, now);
        }
        // A timer so late that half-open ran out meanwhile: it lives all the same.
        if breaker.state() != BreakerState::Closed {
            breaker.on(BreakerEvent::Close, now);
        }
        on_trial
    }

    /// Its breaker goes by what its settings are now.
    fn follow_settings(&mut self) {
        if let (Some(breaker), Some(hold)) = (&mut self.breaker, &mut self.restart.hold)
            && let Some(settings) = hold.news()
        {
            breaker.configure(settings.one_trial());
        }
    }

    /// Asks its breaker for a start: whether it is a trial, or how long it is held.
    pub fn admit(&mut self, now: Instant) -> Result<bool, Duration> {
        self.follow_settings();
        let Some(breaker) = &mut self.breaker else { return Ok(false) };
        match breaker.on(BreakerEvent::Ask, now).admission {
            Some(Admission::Granted(permit)) => {
                self.permit = Some(permit);
                Ok(breaker.state() != BreakerState::Closed)
            }
            Some(Admission::Refused { retry_in }) => Err(retry_in),
            None => Ok(false),
        }
    }

    /// It ended by itself and is to be restarted: when?
    pub fn again(&mut self, now: Instant, rng: &mut impl Rng) -> Again {
        self.follow_settings();
        if let Some(breaker) = &mut self.breaker {
            if breaker.state() == BreakerState::Closed
                && let Some(Admission::Granted(permit)) =
                    breaker.on(BreakerEvent::Ask, now).admission
            {
                // The one it was started with may be from before the breaker closed.
                self.permit = Some(permit);
            }
            if let Some(permit) = self.permit.take() {
                breaker.on(BreakerEvent::Failure { permit, took: Duration::ZERO }, now);
            }
            if let BreakerState::Open { until } = breaker.state() {
                return Again::Held(until.saturating_duration_since(now));
            }
        } else if self.intensity.exceeded(now) {
            return Again::Never;
        }
        let delay = self.restart.delay.delay(self.attempt, rng);
        self.attempt = self.attempt.saturating_add(1);
        Again::After(delay)
    }

    /// Its supervisor stops it: that says nothing about how well it does.
    pub fn order_stop(&mut self, now: Instant) {
        self.stage = Stage::Stopping;
        self.generation += 1;
        if let (Some(breaker), Some(permit)) = (&mut self.breaker, self.permit.take()) {
            breaker.on(BreakerEvent::Unused { permit }, now);
        }
    }

    /// Whether a restart of its group starts it too. As in OTP, one that ended normally is
    /// started again with its group, and a temporary one never.
    pub fn may_start_again(&self) -> bool {
        self.stage != Stage::Degraded
            && (self.restart.when != When::Temporary || self.incarnation == 0)
    }
}
