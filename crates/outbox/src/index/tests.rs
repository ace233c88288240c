//! The index as its users see it, beside a plain sorted model of its rows.

mod damage;
mod laws;
mod memory;
pub(super) mod rows;
mod size;
mod world;
