//! What the process says of itself on standard error: one line per event, for people or for machines.

use std::io::IsTerminal as _;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// What the storage says below a warning is of use to those who work on it.
const QUIET: &str = "fjall=warn,lsm_tree=warn";

/// How an event is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Time, level, a sentence, and its fields as `name=value`.
    #[default]
    Text,
    /// An object per line: `timestamp`, `level`, `message`, and each field by its name.
    Json,
}

fn filter(level: &str) -> Result<EnvFilter, ParseError> {
    // What is said later in a filter counts: who asks for more of the storage gets it.
    EnvFilter::try_new(format!("{QUIET},{level}"))
}

/// Takes a level, or a filter.
pub(crate) fn check_level(level: &str) -> Result<String, String> {
    match filter(level) {
        Ok(_) if !level.is_empty() => Ok(level.to_owned()),
        _ => Err("it takes error, warn, info, debug, trace, or a filter such as info,server=debug".to_owned()),
    }
}

/// Logs from now on.
pub fn start(level: Option<&str>, format: LogFormat) {
    let from_environment = || std::env::var(EnvFilter::DEFAULT_ENV).ok().and_then(|level| filter(&level).ok());
    let filter = level.and_then(|level| filter(level).ok()).or_else(from_environment);
    let filter = filter.unwrap_or_else(|| EnvFilter::new(format!("{QUIET},info")));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    match format {
        LogFormat::Text => logs.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => logs.json().flatten_event(true).with_current_span(false).with_span_list(false).init(),
    }
}
