//! The log as a whole, against a file system that fails, and a model of what must be there.

mod campaign;
mod crash;
mod damage;
mod faults;
mod follow;
mod inspect;
mod manifest;
mod removed;
mod repair;
mod retention;
mod segments;
mod sim;
mod snapshots;
