//! What must always hold: one invariant per file.
