//! Children that are added to, and removed from, a supervisor that runs.
//!
//! A node is in the tree from before its first start until after its end. One that is being
//! removed is marked as such in the node, so that a supervisor that dies meanwhile does not bring
//! it back when it restarts.

use std::sync::Arc;

use ractor::{ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;

use super::slot::{Slot, Waiting};
use super::{SupervisorMsg, SupervisorState, Telling};
use crate::supervise::change::{AddError, Added, Begun, Change, RemoveError};
use crate::supervise::check::{MAX_CHILDREN, SpecError};
use crate::supervise::event::{Shared, StopHow, TreeEvent};
use crate::supervise::exit::Exit;
use crate::supervise::node::{ChildState, Children, Node};
use crate::supervise::spec::ChildSpec;
use crate::supervise::start::Stand;
use crate::supervise::strategy::{Event, Lifecycle};

impl SupervisorState {
    pub(super) fn change(
        &mut self,
        change: Change,
        myself: &ActorRef<SupervisorMsg>,
    ) -> Result<(), ActorProcessingErr> {
        match change {
            // Whoever does not wait any more was told that nothing happened.
            Change::Add { reply, .. } if reply.is_closed() => Ok(()),
            Change::Remove { reply, .. } if reply.is_closed() => Ok(()),
            Change::Add { spec, reply } => {
                let added = self.admit(*spec);
                let event = added.as_ref().ok().map(|(event, _)| event.clone());
                let _ = reply.send(added.map(|(_, begun)| begun));
                event.map_or(Ok(()), |event| self.apply(event, myself))
            }
            Change::Remove { path, reply } => {
                let removed = self.dismiss(&path);
                let event = removed.as_ref().ok().map(|(event, _)| event.clone());
                let _ = reply.send(removed.map(|(_, begun)| begun));
                event.map_or(Ok(()), |event| self.apply(event, myself))
            }
        }
    }

    /// Puts a child into the tree, to be started next.
    fn admit(&mut self, spec: ChildSpec) -> Result<(Event, Begun<Added>), AddError> {
        if !self.machine.takes_children() {
            return Err(AddError::Stopping { path: self.node.path.to_string() });
        }
        let node = self.node.sprout(spec);
        let children = self.node.children();
        if children.iter().any(|child| child.id == node.id) {
            return Err(SpecError::DuplicateId { path: node.path.to_string() }.into());
        }
        if children.len() >= MAX_CHILDREN {
            return Err(SpecError::TooMany { path: node.path.to_string() }.into());
        }
        self.node.set_children(children.iter().cloned().chain([Arc::clone(&node)]).collect());
        let (added, done) = oneshot::channel();
        let event =
            Event::Add { child: self.next, restart: node.restart.clone(), gives_up: node.gives_up };
        let within = node.grace();
        let mut slot = Slot::new(node);
        slot.added = Some(added);
        self.slots.insert(self.next, slot);
        self.next += 1;
        Ok((event, Begun { done, within }))
    }

    /// Begins to take a child out of the tree.
    fn dismiss(&mut self, path: &str) -> Result<(Event, Begun<StopHow>), RemoveError> {
        let found = self.slots.iter_mut().find(|(_, slot)| &*slot.node.path == path);
        let path = path.to_owned();
        let Some((&child, slot)) = found else { return Err(RemoveError::Unknown { path }) };
        if self.machine.is_lost(child) {
            return Err(RemoveError::Unkillable { path });
        }
        if slot.node.is_leaving() {
            return Err(RemoveError::Leaving { path });
        }
        slot.node.leave();
        let (removal, done) = oneshot::channel();
        slot.removal = Some(removal);
        Ok((Event::Remove { child }, Begun { done, within: slot.node.grace() }))
    }

    /// It runs: returns who waits for that.
    pub(super) fn note_up(&mut self, child: usize) -> Waiting {
        let added = self.slots.get_mut(&child).and_then(|slot| slot.added.take());
        Waiting { added: added.map(|who| (who, Added::Up)), ..Waiting::default() }
    }

    /// It ended, whatever the machine makes of it: returns who waits for just that.
    pub(super) fn note_end(&mut self, child: usize, exit: &Exit) -> Waiting {
        let Some(slot) = self.slots.get_mut(&child) else { return Waiting::default() };
        slot.ended = Some(crate::supervise::now());
        slot.killed = slot.node.is_leaving() && *exit == Exit::Killed;
        let lost = if exit.is_final() { slot.removal.take() } else { None };
        Waiting {
            added: slot.added.take().map(|who| (who, Added::Failed(exit.clone()))),
            lost: lost.map(|who| (who, StopHow::Unkillable)),
        }
    }

    /// Takes a child out of the tree that has ended, or never ran.
    pub(super) fn forget(&mut self, child: usize) {
        let Some(slot) = self.slots.remove(&child) else { return };
        let left = self.node.children();
        let left = left.iter().filter(|node| !Arc::ptr_eq(node, &slot.node)).cloned();
        self.node.set_children(left.collect());
        if let Some(added) = slot.added {
            let _ = added.send(Added::Failed(Exit::Shutdown));
        }
        if let Some(removal) = slot.removal {
            let _ = removal.send(if slot.killed { StopHow::Killed } else { StopHow::Orderly });
        }
    }
}

/// The children that a supervisor starts with: those that were being removed when its predecessor
/// died have ended with it, and are removed now.
pub(super) fn muster(node: &Node, shared: &Arc<Shared>) -> Children {
    let (gone, here): (Vec<_>, Vec<_>) =
        node.children().iter().cloned().partition(|child| child.is_leaving());
    let here = Children::from(here);
    node.set_children(Arc::clone(&here));
    for child in gone {
        child.publish(Stand::Gone);
        child.set(ChildState::Stopped);
        let event = TreeEvent {
            path: Arc::clone(&child.path),
            lifecycle: Lifecycle::Removed,
            reason: None,
            restarts: child.restarts(),
            next_in: None,
            down_for: None,
        };
        shared.tell(event, Telling::default());
    }
    here
}
