//! Two sites and an arbitrator as real processes on this machine.

fn main() {}
