//! Frames read and verified on a thread of its own, a bounded way ahead of whoever uses them.
//!
//! ```text
//!   verifier thread: read, header checksum, SHA-256 chain ──blocks──▶ caller: decode, visit
//!                          ▲────────────────emptied blocks───────────────┘
//! ```
//!
//! The verifier fills only blocks that it got back, so [`BLOCKS`] of them is all there is. What
//! the caller finds in a block lies before anything that the verifier finds later: hand over what
//! is good before an error is returned, and the damage reported is the first there is.

use std::io;
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, Sender, channel};

/// Blocks that go round: one is filled, one used, the rest evens out the pace.
const BLOCKS: usize = 4;
/// A block is handed over when its payloads reach this many bytes. A larger frame has a block
/// to itself; a block that has grown for one is let go.
const BLOCK_BYTES: usize = if cfg!(test) { 400 } else { 1 << 20 };

/// The payloads of verified frames, one behind the other, and what the verifier knows of each.
#[derive(Debug)]
pub(super) struct Block<T> {
    payloads: Vec<u8>,
    /// The frames, each with the end of its payload.
    frames: Vec<(T, usize)>,
}

/// Nobody wants blocks any more.
pub(super) struct HungUp;

/// The verifier's end of the round.
pub(super) struct Supply<T> {
    emptied: Receiver<Block<T>>,
    filled: Sender<Block<T>>,
    block: Block<T>,
}

impl<T> Block<T> {
    const fn new() -> Self {
        Self { payloads: Vec::new(), frames: Vec::new() }
    }

    /// The frames with their payloads, in order.
    pub(super) fn frames(&self) -> impl Iterator<Item = (&T, &[u8])> {
        let mut start = 0;
        self.frames.iter().map(move |(frame, end)| {
            let payload = &self.payloads[start..*end];
            start = *end;
            (frame, payload)
        })
    }

    fn clear(&mut self) {
        self.frames.clear();
        self.payloads.clear();
        self.payloads.shrink_to(2 * BLOCK_BYTES);
    }
}

impl<T> Supply<T> {
    pub(super) fn push(&mut self, frame: T, payload: &[u8]) -> Result<(), HungUp> {
        if self.block.payloads.len() + payload.len() > BLOCK_BYTES {
            self.hand_over()?;
        }
        self.block.payloads.extend_from_slice(payload);
        self.block.frames.push((frame, self.block.payloads.len()));
        Ok(())
    }

    /// Hands over what was pushed so far, if anything.
    pub(super) fn hand_over(&mut self) -> Result<(), HungUp> {
        if self.block.frames.is_empty() {
            return Ok(());
        }
        let next = self.emptied.recv().map_err(|_| HungUp)?;
        let full = std::mem::replace(&mut self.block, next);
        self.filled.send(full).map_err(|_| HungUp)
    }
}

/// Runs `verify` on a thread of its own, and `each` here for every block that comes of it; returns
/// what `verify` came to, or `None` if `each` broke off. Whichever way this ends, by a panic too,
/// the thread has ended.
///
/// # Errors
/// There is no thread to be had; inside, the errors of `each`.
pub(super) fn run_ahead<T: Send, R: Send, E>(
    verify: impl FnOnce(Supply<T>) -> R + Send,
    mut each: impl FnMut(&Block<T>) -> Result<ControlFlow<()>, E>,
) -> io::Result<Result<Option<R>, E>> {
    let (filled, blocks) = channel();
    let (give_back, emptied) = channel();
    for _ in 1..BLOCKS {
        // Cannot fail: the other end is held here.
        let _ = give_back.send(Block::new());
    }
    let supply = Supply { emptied, filled, block: Block::new() };
    // It takes the channels along: whichever way it ends, the verifier waits for nobody.
    std::thread::scope(move |scope| {
        let verifier = std::thread::Builder::new()
            .name("wal-verify".to_owned())
            .spawn_scoped(scope, move || verify(supply))?;
        // Ends when the verifier does; a return before that hangs up on it.
        for mut block in blocks {
            match each(&block) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => return Ok(Ok(None)),
                Err(error) => return Ok(Err(error)),
            }
            block.clear();
            // A verifier that is done needs no more blocks.
            let _ = give_back.send(block);
        }
        match verifier.join() {
            Ok(end) => Ok(Ok(Some(end))),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
