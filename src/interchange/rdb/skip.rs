//! Values that are not strings: how long they are, and nothing else.

use std::io::BufRead;

use super::input::Input;
use super::reader::Kind;
use crate::interchange::ReadError;

/// The types of values, as Redis numbers them.
mod kind {
    pub const LIST: u8 = 1;
    pub const SET: u8 = 2;
    pub const ZSET: u8 = 3;
    pub const HASH: u8 = 4;
    /// Scores as eight bytes.
    pub const ZSET_2: u8 = 5;
    pub const MODULE_2: u8 = 7;
    pub const HASH_ZIPMAP: u8 = 9;
    pub const LIST_ZIPLIST: u8 = 10;
    pub const SET_INTSET: u8 = 11;
    pub const ZSET_ZIPLIST: u8 = 12;
    pub const HASH_ZIPLIST: u8 = 13;
    pub const LIST_QUICKLIST: u8 = 14;
    pub const STREAM: u8 = 15;
    pub const HASH_LISTPACK: u8 = 16;
    pub const ZSET_LISTPACK: u8 = 17;
    pub const LIST_QUICKLIST_2: u8 = 18;
    pub const STREAM_2: u8 = 19;
    pub const SET_LISTPACK: u8 = 20;
    pub const STREAM_3: u8 = 21;
    /// Fields with times to live, of a release candidate. Valkey has given the number to its own.
    pub const HASH_TTL_RC: u8 = 22;
    pub const HASH_LISTPACK_TTL_RC: u8 = 23;
    pub const HASH_TTL: u8 = 24;
    pub const HASH_LISTPACK_TTL: u8 = 25;
}

/// The pieces of module data.
mod module {
    pub const END: u64 = 0;
    pub const SIGNED: u64 = 1;
    pub const UNSIGNED: u64 = 2;
    pub const FLOAT: u64 = 3;
    pub const DOUBLE: u64 = 4;
    pub const STRING: u64 = 5;
}

impl<R: BufRead> Input<R> {
    /// Passes over a value of the type `number`, whose own byte and key are read already.
    pub(super) fn pass_value(&mut self, number: u8, valkey: bool) -> Result<Kind, ReadError> {
        Ok(match number {
            kind::LIST | kind::SET | kind::LIST_QUICKLIST => {
                self.each(|input| input.pass_string())?;
                if number == kind::SET { Kind::Set } else { Kind::List }
            }
            kind::LIST_QUICKLIST_2 => {
                self.each(|input| {
                    input.length()?;
                    input.pass_string()
                })?;
                Kind::List
            }
            kind::ZSET => {
                self.each(|input| {
                    input.pass_string()?;
                    input.pass_score()
                })?;
                Kind::SortedSet
            }
            kind::ZSET_2 => {
                self.each(|input| {
                    input.pass_string()?;
                    input.pass(8)
                })?;
                Kind::SortedSet
            }
            kind::HASH => {
                self.each(|input| {
                    input.pass_string()?;
                    input.pass_string()
                })?;
                Kind::Hash
            }
            kind::HASH_TTL_RC if valkey => {
                self.each(|input| {
                    input.pass_string()?;
                    input.pass_string()?;
                    input.pass(8)
                })?;
                Kind::Hash
            }
            kind::HASH_TTL_RC | kind::HASH_TTL => {
                if number == kind::HASH_TTL {
                    self.pass(8)?;
                }
                self.each(|input| {
                    input.length()?;
                    input.pass_string()?;
                    input.pass_string()
                })?;
                Kind::Hash
            }
            kind::HASH_LISTPACK_TTL => {
                self.pass(8)?;
                self.pass_string()?;
                Kind::Hash
            }
            kind::HASH_ZIPMAP
            | kind::HASH_ZIPLIST
            | kind::HASH_LISTPACK
            | kind::HASH_LISTPACK_TTL_RC => {
                self.pass_string()?;
                Kind::Hash
            }
            kind::LIST_ZIPLIST => {
                self.pass_string()?;
                Kind::List
            }
            kind::SET_INTSET | kind::SET_LISTPACK => {
                self.pass_string()?;
                Kind::Set
            }
            kind::ZSET_ZIPLIST | kind::ZSET_LISTPACK => {
                self.pass_string()?;
                Kind::SortedSet
            }
            kind::STREAM => self.pass_stream(1)?,
            kind::STREAM_2 => self.pass_stream(2)?,
            kind::STREAM_3 => self.pass_stream(3)?,
            kind::MODULE_2 => {
                self.length()?;
                self.pass_module_data()?;
                Kind::Module
            }
            other => {
                return Err(ReadError::Unknown {
                    offset: self.offset(),
                    what: format!("a value of type {other}, whose end cannot be found"),
                });
            }
        })
    }

    /// Data of a module that belongs to no key.
    pub(super) fn pass_module_aux(&mut self) -> Result<(), ReadError> {
        self.length()?;
        if self.length()? != module::UNSIGNED {
            return Err(self.damaged("the data of a module does not say when it is to be loaded"));
        }
        self.length()?;
        self.pass_module_data()
    }

    fn pass_module_data(&mut self) -> Result<(), ReadError> {
        loop {
            match self.length()? {
                module::END => return Ok(()),
                module::SIGNED | module::UNSIGNED => {
                    self.length()?;
                }
                module::FLOAT => self.pass(4)?,
                module::DOUBLE => self.pass(8)?,
                module::STRING => self.pass_string()?,
                other => return Err(self.damaged(format!("no module writes a {other}"))),
            }
        }
    }

    /// A count, and so many of something. Each takes a byte at least, so a wrong count ends with
    /// the file.
    fn each(
        &mut self,
        mut pass: impl FnMut(&mut Self) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        for _ in 0..self.length()? {
            pass(self)?;
        }
        Ok(())
    }

    /// A number as text; three lengths stand for what is no number or infinite.
    fn pass_score(&mut self) -> Result<(), ReadError> {
        match self.byte()? {
            253..=255 => Ok(()),
            len => self.pass(len.into()),
        }
    }

    fn pass_lengths(&mut self, count: u32) -> Result<(), ReadError> {
        for _ in 0..count {
            self.length()?;
        }
        Ok(())
    }

    fn pass_stream(&mut self, version: u8) -> Result<Kind, ReadError> {
        /// An entry's id, as it is.
        const ID: u64 = 16;
        const TIME: u64 = 8;
        // Nodes: the first id in each, and its entries.
        self.each(|input| {
            input.pass_string()?;
            input.pass_string()
        })?;
        // Number of entries and last id; then first id, largest deleted id and entries ever added.
        self.pass_lengths(if version == 1 { 3 } else { 8 })?;
        // Groups: name, last id, entries read.
        self.each(|input| {
            input.pass_string()?;
            input.pass_lengths(if version == 1 { 2 } else { 3 })?;
            // Pending entries: id, delivery time and count.
            input.each(|input| {
                input.pass(ID + TIME)?;
                input.length().map(drop)
            })?;
            // Consumers: name, when last seen and active, ids of pending entries.
            input.each(|input| {
                input.pass_string()?;
                input.pass(if version == 3 { 2 * TIME } else { TIME })?;
                input.each(|input| input.pass(ID))
            })
        })?;
        Ok(Kind::Stream)
    }
}
