//! Commands and subcommands as rights name them: each has a number, and the categories it belongs to.

use std::collections::HashMap;
use std::sync::OnceLock;

use crate::command::{self, Command};

/// The categories, in the order in which ACL CAT has them; a command's are bits in this order. The last one is of our own.
pub(crate) const CATEGORIES: &[&str] = &[
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
    "dot",
];

/// The number of a command, or of a subcommand.
pub(crate) type CommandId = u16;

/// All that rights can name.
pub(crate) struct Catalog {
    names: Vec<String>,
    categories: Vec<u32>,
    /// Of each command that has subcommands, where theirs begin and end.
    within: HashMap<CommandId, (CommandId, CommandId)>,
    ids: HashMap<String, CommandId>,
}

impl Catalog {
    /// The one there is.
    pub(crate) fn get() -> &'static Catalog {
        static CATALOG: OnceLock<Catalog> = OnceLock::new();
        CATALOG.get_or_init(Catalog::of_commands)
    }

    fn of_commands() -> Self {
        let mut catalog =
            Self { names: Vec::new(), categories: Vec::new(), within: HashMap::new(), ids: HashMap::new() };
        for command in command::all() {
            catalog.add(command.name, &command::categories(command));
        }
        for command in command::all() {
            let first = catalog.names.len() as CommandId;
            for sub in command::subcommands(command) {
                let name = format!("{}|{}", command.name, sub.name);
                catalog.add(&name, &command::categories_of_sub(command, sub));
            }
            let behind = catalog.names.len() as CommandId;
            if behind > first {
                let id = catalog.id_of(command);
                catalog.within.insert(id, (first, behind));
            }
        }
        catalog
    }

    fn add(&mut self, name: &str, categories: &[&str]) {
        let name = name.to_ascii_lowercase();
        self.ids.insert(name.clone(), self.names.len() as CommandId);
        self.names.push(name);
        self.categories.push(bits(categories));
    }

    /// How many numbers there are.
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// The number of `command` or `command|subcommand`, in small letters.
    pub(crate) fn find(&self, name: &str) -> Option<CommandId> {
        self.ids.get(name).copied()
    }

    /// The number of a command.
    pub(crate) fn id_of(&self, command: &Command) -> CommandId {
        // Every command of the table is in the catalogue.
        self.find(&command.name.to_ascii_lowercase()).unwrap_or(CommandId::MAX)
    }

    /// What it is called.
    pub(crate) fn name(&self, id: CommandId) -> &str {
        self.names.get(usize::from(id)).map_or("", String::as_str)
    }

    /// The numbers of its subcommands.
    pub(crate) fn within(&self, id: CommandId) -> std::ops::Range<CommandId> {
        let (first, behind) = self.within.get(&id).copied().unwrap_or((0, 0));
        first..behind
    }

    /// Everything that belongs to a category. Of a command with subcommands only these count, as in Redis.
    pub(crate) fn of_category(&self, category: usize) -> impl Iterator<Item = CommandId> + '_ {
        (0..self.names.len() as CommandId).filter(move |id| self.categories[usize::from(*id)] & (1 << category) != 0)
    }
}

/// The number of a category.
pub(crate) fn category(name: &str) -> Option<usize> {
    CATEGORIES.iter().position(|known| *known == name)
}

fn bits(categories: &[&str]) -> u32 {
    categories.iter().filter_map(|name| category(name)).fold(0, |bits, at| bits | 1 << at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_speed_and_known_categories_only() {
        let catalog = Catalog::get();
        let (fast, slow) = (bits(&["fast"]), bits(&["slow"]));
        for id in 0..catalog.len() as CommandId {
            let of = catalog.categories[usize::from(id)];
            assert!((of & fast == 0) != (of & slow == 0), "{} is fast or slow", catalog.name(id));
        }
        for command in command::all() {
            for name in command::categories(command) {
                assert!(category(name).is_some(), "{} is in {name}, which is no category", command.name);
            }
        }
    }
}
