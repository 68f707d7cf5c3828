//! The guard daemon.

fn main() {}
