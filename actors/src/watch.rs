//! The watcher: says that files have changed. It knows no format and reads no meaning.
//!
//! It owns the watches and the debounce; a restart loses neither a change nor the memory of what
//! was last seen, for that is in [`Seen`], which the daemon keeps. It watches directories, not
//! files: editors replace a file by renaming another over it, and Kubernetes swaps a symbolic
//! link (`..data`) above it; a watch on the file itself would stay with the old one.

mod debounce;
mod fingerprint;
mod source;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::failpoint::{self, Point};
use crate::supervise::{Failure, Label, Me, Worker};

pub use debounce::{Debounce, Next};
pub use fingerprint::{Fingerprint, Seen};
use source::Watches;

/// How long it must be quiet before a change is reported.
pub const QUIET: Duration = Duration::from_millis(200);
/// How long a change may be held back by more changes.
pub const AT_MOST: Duration = Duration::from_secs(2);
/// How often the files are read where the system does not report changes.
pub const POLL: Duration = Duration::from_secs(2);

/// What the watcher is told, by the system and by itself.
#[derive(Debug)]
pub enum Msg {
    /// Start watching; sent to itself once.
    Begin,
    /// Something happened in a watched directory.
    Touched,
    /// The debounce may be over.
    Due,
    /// Look without having been told.
    Poll,
}

impl Label for Msg {
    fn label(&self) -> &'static str {
        match self {
            Self::Begin => "begin",
            Self::Touched => "touched",
            Self::Due => "due",
            Self::Poll => "poll",
        }
    }
}

/// Called when the content of a file differs from what was last seen. MUST NOT block.
pub type OnChange = Arc<dyn Fn() + Send + Sync>;

/// What to watch. Asked at every look, for the list may change with the configuration. MUST NOT
/// block for long.
pub type Files = Arc<dyn Fn() -> Vec<PathBuf> + Send + Sync>;

/// What a start needs.
#[derive(Clone)]
pub struct Args {
    /// Which files.
    pub files: Files,
    /// What was last seen of them; taken before they were first used.
    pub seen: Seen,
    /// Who is told.
    pub on_change: OnChange,
}

impl std::fmt::Debug for Args {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Args").field("files", &(self.files)()).finish_non_exhaustive()
    }
}

/// What the watcher owns.
#[derive(Debug)]
pub struct State {
    args: Args,
    watches: Watches,
    debounce: Debounce,
    /// Whether a [`Msg::Due`] is under way; there is never more than one.
    due_sent: bool,
    polling: bool,
}

/// The watcher as a worker of the tree.
#[derive(Debug, Clone, Copy, Default)]
pub struct Watcher;

impl Worker for Watcher {
    type Msg = Msg;
    type Args = Args;
    type State = State;

    async fn init(&self, me: &Me<Msg>, args: Args) -> Result<State, Failure> {
        Ok(State {
            args,
            watches: Watches::new(me.clone()),
            debounce: Debounce::new(QUIET, AT_MOST),
            due_sent: false,
            polling: false,
        })
    }

    async fn started(&self, me: &Me<Msg>, _state: &mut State) -> Result<(), Failure> {
        me.send(Msg::Begin);
        Ok(())
    }

    async fn handle(&self, me: &Me<Msg>, msg: Msg, state: &mut State) -> Result<(), Failure> {
        match msg {
            // What changed before the watches stood is found by looking.
            Msg::Begin => state.look(me).await,
            Msg::Touched => {
                state.watches.heard();
                state.debounce.touched(Instant::now().into_std());
                state.wait(me);
                Ok(())
            }
            Msg::Due => {
                state.due_sent = false;
                match state.debounce.due(Instant::now().into_std()) {
                    Next::Fire => state.look(me).await,
                    Next::Wait(_) | Next::Idle => {
                        state.wait(me);
                        Ok(())
                    }
                }
            }
            Msg::Poll => {
                state.polling = false;
                state.look(me).await
            }
        }
    }
}

impl State {
    /// Asks to be woken when the debounce is over.
    fn wait(&mut self, me: &Me<Msg>) {
        let now = Instant::now().into_std();
        if let Some(at) = self.debounce.deadline()
            && !self.due_sent
        {
            self.due_sent = true;
            me.send_after(at.saturating_duration_since(now), Msg::Due);
        }
    }

    /// Puts the watches where the files are now, and reports if their content is new.
    async fn look(&mut self, me: &Me<Msg>) -> Result<(), Failure> {
        failpoint::hit(Point::WatcherLook);
        let files = (self.args.files)();
        let mut watches = std::mem::take(&mut self.watches);
        // Watching and hashing are file IO: not on the runtime's threads.
        let looked = tokio::task::spawn_blocking(move || {
            // First the watches, then the look: a change in between is reported by the watch.
            let complete = watches.follow(&files);
            (Fingerprint::of(&files), watches, complete)
        });
        let (now, watches, complete) =
            looked.await.map_err(|e| Failure::new(format!("looking at the files failed: {e}")))?;
        self.watches = watches;
        if self.args.seen.update(now) {
            tracing::debug!("a watched file has changed");
            (self.args.on_change)();
        }
        if !complete && !self.polling {
            self.polling = true;
            me.send_after(POLL, Msg::Poll);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
