//! A command's arguments, borrowed from the input they arrived in.

/// Where one argument lies in the input, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Length.
    pub len: u32,
}

/// The arguments of one command; argument 0 is the command's name as the client wrote it.
///
/// Commands are dispatched only after their arity was checked, so indexes below the arity exist.
/// [`Args::get`] returns an empty slice beyond the end rather than panic.
#[derive(Debug, Clone, Copy)]
pub struct Args<'a> {
    input: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Args<'a> {
    /// Arguments at `spans` of `input`.
    #[must_use]
    pub const fn new(input: &'a [u8], spans: &'a [Span]) -> Self {
        Self { input, spans }
    }

    /// Number of arguments, the command's name included.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there is not even a name. Never true for a dispatched command.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Argument `i`; empty beyond the last one.
    #[must_use]
    pub fn get(&self, i: usize) -> &'a [u8] {
        self.spans
            .get(i)
            .and_then(|s| self.input.get(s.start as usize..s.start as usize + s.len as usize))
            .unwrap_or_default()
    }

    /// Whether argument `i` exists and equals `word`, letters compared without case.
    #[must_use]
    pub fn is(&self, i: usize, word: &str) -> bool {
        i < self.spans.len() && self.get(i).eq_ignore_ascii_case(word.as_bytes())
    }

    /// The arguments from `i` on, as if argument `i` was the command's name.
    #[must_use]
    pub fn tail(&self, i: usize) -> Self {
        Self { input: self.input, spans: self.spans.get(i..).unwrap_or_default() }
    }

    /// The arguments from `i` on.
    pub fn from(&self, i: usize) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        let (input, spans) = (self.input, self.spans.get(i..).unwrap_or_default());
        spans.iter().map(move |s| {
            input.get(s.start as usize..s.start as usize + s.len as usize).unwrap_or_default()
        })
    }
}
