//! What somebody may do, and what a command needs.

use super::catalog::{Catalog, CommandId};
use super::selector::{Access, Selector};
use super::user::Definition;

/// What a command needs to be permitted.
#[derive(Default)]
pub(crate) struct Wanted<'a> {
    /// The command, or the subcommand; nothing for what everybody may do.
    pub(crate) command: Option<CommandId>,
    /// Its keys, and what is done with each.
    pub(crate) keys: Vec<(&'a [u8], Access)>,
    /// It may meet any key.
    pub(crate) every_key: Option<Access>,
    /// Its channels.
    pub(crate) channels: Vec<&'a [u8]>,
    /// They are patterns: each must be one that the rights name, letter by letter.
    pub(crate) channels_are_patterns: bool,
}

/// What is in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    Command(CommandId),
    Key(Vec<u8>),
    Channel(Vec<u8>),
}

impl Denied {
    /// The word of ACL LOG.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Denied::Command(_) => "command",
            Denied::Key(_) => "key",
            Denied::Channel(_) => "channel",
        }
    }

    /// The greater, the nearer to being permitted.
    fn rank(&self) -> u8 {
        match self {
            Denied::Command(_) => 0,
            Denied::Key(_) => 1,
            Denied::Channel(_) => 2,
        }
    }

    /// What was refused.
    pub(crate) fn object(&self) -> String {
        match self {
            Denied::Command(id) => Catalog::get().name(*id).to_owned(),
            Denied::Key(name) | Denied::Channel(name) => String::from_utf8_lossy(name).into_owned(),
        }
    }

    /// What a client is told.
    pub(crate) fn to_client(&self) -> String {
        match self {
            Denied::Command(_) => {
                format!("NOPERM this user has no permissions to run the '{}' command", self.object())
            }
            Denied::Key(_) => {
                "NOPERM this user has no permissions to access one of the keys used as arguments".to_owned()
            }
            Denied::Channel(_) => {
                "NOPERM this user has no permissions to access one of the channels used as arguments".to_owned()
            }
        }
    }

    /// What a script is told.
    pub(crate) fn to_script(&self) -> String {
        let what = match self {
            Denied::Command(_) => "run this command or subcommand",
            Denied::Key(_) => "access at least one of the keys mentioned in the command arguments",
            Denied::Channel(_) => "publish to the channel mentioned in the command",
        };
        format!("ERR The user executing the script can't {what}")
    }

    /// What a transaction is told whose commands were permitted when they were gathered.
    pub(crate) fn to_transaction(&self) -> String {
        let what = match self {
            Denied::Command(_) => "execute the command or subcommand",
            Denied::Key(_) => "touch the specified keys",
            Denied::Channel(_) => "access one of the channels used as arguments to the command",
        };
        format!(
            "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is no \
             longer allowed for the following reason: no permission to {what}"
        )
    }

    /// What ACL DRYRUN says.
    pub(crate) fn to_dry_run(&self) -> String {
        let object = self.object();
        match self {
            Denied::Command(_) => format!("This user has no permissions to run the '{object}' command"),
            Denied::Key(_) => format!("This user has no permissions to access the '{object}' key"),
            Denied::Channel(_) => format!("This user has no permissions to access the '{object}' channel"),
        }
    }
}

/// What somebody may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights(pub(super) Vec<Selector>);

impl Rights {
    /// Everything.
    pub(super) fn all() -> Self {
        Self(vec![Selector::all()])
    }

    /// Is that everything?
    pub(super) fn is_all(&self) -> bool {
        self.0.iter().any(Selector::is_all)
    }

    /// May he do that?
    pub(crate) fn permit(&self, wanted: &Wanted<'_>) -> Result<(), Denied> {
        let mut nearest: Option<(usize, Denied)> = None;
        for selector in &self.0 {
            match selector.permit(wanted) {
                Ok(()) => return Ok(()),
                Err((place, denied)) => {
                    let is_nearer = |known: &(usize, Denied)| (known.1.rank(), known.0) < (denied.rank(), place);
                    if nearest.as_ref().is_none_or(is_nearer) {
                        nearest = Some((place, denied));
                    }
                }
            }
        }
        Err(nearest.map_or(Denied::Command(wanted.command.unwrap_or(0)), |(_, denied)| denied))
    }

    /// As rules that make them: for another node, whose users are others.
    pub(crate) fn describe(&self) -> Vec<u8> {
        let parts = self.0.iter().enumerate().map(|(place, selector)| match place {
            0 => selector.describe(),
            _ => [b"(", &selector.describe()[..], b")"].concat(),
        });
        parts.collect::<Vec<_>>().join(&b' ')
    }

    /// From such rules; nothing if they are not understood here.
    pub(crate) fn parse(rules: &[u8]) -> Option<Self> {
        let words: Vec<&[u8]> = rules.split(|byte| *byte == b' ').collect();
        let mut definition = Definition::default();
        definition.apply_all(&words).ok()?;
        Some(definition.rights)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(rules: &str) -> Rights {
        Rights::parse(rules.as_bytes()).unwrap()
    }

    fn wanted<'a>(name: &str, keys: &[(&'a str, Access)]) -> Wanted<'a> {
        let keys = keys.iter().map(|(key, access)| (key.as_bytes(), *access)).collect();
        Wanted { command: Catalog::get().find(name), keys, ..Wanted::default() }
    }

    #[test]
    fn rights_read_back_as_they_were_written() {
        for text in [
            "~* &* +@all",
            "resetchannels -@all",
            "~a* %R~b %W~c resetchannels &x &y* -@all +@read (~k resetchannels -@all +del)",
        ] {
            assert_eq!(String::from_utf8(rights(text).describe()).unwrap(), text);
        }
        assert!(Rights::parse(b"+nothing").is_none());
        assert!(rights("~* &* +@all").is_all() && !rights("~* +@all").is_all());
    }

    #[test]
    fn a_key_is_read_or_written_by_a_pattern_that_says_so() {
        let rights = rights("%R~in:* %W~out:* +@all");
        for (key, access, may) in [
            ("in:1", Access::READ, true),
            ("in:1", Access::WRITE, false),
            ("out:1", Access::WRITE, true),
            ("out:1", Access::BOTH, false),
            ("in:1", Access::NONE, true),
            ("elsewhere", Access::NONE, false),
        ] {
            assert_eq!(rights.permit(&wanted("get", &[(key, access)])).is_ok(), may, "{key} {access:?}");
        }
    }

    #[test]
    fn one_selector_must_permit_all_of_it_and_the_nearest_refusal_is_told() {
        let rights = rights("~a +get (~b +set)");
        assert!(rights.permit(&wanted("set", &[("b", Access::WRITE)])).is_ok());
        assert_eq!(rights.permit(&wanted("set", &[("a", Access::WRITE)])), Err(Denied::Key(b"a".to_vec())));
        assert_eq!(rights.permit(&wanted("get", &[("b", Access::READ)])), Err(Denied::Key(b"b".to_vec())));
        let del = Catalog::get().find("del").unwrap();
        assert_eq!(rights.permit(&wanted("del", &[("b", Access::WRITE)])), Err(Denied::Command(del)));
    }
}
