//! Adding children to a tree that runs, and removing them.
//!
//! The order goes to the supervisor as a message: it alone changes its children, so that a change
//! and a restart never meet half-way.

use std::time::Duration;

use ractor::{ActorRef, MessagingErr};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::check::{self, SpecError};
use super::event::StopHow;
use super::exit::Exit;
use super::node::{ChildState, Kind};
use super::spec::ChildSpec;
use super::supervisor::SupervisorMsg;
use super::tree::TreeHandle;

/// How long an order may wait for a supervisor that is being restarted. Also what is added to the
/// grace of a child, for its turn to come.
const ORDER_WITHIN: Duration = Duration::from_secs(10);

/// What became of an added child so far. It is in the tree in each of these cases, unless somebody
/// has removed it meanwhile, and its supervisor keeps it up as its spec says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Added {
    /// It runs.
    Up,
    /// Its first start failed.
    Failed(Exit),
    /// Its turn has not come: its siblings are being restarted, or its supervisor is.
    Pending,
}

/// Why an order does not reach the supervisor. Nothing happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoSupervisor {
    /// There is no such path.
    #[error("there is no supervisor at '{path}'")]
    Unknown {
        /// What was asked for.
        path: String,
    },
    /// Workers have no children.
    #[error("'{path}' is a worker and has no children")]
    Worker {
        /// Which.
        path: String,
    },
    /// It does not run, and did not come back in time.
    #[error("the supervisor '{path}' is not running now ({}); try again", state.name())]
    NotRunning {
        /// Which.
        path: String,
        /// How it stands.
        state: ChildState,
    },
}

/// Why a child is not added. Nothing happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddError {
    /// The spec is not for this place.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// Nobody takes the order.
    #[error(transparent)]
    Supervisor(#[from] NoSupervisor),
    /// The supervisor is ending, because it was told to or because it gives up.
    #[error("the supervisor '{path}' is stopping and takes no more children")]
    Stopping {
        /// Which.
        path: String,
    },
}

/// Why a child is not removed, or not yet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoveError {
    /// There is no such child. Nothing happened.
    #[error("there is no child at '{path}'")]
    Unknown {
        /// What was asked for.
        path: String,
    },
    /// Nobody is above the root: shut the tree down instead. Nothing happened.
    #[error("the root cannot be removed, only shut down")]
    Root,
    /// Nobody takes the order. Nothing happened.
    #[error(transparent)]
    Supervisor(#[from] NoSupervisor),
    /// Somebody else removes it already.
    #[error("'{path}' is being removed already")]
    Leaving {
        /// Which.
        path: String,
    },
    /// Not even a kill ended it. It stays in the tree, for whoever took its place would run
    /// beside it; its supervisor gives it up.
    #[error("'{path}' cannot be ended: it never yields, and is given up instead of removed")]
    Unkillable {
        /// Which.
        path: String,
    },
    /// It is being removed still: others are stopped before it. It goes as soon as it has ended.
    #[error("'{path}' has not ended yet; it will be gone when it has")]
    Pending {
        /// Which.
        path: String,
    },
    /// The supervisor died meanwhile, and the child with it. It does not come back.
    #[error("the supervisor of '{path}' died while it was removed; it ended with it")]
    Orphaned {
        /// Which.
        path: String,
    },
}

/// A change that a supervisor has begun.
#[derive(Debug)]
pub(super) struct Begun<T> {
    /// Told when it is done.
    pub done: oneshot::Receiver<T>,
    /// The child's grace.
    pub within: Duration,
}

/// An order to a supervisor. It answers as soon as it has begun; if the answer is no longer waited
/// for, it does nothing.
#[derive(Debug)]
pub(super) enum Change {
    Add { spec: Box<ChildSpec>, reply: oneshot::Sender<Result<Begun<Added>, AddError>> },
    Remove { path: String, reply: oneshot::Sender<Result<Begun<StopHow>, RemoveError>> },
}

impl TreeHandle {
    /// Adds a child to the supervisor at `supervisor`, behind its other children, and waits for
    /// its first start. A start that fails is no error here: the child is restarted as its spec
    /// says. From now on it belongs to the tree, also after a restart of its supervisor.
    ///
    /// Waits up to 10 s for a supervisor that is being restarted, and for the start as long as
    /// the child's grace and 10 s more.
    ///
    /// # Errors
    /// [`AddError`]; nothing happened then.
    pub async fn add(&self, supervisor: &str, spec: ChildSpec) -> Result<Added, AddError> {
        let supervisor = supervisor.trim_matches('/');
        let is_root = supervisor == &*self.root.path;
        if is_root && spec.id == self.root.id {
            return Err(SpecError::DuplicateId { path: spec.id }.into());
        }
        let above = if is_root { String::new() } else { format!("{supervisor}/") };
        check::child(&spec, &above)?;
        let (reply, answer) = oneshot::channel();
        let order = Change::Add { spec: Box::new(spec), reply };
        let Begun { done, within } = self.order(supervisor, order, answer).await??;
        let deadline = Instant::now() + within.saturating_add(ORDER_WITHIN);
        Ok(match timeout_at(deadline, done).await {
            Ok(Ok(added)) => added,
            // Or its supervisor has died, and starts it when it is back.
            Ok(Err(_)) | Err(_) => Added::Pending,
        })
    }

