//! Links between real endpoints: on loopback, and on an in-memory network in virtual time.

#![allow(clippy::unwrap_used)]

mod cluster;
mod loopback;
mod members;
mod refusal;
mod virtual_time;
