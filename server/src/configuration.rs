//! Where settings come from: the command line, else the environment, else a file, else the default.
//!
//! Flags are said once, as the fields of [`ServeOptions`](crate::config::ServeOptions). A flag `--some-thing` is the variable
//! `DOTTED_SOME_THING` and the line `some-thing = ..` of the file as well; what only the file says is put in front of the other
//! flags, so that clap knows what belongs together.

use std::fmt::Write as _;
use std::path::Path;

use clap::builder::BoolishValueParser;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use toml::de::{DeInteger, DeTable, DeValue};

use crate::error::Error;

/// What every variable's name begins with.
pub(crate) const ENVIRONMENT: &str = "DOTTED_";
/// Flags that are no settings: which file it is cannot be said in the file.
const NO_SETTINGS: [&str; 5] = ["config", "print-config", "stop-with-parent", "help", "version"];
/// How many names are suggested for one that is none, and how much alike they have to be.
const SUGGESTIONS: usize = 3;
const LIKENESS: f64 = 0.75;

/// Where a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// This file and line.
    File(String, usize),
    /// This variable.
    Environment(String),
    /// This flag.
    Flag(String),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(path, line) => write!(f, "{path}, line {line}"),
            Origin::Environment(name) | Origin::Flag(name) => f.write_str(name),
        }
    }
}

/// A setting as it is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    /// Its name, as in the file.
    pub name: String,
    /// What it is; nothing if it was not set and has no default that is known before the node starts.
    pub value: Option<String>,
    /// Who says so.
    pub origin: Origin,
    /// It is not to be shown.
    pub is_secret: bool,
}

/// A setting that a file has.
#[derive(Clone, Debug)]
struct Line {
    name: String,
    value: String,
    line: usize,
}

/// The settings of a file.
#[derive(Clone, Debug, Default)]
pub struct File {
    path: String,
    lines: Vec<Line>,
}

fn settings(command: &Command) -> impl Iterator<Item = (&str, &Arg)> {
    let named = command.get_arguments().filter_map(|flag| flag.get_long().map(|name| (name, flag)));
    named.filter(|(name, _)| !NO_SETTINGS.contains(name))
}

fn variable(name: &str) -> String {
    format!("{ENVIRONMENT}{}", name.replace('-', "_").to_ascii_uppercase())
}

/// The command with its flags in the environment too. A flag that is said by its presence takes yes or no as well: what the file
/// says can be taken back.
#[must_use]
pub fn with_environment(command: Command) -> Command {
    command.mut_args(|flag| {
        let Some(name) = flag.get_long().map(str::to_owned).filter(|name| !matches!(name.as_str(), "help" | "version"))
        else {
            return flag;
        };
        let flag = match flag.get_action() {
            ArgAction::SetTrue => flag
                .action(ArgAction::Set)
                .num_args(0..=1)
                .require_equals(true)
                .value_name("yes|no")
                .value_parser(BoolishValueParser::new())
                .default_missing_value("true")
                .default_value("false")
                .hide_default_value(true)
                .hide_possible_values(true),
            _ => flag,
        };
        if NO_SETTINGS.contains(&name.as_str()) && name != "config" {
            return flag;
        }
        flag.env(variable(&name)).hide_env(true)
    })
}

/// Refuses a value of the environment that its flag does not take, with the name of the variable.
///
/// # Errors
/// [`Error::Setting`].
pub fn check_environment(command: &Command) -> Result<(), Error> {
    for (name, flag) in settings(command) {
        let variable = variable(name);
        if let Some(value) = std::env::var_os(&variable) {
            let value = value.into_string();
            let checked = value.map_err(|_| "it is no UTF-8".to_owned()).and_then(|value| check(flag, name, &value));
            checked.map_err(|why| Error::Setting(format!("the variable {variable}"), why))?;
        }
    }
    Ok(())
}

/// Would the flag take that?
fn check(flag: &Arg, name: &str, value: &str) -> Result<(), String> {
    // Alone, so that nothing else can be wrong.
    let of = flag.get_value_names().and_then(|names| names.first()).map(ToString::to_string).unwrap_or_default();
    let taken = Arg::new("value").long(name.to_owned()).value_name(of).value_parser(flag.get_value_parser().clone());
    let alone = Command::new("dotted").disable_help_flag(true).arg(taken);
    let parsed = alone.try_get_matches_from(["dotted".to_owned(), format!("--{name}={value}")]);
    parsed.map(drop).map_err(|error| {
        let text = error.to_string();
        let said = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect::<Vec<_>>().join(" ");
        said.trim_start_matches("error: ").to_owned()
    })
}