    /// Stops the child at `path` within its grace and takes it out of the tree, with everything
    /// below it; its siblings stay as they are. Its handle is gone for good, and its id is free
    /// again. One that does not run is taken out at once.
    ///
    /// Waits up to 10 s for a supervisor that is being restarted, and for the end three times as
    /// long as the child's grace and 10 s more.
    ///
    /// # Errors
    /// [`RemoveError`], whose variants say how the child stands.
    pub async fn remove(&self, path: &str) -> Result<StopHow, RemoveError> {
        let path = path.trim_matches('/');
        if path == &*self.root.path {
            return Err(RemoveError::Root);
        }
        let supervisor = path.rsplit_once('/').map_or(&*self.root.path, |(above, _)| above);
        let (reply, answer) = oneshot::channel();
        let order = Change::Remove { path: path.to_owned(), reply };
        let Begun { done, within } = self.order(supervisor, order, answer).await??;
        // Until it is killed, until that has worked, and until everything below it has ended.
        let within = within.max(Duration::from_secs(1)).saturating_mul(3);
        let deadline = Instant::now() + within.saturating_add(ORDER_WITHIN);
        let path = path.to_owned();
        match timeout_at(deadline, done).await {
            Ok(Ok(StopHow::Unkillable)) => Err(RemoveError::Unkillable { path }),
            Ok(Ok(how)) => Ok(how),
            Ok(Err(_)) => Err(RemoveError::Orphaned { path }),
            Err(_) => Err(RemoveError::Pending { path }),
        }
    }

    /// Sends an order to a supervisor, and waits until it has begun or is refused.
    async fn order<T>(
        &self,
        supervisor: &str,
        order: Change,
        mut answer: oneshot::Receiver<T>,
    ) -> Result<T, NoSupervisor> {
        let deadline = Instant::now() + ORDER_WITHIN;
        let state = self.deliver(supervisor, order, deadline).await?;
        let begun = match timeout_at(deadline, &mut answer).await {
            Ok(begun) => begun.ok(),
            Err(_) => {
                // What it has not begun until now, it will not begin.
                answer.close();
                answer.try_recv().ok()
            }
        };
        begun.ok_or_else(|| NoSupervisor::NotRunning { path: supervisor.to_owned(), state })
    }

    /// Puts an order into a supervisor's mailbox, waiting for it to run. Returns how it stood.
    async fn deliver(
        &self,
        path: &str,
        change: Change,
        deadline: Instant,
    ) -> Result<ChildState, NoSupervisor> {
        let mut message = SupervisorMsg::Change(change);
        loop {
            // Before it is looked at: what changes from now on is not missed.
            let mut events = self.shared.subscribe();
            let Some(node) = self.root.find(path) else {
                return Err(NoSupervisor::Unknown { path: path.to_owned() });
            };
            if node.kind() == Kind::Worker {
                return Err(NoSupervisor::Worker { path: path.to_owned() });
            }
            let (state, address) = {
                let standing = node.standing();
                (standing.state, standing.address.clone())
            };
            match send(address, message) {
                Ok(()) => return Ok(state),
                Err(back) => message = back,
            }
            let gone = matches!(state, ChildState::Degraded | ChildState::Finished)
                || self.on_end.borrow().is_some();
            let changed = async {
                loop {
                    match events.recv().await {
                        Ok(event) if &*event.path != path => {}
                        Ok(_) | Err(RecvError::Lagged(_)) => return,
                        // The sender lives as long as this handle.
                        Err(RecvError::Closed) => return,
                    }
                }
            };
            if gone || timeout_at(deadline, changed).await.is_err() {
                return Err(NoSupervisor::NotRunning { path: path.to_owned(), state });
            }
        }
    }
}

/// Sends a message; it comes back if nobody is there to take it.
fn send(
    address: Option<ActorRef<SupervisorMsg>>,
    message: SupervisorMsg,
) -> Result<(), SupervisorMsg> {
    let Some(address) = address else { return Err(message) };
    match address.send_message(message) {
        Err(MessagingErr::SendErr(back)) => Err(back),
        // A typed reference fails in no other way.
        Ok(()) | Err(_) => Ok(()),
    }
}
