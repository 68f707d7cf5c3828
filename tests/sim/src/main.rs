//! All members in one process under virtual time, with every fault.

fn main() {}
