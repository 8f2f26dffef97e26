//! Who may do what: users with passwords and rights, in the words of Redis' ACLs. Each node has its own; `--aclfile` keeps them.
//!
//! A session holds its [`User`]. Whether that one may do everything is one load; only for others a command is looked at
//! (by its [`Rights`]). Where a command is carried out at another node (scripts, transactions), the rights travel along as text, for
//! that node's users are others.

mod catalog;
mod commands;
mod file;
mod log;
mod patterns;
mod rights;
mod selector;
mod user;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

pub(crate) use catalog::{CATEGORIES, Catalog, CommandId};
pub(crate) use log::{AclLog, Occasion};
pub use rights::Rights;
pub(crate) use rights::{Denied, Wanted};
pub(crate) use selector::Access;
pub(crate) use user::Definition;
pub use user::User;

use crate::config::ServeOptions;
use crate::error::Error;

/// The user of those who have not said who they are.
pub(crate) const DEFAULT: &str = "default";
/// How many users there may be.
const USERS: usize = 65_536;

/// The users of a node.
pub struct Acl {
    users: RwLock<BTreeMap<String, Arc<User>>>,
    default: Arc<User>,
    /// What he is where the file does not say.
    without_file: Definition,
    /// One change at a time.
    changes: Mutex<()>,
    file: Option<PathBuf>,
    /// Who was refused what.
    pub(crate) log: AclLog,
}

impl Acl {
    /// As the flags say: the user `default` with `--requirepass`, if there is one, and what `--aclfile` has.
    ///
    /// # Errors
    /// [`Error::Acl`] with the line of the file.
    pub fn new(options: &ServeOptions) -> Result<Self, Error> {
        let mut definition = Definition::of_everybody();
        if let Some(password) = &options.requirepass {
            definition.set_password(password.as_bytes());
        }
        let default = Arc::new(User::new(DEFAULT, definition.clone()));
        let users = BTreeMap::from([(DEFAULT.to_owned(), Arc::clone(&default))]);
        let file = options.aclfile.clone();
        let (users, changes) = (RwLock::new(users), Mutex::new(()));
        let acl = Self { users, default, without_file: definition, changes, file, log: AclLog::default() };
        if let Some(path) = &acl.file {
            let read = file::read(path).map_err(|why| Error::Acl(path.clone(), why))?;
            acl.replace(read);
        }
        Ok(acl)
    }

    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<String, Arc<User>>) -> T) -> T {
        work(&mut self.users.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// The user of those who have not said who they are.
    #[must_use]
    pub fn default_user(&self) -> Arc<User> {
        Arc::clone(&self.default)
    }

    /// Is somebody served who has not said who he is?
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.default.definition().is_open()
    }

    /// The user, if the password is his and he may come in.
    #[must_use]
    pub fn authenticate(&self, name: &[u8], password: &[u8]) -> Option<Arc<User>> {
        let user = self.user(std::str::from_utf8(name).ok()?)?;
        user.definition().admits(password).then_some(user)
    }

    /// The user of this name.
    pub(crate) fn user(&self, name: &str) -> Option<Arc<User>> {
        self.users.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// All users, by name.
    pub(crate) fn users(&self) -> Vec<Arc<User>> {
        self.users.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Makes a user, or changes one; nothing is changed if one of the rules cannot be.
    pub(crate) fn set(&self, name: &str, rules: &[&[u8]]) -> Result<Arc<User>, String> {
        let _one = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.user(name);
        let mut definition =
            known.as_ref().map_or_else(Definition::default, |user| Definition::clone(&user.definition()));
        definition.apply_all(rules)?;
        match known {
            Some(user) => {
                user.define(definition);
                Ok(user)
            }
            None if self.users().len() >= USERS => Err(format!("there are {USERS} users, and no more can be")),
            None => {
                let user = Arc::new(User::new(name, definition));
                self.with(|users| users.insert(name.to_owned(), Arc::clone(&user)));
                Ok(user)
            }
        }
    }

    /// Removes a user; says whether there was one. `default` stays.
    pub(crate) fn remove(&self, name: &str) -> bool {
        let _one = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        name != DEFAULT && self.with(|users| users.remove(name)).is_some()
    }

    /// Puts the users of a file in the place of those there are; says who is gone, or is another now.
    fn replace(&self, mut read: BTreeMap<String, Definition>) -> Vec<String> {
        let _one = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        read.entry(DEFAULT.to_owned()).or_insert_with(|| self.without_file.clone());
        let mut changed = Vec::new();
        self.with(|users| {
            users.retain(|name, _| {
                let stays = read.contains_key(name);
                changed.extend((!stays).then(|| name.clone()));
                stays
            });
            for (name, definition) in read {
                match users.get(&name) {
                    Some(user) if *user.definition() == definition => {}
                    Some(user) => {
                        user.define(definition);
                        changed.push(name);
                    }
                    None => drop(users.insert(name.clone(), Arc::new(User::new(&name, definition)))),
                }
            }
        });
        changed
    }

    /// Reads the file again; says who is gone, or is another now.
    pub(crate) fn load(&self) -> Result<Vec<String>, String> {
        let path = self.file.as_ref().ok_or(NO_FILE)?;
        let read = file::read(path)?;
        Ok(self.replace(read))
    }

    /// Writes all users to the file.
    pub(crate) fn save(&self) -> Result<(), String> {
        let path = self.file.as_ref().ok_or(NO_FILE)?;
        let _one = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        file::write(path, &self.users()).map_err(|why| {
            tracing::error!("the users were not saved to {}: {why}", path.display());
            "There was an error trying to save the ACLs. Please check the server logs for more information".to_owned()
        })
    }
}

const NO_FILE: &str = "This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER \
    command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users in the Redis \
    configuration.";
