//! Log lines on standard error: for people on a terminal, JSON elsewhere.

use std::io::{IsTerminal as _, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{EnvFilter, Layer as _, Registry, fmt, reload};

use crate::config::{Config, LogFormat};
use crate::exit::Failure;

/// Changes the level while the server runs.
#[derive(Clone)]
pub(crate) struct LogLevelHandle(reload::Handle<EnvFilter, Registry>);

impl LogLevelHandle {
    /// Takes over `log.level`.
    pub(crate) fn reload(&self, config: &Config) {
        if let Err(error) = filter(config).map(|filter| self.0.reload(filter)) {
            tracing::warn!(error = error.error, "failed to change the log level");
        }
    }
}

/// What libraries say about the bytes of strangers. An endpoint could have them write
/// some hundred thousand lines a second; what it did is told with its attempts. Whoever
/// wants the lines names the library in `log.level`, since the later of two counts.
const SILENT: &str = "h2=off,hickory=off,hyper=off,rustls=off";

fn filter(config: &Config) -> Result<EnvFilter, Failure> {
    EnvFilter::builder().parse(directives(&config.log.level.0)).map_err(Failure::usage)
}

fn directives(level: &str) -> String {
    format!("{SILENT},{level}")
}

/// Begins to log to standard error.
///
/// # Errors
/// Something in this process logs already.
pub(crate) fn start(config: &Config) -> Result<LogLevelHandle, Failure> {
    let human = match config.log.format {
        LogFormat::Auto => std::io::stderr().is_terminal(),
        LogFormat::Human => true,
        LogFormat::Json => false,
    };
    start_to(config, human, std::io::stderr)
}

/// Begins to log to a file, as JSON.
///
/// # Errors
/// Something in this process logs already.
pub(crate) fn start_to_file(config: &Config, file: std::fs::File) -> Result<LogLevelHandle, Failure> {
    start_to(config, false, SharedFile(Arc::new(Mutex::new(file))))
}

fn start_to<W>(config: &Config, human: bool, writer: W) -> Result<LogLevelHandle, Failure>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let (level, handle) = reload::Layer::new(filter(config)?);
    let lines = fmt::layer().with_writer(writer);
    let lines = match human {
        true => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        false => lines.json().flatten_event(true).with_current_span(false).boxed(),
    };
    let started: Result<(), TryInitError> = Registry::default().with(level).with(lines).try_init();
    started.map(|()| LogLevelHandle(handle)).map_err(Failure::from)
}

#[derive(Clone)]
struct SharedFile(Arc<Mutex<std::fs::File>>);

impl Write for SharedFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }
}

impl<'w> MakeWriter<'w> for SharedFile {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_silent_unless_they_are_named() {
        let parsed = |level: &str| {
            let filter = EnvFilter::builder().parse(directives(level)).expect("a valid filter").to_string();
            let mut parsed: Vec<_> = filter.split(',').map(str::to_owned).collect();
            parsed.sort();
            parsed.join(",")
        };
        assert_eq!(parsed("debug"), "debug,h2=off,hickory=off,hyper=off,rustls=off");
        assert_eq!(parsed("info,h2=warn"), "h2=warn,hickory=off,hyper=off,info,rustls=off");
    }
}
