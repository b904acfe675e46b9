//! LZF, as Marc Lehmann's liblzf makes it and Redis stores it.
//!
//! ```text
//! 000nnnnn               n + 1 bytes follow as they are
//! nnnddddd d             n + 2 bytes (n from 1 to 6) from d + 1 bytes back
//! 111ddddd n d           n + 9 bytes from d + 1 bytes back (five high bits of d first)
//! ```

/// Three bytes stand for 264 at most.
const MAX_RATIO: u64 = 88;

/// Appends what `input` stands for to `out`, which MUST be empty: `len` bytes.
///
/// # Errors
/// It is no such data.
pub(super) fn decompress(mut input: &[u8], len: u64, out: &mut Vec<u8>) -> Result<(), String> {
    if len > (input.len() as u64).saturating_mul(MAX_RATIO) {
        return Err(format!("{} bytes cannot stand for {len}", input.len()));
    }
    let cut = || "it is cut short".to_owned();
    while let Some((&control, rest)) = input.split_first() {
        input = rest;
        let high = usize::from(control >> 5);
        if high == 0 {
            let (literal, rest) =
                input.split_at_checked(usize::from(control) + 1).ok_or_else(cut)?;
            out.extend_from_slice(literal);
            input = rest;
        } else {
            let mut next = || {
                let (&byte, rest) = input.split_first().ok_or_else(cut)?;
                input = rest;
                Ok::<_, String>(usize::from(byte))
            };
            let count = if high == 7 { next()? + 9 } else { high + 2 };
            let back = (usize::from(control & 0x1f) << 8 | next()?) + 1;
            let from = out.len().checked_sub(back).ok_or_else(|| {
                format!("it refers to {back} bytes back, {} are there", out.len())
            })?;
            // The two may overlap: a run repeats what it has just written.
            for at in from..from + count {
                let byte = out[at];
                out.push(byte);
            }
        }
        if out.len() as u64 > len {
            break;
        }
    }
    if out.len() as u64 == len {
        Ok(())
    } else {
        Err(format!("it holds {} bytes or more, {len} were declared", out.len()))
    }
}
