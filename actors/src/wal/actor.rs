//! Owns the writer's thread. A restart loses nothing: the queue and the replies that wait belong
//! to the [`Intake`], the position is found again in the last segment.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::fs::OsFs;
use super::intake::Intake;
use super::replay::segments_dir;
use super::writer::{self, End, Orders};
use crate::clock::Clock;
use crate::failpoint::{self, Point};
use crate::journal::Release;
use crate::supervise::{Failure, Label, Me, Worker};

/// What the log's actor is told.
#[derive(Debug)]
pub enum WalMsg {
    /// The writer's thread has ended by itself. Only the thread sends this.
    Ended(String),
}

impl Label for WalMsg {
    fn label(&self) -> &'static str {
        match self {
            Self::Ended(_) => "ended",
        }
    }
}

/// What a start needs.
#[derive(Debug)]
pub struct WalArgs<P: Release> {
    /// The data directory, which the daemon has locked and replayed.
    pub data: PathBuf,
    /// The queue to write. It carries the settings, so a restart keeps the live ones.
    pub intake: Intake<P>,
    /// For the time in frames.
    pub clock: Clock,
}

/// The writer's thread while it runs; dropping it, however that comes about, ends the thread.
#[derive(Debug)]
pub struct WalState<P: Release> {
    args: WalArgs<P>,
    orders: Arc<Orders<P>>,
    /// How the thread ended, once it has.
    ended: Option<oneshot::Receiver<End>>,
}

impl<P: Release> Drop for WalState<P> {
    fn drop(&mut self) {
        self.orders.leave();
    }
}

/// The log's actor.
#[derive(Debug)]
pub struct WalActor<P>(std::marker::PhantomData<fn(P)>);

impl<P> Default for WalActor<P> {
    fn default() -> Self {
        Self(std::marker::PhantomData)
    }
}

impl<P: Release> Worker for WalActor<P> {
    type Msg = WalMsg;
    type Args = WalArgs<P>;
    type State = WalState<P>;

    async fn init(&self, _me: &Me<WalMsg>, args: WalArgs<P>) -> Result<WalState<P>, Failure> {
        let orders = Orders::new(args.intake.clone());
        Ok(WalState { args, orders, ended: None })
    }

    async fn started(&self, me: &Me<WalMsg>, state: &mut WalState<P>) -> Result<(), Failure> {
        failpoint::hit(Point::WalStart);
        let (tell, ended) = oneshot::channel();
        let me = me.clone();
        let spawned = writer::spawn(
            OsFs,
            segments_dir(&state.args.data),
            state.args.clock.clone(),
            Arc::clone(&state.orders),
            move |end| {
                if let End::Failed(why) = &end {
                    me.send(WalMsg::Ended(why.clone()));
                }
                // Nobody listens unless the actor is stopping.
                let _ = tell.send(end);
            },
        );
        spawned.map_err(|error| Failure::new(format!("cannot start the writer: {error}")))?;
        state.ended = Some(ended);
        Ok(())
    }

    async fn handle(
        &self,
        _me: &Me<WalMsg>,
        msg: WalMsg,
        _state: &mut WalState<P>,
    ) -> Result<(), Failure> {
        let WalMsg::Ended(why) = msg;
        Err(Failure::new(why))
    }

    /// Writes, syncs and seals what is left, and waits for the thread to end.
    async fn stopped(&self, _me: &Me<WalMsg>, state: &mut WalState<P>) -> Result<(), Failure> {
        state.orders.drain();
        let Some(ended) = state.ended.take() else { return Ok(()) };
        match ended.await {
            Ok(End::Ordered(Ok(()))) => Ok(()),
            Ok(End::Ordered(Err(why)) | End::Failed(why)) => Err(Failure::new(why)),
            Err(_) => Err(Failure::new("the writer's thread vanished")),
        }
    }
}

#[cfg(test)]
mod tests;
