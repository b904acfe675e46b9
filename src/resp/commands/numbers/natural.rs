//! A natural number of any size, with just the operations that reading and printing floating
//! point need. Callers bound the size (some 20,000 bits).

/// Little-endian limbs without leading zeros; zero has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Natural {
    limbs: Vec<u64>,
}

/// The largest power of ten that fits a limb.
pub const CHUNK: u64 = 10_000_000_000_000_000_000;
/// Its number of zeros.
pub const CHUNK_DIGITS: usize = 19;

impl From<u128> for Natural {
    fn from(value: u128) -> Self {
        let mut number = Self { limbs: vec![value as u64, (value >> 64) as u64] };
        number.trim();
        number
    }
}

impl Natural {
    fn trim(&mut self) {
        while self.limbs.last() == Some(&0) {
            self.limbs.pop();
        }
    }

    /// Whether it is 0.
    pub fn is_zero(&self) -> bool {
        self.limbs.is_empty()
    }

    /// `self × factor + term`.
    pub fn multiply_add(&mut self, factor: u64, term: u64) {
        let mut carry = term;
        for limb in &mut self.limbs {
            let wide = u128::from(*limb) * u128::from(factor) + u128::from(carry);
            *limb = wide as u64;
            carry = (wide >> 64) as u64;
        }
        if carry != 0 {
            self.limbs.push(carry);
        }
    }

    /// `self × 2^by`.
    pub fn shift_left(&mut self, by: u32) {
        if self.is_zero() {
            return;
        }
        self.multiply_add(1 << (by % 64), 0);
        self.limbs.splice(0..0, std::iter::repeat_n(0, (by / 64) as usize));
    }

    /// Divides by `divisor`, which is not 0, and returns the remainder.
    pub fn divide(&mut self, divisor: u64) -> u64 {
        let mut rest = 0u64;
        for limb in self.limbs.iter_mut().rev() {
            let wide = (u128::from(rest) << 64) | u128::from(*limb);
            *limb = (wide / u128::from(divisor)) as u64;
            rest = (wide % u128::from(divisor)) as u64;
        }
        self.trim();
        rest
    }

    /// The top limbs as 65 to 128 bits (fewer if there are no more), whether any bit below them
    /// is set, and how many bits lie below.
    pub fn top_128(&self) -> (u128, bool, usize) {
        let below = self.limbs.len().saturating_sub(2);
        let (low, top) = self.limbs.split_at(below);
        let bits = top.iter().rev().fold(0u128, |bits, &limb| (bits << 64) | u128::from(limb));
        (bits, low.iter().any(|&limb| limb != 0), below * 64)
    }

    /// Decimal digits; `0` for zero.
    pub fn into_decimal(mut self) -> String {
        let mut chunks = Vec::new();
        while !self.is_zero() {
            chunks.push(self.divide(CHUNK));
        }
        let mut digits = chunks.pop().unwrap_or(0).to_string();
        for chunk in chunks.iter().rev() {
            digits.push_str(&format!("{chunk:0CHUNK_DIGITS$}"));
        }
        digits
    }
}
