//! A user: may he come in, by which passwords, and what may he do?

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use sha2::{Digest as _, Sha256};

use super::rights::Rights;
use super::selector::{SYNTAX, Selector};
use crate::acl::DEFAULT;

/// How many passwords a user may have, and selectors.
const PASSWORDS: usize = 128;
const SELECTORS: usize = 128;

/// The SHA-256 of a password, as files have it.
fn hash(password: &[u8]) -> String {
    Sha256::digest(password).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Says nothing by the time it takes of how much was right.
fn equal_in_constant_time(x: &[u8], y: &[u8]) -> bool {
    let differs = x.iter().zip(y).fold(0, |differs, (x, y)| differs | (x ^ y));
    x.len() == y.len() && differs == 0
}

/// All that is said of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Definition {
    is_on: bool,
    takes_any_password: bool,
    passwords: Vec<String>,
    /// What was said of payloads: shown, and nothing else, for what is restored here is looked through in any case.
    payload: Option<&'static str>,
    pub(super) rights: Rights,
}

impl Default for Definition {
    /// Somebody new: he may not come in, and may do nothing.
    fn default() -> Self {
        let rights = Rights(vec![Selector::default()]);
        Self { is_on: false, takes_any_password: false, passwords: Vec::new(), payload: None, rights }
    }
}

impl Definition {
    /// Whoever comes, and everything.
    pub(super) fn of_everybody() -> Self {
        Self { is_on: true, takes_any_password: true, rights: Rights::all(), ..Self::default() }
    }

    pub(super) fn set_password(&mut self, password: &[u8]) {
        (self.takes_any_password, self.passwords) = (false, vec![hash(password)]);
    }

    /// May whoever comes be this one?
    pub(super) fn is_open(&self) -> bool {
        self.is_on && self.takes_any_password
    }

    /// Does AUTH with a password alone make no sense for want of one?
    pub(crate) fn takes_any_password(&self) -> bool {
        self.takes_any_password
    }

    pub(super) fn admits(&self, password: &[u8]) -> bool {
        let given = hash(password);
        // All of them, so that the time says nothing either.
        let known = self.passwords.iter().filter(|known| equal_in_constant_time(known.as_bytes(), given.as_bytes()));
        let is_known = known.count() > 0;
        self.is_on && (self.takes_any_password || is_known)
    }

    /// Rules in their order; what is in parentheses may be spread over several. Says which is none, and why.
    pub(super) fn apply_all(&mut self, rules: &[&[u8]]) -> Result<(), String> {
        for rule in merged(rules)? {
            let text = String::from_utf8_lossy(&rule);
            self.apply(&rule).map_err(|why| format!("Error in ACL SETUSER modifier '{text}': {why}"))?;
        }
        Ok(())
    }

