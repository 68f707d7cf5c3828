//! What must hold; one file each.

pub mod acknowledged;
pub mod once;
pub mod rest;
pub mod unfenced;
