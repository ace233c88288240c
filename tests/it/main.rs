//! Tests of the whole, against the real binary.

#![expect(clippy::indexing_slicing, reason = "JSON gives null for what is not there, and a test fails by that")]

mod architecture;
mod audit;
mod backup;
mod batches;
mod bit_flips;
mod clients;
mod contract;
mod credentials;
mod damage;
mod deliveries;
mod disk_full;
mod doctor;
mod doors;
mod endings;
mod event_catalogue;
mod exchange;
mod exposure;
mod expunge;
mod fan_out;
mod faults;
mod filters;
mod formats;
mod holds;
mod idempotency;
mod isolation;
mod kill;
mod observation;
mod operational;
mod order;
mod policy;
mod power_cut;
mod reads;
mod refusals;
mod resend;
mod retries;
mod schemes;
mod sdk;
mod secrets;
mod signatures;
mod support;
mod sync_order;
mod tasks;
mod verification;
mod zoo;
