//! A selector: commands, keys and channels that belong together. A user has one, and perhaps further ones in parentheses; what any of
//! them permits is permitted.

use super::commands::{Commands, Effect, NoRule};
use super::patterns::{NoPattern, Patterns};
use super::rights::{Denied, Wanted};

/// What is done with a key, or may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Access(u8);

impl Access {
    /// It is only looked whether it is there, or how much there is.
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const READ: Self = Self(1);
    pub(crate) const WRITE: Self = Self(2);
    pub(crate) const BOTH: Self = Self(3);

    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn covers(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Why a rule is not taken, in the words of Redis.
pub(super) const SYNTAX: &str = "Syntax error";
const UNKNOWN: &str = "Unknown command or category name in ACL";
const FIRST_ARGUMENT: &str = "Allowing first-arg of a subcommand is not supported";
const VOID_KEY: &str = "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. \
    Try 'resetkeys' to start with an empty list of patterns";
const VOID_CHANNEL: &str = "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any \
    effect. Try 'resetchannels' to start with an empty list of channels";
const TOO_MANY: &str = "These are more patterns than a user can have";

/// The selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selector {
    commands: Commands,
    keys: Patterns,
    channels: Patterns,
}

impl Default for Selector {
    /// One that permits nothing.
    fn default() -> Self {
        Self { commands: Commands::new(Effect::Forbid), keys: Patterns::default(), channels: Patterns::default() }
    }
}

impl Selector {
    /// One that permits everything.
    pub(super) fn all() -> Self {
        Self { commands: Commands::new(Effect::Allow), keys: Patterns::all(), channels: Patterns::all() }
    }

    pub(super) fn is_all(&self) -> bool {
        self.commands.is_all() && self.keys.is_all() && self.channels.is_all()
    }

    /// One rule.
    pub(super) fn apply(&mut self, rule: &[u8]) -> Result<(), &'static str> {
        let is_blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0;
        match rule.to_ascii_lowercase().as_slice() {
            b"allkeys" => self.keys = Patterns::all(),
            b"resetkeys" => self.keys = Patterns::default(),
            b"allchannels" => self.channels = Patterns::all(),
            b"resetchannels" => self.channels = Patterns::default(),
            b"allcommands" => self.commands = Commands::new(Effect::Allow),
            b"nocommands" => self.commands = Commands::new(Effect::Forbid),
            _ if rule.iter().any(is_blank) => return Err(SYNTAX),
            _ => return self.apply_sign(rule),
        }
        Ok(())
    }

    fn apply_sign(&mut self, rule: &[u8]) -> Result<(), &'static str> {
        let (sign, rest) = rule.split_first().ok_or(SYNTAX)?;
        let key = |why| if why == NoPattern::Void { VOID_KEY } else { TOO_MANY };
        let channel = |why| if why == NoPattern::Void { VOID_CHANNEL } else { TOO_MANY };
        match sign {
            b'~' => self.keys.add(rest, Access::BOTH).map_err(key),
            b'&' => self.channels.add(rest, Access::BOTH).map_err(channel),
            b'%' => {
                let at = rest.iter().position(|byte| *byte == b'~').filter(|at| *at > 0).ok_or(SYNTAX)?;
                let access = rest[..at].iter().try_fold(Access::NONE, |access, letter| match letter {
                    b'R' | b'r' => Ok(access.and(Access::READ)),
                    b'W' | b'w' => Ok(access.and(Access::WRITE)),
                    _ => Err(SYNTAX),
                })?;
                self.keys.add(&rest[at + 1..], access).map_err(key)
            }
            b'+' | b'-' => {
                let effect = if *sign == b'+' { Effect::Allow } else { Effect::Forbid };
                let text = std::str::from_utf8(rest).map_err(|_| UNKNOWN)?;
                self.commands.apply(effect, text).map_err(|why| match why {
                    NoRule::Unknown => UNKNOWN,
                    NoRule::FirstArgument => FIRST_ARGUMENT,
                })
            }
            _ => Err(SYNTAX),
        }
    }

    /// Does it permit that? If not, what is in the way, and in which place of its kind.
    pub(super) fn permit(&self, wanted: &Wanted<'_>) -> Result<(), (usize, Denied)> {
        if let Some(id) = wanted.command.filter(|id| !self.commands.allows(*id)) {
            return Err((0, Denied::Command(id)));
        }
        if let Some(access) = wanted.every_key.filter(|access| !self.keys.cover_all(*access)) {
            debug_assert!(access != Access::NONE, "what does nothing with keys needs none");
            return Err((0, Denied::Key(b"*".to_vec())));
        }
        let refused = wanted.keys.iter().enumerate().find(|(_, (key, access))| !self.keys.match_name(key, *access));
        if let Some((place, (key, _))) = refused {
            return Err((place, Denied::Key(key.to_vec())));
        }
        let may = |channel: &[u8]| match wanted.channels_are_patterns {
            true => self.channels.have(channel),
            false => self.channels.match_name(channel, Access::NONE),
        };
        match wanted.channels.iter().enumerate().find(|(_, channel)| !may(channel)) {
            Some((place, channel)) => Err((place, Denied::Channel(channel.to_vec()))),
            None => Ok(()),
        }
    }

    /// Its parts as ACL GETUSER has them.
    pub(super) fn parts(&self) -> [(&'static str, Vec<u8>); 3] {
        [
            ("commands", self.commands.describe().into_bytes()),
            ("keys", self.keys.describe("~")),
            ("channels", self.channels.describe("&")),
        ]
    }

    /// As rules that make it.
    pub(super) fn describe(&self) -> Vec<u8> {
        let [(_, commands), (_, keys), (_, channels)] = self.parts();
        let reset = if self.channels.is_all() { &b""[..] } else { b"resetchannels" };
        let rules = [&keys[..], reset, &channels, &commands];
        rules.into_iter().filter(|rule| !rule.is_empty()).collect::<Vec<_>>().join(&b' ')
    }
}
