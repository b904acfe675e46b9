//! Where an entry came from, and how long it had to live then. Six bits of its slot.

/// An entry's origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::cache::store) struct Origin(u8);

/// From here on it is the binary logarithm of a time to live.
const LIVES: u8 = 2;

impl Origin {
    /// How many bits of [`Origin::to_bits`] are in use.
    pub const BITS: u32 = 6;
    /// Written here.
    pub const OURS: Self = Self(0);
    /// Taken over from the tier, for ever.
    const FOR_EVER: Self = Self(1);

    /// Taken over from the tier, with so many milliseconds to live; 0: for ever.
    pub const fn living(ttl_ms: u64) -> Self {
        match ttl_ms.checked_ilog2() {
            None => Self::FOR_EVER,
            Some(log) if log as u8 + LIVES < 1 << Self::BITS => Self(log as u8 + LIVES),
            Some(_) => Self((1 << Self::BITS) - 1),
        }
    }

    pub const fn is_tier(self) -> bool {
        self.0 != Self::OURS.0
    }

    /// How long before its end it is asked for, milliseconds: `percent` of the time that it had to
    /// live, or down to half of that, since no more than the logarithm is known.
    pub const fn early_ms(self, percent: u8) -> u64 {
        match self.0.checked_sub(LIVES) {
            None => 0,
            Some(log) => (1u64 << log).saturating_mul(percent as u64) / 100,
        }
    }

    pub const fn to_bits(self) -> u8 {
        self.0
    }

    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_to_live_fits_and_what_is_early_is_between_half_the_share_and_the_share() {
        for ttl in (0..64).flat_map(|log| [(1u64 << log) - 1, 1 << log, (1 << log) | 1]) {
            let origin = Origin::living(ttl);
            assert!(origin.is_tier());
            assert_eq!(Origin::from_bits(origin.to_bits()), origin);
            assert!(u32::from(origin.to_bits()) < 1 << Origin::BITS);
            if (1000..1 << 50).contains(&ttl) {
                let early = origin.early_ms(10);
                assert!(early <= ttl / 10 && early >= ttl / 20 - 1, "{early} of {ttl}");
            }
        }
        assert_eq!((Origin::OURS.early_ms(90), Origin::FOR_EVER.early_ms(90)), (0, 0));
    }
}
