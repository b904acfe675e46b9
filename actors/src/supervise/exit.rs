//! Why an actor ended: `ractor`'s strings and boxed errors, mapped to one enum once.

use std::fmt;
use std::sync::Arc;

use ractor::{ActorProcessingErr, SpawnErr};

use super::worker::Failure;

/// What a panic said.
#[must_use]
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "without a text",
    }
}

/// Why an actor ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// It asked to stop.
    Normal,
    /// Its supervisor asked it to stop.
    Shutdown,
    /// It panicked, with this text.
    Panic(String),
    /// Its handler returned this failure.
    Error(String),
    /// It was killed from outside.
    Killed,
    /// It made no progress on one message for the watchdog's time, and was killed.
    Hung,
    /// It failed before it ran.
    StartFailed(String),
    /// It was killed and still runs: it never yields to the runtime. Never restarted, for its
    /// successor would run beside it.
    Unkillable,
    /// A supervisor whose restarts did not help.
    GaveUp {
        /// The path of the child that it gave up over, the deepest one known.
        culprit: Arc<str>,
        /// How that child last ended.
        cause: Box<Exit>,
    },
}

impl Exit {
    /// Whether a transient child is restarted after it.
    #[must_use]
    pub fn is_abnormal(&self) -> bool {
        !matches!(self, Self::Normal | Self::Shutdown)
    }

    /// Whether a restart would put a second incarnation beside one that still runs.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Unkillable => true,
            Self::GaveUp { cause, .. } => cause.is_final(),
            _ => false,
        }
    }

    /// The kind, for labels of metrics: a fixed set of words.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Shutdown => "shutdown",
            Self::Panic(_) => "panic",
            Self::Error(_) => "error",
            Self::Killed => "killed",
            Self::Hung => "hung",
            Self::StartFailed(_) => "start_failed",
            Self::Unkillable => "unkillable",
            Self::GaveUp { .. } => "gave_up",
        }
    }

    /// From the error of `ActorFailed`. A handler's failure comes as it was; a panic comes as
    /// its text, boxed as a string.
    pub(super) fn from_failure(error: &ActorProcessingErr) -> Self {
        match error.downcast_ref::<Failure>() {
            Some(Failure(what)) => Self::Error(what.clone()),
            None => Self::Panic(error.to_string()),
        }
    }

    /// From the reason of `ActorTerminated`. [`super::Me::stop`] never says any of these words.
    pub(super) fn from_reason(reason: Option<&str>) -> Self {
        match reason {
            Some("killed" | "actor_task_cancelled") => Self::Killed,
            _ => Self::Normal,
        }
    }

    /// From an error of a spawn, for which no supervision event comes.
    pub(super) fn from_spawn(error: &SpawnErr) -> Self {
        match error {
            SpawnErr::StartupFailed(error) => match error.downcast_ref::<Failure>() {
                Some(Failure(what)) => Self::StartFailed(what.clone()),
                None => Self::StartFailed(format!("panic: {error}")),
            },
            other => Self::StartFailed(other.to_string()),
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => f.write_str("normal"),
            Self::Shutdown => f.write_str("shutdown"),
            Self::Panic(text) => write!(f, "panic: {text}"),
            Self::Error(text) => write!(f, "error: {text}"),
            Self::Killed => f.write_str("killed"),
            Self::Hung => f.write_str("hung"),
            Self::StartFailed(text) => write!(f, "start failed: {text}"),
            Self::Unkillable => f.write_str("unkillable"),
            Self::GaveUp { culprit, cause } => write!(f, "gave up over {culprit} ({cause})"),
        }
    }
}
