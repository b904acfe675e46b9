//! The wheel against an ordered map.
