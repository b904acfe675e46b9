//! What a failure means. Pure.

use std::fmt;
use std::time::Duration;

use redis::{ErrorKind, RedisError, ServerError};

/// Why a command brought no answer, or one that says that Redis can't now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which kind.
    pub kind: FailureKind,
    /// Whether it was executed.
    pub executed: Executed,
    /// In words, without values.
    pub text: String,
}

/// Whether a command that failed has had an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Executed {
    /// It has not.
    No,
    /// Nobody knows: it was sent.
    Unknown,
}

/// The kinds of failure: they decide what is done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The breaker is open: nothing was tried.
    BreakerOpen {
        /// When it makes sense to ask again.
        retry_in: Duration,
    },
    /// No connection came up within the deadline, or the node of a Cluster that has the key is away.
    NoLink,
    /// Every connection had its fill until the deadline.
    Crowded,
    /// The connection broke.
    Broken,
    /// No answer within the deadline.
    Deadline,
    /// What came back was no RESP.
    Garbage,
    /// `-LOADING`.
    Loading,
    /// `-READONLY`: the other side is a replica (now).
    ReadOnly,
    /// `-MASTERDOWN`: a replica without its master.
    MasterDown,
    /// `-MOVED` or `-ASK`: a node of a Cluster that is not spoken to as one.
    Moved,
    /// `-CLUSTERDOWN` or `-TRYAGAIN`: a Cluster that is sorting itself out.
    Resharding,
    /// `-BUSY`: a script runs.
    Busy,
    /// `-NOAUTH` or `-WRONGPASS`.
    Auth,
    /// `-ERR max number of clients reached`.
    MaxClients,
}

impl FailureKind {
    /// Every kind's name, in the order of [`FailureKind::index`].
    pub const NAMES: [&'static str; 14] = [
        "breaker_open",
        "no_link",
        "crowded",
        "broken",
        "deadline",
        "garbage",
        "loading",
        "readonly",
        "masterdown",
        "moved",
        "resharding",
        "busy",
        "auth",
        "max_clients",
    ];

    /// Its place in [`FailureKind::NAMES`].
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::BreakerOpen { .. } => 0,
            Self::NoLink => 1,
            Self::Crowded => 2,
            Self::Broken => 3,
            Self::Deadline => 4,
            Self::Garbage => 5,
            Self::Loading => 6,
            Self::ReadOnly => 7,
            Self::MasterDown => 8,
            Self::Moved => 9,
            Self::Resharding => 10,
            Self::Busy => 11,
            Self::Auth => 12,
            Self::MaxClients => 13,
        }
    }

    /// As metrics and logs call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES[self.index()]
    }

    /// Whether it was told by a server that answers, and not by silence.
    #[must_use]
    pub fn is_an_answer(self) -> bool {
        !matches!(
            self,
            Self::BreakerOpen { .. } | Self::NoLink | Self::Crowded | Self::Broken | Self::Deadline
        )
    }

    /// Whether a connection that answers so is of no more use: what is behind the address has
    /// changed, or is not ready, and only a fresh connection finds out who is there now.
    #[must_use]
    pub fn breaks_the_link(self) -> bool {
        matches!(
            self,
            Self::Broken
                | Self::Garbage
                | Self::Loading
                | Self::ReadOnly
                | Self::MasterDown
                | Self::Moved
                | Self::Auth
                | Self::MaxClients
        )
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}

impl Failure {
    /// One that had no effect.
    #[must_use]
    pub fn before(kind: FailureKind, text: impl Into<String>) -> Self {
        Self { kind, executed: Executed::No, text: text.into() }
    }

    /// One after the command was sent.
    #[must_use]
    pub fn after(kind: FailureKind, text: impl Into<String>) -> Self {
        Self { kind, executed: Executed::Unknown, text: text.into() }
    }

    /// No answer came to a command for so long, which is what it had left of its time when it was sent.
    #[must_use]
    pub fn unanswered(waited: Duration) -> Self {
        let text =
            format!("Redis did not answer in the {waited:.0?} that were left of redis.timeout");
        Self::after(FailureKind::Deadline, text)
    }

    /// What the client library says about a command that was sent.
    #[must_use]
    pub fn of(error: &RedisError) -> Self {
        match error.kind() {
            ErrorKind::AuthenticationFailed => Self::before(FailureKind::Auth, error.to_string()),
            ErrorKind::Parse | ErrorKind::UnexpectedReturnType => Self::after(
                FailureKind::Garbage,
                "the answer was no RESP; the connection is dropped",
            ),
            ErrorKind::ClusterConnectionNotFound => {
                Self::before(FailureKind::NoLink, error.to_string())
            }
            ErrorKind::Io if error.is_timeout() => {
                Self::after(FailureKind::Deadline, error.to_string())
            }
            ErrorKind::Server(_) | ErrorKind::Extension => {
                let code = error.code().unwrap_or("ERR");
                let detail = error.detail().unwrap_or_default();
                Self::of_code(code, detail)
                    .unwrap_or_else(|| Self::after(FailureKind::Broken, error.to_string()))
            }
            _ => Self::after(FailureKind::Broken, error.to_string()),
        }
    }

    /// What an error reply means, if it says that Redis can't now: such a command was not
    /// executed. `None` if it is the answer, to be handed on.
    #[must_use]
    pub fn of_reply(error: &ServerError) -> Option<Self> {
        Self::of_code(error.code(), error.details().unwrap_or_default())
    }

    /// The same, from the reply's code and text.
    pub(super) fn of_code(code: &str, detail: &str) -> Option<Self> {
        let kind = match code {
            "LOADING" => FailureKind::Loading,
            "READONLY" => FailureKind::ReadOnly,
            "MASTERDOWN" => FailureKind::MasterDown,
            "MOVED" | "ASK" => FailureKind::Moved,
            "CLUSTERDOWN" | "TRYAGAIN" => FailureKind::Resharding,
            "BUSY" => FailureKind::Busy,
            "NOAUTH" | "WRONGPASS" => FailureKind::Auth,
            "ERR" if detail.starts_with("max number of clients") => FailureKind::MaxClients,
            _ => return None,
        };
        Some(Self::before(kind, format!("{code} {detail}").trim_end().to_owned()))
    }
}

#[cfg(test)]
mod tests;
