//! interlock.toml: reading, checking, every error with its place.
