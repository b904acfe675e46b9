//! What a breaker runs by, checked once.

use std::time::Duration;

/// The outcomes a closed breaker judges by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowKind {
    /// The last so many calls, 1 to [`BreakerOptions::MAX_CALLS`].
    Count(u32),
    /// The calls of the last while.
    Time(Duration),
}

/// When slowness counts against what is called.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SlowCalls {
    /// A call that takes this long is slow. A slow trial is a failed one.
    pub longer_than: Duration,
    /// The share of slow calls, above 0 and at most 1, that opens the breaker.
    pub rate: f64,
}

/// A breaker's settings before they are checked. The names are resilience4j's, where it has one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BreakerOptions {
    /// Which outcomes count.
    pub window: WindowKind,
    /// Fewer outcomes than this in the window open nothing.
    pub minimum_calls: u32,
    /// The share of failures, above 0 and at most 1, that opens the breaker.
    pub failure_rate: f64,
    /// When slowness opens it; `None` = never.
    pub slow_calls: Option<SlowCalls>,
    /// How long the first open state lasts.
    pub cool_down: Duration,
    /// By how much each failed trial lengthens the next open state; at least 1.
    pub cool_down_factor: f64,
    /// The longest open state.
    pub max_cool_down: Duration,
    /// How many trials run in half-open, all of which must succeed.
    pub permits: u32,
    /// The longest half-open state: trials without an outcome by then have failed.
    pub half_open_for: Duration,
}

impl BreakerOptions {
    /// The largest count window, and the most permits: both bound memory.
    pub const MAX_CALLS: u32 = 65_536;
    /// The longest time any setting may be: times stay far from the end of the clock.
    pub const MAX_TIME: Duration = Duration::from_secs(30 * 24 * 3600);
}

impl Default for BreakerOptions {
    /// Fit for restarts: five exits in a minute open it for five seconds; the open state doubles
    /// up to a minute; one trial at a time.
    fn default() -> Self {
        Self {
            window: WindowKind::Time(Duration::from_secs(60)),
            minimum_calls: 5,
            failure_rate: 0.5,
            slow_calls: None,
            cool_down: Duration::from_secs(5),
            cool_down_factor: 2.0,
            max_cool_down: Duration::from_secs(60),
            permits: 1,
            half_open_for: Duration::from_secs(30),
        }
    }
}

/// Why a breaker cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBreaker {
    /// The window holds nothing or too much, or can never hold `minimum_calls`.
    #[error("the window must hold 1 to 65536 calls and at least the minimum of calls")]
    Window,
    /// `minimum_calls` is 0.
    #[error("the minimum of calls must be at least 1")]
    MinimumCalls,
    /// A rate is not above 0 and at most 1.
    #[error("a rate must be above 0 and at most 1")]
    Rate,
    /// `cool_down` is zero or above `max_cool_down`.
    #[error("the cool-down must be longer than zero and at most the longest cool-down")]
    CoolDown,
    /// `cool_down_factor` is below 1 or not finite.
    #[error("the cool-down factor must be a finite number of at least 1")]
    Factor,
    /// `permits` is 0 or more than 65536.
    #[error("the permits must be 1 to 65536")]
    Permits,
    /// `half_open_for` is zero.
    #[error("the time in half-open must be longer than zero")]
    HalfOpen,
    /// A time is longer than [`BreakerOptions::MAX_TIME`].
    #[error("no time may be longer than 30 days")]
    TooLong,
}

/// A breaker's settings. Only valid ones exist.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct BreakerSettings(BreakerOptions);

impl BreakerSettings {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`InvalidBreaker`], naming the first value that is out of range.
    pub fn try_new(options: BreakerOptions) -> Result<Self, InvalidBreaker> {
        let rate_ok = |rate: f64| rate > 0.0 && rate <= 1.0;
        let window_ok = match options.window {
            WindowKind::Count(calls) => {
                (1..=BreakerOptions::MAX_CALLS).contains(&calls) && calls >= options.minimum_calls
            }
            WindowKind::Time(period) => !period.is_zero(),
        };
        let times = [
            options.cool_down,
            options.max_cool_down,
            options.half_open_for,
            match options.window {
                WindowKind::Time(period) => period,
                WindowKind::Count(_) => Duration::ZERO,
            },
        ];
        if !window_ok {
            Err(InvalidBreaker::Window)
        } else if options.minimum_calls == 0 {
            Err(InvalidBreaker::MinimumCalls)
        } else if !rate_ok(options.failure_rate)
            || options.slow_calls.is_some_and(|slow| !rate_ok(slow.rate))
        {
            Err(InvalidBreaker::Rate)
        } else if options.cool_down.is_zero() || options.cool_down > options.max_cool_down {
            Err(InvalidBreaker::CoolDown)
        } else if !options.cool_down_factor.is_finite() || options.cool_down_factor < 1.0 {
            Err(InvalidBreaker::Factor)
        } else if !(1..=BreakerOptions::MAX_CALLS).contains(&options.permits) {
            Err(InvalidBreaker::Permits)
        } else if options.half_open_for.is_zero() {
            Err(InvalidBreaker::HalfOpen)
        } else if times.iter().any(|time| *time > BreakerOptions::MAX_TIME) {
            Err(InvalidBreaker::TooLong)
        } else {
            Ok(Self(options))
        }
    }

    /// The same settings with one trial at a time: an actor has one incarnation at a time.
    #[must_use]
    pub fn one_trial(mut self) -> Self {
        self.0.permits = 1;
        self
    }
}

impl std::ops::Deref for BreakerSettings {
    type Target = BreakerOptions;

    fn deref(&self) -> &BreakerOptions {
        &self.0
    }
}
