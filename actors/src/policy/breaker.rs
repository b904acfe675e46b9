//! The circuit breaker as a machine that is told what happened and answers what may happen next.
//!
//! After Michael Nygard, *Release It!*, in the terms of resilience4j: *closed* counts outcomes in
//! a window; *open* refuses for a cool-down that grows with each failed trial; *half-open* grants
//! a bounded number of permits for a bounded time, so that a permit that is lost never sticks.
//!
//! One machine drives both the restarts of an actor (an exit is a failure, a life long enough is
//! a success) and the calls to an upstream.

mod settings;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use super::window::{Outcome, Totals, Window};
pub use settings::{BreakerOptions, BreakerSettings, InvalidBreaker, SlowCalls, WindowKind};

/// Leave to make one call. Its outcome counts only while the breaker is still in the state that
/// granted it: what began before a change says nothing about the time after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permit {
    epoch: u64,
}

/// What a breaker is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerEvent {
    /// Somebody wants to call.
    Ask,
    /// A call succeeded after `took`.
    Success {
        /// The permit it had.
        permit: Permit,
        /// How long it took.
        took: Duration,
    },
    /// A call failed.
    Failure {
        /// The permit it had.
        permit: Permit,
        /// How long it took.
        took: Duration,
    },
    /// A permit is given back unused.
    Unused {
        /// The permit.
        permit: Permit,
    },
    /// Time has passed.
    Tick,
    /// An operator opens it.
    Open,
    /// An operator closes it, or what it guards is known to be well.
    Close,
}

/// What a breaker answers to [`BreakerEvent::Ask`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Go on; report the outcome with this permit.
    Granted(Permit),
    /// Do not call.
    Refused {
        /// When asking again makes sense.
        retry_in: Duration,
    },
}

/// Which of its three states a breaker is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls go through and are counted.
    Closed,
    /// Calls are refused until then.
    Open {
        /// When trials begin.
        until: Instant,
    },
    /// A few calls go through on trial.
    HalfOpen {
        /// When it opens again unless the trials have succeeded.
        until: Instant,
    },
}

impl BreakerState {
    /// The state's name, as printed.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open { .. } => "open",
            Self::HalfOpen { .. } => "half-open",
        }
    }
}

/// What follows from an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BreakerEffects {
    /// The answer to [`BreakerEvent::Ask`].
    pub admission: Option<Admission>,
    /// The state it has just gone into, if it changed.
    pub entered: Option<BreakerState>,
}

/// A circuit breaker.
#[derive(Debug, Clone)]
pub struct Breaker {
    settings: BreakerSettings,
    window: Window,
    state: BreakerState,
    /// Counts state changes; a permit carries the count it was granted under.
    epoch: u64,
    /// Permits granted in this half-open state.
    granted: u32,
    /// Trials that succeeded in this half-open state.
    succeeded: u32,
    /// How long the next open state lasts.
    cool_down: Duration,
}

impl Breaker {
    /// A closed breaker.
    #[must_use]
    pub fn new(settings: BreakerSettings) -> Self {
        let window = match settings.window {
            WindowKind::Count(size) => Window::count(size),
            WindowKind::Time(period) => Window::time(period),
        };
        let cool_down = settings.cool_down;
        let state = BreakerState::Closed;
        Self { settings, window, state, epoch: 0, granted: 0, succeeded: 0, cool_down }
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        self.state
    }

    /// New settings. A closed breaker counts anew; one that is open stays so for as long as it was
    /// to, and from then on goes by these.
    pub fn configure(&mut self, settings: BreakerSettings) {
        let Self { window, cool_down, .. } = Self::new(settings);
        self.window = window;
        self.cool_down = match self.state {
            BreakerState::Closed => cool_down,
            _ => self.cool_down.clamp(settings.cool_down, settings.max_cool_down),
        };
        self.settings = settings;
    }

