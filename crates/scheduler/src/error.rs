//! What ends the scheduler, or keeps it from starting.

/// Why the scheduler does not run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An option has a value that is not allowed.
    #[error("scheduler option `{name}` is {value}, allowed is {min} to {max}")]
    Option {
        /// The option's name.
        name: &'static str,
        /// Its value.
        value: u64,
        /// The least that is allowed.
        min: u64,
        /// The most that is allowed.
        max: u64,
    },
    /// There is no dispatcher.
    #[error("no dispatcher was given")]
    NoDispatcher,
    /// A dispatcher takes no assignments any more although nobody asked it to stop.
    #[error("dispatcher has closed the channel of assignments")]
    DispatcherGone,
}
