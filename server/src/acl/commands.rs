//! Which commands somebody may carry out: everything or nothing to begin with, and then rule upon rule, as they were said.

use super::catalog::{CATEGORIES, Catalog, CommandId, category};

/// What a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Category(usize),
    Command(CommandId),
}

/// Where rules begin, and what each does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Allow,
    Forbid,
}

/// Why there is no such rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoRule {
    Unknown,
    FirstArgument,
}

/// The commands, each as a bit, and the rules that led there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Commands {
    base: Effect,
    rules: Vec<(Effect, What)>,
    bits: Vec<u64>,
}

impl Commands {
    /// All of them, those of later releases among them, or none.
    pub(super) fn new(base: Effect) -> Self {
        let word = if base == Effect::Allow { u64::MAX } else { 0 };
        Self { base, rules: Vec::new(), bits: vec![word; Catalog::get().len().div_ceil(64)] }
    }

    /// Everything there is, and nothing is taken from it.
    pub(super) fn is_all(&self) -> bool {
        self.base == Effect::Allow && self.rules.iter().all(|(effect, _)| *effect == Effect::Allow)
    }

    pub(super) fn allows(&self, id: CommandId) -> bool {
        self.bits.get(usize::from(id / 64)).is_some_and(|word| word & (1 << (id % 64)) != 0)
    }

    fn set(&mut self, id: CommandId, effect: Effect) {
        if let Some(word) = self.bits.get_mut(usize::from(id / 64)) {
            match effect {
                Effect::Allow => *word |= 1 << (id % 64),
                Effect::Forbid => *word &= !(1 << (id % 64)),
            }
        }
    }

    /// `@category`, `command` or `command|subcommand`.
    pub(super) fn apply(&mut self, effect: Effect, text: &str) -> Result<(), NoRule> {
        let (catalog, text) = (Catalog::get(), text.to_ascii_lowercase());
        if text == "@all" {
            *self = Self::new(effect);
            return Ok(());
        }
        if text.matches('|').count() > 1 {
            return Err(NoRule::FirstArgument);
        }
        let what = match text.strip_prefix('@') {
            Some(name) => What::Category(category(name).ok_or(NoRule::Unknown)?),
            None => What::Command(catalog.find(&text).ok_or(NoRule::Unknown)?),
        };
        match what {
            What::Category(category) => {
                catalog.of_category(category).for_each(|id| self.set(id, effect));
                self.rules.retain(|(_, said)| *said != what);
            }
            What::Command(id) => {
                self.set(id, effect);
                catalog.within(id).for_each(|sub| self.set(sub, effect));
                // What was said of it, or of its subcommands, does not count any more.
                let within = catalog.within(id);
                self.rules
                    .retain(|(_, said)| *said != what && !matches!(said, What::Command(sub) if within.contains(sub)));
            }
        }
        self.rules.push((effect, what));
        Ok(())
    }

    /// `+@all -@dangerous ..`
    pub(super) fn describe(&self) -> String {
        let sign = |effect| if effect == Effect::Allow { '+' } else { '-' };
        let mut text = format!("{}@all", sign(self.base));
        for (effect, what) in &self.rules {
            text.extend([' ', sign(*effect)]);
            match what {
                What::Category(at) => text.extend(["@", CATEGORIES.get(*at).copied().unwrap_or_default()]),
                What::Command(id) => text.push_str(Catalog::get().name(*id)),
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(rules: &[&str]) -> Commands {
        let mut commands = Commands::new(Effect::Forbid);
        for rule in rules {
            let (sign, text) = rule.split_at(1);
            let effect = if sign == "+" { Effect::Allow } else { Effect::Forbid };
            commands.apply(effect, text).unwrap();
        }
        commands
    }

    fn allows(commands: &Commands, name: &str) -> bool {
        commands.allows(Catalog::get().find(name).unwrap())
    }

    #[test]
    fn the_last_rule_counts_and_what_it_makes_void_is_not_shown() {
        let commands = made(&["+@all", "-@dangerous", "+config|get", "-get", "+get"]);
        assert_eq!(commands.describe(), "+@all -@dangerous +config|get +get");
        assert!(allows(&commands, "get") && allows(&commands, "config|get") && allows(&commands, "set"));
        assert!(!allows(&commands, "config|set") && !allows(&commands, "flushall") && !commands.is_all());
        let commands = made(&["+config|get", "-config|set", "+CONFIG"]);
        assert_eq!(commands.describe(), "-@all +config");
        assert!(allows(&commands, "config|set"));
        assert!(made(&["-get", "+@all"]).is_all());
    }

    #[test]
    fn what_nobody_knows_is_no_rule() {
        let mut commands = Commands::new(Effect::Forbid);
        for text in ["nothing", "@nothing", "config|nothing", "get|x", ""] {
            assert_eq!(commands.apply(Effect::Allow, text), Err(NoRule::Unknown), "{text}");
        }
        assert_eq!(commands.apply(Effect::Allow, "config|get|x"), Err(NoRule::FirstArgument));
        assert_eq!(commands, Commands::new(Effect::Forbid));
    }
}
