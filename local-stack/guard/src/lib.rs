//! The dead-man of a node: ends what runs past its lease.
