//! Reads one segment, frame by frame, and tells where and why it stops making sense.

mod resync;

use std::io;

use super::frame::{self, Digest, FrameHeader, HeaderError, LogId};
use super::fs::LogFile;
use super::segment;
use crate::journal::{Lsn, packed};

/// Bytes fetched at once; small in tests, so that every edge is met.
const CHUNK: usize = if cfg!(test) { 300 } else { 256 * 1024 };

/// Memory for unpacked records that is kept from frame to frame.
const UNPACKED_KEEP: usize = 2 << 20;

/// What comes next in a segment.
#[derive(Debug)]
pub(super) enum Next<'a> {
    /// An intact frame that continues the chain.
    Frame {
        header: FrameHeader,
        /// Its records, unpacked.
        payload: &'a [u8],
        /// The whole frame as it is on disk.
        bytes: &'a [u8],
    },
    /// The end of the file, zeros up to there (written ahead of the frames), or the LSN at which
    /// the next segment takes over.
    End,
    /// Bytes that are no valid continuation; [`SegmentReader::offset`] is where they begin.
    Bad(Flaw),
}

/// Why the bytes at an offset are not the next frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Flaw {
    #[error(transparent)]
    Header(#[from] HeaderError),
    #[error("the frame ends {missing} bytes behind the end of the file")]
    Cut { missing: u64 },
    #[error("the frame starts at LSN {found} where {expected} was due")]
    Lsn { found: Lsn, expected: Lsn },
    #[error("the digest of the frame does not fit its content and its predecessor")]
    Digest,
    #[error("the frame's digest fits, but its packed records cannot be unpacked")]
    Packing,
    #[error("the frame runs past LSN {0}, where the next segment begins")]
    Overlap(Lsn),
}

/// A position in a segment's chain of frames.
#[derive(Debug)]
pub(super) struct SegmentReader<'f, L> {
    file: &'f L,
    log: LogId,
    size: u64,
    offset: u64,
    chain: Digest,
    next_lsn: Lsn,
    /// The LSN at which the next segment begins, and the digest that it links to. A seal has no
    /// LSN of its own: the digest says whether it still belongs here.
    until: Option<(Lsn, Digest)>,
    /// The highest durable LSN that a frame header has recorded so far.
    durable: Lsn,
    window: Vec<u8>,
    window_at: u64,
    /// The payload of the last frame that was packed.
    unpacked: Vec<u8>,
}

impl<'f, L: LogFile> SegmentReader<'f, L> {
    /// Starts behind the header of a segment. `until` is the first LSN and
    /// the link of the next one.
    pub(super) fn new(
        file: &'f L,
        header: &segment::SegmentHeader,
        until: Option<(Lsn, Digest)>,
    ) -> io::Result<Self> {
        let (log, first_lsn) = (header.log, header.first_lsn);
        let start = segment::HEADER_LEN as u64;
        let reader = Self::of_frames(file, log, start, header.digest(), first_lsn)?;
        Ok(Self { until, ..reader })
    }

    /// Starts at the first frame of any file: at `offset`, behind the digest `chain`.
    pub(super) fn of_frames(
        file: &'f L,
        log: LogId,
        offset: u64,
        chain: Digest,
        first_lsn: Lsn,
    ) -> io::Result<Self> {
        Ok(Self {
            file,
            log,
            size: file.size()?,
            offset,
            chain,
            next_lsn: first_lsn,
            until: None,
            durable: 0,
            window: Vec::new(),
            window_at: 0,
            unpacked: Vec::new(),
        })
    }

    /// Where the next frame begins, or should.
    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    /// Everything up to `lsn` is known to have been durable, whatever the frames record.
    pub(super) fn set_durable(&mut self, lsn: Lsn) {
        self.durable = self.durable.max(lsn);
    }

    /// The digest of the last good frame.
    pub(super) const fn chain(&self) -> Digest {
        self.chain
    }

    /// The LSN the next frame has to start with.
    pub(super) const fn next_lsn(&self) -> Lsn {
        self.next_lsn
    }

    /// The highest durable LSN recorded in the frames so far.
    pub(super) const fn durable(&self) -> Lsn {
        self.durable
    }

