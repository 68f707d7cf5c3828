//! The node daemon: wires configuration, scheduler, controller and executor.

fn main() {}
