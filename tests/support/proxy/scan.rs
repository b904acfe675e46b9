//! Where the frames of a RESP stream end, found as the bytes come by: nothing is kept of a value.

/// What the next bytes are.
enum At {
    /// In a line: its type byte, once it has come, and the number after it.
    Line { kind: Option<u8>, number: u64, negative: bool, digits: bool },
    /// In a string of so many bytes, its line end included.
    Bulk(u64),
}

const LINE: At = At::Line { kind: None, number: 0, negative: false, digits: true };

/// What the bytes that were looked at are.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// All of a frame that goes on.
    More,
    /// So many belong to the frame, and end it.
    End(usize),
    /// No RESP.
    Alien,
}

/// One direction of a connection.
pub struct Scanner {
    at: At,
    /// Values that the frame still lacks, the present one included; 0 between frames.
    missing: u64,
    /// The frame's type byte.
    kind: u8,
}

impl Scanner {
    pub fn new() -> Self {
        Self { at: LINE, missing: 0, kind: 0 }
    }

    /// Looks at bytes, at most up to the end of a frame.
    pub fn step(&mut self, bytes: &[u8]) -> Step {
        if self.missing == 0 {
            self.missing = 1;
            self.kind = 0;
        }
        let mut used = 0;
        while used < bytes.len() {
            match &mut self.at {
                At::Bulk(left) => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len() - used);
                    used += here;
                    *left -= here as u64;
                    if *left == 0 && self.value_ends(0) {
                        return Step::End(used);
                    }
                }
                At::Line { kind, number, negative, digits } => {
                    let byte = bytes[used];
                    used += 1;
                    match (*kind, byte) {
                        (None, byte) if !b"+-:$*_,#!=(%~>|".contains(&byte) => return Step::Alien,
                        (None, byte) => {
                            *kind = Some(byte);
                            if self.kind == 0 {
                                self.kind = byte;
                            }
                        }
                        (Some(kind), b'\n') => {
                            let count = if *negative { None } else { Some(*number) };
                            let counted = b"$=!*~>%|".contains(&kind);
                            if counted && !*digits {
                                return Step::Alien;
                            }
                            if self.line_ends(kind, count) {
                                return Step::End(used);
                            }
                        }
                        (_, b'-') => *negative = true,
                        (_, b'0'..=b'9') => {
                            *number =
                                number.saturating_mul(10).saturating_add((byte - b'0').into());
                        }
                        (_, b'\r') => {}
                        _ => *digits = false,
                    }
                }
            }
        }
        Step::More
    }

    /// The line of a value is over; whether the frame is, too.
    fn line_ends(&mut self, kind: u8, count: Option<u64>) -> bool {
        match (kind, count) {
            (b'$' | b'=' | b'!', Some(len)) => {
                self.at = At::Bulk(len.saturating_add(2));
                false
            }
            (b'*' | b'~' | b'>', Some(items)) => self.value_ends(items),
            (b'%', Some(pairs)) => self.value_ends(pairs.saturating_mul(2)),
            // Attributes stand before the value that they are of.
            (b'|', Some(pairs)) => self.value_ends(pairs.saturating_mul(2).saturating_add(1)),
            _ => self.value_ends(0),
        }
    }

    /// A value is over or, if it is an aggregate, its values begin.
    fn value_ends(&mut self, items: u64) -> bool {
        self.at = LINE;
        self.missing = (self.missing - 1).saturating_add(items);
        self.missing == 0
    }

    /// Whether the frame that ended is a push: it answers nothing.
    pub fn was_push(&self) -> bool {
        self.kind == b'>'
    }
}

/// The first two words of a whole request, in capitals.
pub fn words(request: &[u8]) -> (String, String) {
    // After the array's line comes a length's line before each word. The two have no line ends.
    let mut lines = request.split(|&byte| byte == b'\n').skip(1);
    let mut word = || {
        let line = lines.nth(1).unwrap_or_default();
        String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).to_ascii_uppercase()
    };
    (word(), word())
}
