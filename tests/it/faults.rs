//! The real binary under faults of its machine: calls that fail, a disk that
//! stalls or is full, a clock that jumps, too few files, a process that is
//! stopped, killed or asked to end again and again.
//!
//! ```text
//!   Books: accepted <--answers-- [ server ] --requests--> receiver --> Books: arrived
//!                                    ^
//!                 a fault by LD_PRELOAD, by a signal, or by its surroundings
//! ```
//!
//! At the end of each, everything that was accepted has arrived, as it was sent.

mod books;
mod calls;
mod clock;
mod disk;
mod files;
mod signals;
mod starts;

pub(crate) use self::books::Books;
