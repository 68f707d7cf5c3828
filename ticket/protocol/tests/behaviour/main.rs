//! What a whole cluster of participants does, told as stories.
mod lifecycle;
mod memory;
mod moves;
mod scale;
mod standstill;
mod world;
