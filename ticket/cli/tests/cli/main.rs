//! The command line as its users meet it: a process, its output and its exit code.

mod changes;
mod fake;
mod setup;
mod usage;
mod views;
