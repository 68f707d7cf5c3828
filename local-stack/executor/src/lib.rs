//! Runs resource agents under their contract: environment, timeouts, exit codes.
