//! How long a command may wait in Redis, and what ends it.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::super::failure::{Failure, FailureKind};

/// Links that are down without one coming up for so long are taken for gone.
const SOON: Duration = Duration::from_millis(500);

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

/// Ends when no link is up, and none comes up soon: that connections which were made before ours are
/// found to be dead, after a restart of Redis, says nothing about ours.
async fn none_left(live: &mut watch::Receiver<usize>) {
    loop {
        if live.wait_for(|live| *live == 0).await.is_err() {
            return std::future::pending().await;
        }
        if timeout(SOON, live.wait_for(|live| *live > 0)).await.is_err() {
            return;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn links_that_are_found_dead_and_come_back_end_no_wait() {
        let (links, mut live) = watch::channel(2);
        let (sent, until) = (Instant::now(), Instant::now() + Duration::from_secs(5));
        tokio::spawn(async move {
            for live in [0, 1, 0, 2] {
                links.send_replace(live);
                tokio::time::sleep(SOON / 2).await;
            }
            links.closed().await;
        });
        let failure = lost(Some(until), &mut live, sent).await;
        assert_eq!((failure.kind, Instant::now()), (FailureKind::Deadline, until));
    }

    #[tokio::test(start_paused = true)]
    async fn links_that_stay_down_end_it() {
        let (_links, mut live) = watch::channel(0);
        let sent = Instant::now();
        assert_eq!(lost(None, &mut live, sent).await.kind, FailureKind::Broken);
        assert_eq!(sent.elapsed(), SOON);
    }
}