    fn apply(&mut self, rule: &[u8]) -> Result<(), &'static str> {
        match rule.to_ascii_lowercase().as_slice() {
            b"on" => self.is_on = true,
            b"off" => self.is_on = false,
            b"nopass" => (self.takes_any_password, self.passwords) = (true, Vec::new()),
            b"resetpass" => (self.takes_any_password, self.passwords) = (false, Vec::new()),
            b"reset" => *self = Self { payload: Some("sanitize-payload"), ..Self::default() },
            b"clearselectors" => self.rights.0.truncate(1),
            b"sanitize-payload" => self.payload = Some("sanitize-payload"),
            b"skip-sanitize-payload" => self.payload = Some("skip-sanitize-payload"),
            _ => return self.apply_sign(rule),
        }
        Ok(())
    }

    fn apply_sign(&mut self, rule: &[u8]) -> Result<(), &'static str> {
        match rule.split_first() {
            Some((b'>', password)) => self.add(hash(password)),
            Some((b'#', sum)) => self.add(checked(sum)?),
            Some((b'<', password)) => self.forget(&hash(password)),
            Some((b'!', sum)) => self.forget(&checked(sum)?),
            Some((b'(', rest)) => {
                let rules = rest.strip_suffix(b")").ok_or(SYNTAX)?;
                // Read again from a file, it would end there.
                if rules.contains(&b')') {
                    return Err(SYNTAX);
                }
                if self.rights.0.len() > SELECTORS {
                    return Err("These are more selectors than a user can have");
                }
                let mut selector = Selector::default();
                let words = rules.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
                words.into_iter().try_for_each(|rule| selector.apply(rule))?;
                self.rights.0.push(selector);
                Ok(())
            }
            _ => self.rights.0.first_mut().map_or(Err(SYNTAX), |root| root.apply(rule)),
        }
    }

    fn add(&mut self, sum: String) -> Result<(), &'static str> {
        self.takes_any_password = false;
        if self.passwords.contains(&sum) {
            return Ok(());
        }
        if self.passwords.len() >= PASSWORDS {
            return Err("These are more passwords than a user can have");
        }
        self.passwords.push(sum);
        Ok(())
    }

    fn forget(&mut self, sum: &str) -> Result<(), &'static str> {
        let before = self.passwords.len();
        self.passwords.retain(|known| known != sum);
        let is_gone = self.passwords.len() < before;
        is_gone.then_some(()).ok_or("The password you are trying to remove from the user does not exist")
    }

    /// `on` or `off`, `nopass`, `sanitize-payload`.
    pub(crate) fn flags(&self) -> Vec<&'static str> {
        let on = if self.is_on { "on" } else { "off" };
        [on].into_iter().chain(self.takes_any_password.then_some("nopass")).chain(self.payload).collect()
    }

    /// The SHA-256 of each password.
    pub(crate) fn passwords(&self) -> &[String] {
        &self.passwords
    }

    /// What he may do, in parts: the first is his, further ones were given in parentheses.
    pub(crate) fn selectors(&self) -> impl Iterator<Item = [(&'static str, Vec<u8>); 3]> + '_ {
        self.rights.0.iter().map(Selector::parts)
    }

    /// As rules that make him.
    fn describe(&self) -> Vec<u8> {
        let mut words: Vec<Vec<u8>> = self.flags().into_iter().map(|flag| flag.as_bytes().to_vec()).collect();
        words.extend(self.passwords.iter().map(|sum| format!("#{sum}").into_bytes()));
        words.push(self.rights.describe());
        words.join(&b' ')
    }
}

fn checked(sum: &[u8]) -> Result<String, &'static str> {
    let is_sum = sum.len() == 64 && sum.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let why = "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters";
    if is_sum { Ok(String::from_utf8_lossy(sum).into_owned()) } else { Err(why) }
}

/// Rules with what is in parentheses as one.
fn merged(rules: &[&[u8]]) -> Result<Vec<Vec<u8>>, String> {
    let (mut merged, mut open): (Vec<Vec<u8>>, Option<Vec<u8>>) = (Vec::new(), None);
    let mut began: &[u8] = b"";
    for rule in rules {
        let whole = match open.take() {
            Some(before) => [&before[..], b" ", rule].concat(),
            None if rule.first() == Some(&b'(') => {
                began = rule;
                rule.to_vec()
            }
            None => {
                merged.push(rule.to_vec());
                continue;
            }
        };
        if whole.ends_with(b")") { merged.push(whole) } else { open = Some(whole) }
    }
    match open {
        Some(_) => {
            let began = String::from_utf8_lossy(began);
            Err(format!("Unmatched parenthesis in acl selector starting at '{began}'."))
        }
        None => Ok(merged),
    }
}

/// A user, as sessions hold him: what he may do can change meanwhile.
#[derive(Debug)]
pub struct User {
    name: String,
    may_do_all: AtomicBool,
    definition: RwLock<Arc<Definition>>,
}

