//! How a command goes through the pool: a link with room, one try after another, within a deadline.

use std::sync::{Arc, PoisonError};

use redis::{Cmd, Pipeline, Value};
use tokio::time::{Instant, timeout_at};

use super::super::failure::{Executed, Failure, FailureKind};
use super::super::nodes::Node;
use super::super::retry::{self, Next};
use super::Pool;
use super::slot::{Lease, Slot};

/// Whether a command may be executed twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Once {
    /// Sent again only if it surely was not executed.
    AtMost,
    /// It leaves the same behind, however often.
    OrMore,
    /// As [`Once::AtMost`], and only over the connection with this number ([`Pool::epoch`]), which
    /// something was agreed on with before. For a pool of one link.
    Over(u64),
}

/// What is sent.
#[derive(Clone, Copy)]
enum Work<'a> {
    One(&'a Cmd),
    /// To this node of a Cluster.
    At(&'a Node, &'a Cmd),
    Many(&'a Pipeline, Plausible),
    /// Under this name, and nobody else's.
    Succeed(&'a str),
}

/// Whether answers can be those to what was asked.
type Plausible = fn(&[Value]) -> bool;

impl Work<'_> {
    /// One try.
    async fn once(self, lease: &mut Lease, deadline: Instant) -> Result<Vec<Value>, Failure> {
        let answers = match self {
            Self::One(command) => {
                let sent = lease.connection().command(command);
                let answer = timeout_at(deadline, sent).await;
                vec![lease.settle(answer)?]
            }
            Self::At(node, command) => {
                let sent = lease.connection().command_at(node, command);
                let answer = timeout_at(deadline, sent).await;
                vec![lease.settle(answer)?]
            }
            Self::Succeed(name) => {
                let ended = lease.connection().succeed(name);
                let answer = timeout_at(deadline, ended).await;
                vec![lease.settle(answer)?]
            }
            Self::Many(commands, _) => {
                let sent = lease.connection().pipeline(commands);
                let answers = timeout_at(deadline, sent).await;
                lease.settle(answers)?
            }
        };
        let not_now = answers.iter().find_map(|value| match value {
            Value::ServerError(error) => Failure::of_reply(error),
            _ => None,
        });
        match (not_now, self) {
            (None, Self::Many(_, plausible)) if !plausible(&answers) => Err(Failure::after(
                FailureKind::Garbage,
                "Redis answered something else than what it was asked; the connection is dropped",
            )),
            (None, _) => Ok(answers),
            (Some(failure), Self::One(_) | Self::At(..) | Self::Succeed(_)) => Err(failure),
            // What stood before it was executed.
            (Some(failure), Self::Many(..)) => {
                Err(Failure { executed: Executed::Unknown, ..failure })
            }
        }
    }
}

/// How a command is to be treated.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    /// Nothing is waited for after this.
    pub deadline: Instant,
    /// Whether it may be executed twice.
    pub once: Once,
}

impl Pool {
    /// Sends one command, again if that helps and may be. An error reply that is an answer comes
    /// back as [`Value::ServerError`].
    ///
    /// # Errors
    /// [`Failure`], which says whether the command may have been executed.
    pub async fn run(&self, command: &Cmd, request: Request) -> Result<Value, Failure> {
        let answers = self.with_retries(Work::One(command), request).await?;
        Ok(answers.into_iter().next().unwrap_or(Value::Nil))
    }

    /// Sends one command to this node of the Cluster, whatever its key.
    ///
    /// # Errors
    /// As [`Pool::run`].
    pub async fn run_at(
        &self,
        node: &Node,
        command: &Cmd,
        request: Request,
    ) -> Result<Value, Failure> {
        let answers = self.with_retries(Work::At(node, command), request).await?;
        Ok(answers.into_iter().next().unwrap_or(Value::Nil))
    }

    /// Gives the connection to a Cluster a name of its own, and ends all others of that name at its
    /// nodes: nothing that was sent over them is executed from then on. The first refusal comes
    /// back as [`Value::ServerError`].
    ///
    /// # Errors
    /// As [`Pool::run`]; some may have been ended.
    pub async fn succeed(&self, name: &str, request: Request) -> Result<Value, Failure> {
        let answers = self.with_retries(Work::Succeed(name), request).await?;
        Ok(answers.into_iter().next().unwrap_or(Value::Nil))
    }

