//! The RDB format of Redis, versions 1 to 12, and Valkey's version 80.
//!
//! ```text
//! file    := "REDIS" version:4 digits | "VALKEY" version:3 digits
//!            item*
//!            255 crc64:8 (from version 5 on; little-endian; 0: none was made)
//! item    := 254 length                      the keys behind are in this database
//!          | 253 seconds:4 | 252 millis:8    the next key expires at this Unix time (little-endian)
//!          | 251 length length               sizes, a hint
//!          | 250 string string               a note: name and content
//!          | 249 byte | 248 length           the next key's frequency or idle time
//!          | 247 module data                 of no key
//!          | 245 string                      a library of functions
//!          | 244 length length length        sizes of a cluster's slot, a hint
//!          | type:1 key:string value
//! length  := 00xxxxxx | 01xxxxxx x:8 | 0x80 x:32 | 0x81 x:64        (big-endian)
//! string  := length bytes
//!          | 0xC0 i8 | 0xC1 i16 | 0xC2 i32                          (decimal text; little-endian)
//!          | 0xC3 compressed:length plain:length LZF data
//! ```
//!
//! Only strings (type 0) are held here. Every other type is passed over, which takes knowing how
//! it is laid out: the file does not say where a value ends.

mod input;
mod lzf;
mod reader;
mod skip;
mod writer;

pub use reader::{Item, Kind, Reader};
pub use writer::Writer;

/// The newest version of Redis' format that is read.
pub const NEWEST: u16 = 12;
/// The version of Valkey's format that is read.
pub const VALKEY: u16 = 80;

/// What stands before an item.
mod opcode {
    pub const SLOT_INFO: u8 = 244;
    pub const FUNCTION: u8 = 245;
    pub const MODULE_AUX: u8 = 247;
    pub const IDLE: u8 = 248;
    pub const FREQ: u8 = 249;
    pub const AUX: u8 = 250;
    pub const RESIZEDB: u8 = 251;
    pub const EXPIRE_MS: u8 = 252;
    pub const EXPIRE_S: u8 = 253;
    pub const SELECTDB: u8 = 254;
    pub const END: u8 = 255;
}

/// The type of a string.
const STRING: u8 = 0;

/// The checksum: CRC-64 of Jones, as Redis takes it.
static CRC: crc::Crc<u64, crc::Table<16>> =
    crc::Crc::<u64, crc::Table<16>>::new(&crc::CRC_64_REDIS);

#[cfg(test)]
mod tests;
