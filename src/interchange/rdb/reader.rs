//! Reads an RDB file, key by key.

use std::io::BufRead;

use seawall_actors::clock::UnixMs;

use super::input::Input;
use super::{NEWEST, STRING, VALKEY, opcode};
use crate::interchange::ReadError;

/// What a file holds that is not held here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A list.
    List,
    /// A set.
    Set,
    /// A sorted set.
    SortedSet,
    /// A hash.
    Hash,
    /// A stream.
    Stream,
    /// A value of a module's own type.
    Module,
    /// A library of functions.
    Library,
    /// Data of a module that belongs to no key.
    ModuleData,
}

impl Kind {
    /// In a word or two.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Set => "set",
            Self::SortedSet => "sorted set",
            Self::Hash => "hash",
            Self::Stream => "stream",
            Self::Module => "module type",
            Self::Library => "function library",
            Self::ModuleData => "module data",
        }
    }
}

/// Something that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item<'a> {
    /// A string.
    String {
        /// Database number, whether or not there is such a database here.
        db: u64,
        /// Key bytes.
        key: &'a [u8],
        /// Value bytes.
        value: &'a [u8],
        /// Absolute expiry, which may have passed.
        expires_at: Option<UnixMs>,
    },
    /// Something else, which was passed over.
    Other {
        /// What it is.
        kind: Kind,
        /// Database number.
        db: u64,
        /// Key bytes; empty for what has none.
        key: &'a [u8],
        /// Absolute expiry, which may have passed.
        expires_at: Option<UnixMs>,
    },
}

/// Reads a file from its beginning to its checksum; what is behind is left in the source.
#[derive(Debug)]
pub struct Reader<R> {
    input: Input<R>,
    version: u16,
    valkey: bool,
    db: u64,
    key: Vec<u8>,
    value: Vec<u8>,
}

/// What stands before a key, or in place of one.
enum Head {
    Key { number: u8, expires_at: Option<UnixMs> },
    Other(Kind),
    End,
}

impl<R: BufRead> Reader<R> {
    /// Reads the first nine bytes.
    ///
    /// # Errors
    /// They are those of no RDB file, or of one that is too new.
    pub fn new(source: R) -> Result<Self, ReadError> {
        let mut input = Input::new(source);
        let magic: [u8; 9] = input.array()?;
        let (digits, valkey) = match &magic {
            [b'R', b'E', b'D', b'I', b'S', digits @ ..] => (&digits[..], false),
            [b'V', b'A', b'L', b'K', b'E', b'Y', digits @ ..] => (&digits[..], true),
            _ => {
                let what = format!("\"{}\" begins no RDB file", magic.escape_ascii());
                return Err(ReadError::Damaged { offset: 0, what });
            }
        };
        let version = std::str::from_utf8(digits)
            .ok()
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok());
        let known = if valkey { VALKEY..=VALKEY } else { 1..=NEWEST };
        let Some(version) = version.filter(|version| known.contains(version)) else {
            let what = format!(
                "\"{}\" is a version that this program does not read; it reads Redis' up to \
                 {NEWEST} and Valkey's {VALKEY}",
                magic.escape_ascii()
            );
            return Err(ReadError::Unknown { offset: 0, what });
        };
        Ok(Self { input, version, valkey, db: 0, key: Vec::new(), value: Vec::new() })
    }

    /// Bytes read so far.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.input.offset()
    }

    /// The version of the file's format.
    #[must_use]
    pub const fn version(&self) -> u16 {
        self.version
    }

    /// What is behind the file's end, when [`Reader::read`] has met it.
    pub fn into_source(self) -> R {
        self.input.into_source()
    }

    /// Bytes of memory that it has taken.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.input.held() + self.key.capacity() + self.value.capacity()
    }

    /// The next entry, or what else there is; `None` at the end, when the checksum has proven
    /// right: it stands for everything before. MUST NOT be called again then.
    ///
    /// # Errors
    /// [`ReadError`]: nothing of the file is to be trusted.
    pub fn read(&mut self) -> Result<Option<Item<'_>>, ReadError> {
        let (number, expires_at) = match self.head()? {
            Head::Key { number, expires_at } => (number, expires_at),
            Head::Other(kind) => {
                return Ok(Some(Item::Other { kind, db: self.db, key: &[], expires_at: None }));
            }
            Head::End => return Ok(None),
        };
        self.input.string(&mut self.key)?;
        if number != STRING {
            let kind = self.input.pass_value(number, self.valkey)?;
            return Ok(Some(Item::Other { kind, db: self.db, key: &self.key, expires_at }));
        }
        self.input.string(&mut self.value)?;
        let (db, key, value) = (self.db, &*self.key, &*self.value);
        Ok(Some(Item::String { db, key, value, expires_at }))
    }

    fn head(&mut self) -> Result<Head, ReadError> {
        let input = &mut self.input;
        let mut expires_at = None;
        loop {
            match input.byte()? {
                opcode::SELECTDB => self.db = input.length()?,
                opcode::EXPIRE_S => {
                    let at = i32::from_le_bytes(input.array()?);
                    expires_at = Some(moment(i64::from(at) * 1000));
                }
                opcode::EXPIRE_MS => {
                    expires_at = Some(moment(i64::from_le_bytes(input.array()?)));
                }
                opcode::RESIZEDB => {
                    input.length()?;
                    input.length()?;
                }
                opcode::AUX => {
                    input.pass_string()?;
                    input.pass_string()?;
                }
                opcode::FREQ => input.pass(1)?,
                opcode::IDLE => {
                    input.length()?;
                }
                opcode::SLOT_INFO => {
                    input.length()?;
                    input.length()?;
                    input.length()?;
                }
                opcode::MODULE_AUX => {
                    input.pass_module_aux()?;
                    return Ok(Head::Other(Kind::ModuleData));
                }
                opcode::FUNCTION => {
                    input.pass_string()?;
                    return Ok(Head::Other(Kind::Library));
                }
                opcode::END => {
                    self.check_sum()?;
                    return Ok(Head::End);
                }
                number => return Ok(Head::Key { number, expires_at }),
            }
        }
    }

    fn check_sum(&mut self) -> Result<(), ReadError> {
        /// Older files have no checksum.
        const FIRST_WITH_CHECKSUM: u16 = 5;
        if self.version < FIRST_WITH_CHECKSUM {
            return Ok(());
        }
        let sum = self.input.checksum();
        let offset = self.input.offset();
        let recorded = u64::from_le_bytes(self.input.array()?);
        // Redis writes 0 under `rdbchecksum no`.
        if recorded == 0 || recorded == sum {
            return Ok(());
        }
        let what = format!("the checksum is {sum:016x}, the file says {recorded:016x}");
        Err(ReadError::Damaged { offset, what })
    }
}

/// Milliseconds since 1970. What is before has passed as surely as the first of them, and 0 means
/// no time here.
fn moment(ms: i64) -> UnixMs {
    ms.max(1).unsigned_abs()
}
