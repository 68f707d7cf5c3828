//! The command line: grant, revoke, move and see tickets.

fn main() {}