impl User {
    pub(super) fn new(name: &str, definition: Definition) -> Self {
        let may_do_all = AtomicBool::new(definition.rights.is_all());
        Self { name: name.to_owned(), may_do_all, definition: RwLock::new(Arc::new(definition)) }
    }

    /// Somebody of another node, with the rights that came along.
    pub(crate) fn with_rights(name: &str, rights: Rights) -> Arc<Self> {
        Arc::new(Self::new(name, Definition { rights, ..Definition::default() }))
    }

    /// Who may do everything: whoever a node itself asks for.
    pub(crate) fn anybody() -> Arc<Self> {
        static ANYBODY: OnceLock<Arc<User>> = OnceLock::new();
        Arc::clone(ANYBODY.get_or_init(|| Arc::new(Self::new(DEFAULT, Definition::of_everybody()))))
    }

    /// What he is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// May he do everything? If so, nothing else need be asked.
    pub(crate) fn may_do_all(&self) -> bool {
        self.may_do_all.load(Ordering::Relaxed)
    }

    pub(crate) fn definition(&self) -> Arc<Definition> {
        Arc::clone(&self.definition.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn define(&self, definition: Definition) {
        let mut place = self.definition.write().unwrap_or_else(PoisonError::into_inner);
        self.may_do_all.store(definition.rights.is_all(), Ordering::Relaxed);
        *place = Arc::new(definition);
    }

    /// What he may do.
    pub(crate) fn rights(&self) -> Rights {
        self.definition().rights.clone()
    }

    /// A line of ACL LIST, and of the file.
    pub(crate) fn describe(&self) -> Vec<u8> {
        [b"user ", self.name.as_bytes(), b" ", &self.definition().describe()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defined(rules: &str) -> Result<Definition, String> {
        let mut definition = Definition::default();
        definition.apply_all(&rules.split(' ').map(str::as_bytes).collect::<Vec<_>>()).map(|()| definition)
    }

    #[test]
    fn a_password_opens_until_it_is_taken_back_and_only_while_the_user_is_on() {
        let mut user = defined("on >one >two").unwrap();
        assert!(user.admits(b"one") && user.admits(b"two") && !user.admits(b"three") && !user.admits(b""));
        user.apply(b"<one").unwrap();
        assert!(!user.admits(b"one") && user.admits(b"two"));
        user.apply(b"nopass").unwrap();
        assert!(user.admits(b"anything") && user.is_open());
        user.apply(b">three").unwrap();
        assert!(!user.admits(b"anything") && user.admits(b"three"));
        user.apply(b"off").unwrap();
        assert!(!user.admits(b"three"));
        let sum = hash(b"three");
        assert!(defined(&format!("on #{sum}")).unwrap().admits(b"three"));
        assert!(!defined(&format!("on #{sum} !{sum}")).unwrap().admits(b"three"));
    }

    #[test]
    fn what_is_described_makes_the_same_user() {
        for rules in
            ["off", "on nopass ~* &* +@all", "on >x ~a:* %R~b &c* +@read -@dangerous +config|get (~x +get) (+del ~y)"]
        {
            let user = User::new("u", defined(rules).unwrap());
            let text = String::from_utf8(user.describe()).unwrap();
            let again = defined(text.strip_prefix("user u ").unwrap()).unwrap();
            assert_eq!(again, *user.definition(), "{text}");
        }
    }

    #[test]
    fn parentheses_are_closed() {
        assert_eq!(defined("(+get ~x").unwrap_err(), "Unmatched parenthesis in acl selector starting at '(+get'.");
        assert!(defined("(nopass)").unwrap_err().contains("Syntax error"));
        assert!(defined("( +get ~x )").is_ok());
        for rules in [&[&b"(~a) +get)"[..]][..], &[b"(~a)b", b"+get)"], &[b"(~a))"]] {
            let why = Definition::default().apply_all(rules).expect_err("what is saved could not be read again");
            assert!(why.ends_with("Syntax error"), "{why}");
        }
    }
}
