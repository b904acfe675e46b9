//! How long a command may wait in Redis, and what ends it.

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::super::failure::{Failure, FailureKind};

/// How long a command may wait in Redis.
#[derive(Debug)]
pub struct Wait {
    /// Until then; `None`: for ever.
    pub until: Option<Instant>,
    /// Says that it shall end now.
    pub word: Option<watch::Receiver<Option<Unblock>>>,
}

/// How a wait in Redis is ended before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unblock {
    /// As if its time were over.
    Timeout,
    /// With an error.
    Error,
}

impl Unblock {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Timeout => "TIMEOUT",
            Self::Error => "ERROR",
        }
    }
}

/// Ends when nothing more is to be hoped for: at that time, if there is one, or when the links have
/// found out that Redis hangs, or that it has gone.
pub(super) async fn lost(
    until: Option<Instant>,
    live: &mut watch::Receiver<usize>,
    sent: Instant,
) -> Failure {
    tokio::select! {
        biased;
        () = expired(until) => Failure::unanswered(sent.elapsed()),
        () = none_left(live) => Failure::after(FailureKind::Broken, "every link to Redis is down"),
    }
}

/// Ends when no link is up.
async fn none_left(live: &mut watch::Receiver<usize>) {
    if live.wait_for(|live| *live == 0).await.is_err() {
        std::future::pending().await
    }
}

/// The word, once it is spoken.
pub(super) async fn spoken(word: &mut Option<watch::Receiver<Option<Unblock>>>) -> Unblock {
    let spoken = match word {
        Some(word) => word.wait_for(Option::is_some).await.ok().and_then(|spoken| *spoken),
        None => None,
    };
    match spoken {
        Some(unblock) => unblock,
        None => std::future::pending().await,
    }
}

/// Ends at that time, if there is one.
async fn expired(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}
