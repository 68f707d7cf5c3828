//! The voter of a third site.

fn main() {}