impl File {
    /// Reads a file of settings for a command.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be read, [`Error::Setting`] with the line for what is no setting, or no value of one.
    pub fn read(path: &Path, command: &Command) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|why| Error::File(path.to_owned(), why))?;
        let path = path.display().to_string();
        let line_of = |at: usize| text.get(..at).unwrap_or_default().matches('\n').count() + 1;
        let wrong = |at: usize, why: String| Error::Setting(format!("{path}, line {}", line_of(at)), why);
        let table = DeTable::parse(&text).map_err(|error| {
            wrong(error.span().map_or(0, |span| span.start), format!("this is no TOML: {}", error.message()))
        })?;
        let mut lines = Vec::new();
        for (name, value) in table.get_ref() {
            let (at, name) = (name.span().start, name.get_ref().as_ref());
            let Some((_, flag)) = settings(command).find(|(known, _)| *known == name) else {
                return Err(wrong(at, unknown(name, command)));
            };
            let value = match value.get_ref() {
                DeValue::String(text) => text.clone().into_owned(),
                DeValue::Integer(number) => whole(number).map_err(|why| wrong(at, format!("{name}: {why}")))?,
                DeValue::Boolean(yes) => yes.to_string(),
                _ => return Err(wrong(at, format!("{name} takes a text, a whole number, or true or false"))),
            };
            check(flag, name, &value).map_err(|why| wrong(at, why))?;
            lines.push(Line { name: name.to_owned(), value, line: line_of(at) });
        }
        Ok(Self { path, lines })
    }

    /// What the file says as flags, but for what the command line or the environment says, or is so anyway.
    #[must_use]
    pub fn as_flags(&self, command: &Command, said: &ArgMatches) -> Vec<String> {
        let counts = |line: &&Line| {
            let flag = settings(command).find(|(name, _)| *name == line.name).map(|(_, flag)| flag);
            flag.is_some_and(|flag| {
                let is_so = flag.get_default_values().iter().any(|value| value.to_str() == Some(line.value.as_str()));
                !is_so && !is_explicit(said.value_source(flag.get_id().as_str()))
            })
        };
        self.lines.iter().filter(counts).map(|line| format!("--{}={}", line.name, line.value)).collect()
    }
}

fn is_explicit(source: Option<ValueSource>) -> bool {
    matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable))
}

/// A number as flags take it, in whatever radix it was written.
fn whole(number: &DeInteger<'_>) -> Result<String, String> {
    let value = i64::from_str_radix(number.as_str(), number.radix());
    value.map(|value| value.to_string()).map_err(|_| format!("{number} is too large a number"))
}

fn unknown(name: &str, command: &Command) -> String {
    if let Some(no_setting) = NO_SETTINGS.iter().find(|known| **known == name) {
        return format!("{no_setting} is a flag, and no setting of a file");
    }
    let likeness = |known: &str| strsim::jaro_winkler(known, name);
    let mut known: Vec<&str> = settings(command).map(|(known, _)| known).collect();
    known.sort_by(|a, b| likeness(b).total_cmp(&likeness(a)));
    let nearest: Vec<&str> = known.into_iter().take(SUGGESTIONS).filter(|known| likeness(known) > LIKENESS).collect();
    let hint = match nearest.as_slice() {
        [] => "`dotted serve --print-config` shows those there are".to_owned(),
        nearest => format!("perhaps {}", nearest.join(", or ")),
    };
    format!("there is no setting {name}: {hint}")
}

/// What is in force, in the order of the flags; `said` is what the command line and the environment say without the file.
#[must_use]
pub fn in_force(command: &Command, matches: &ArgMatches, said: &ArgMatches, file: &File) -> Vec<InForce> {
    let shown = settings(command).map(|(name, flag)| {
        let id = flag.get_id().as_str();
        let value = matches.get_raw(id).and_then(|mut values| values.next());
        // Whoever said 1 or no has said true or false.
        let is_so = matches.try_get_one::<bool>(id).ok().flatten().map(bool::to_string);
        let origin = match (said.value_source(id), file.lines.iter().find(|line| line.name == name)) {
            (Some(ValueSource::CommandLine), _) => Origin::Flag(format!("--{name}")),
            (Some(ValueSource::EnvVariable), _) => Origin::Environment(variable(name)),
            (_, Some(line)) => Origin::File(file.path.clone(), line.line),
            _ => Origin::Default,
        };
        InForce {
            name: name.to_owned(),
            value: is_so.or_else(|| value.map(|value| value.to_string_lossy().into_owned())),
            origin,
            is_secret: flag.is_hide_env_values_set(),
        }
    });
    shown.collect()
}

/// What is in force as a file that says the same, each setting with where it comes from.
#[must_use]
pub fn show(settings: &[InForce]) -> String {
    let mut rows = Vec::new();
    for InForce { name, value, origin, is_secret } in settings {
        rows.push((
            match value {
                Some(_) if *is_secret => format!("# {name} is set, and not shown"),
                Some(value) => format!("{name} = {}", in_toml(value)),
                None => format!("# {name} is not set"),
            },
            if value.is_some() { format!("# {origin}") } else { String::new() },
        ));
    }
    let width = rows.iter().map(|(setting, _)| setting.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (setting, origin) in rows {
        // Writing into a string does not fail.
        let _ = writeln!(text, "{}", format!("{setting:<width$}  {origin}").trim_end());
    }
    text
}

/// Numbers and yes or no as they are, everything else as a text.
fn in_toml(value: &str) -> String {
    let is_number = value.parse::<i64>().is_ok_and(|number| number.to_string() == value);
    if is_number || value == "true" || value == "false" {
        return value.to_owned();
    }
    let mut text = String::from("\"");
    for letter in value.chars() {
        match letter {
            '"' | '\\' => text.extend(['\\', letter]),
            // Writing into a string does not fail.
            control if control.is_control() => drop(write!(text, "\\u{:04X}", control as u32)),
            other => text.push(other),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::in_toml;

    #[test]
    fn every_value_is_read_as_it_was_written() {
        for value in
            ["", "a", "7", "-7", "007", "true", "yes", "a\"b\\c", "line\nbreak \u{7f}", "127.0.0.1:6379", "1e5"]
        {
            let text = format!("x = {}", in_toml(value));
            let table = toml::de::DeTable::parse(&text).unwrap();
            let read = match table.get_ref()["x"].get_ref() {
                toml::de::DeValue::String(text) => text.clone().into_owned(),
                toml::de::DeValue::Integer(number) => number.to_string(),
                toml::de::DeValue::Boolean(yes) => yes.to_string(),
                other => panic!("{other:?}"),
            };
            assert_eq!(read, value);
        }
    }
}
