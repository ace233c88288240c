//! The allocator of the whole program.
//!
//! Work that comes in waves (a segment's rows that are sorted and packed, frames,
//! bodies) leaves large holes. The C library keeps them; jemalloc gives them back
//! after a second. How it is set stands in `.cargo/config.toml`, why in decision 0014.

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
