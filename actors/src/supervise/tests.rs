//! The tree with real actors. The clock is paused wherever nothing blocks a thread.

mod bench;
mod change;
mod end;
mod heal;
mod shutdown;