    /// Sends a pipeline in one piece. Answers are in the order of the commands; error replies
    /// that are answers are [`Value::ServerError`]s among them.
    ///
    /// # Errors
    /// As [`Pool::run`]; a reply that says *not now* fails the whole, with an unknown outcome,
    /// because what stood before it was executed.
    pub async fn pipe(&self, commands: &Pipeline, request: Request) -> Result<Vec<Value>, Failure> {
        self.pipe_checked(commands, request, |_| true).await
    }

    /// The same, where the answers show whether they are those to the commands. If they are not
    /// `plausible`, the connection has lost count, and one command would get the answer of
    /// another: it is dropped, and what it said is not believed.
    ///
    /// # Errors
    /// As [`Pool::pipe`].
    pub async fn pipe_checked(
        &self,
        commands: &Pipeline,
        request: Request,
        plausible: fn(&[Value]) -> bool,
    ) -> Result<Vec<Value>, Failure> {
        self.with_retries(Work::Many(commands, plausible), request).await
    }

    async fn with_retries(&self, work: Work<'_>, request: Request) -> Result<Vec<Value>, Failure> {
        self.earn();
        let again = request.once == Once::OrMore;
        for attempt in 0.. {
            let failure = match self.lease(request.deadline).await {
                Ok(lease) if matches!(request.once, Once::Over(epoch) if lease.epoch() != epoch) => {
                    let text = "another connection has taken the place of the one it was for";
                    return Err(Failure::before(FailureKind::Broken, text));
                }
                Ok(mut lease) => match work.once(&mut lease, request.deadline).await {
                    Ok(value) => return Ok(value),
                    Err(failure) => {
                        lease.failed(&failure);
                        failure
                    }
                },
                Err(failure) => failure,
            };
            match self.after(&failure, again, attempt, request.deadline) {
                Next::Now => {}
                Next::After(wait) => tokio::time::sleep(wait).await,
                Next::Stop => return Err(failure),
            }
        }
        unreachable!("the loop ends by returning")
    }

    /// Counts a command, which earns its share of a retry.
    pub(in super::super) fn earn(&self) {
        self.inner.counts.command();
        self.budget().earn();
    }

    /// Counts the failure of a request that went another way.
    pub(in super::super) fn failed(&self, kind: FailureKind) {
        self.inner.counts.failure(kind);
    }

    /// Counts the failure of try number `attempt`, and says what comes next.
    pub(in super::super) fn after(
        &self,
        failure: &Failure,
        again: bool,
        attempt: u32,
        deadline: Instant,
    ) -> Next {
        self.failed(failure.kind);
        let (now, deadline) = (Instant::now().into_std(), deadline.into_std());
        let mut rng = rand::rng();
        let next =
            retry::next(failure, again, attempt, now, deadline, &mut self.budget(), &mut rng);
        if next != Next::Stop {
            self.inner.counts.retry();
        }
        next
    }

    /// Waits for a link that has room.
    ///
    /// # Errors
    /// Why there is none: nothing was sent.
    pub(in super::super) async fn ready(&self, deadline: Instant) -> Result<(), Failure> {
        self.lease(deadline).await.map(drop)
    }

    /// The link with the fewest commands under way, once it has room.
    async fn lease(&self, deadline: Instant) -> Result<Lease, Failure> {
        loop {
            if let Some(slot) = self.pick() {
                // It may have gone since it was picked.
                if let Some(lease) = slot.lease(deadline).await? {
                    return Ok(lease);
                }
                continue;
            }
            let Some(lead) = self.lead() else {
                return Err(Failure::before(FailureKind::NoLink, "there is no link to Redis"));
            };
            let (mut live, mut stand) = (self.live(), lead.handle.changes());
            if let Some(retry_in) = lead.handle.held_for() {
                let text = format!("the breaker is open, next trial in {retry_in:.1?}");
                return Err(Failure::before(FailureKind::BreakerOpen { retry_in }, text));
            }
            // One may have come up before they are followed.
            if *live.borrow() > 0 {
                continue;
            }
            tokio::select! {
                _ = live.changed() => {}
                () = stand.next() => {}
                () = tokio::time::sleep_until(deadline) => {
                    let text = "no connection to Redis came up in time";
                    return Err(Failure::before(FailureKind::NoLink, text));
                }
            }
        }
    }

    pub(super) fn pick(&self) -> Option<Arc<Slot>> {
        let slots = self.inner.slots.read().unwrap_or_else(PoisonError::into_inner);
        slots.iter().filter(|slot| slot.is_live()).min_by_key(|slot| slot.under_way()).cloned()
    }
}
