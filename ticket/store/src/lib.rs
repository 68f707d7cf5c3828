//! Durable state of a member: a two-slot file.
