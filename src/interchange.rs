//! Whole datasets from one place to another, offline: from and to the files of Redis, and from
//! the past.
//!
//! | module | knows |
//! |---|---|
//! | [`rdb`] | the bytes of an RDB file |
//! | [`aof`] | append-only files, and what their commands lead to |
//! | [`import`] | what of a file is taken, and how it gets into the log |
//! | [`export`] | what a data directory holds, written as an RDB file or as commands |
//! | [`restore`] | what a data directory held in the past, written as a new one |
//!
//! What is read was written by somebody else: a declared length allocates nothing before its
//! bytes have arrived, and nothing is imported from a file that is damaged anywhere.
//!
//! Architecture invariant: the codecs know neither files nor the log; they work on any reader.

pub mod aof;
mod dataset;
pub mod export;
pub mod import;
mod log;
pub mod rdb;
pub mod restore;

use std::io;

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system refused.
    #[error("it cannot be read, at offset {offset}: {source}")]
    Io {
        /// Bytes read before.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// It is not what was written, or not all of it.
    #[error("it is damaged at offset {offset}: {what}")]
    Damaged {
        /// Byte offset of what does not fit.
        offset: u64,
        /// What does not fit.
        what: String,
    },
    /// It is whole, for all one can tell, and this program does not know it.
    #[error("it is not known here, at offset {offset}: {what}")]
    Unknown {
        /// Byte offset of what is not known.
        offset: u64,
        /// What that is.
        what: String,
    },
}
