//! The voter of a site, and the hand that moves its cluster.

fn main() {}