    /// The settings it runs by.
    #[must_use]
    pub fn settings(&self) -> &BreakerSettings {
        &self.settings
    }

    /// Takes in one event.
    pub fn on(&mut self, event: BreakerEvent, now: Instant) -> BreakerEffects {
        let before = self.epoch;
        self.lapse(now);
        let mut admission = None;
        match event {
            BreakerEvent::Ask => admission = Some(self.ask(now)),
            BreakerEvent::Success { permit, took } => self.outcome(permit, false, took, now),
            BreakerEvent::Failure { permit, took } => self.outcome(permit, true, took, now),
            BreakerEvent::Unused { permit } => {
                if permit.epoch == self.epoch {
                    self.granted = self.granted.saturating_sub(1);
                }
            }
            BreakerEvent::Tick => {}
            BreakerEvent::Open => self.open(now),
            BreakerEvent::Close => self.close(),
        }
        let entered = (self.epoch != before).then_some(self.state);
        BreakerEffects { admission, entered }
    }

    /// A half-open state that has run out of time counts as a failed trial.
    fn lapse(&mut self, now: Instant) {
        if let BreakerState::HalfOpen { until } = self.state
            && now >= until
        {
            self.open_for_longer(now);
        }
    }

    fn ask(&mut self, now: Instant) -> Admission {
        if let BreakerState::Open { until } = self.state {
            if now < until {
                return Admission::Refused { retry_in: until - now };
            }
            let until = later(now, self.settings.half_open_for);
            self.enter(BreakerState::HalfOpen { until });
        }
        if let BreakerState::HalfOpen { until } = self.state {
            if self.granted >= self.settings.permits {
                return Admission::Refused { retry_in: until.saturating_duration_since(now) };
            }
            self.granted += 1;
        }
        Admission::Granted(Permit { epoch: self.epoch })
    }

    fn outcome(&mut self, permit: Permit, failed: bool, took: Duration, now: Instant) {
        if permit.epoch != self.epoch {
            return;
        }
        let slow = self.settings.slow_calls.is_some_and(|slow| took >= slow.longer_than);
        match self.state {
            BreakerState::Closed => {
                let totals = self.window.record(Outcome { failed, slow }, now);
                if self.too_bad(totals) {
                    self.open(now);
                }
            }
            BreakerState::HalfOpen { .. } if failed || slow => self.open_for_longer(now),
            BreakerState::HalfOpen { .. } => {
                self.succeeded += 1;
                if self.succeeded >= self.settings.permits {
                    self.close();
                }
            }
            BreakerState::Open { .. } => {}
        }
    }

    fn too_bad(&self, totals: Totals) -> bool {
        let reached = |part: u32, rate: f64| f64::from(part) >= rate * f64::from(totals.calls);
        totals.calls >= self.settings.minimum_calls
            && (reached(totals.failures, self.settings.failure_rate)
                || self.settings.slow_calls.is_some_and(|slow| reached(totals.slow, slow.rate)))
    }

    fn open_for_longer(&mut self, now: Instant) {
        let grown = self.cool_down.as_secs_f64() * self.settings.cool_down_factor;
        let max = self.settings.max_cool_down;
        self.cool_down = Duration::try_from_secs_f64(grown).map_or(max, |grown| grown.min(max));
        self.open(now);
    }

    fn open(&mut self, now: Instant) {
        self.enter(BreakerState::Open { until: later(now, self.cool_down) });
    }

    fn close(&mut self) {
        self.cool_down = self.settings.cool_down;
        self.enter(BreakerState::Closed);
    }

    fn enter(&mut self, state: BreakerState) {
        self.state = state;
        self.epoch += 1;
        self.granted = 0;
        self.succeeded = 0;
        self.window.clear();
    }
}

/// `now + by`; the settings bound `by`, so that this does not run over in practice.
fn later(now: Instant, by: Duration) -> Instant {
    now.checked_add(by).unwrap_or(now)
}
