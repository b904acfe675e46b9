//! Tests of the store against naive models.
