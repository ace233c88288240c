//! The index as its users see it, beside a plain sorted model of its rows.

mod cost;
mod damage;
mod format;
mod keys;
mod laws;
mod lists;
mod lost;
mod memory;
pub(super) mod rows;
mod size;
mod start;
mod world;