    /// Reads the next frame.
    pub(super) fn next(&mut self) -> io::Result<Next<'_>> {
        let until = self.until.map_or(Lsn::MAX, |(lsn, _)| lsn);
        if self.offset >= self.size || self.until == Some((self.next_lsn, self.chain)) {
            return Ok(Next::End);
        }
        let header = match self.header_at(self.offset)? {
            Ok(header) => header,
            Err(HeaderError::NotAFrame) if self.zeros_from(self.offset)? => return Ok(Next::End),
            Err(error) => return Ok(Next::Bad(error.into())),
        };
        if header.first_lsn != self.next_lsn {
            let (found, expected) = (header.first_lsn, self.next_lsn);
            return Ok(Next::Bad(Flaw::Lsn { found, expected }));
        }
        if header.next_lsn() > until {
            return Ok(Next::Bad(Flaw::Overlap(until)));
        }
        let len = header.frame_len();
        let left = self.size - self.offset;
        let whole = usize::try_from(len).ok().filter(|_| len <= left);
        let Some(whole) = whole else {
            return Ok(Next::Bad(Flaw::Cut { missing: len - left }));
        };
        if !self.fetch(self.offset, whole)? {
            return Ok(Next::Bad(Flaw::Cut { missing: 1 }));
        }
        let start = (self.offset - self.window_at) as usize;
        let bytes = &self.window[start..start + whole];
        let (content, digest) = bytes.split_at(whole - frame::DIGEST_LEN);
        if frame::chain(&self.chain, content) != digest {
            return Ok(Next::Bad(Flaw::Digest));
        }
        let payload = &content[header.header_len()..];
        let payload = if header.packed {
            self.unpacked.shrink_to(UNPACKED_KEEP);
            if packed::unpack(payload, &mut self.unpacked).is_err() {
                return Ok(Next::Bad(Flaw::Packing));
            }
            &self.unpacked
        } else {
            payload
        };
        self.chain.copy_from_slice(digest);
        self.offset += len;
        self.next_lsn = header.next_lsn();
        self.durable = self.durable.max(header.durable_lsn);
        Ok(Next::Frame { header, payload, bytes })
    }

    /// Whether the flaw at the current offset is what a crash leaves behind: nothing valid
    /// follows, and the LSN due here was never recorded as durable. Only meaningful in the last
    /// segment.
    pub(super) fn is_torn(&mut self, flaw: &Flaw) -> io::Result<bool> {
        let from = match flaw {
            // An intact header that does not belong here was not left by a crash, nor was a frame
            // whose digest fits.
            Flaw::Header(HeaderError::Unsupported { .. })
            | Flaw::Lsn { .. }
            | Flaw::Packing
            | Flaw::Overlap(_) => return Ok(false),
            Flaw::Header(HeaderError::NotAFrame) => self.offset + 1,
            Flaw::Cut { .. } => self.size,
            // Its header is intact, so its payload is known: do not look for frames inside.
            Flaw::Digest => match self.header_at(self.offset)? {
                Ok(header) => self.offset.saturating_add(header.frame_len()),
                Err(_) => self.offset + 1,
            },
        };
        Ok(self.next_lsn > self.durable && !self.any_header_from(from)?)
    }

    fn any_header_from(&mut self, at: u64) -> io::Result<bool> {
        Ok(self.find_header(at)?.is_some())
    }

    /// The first place at or behind `at` where a header of this log stands, of any version.
    fn find_header(&mut self, mut at: u64) -> io::Result<Option<u64>> {
        while at + frame::MIN_HEADER_LEN as u64 <= self.size {
            let want = CHUNK.min((self.size - at) as usize);
            if !self.fetch(at, want)? {
                return Ok(None);
            }
            let start = (at - self.window_at) as usize;
            let window = &self.window[start..start + want];
            let found = window.windows(frame::MARK.len()).position(|w| w == frame::MARK);
            match found {
                Some(skip) => {
                    at += skip as u64;
                    // Anything but "not a frame" is a header that someone wrote on purpose.
                    if !matches!(self.header_at(at)?, Err(HeaderError::NotAFrame)) {
                        return Ok(Some(at));
                    }
                    at += 1;
                }
                None => at += (want - (frame::MARK.len() - 1)) as u64,
            }
        }
        Ok(None)
    }

    /// Whether there is nothing but zeros up to the end of the file.
    fn zeros_from(&mut self, mut at: u64) -> io::Result<bool> {
        while at < self.size {
            let want = CHUNK.min((self.size - at) as usize);
            if !self.fetch(at, want)? {
                return Ok(false);
            }
            let start = (at - self.window_at) as usize;
            if self.window[start..start + want].iter().any(|&byte| byte != 0) {
                return Ok(false);
            }
            at += want as u64;
        }
        Ok(true)
    }

    fn header_at(&mut self, at: u64) -> io::Result<Result<FrameHeader, HeaderError>> {
        let left = self.size.saturating_sub(at);
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(frame::MAX_HEADER_LEN);
        if !self.fetch(at, most)? {
            return Ok(Err(HeaderError::NotAFrame));
        }
        let start = (at - self.window_at) as usize;
        Ok(FrameHeader::decode(&self.window[start..start + most], &self.log))
    }

    /// Brings `len` bytes at `at` into the window. False if the file has become shorter.
    fn fetch(&mut self, at: u64, len: usize) -> io::Result<bool> {
        let end = self.window_at + self.window.len() as u64;
        if at >= self.window_at && at + len as u64 <= end {
            return Ok(true);
        }
        if at >= self.window_at && at <= end {
            self.window.drain(..(at - self.window_at) as usize);
        } else {
            self.window.clear();
        }
        self.window_at = at;
        let mut have = self.window.len();
        let left = usize::try_from(self.size.saturating_sub(at)).unwrap_or(usize::MAX);
        let want = len.max(CHUNK).min(left).max(have);
        self.window.resize(want, 0);
        while have < want {
            match self.file.read_at(&mut self.window[have..], at + have as u64) {
                Ok(0) => break,
                Ok(n) => have += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.window.truncate(have);
                    return Err(error);
                }
            }
        }
        self.window.truncate(have);
        Ok(have >= len)
    }
}
