//! Who is connected: for CLIENT LIST, INFO and KILL.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use crate::acl::DEFAULT;
use crate::pubsub::Subscriber;

/// What others may know of a connection.
#[derive(Debug)]
pub struct Client {
    /// Its number.
    pub id: u64,
    /// Where it comes from.
    pub address: String,
    /// Where it arrived.
    pub local_address: String,
    /// Since when.
    pub since: Instant,
    /// Told when it is to end.
    pub kill: Notify,
    /// Where it is told what is no reply.
    pub inbox: Subscriber,
    now: Mutex<Now>,
}

#[derive(Clone, Debug)]
struct Now {
    name: String,
    user: String,
    command: &'static str,
    at: Instant,
    /// The subcommand of what it does.
    sub: &'static str,
    protocol: i64,
    /// Channels, patterns, channels of slots.
    following: [usize; 3],
    /// What CLIENT LIST says of it beside what it follows.
    role: &'static str,
    made_with: [String; 2],
    /// It is told what of its reads is void, at the connection of this number; 0: itself.
    redirect: Option<u64>,
}

impl Client {
    /// One that has just arrived.
    #[must_use]
    pub fn new(id: u64, address: String, local_address: String, inbox: Subscriber) -> Self {
        let since = Instant::now();
        let (name, sub, made_with) = (String::new(), "", <[String; 2]>::default());
        let user = DEFAULT.to_owned();
        let now = Now {
            name,
            user,
            command: "NULL",
            at: since,
            sub,
            protocol: 2,
            following: [0; 3],
            role: "",
            made_with,
            redirect: None,
        };
        Self { id, address, local_address, since, kill: Notify::new(), inbox, now: Mutex::new(now) }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Now) -> T) -> T {
        work(&mut self.now.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// It has begun a command at this moment.
    pub fn begin(&self, command: &'static str, at: Instant) {
        self.with(|now| {
            (now.command, now.at, now.sub) = (command, at, "");
        });
    }

    /// Which of the command's subcommands it is: one that there is, not whatever somebody sends.
    pub fn begin_sub(&self, sub: &'static str) {
        self.with(|now| now.sub = sub);
    }

    /// The library it is made with, and that one's version.
    pub fn set_library(&self, place: usize, what: &str) {
        self.with(|now| what.clone_into(&mut now.made_with[place]));
    }

    /// What it does, or did last.
    #[must_use]
    pub fn command(&self) -> &'static str {
        self.with(|now| now.command)
    }

    /// It is called something.
    pub fn rename(&self, name: &str) {
        self.with(|now| name.clone_into(&mut now.name));
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> String {
        self.with(|now| now.name.clone())
    }

    /// It belongs to this user.
    pub fn belong_to(&self, user: &str) {
        self.with(|now| user.clone_into(&mut now.user));
    }

    /// Does it belong to this user?
    #[must_use]
    pub fn belongs_to(&self, user: &str) -> bool {
        self.with(|now| now.user == user)
    }

    /// It is told what of its reads is void, or is not any more.
    pub fn track(&self, redirect: Option<u64>) {
        self.with(|now| now.redirect = redirect);
    }

    /// What it speaks, follows, and is: `O` if it monitors.
    pub fn describe(&self, protocol: i64, following: [usize; 3], role: &'static str) {
        self.with(|now| (now.protocol, now.following, now.role) = (protocol, following, role));
    }

    /// A line of CLIENT LIST.
    #[must_use]
    pub fn line(&self) -> String {
        let Now { name, user, command, at, sub, protocol, following, role, made_with: [library, version], redirect } =
            self.with(|now| now.clone());
        let [channels, patterns, shards] = following;
        let (age, idle) = (self.since.elapsed().as_secs(), at.elapsed().as_secs());
        let follows = if following.iter().sum::<usize>() > 0 { "P" } else { "" };
        let tracks = if redirect.is_some() { "t" } else { "" };
        let flags = [role, follows, tracks].concat();
        let flags = if flags.is_empty() { "N" } else { &flags };
        let redirect = redirect.map_or(-1, |id| id as i64);
        let sub = if sub.is_empty() { String::new() } else { format!("|{}", sub.to_ascii_lowercase()) };
        format!(
            "id={} addr={} laddr={} name={name} age={age} idle={idle} flags={flags} db=0 sub={channels} psub={patterns} \
             ssub={shards} multi=-1 cmd={}{sub} user={user} redir={redirect} resp={protocol} lib-name={library} lib-ver={version}",
            self.id,
            self.address,
            self.local_address,
            command.to_ascii_lowercase()
        )
    }
}

/// Everybody who is connected to this node.
#[derive(Debug, Default)]
pub struct Clients(Mutex<BTreeMap<u64, Arc<Client>>>);

impl Clients {
    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<u64, Arc<Client>>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Somebody has come.
    pub fn enter(&self, client: &Arc<Client>) {
        self.with(|all| drop(all.insert(client.id, Arc::clone(client))));
    }

    /// Somebody has gone.
    pub fn leave(&self, id: u64) {
        self.with(|all| drop(all.remove(&id)));
    }

    /// The one of this number.
    #[must_use]
    pub fn find(&self, id: u64) -> Option<Arc<Client>> {
        self.with(|all| all.get(&id).cloned())
    }

    /// Everybody, the oldest first.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Client>> {
        self.with(|all| all.values().cloned().collect())
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.with(|all| all.len())
    }
}
