//! Turns: a task of the runtime writes, in place of the writer's thread.

use std::sync::{Arc, PoisonError};

use super::Intake;
use crate::failpoint::{self, Point};
use crate::journal::Release;

/// More than this is written by the writer's thread: the runtime has better things to do.
pub(in crate::wal) const TURN_MAX: usize = 16 << 10;
/// Turns that one task may take while records keep coming.
const TURNS_IN_A_ROW: u32 = 4;

/// Writes in place of the writer's thread.
pub(in crate::wal) trait Turn: Send + Sync {
    /// Writes what has arrived. False if the thread has to go on: it is at it, or something
    /// else than a quick write is due.
    fn take_turn(&self) -> bool;
}

/// A turn that is being taken. If it panics, the thread goes on in its place: nobody else
/// would be woken, for the queue believes that a turn is on its way.
struct Unfinished<'a, P: Release>(&'a Intake<P>);

impl<P: Release> Drop for Unfinished<'_, P> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.leave_to_thread();
        }
    }
}

impl<P: Release> Intake<P> {
    /// Offers, or withdraws, the way to write without the writer's thread.
    pub(in crate::wal) fn offer(&self, turn: Option<Arc<dyn Turn>>) {
        *self.shared.turn.lock().unwrap_or_else(PoisonError::into_inner) = turn;
    }

    fn turn(&self) -> Option<Arc<dyn Turn>> {
        self.shared.turn.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends a turn on its way, behind everything that the runtime has to do now. False if
    /// there is no runtime.
    pub(super) fn begin_turn(&self) -> bool {
        let Some(runtime) = &self.shared.runtime else { return false };
        let intake = self.clone();
        runtime.spawn(async move {
            tokio::task::yield_now().await;
            let _unfinished = Unfinished(&intake);
            intake.take_turns();
        });
        true
    }

    /// Writes until nothing waits any more, or leaves it to the thread.
    fn take_turns(&self) {
        let turn = self.turn();
        for _ in 0..TURNS_IN_A_ROW {
            failpoint::hit(Point::IntakeTurn);
            if !turn.as_ref().is_some_and(|turn| turn.take_turn()) {
                break;
            }
            failpoint::hit(Point::IntakeTurned);
            let mut queue = self.queue();
            if queue.pending.is_empty() {
                queue.turning = false;
                queue.sleeping = true;
                return;
            }
        }
        self.leave_to_thread();
    }

    fn leave_to_thread(&self) {
        let mut queue = self.queue();
        queue.turning = false;
        queue.poked = true;
        drop(queue);
        self.shared.arrived.notify_one();
    }
}
