//! The ticket protocol: registers, leases, obligations, terms. Sans-io.
