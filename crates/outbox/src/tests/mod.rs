//! The outbox as a whole, over a real directory or a simulated disk.

mod added;
mod at_rest;
mod audit;
mod backup;
mod bulk_replay;
mod crash;
mod damage;
mod expunge;
mod gather;
mod intake;
mod interleavings;
mod life;
mod machine;
mod missing_segment;
mod once;
mod operational;
mod order;
mod read_ahead;
mod replay_missing;
mod retention;
mod rotation;
mod salvage;
mod stepper;
mod support;
mod tasking;
