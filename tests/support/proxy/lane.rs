//! One direction of a connection: what waits to be written, and when it may be. Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::flow::{Cut, Flow};

/// A lane that holds this much takes no more.
const ROOM: usize = 64 << 10;
/// Pieces per second of a throttled lane that is not so slow that it goes byte by byte.
const PIECES: u32 = 20;

struct Piece {
    came: Instant,
    bytes: Vec<u8>,
    written: usize,
}

/// What is to be done now.
#[derive(Debug, PartialEq, Eq)]
pub enum Turn<'a> {
    Write(&'a [u8]),
    /// Nothing before that time, or before something else happens.
    Wait(Option<Instant>),
    /// Everything is written, and the sender has closed.
    Shut,
    Cut(Cut),
}

pub struct Lane {
    pieces: VecDeque<Piece>,
    waiting: usize,
    ended: bool,
    /// Bytes were lost. As in TCP, what is behind a hole arrives no more than the hole does: a
    /// stream that goes on without them is none that a peer could ever see.
    hole: bool,
    /// Since which change of the flow it counts, and what.
    since: u64,
    passed: u64,
    /// A throttled lane writes nothing before.
    not_before: Instant,
}

impl Lane {
    pub fn new(now: Instant) -> Self {
        Self {
            pieces: VecDeque::new(),
            waiting: 0,
            ended: false,
            hole: false,
            since: 0,
            passed: 0,
            not_before: now,
        }
    }

    pub fn has_room(&self) -> bool {
        self.waiting < ROOM && !self.ended
    }

    pub fn push(&mut self, bytes: &[u8], now: Instant) {
        self.waiting += bytes.len();
        self.pieces.push_back(Piece { came: now, bytes: bytes.to_vec(), written: 0 });
    }

    /// The sender sends nothing more.
    pub fn end(&mut self) {
        self.ended = true;
    }

    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Nothing arrives any more.
    pub fn lose(&mut self) {
        self.hole = true;
    }

    /// What to do under `flow`, which is the same as long as `since` is.
    pub fn turn(&mut self, flow: &Flow, since: u64, now: Instant) -> Turn<'_> {
        if self.since != since {
            (self.since, self.passed) = (since, 0);
        }
        let loses = matches!(flow, Flow::Lose);
        if self.hole || loses {
            self.hole |= !self.pieces.is_empty();
            self.pieces.clear();
            self.waiting = 0;
        }
        if loses || matches!(flow, Flow::Hold) {
            return Turn::Wait(None);
        }
        if self.hole {
            return if self.ended { Turn::Cut(Cut::Reset) } else { Turn::Wait(None) };
        }
        let Some(piece) = self.pieces.front() else {
            return if self.ended { Turn::Shut } else { Turn::Wait(None) };
        };
        let bytes = &piece.bytes[piece.written..];
        match flow {
            Flow::Delay(delay) if now < piece.came + *delay => {
                Turn::Wait(Some(piece.came + *delay))
            }
            Flow::Throttle(_) if now < self.not_before => Turn::Wait(Some(self.not_before)),
            Flow::Throttle(rate) => {
                let most = (rate / PIECES).max(1) as usize;
                Turn::Write(&bytes[..most.min(bytes.len())])
            }
            Flow::CutAfter(most, how) => {
                let left = usize::try_from(most.saturating_sub(self.passed)).unwrap_or(usize::MAX);
                if left == 0 {
                    Turn::Cut(*how)
                } else {
                    Turn::Write(&bytes[..left.min(bytes.len())])
                }
            }
            _ => Turn::Write(bytes),
        }
    }

    /// So many bytes of the last turn were written.
    pub fn wrote(&mut self, count: usize, flow: &Flow, now: Instant) {
        self.passed += count as u64;
        self.waiting -= count;
        if let Flow::Throttle(rate) = flow {
            self.not_before = now + Duration::from_secs(1) * count as u32 / (*rate).max(1);
        }
        if let Some(piece) = self.pieces.front_mut() {
            piece.written += count;
            if piece.written >= piece.bytes.len() {
                self.pieces.pop_front();
            }
        }
    }
}
