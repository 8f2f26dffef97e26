//! A client that waits for its answers.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use redis_protocol::resp2::decode::decode;
use redis_protocol::resp2::types::OwnedFrame;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::error::Error;
use crate::tools::tls::Trust;

/// How long a server may take for one answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// The greatest answer that is taken.
const ANSWER_BYTES: usize = 512 * 1024 * 1024;

/// A command and its arguments.
pub(super) type Words = Vec<Vec<u8>>;

/// A command of these words.
pub(super) fn words<'w>(words: impl IntoIterator<Item = &'w [u8]>) -> Words {
    words.into_iter().map(<[u8]>::to_vec).collect()
}

/// A command as it goes over the wire, and into a backup.
pub(super) fn encode(command: &Words, out: &mut Vec<u8>) {
    // Writing into memory does not fail.
    let _ = write!(out, "*{}\r\n", command.len());
    for word in command {
        let _ = write!(out, "${}\r\n", word.len());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

/// `HOST:PORT`, or `redis://[[user]:password@]host[:port]`; `rediss://` by TLS.
///
/// ```
/// use server::tools::Address;
///
/// let address: Address = "redis://:secret@example.org".parse()?;
/// assert_eq!((address.to_string(), address.password.as_deref()), ("example.org:6379".to_owned(), Some("secret")));
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
    user: Option<String>,
    /// What it asks for.
    pub password: Option<String>,
    /// It is spoken to by TLS, and this one is believed.
    trust: Option<Trust>,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (rest, trust) = match text.strip_prefix("rediss://") {
            Some(rest) => (rest, Some(Trust::default())),
            None => (text.strip_prefix("redis://").unwrap_or(text), None),
        };
        // A database's number is behind the host: there is one, number 0.
        let (rest, database) = rest.split_once('/').unwrap_or((rest, ""));
        if !database.is_empty() && database != "0" {
            return Err(format!("database {database} cannot be read: only 0 can"));
        }
        let (login, place) = rest.rsplit_once('@').map_or((None, rest), |(login, place)| (Some(login), place));
        let decoded = |part: &str| percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned();
        let (user, password) = match login.map(|login| login.split_once(':').unwrap_or(("", login))) {
            Some((user, password)) => (Some(decoded(user)).filter(|user| !user.is_empty()), Some(decoded(password))),
            None => (None, None),
        };
        let (host, port) = match place.rsplit_once(':').filter(|_| !place.ends_with(']')) {
            Some((host, port)) => (host, port.parse().map_err(|_| format!("{port} is no port"))?),
            None => (place, 6379),
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() {
            return Err(format!("{text} names no host: HOST:PORT, or redis[s]://[[user]:password@]host[:port]"));
        }
        Ok(Self { host: host.to_owned(), port, user, password, trust })
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (before, behind) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "{before}{}{behind}:{}", self.host, self.port)
    }
}

impl Address {
    /// Another place, with the same login.
    pub(super) fn at(&self, host: &str, port: u16) -> Self {
        let host = host.trim_matches(['[', ']']).to_owned();
        Self { host, port, ..self.clone() }
    }

    /// The same, with these as whom to believe. Whoever says of one that is no TLS whom to believe would else send his password in
    /// the clear.
    pub(super) fn trusting(mut self, trust: &Trust) -> Result<Self, Error> {
        if !self.is_by_tls() && *trust != Trust::default() {
            let why = "this address is spoken to in the clear, and flags of TLS are given: write rediss://HOST:PORT, or leave them out";
            return Err(Error::Setting(self.to_string(), why.to_owned()));
        }
        self.trust = self.trust.map(|_| trust.clone());
        Ok(self)
    }

    /// Is it spoken to by TLS?
    pub(super) fn is_by_tls(&self) -> bool {
        self.trust.is_some()
    }

    /// What TLS needs to reach it; nothing if it is spoken to in the clear.
    pub(super) fn tls(&self) -> Result<Option<(Arc<ClientConfig>, ServerName<'static>)>, Error> {
        self.trust.as_ref().map(|trust| trust.of_host(&self.host)).transpose()
    }

    /// The command that logs in, if there is a password.
    pub(super) fn login(&self) -> Option<Words> {
        let (user, password) = (self.user.iter().map(String::as_bytes), self.password.as_ref()?.as_bytes());
        Some(words([&b"AUTH"[..]].into_iter().chain(user).chain([password])))
    }

    /// The same place, of somebody who knows no password.
    pub(super) fn without_login(&self) -> Self {
        Self { user: None, password: None, ..self.clone() }
    }

    /// Host and port, as sockets take them.
    pub(super) fn place(&self) -> (&str, u16) {
        (&self.host, self.port)
    }
}

/// Does that reach a process of this machine?
pub(super) fn is_of_this_machine(address: &Address) -> bool {
    let mut places = address.place().to_socket_addrs().into_iter().flatten();
    // Only an address of this machine can be bound here.
    places.any(|place| place.ip().is_loopback() || std::net::UdpSocket::bind((place.ip(), 0)).is_ok())
}

/// Which server is spoken to.
#[derive(Args, Clone, Debug)]
pub struct ServerOptions {
    /// Any node of the cluster, by its address for clients; rediss://HOST:PORT by TLS.
    #[arg(
        long,
        default_value = "127.0.0.1:6379",
        value_name = "HOST:PORT",
        env = "DOTTED_NODE",
        hide_env_values = true
    )]
    pub node: Address,
    /// Who is asked for: a user of that node [default: the user default].
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// The user's password.
    #[arg(long, value_name = "PASSWORD", env = "DOTTED_REQUIREPASS", hide_env_values = true)]
    pub password: Option<String>,
    /// Whom to believe.
    #[command(flatten)]
    pub trust: Trust,
}

impl ServerOptions {
    pub(super) fn connect(&self) -> Result<Client, Error> {
        Client::connect(&self.address()?)
    }

    /// Where it is, with user and password, and whom to believe.
    pub(super) fn address(&self) -> Result<Address, Error> {
        let mut address = self.node.clone().trusting(&self.trust)?;
        address.user = address.user.or_else(|| self.user.clone());
        address.password = address.password.or_else(|| self.password.clone());
        Ok(address)
    }
}

/// What can be read and written: with TLS, or without.
trait Stream: Read + Write {}

impl<T: Read + Write> Stream for T {}

/// A connection.
pub(super) struct Client {
    stream: Box<dyn Stream>,
    unread: Vec<u8>,
    address: String,
}

impl Client {
    pub(super) fn connect(address: &Address) -> Result<Self, Error> {
        let failed = |why| Error::Unreachable(address.to_string(), why);
        let stream = TcpStream::connect((address.host.as_str(), address.port)).map_err(failed)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let stream: Box<dyn Stream> = match address.tls()? {
            Some((config, name)) => {
                let tls = ClientConnection::new(config, name).map_err(std::io::Error::other).map_err(failed)?;
                Box::new(StreamOwned::new(tls, stream))
            }
            None => Box::new(stream),
        };
        let mut client = Self { stream, unread: Vec::new(), address: address.to_string() };
        if let Some(login) = address.login() {
            client.call(&login)?;
        }
        Ok(client)
    }

    fn refused(&self, command: &[u8], why: &str) -> Error {
        let command = String::from_utf8_lossy(command).into_owned();
        Error::Answer { address: self.address.clone(), command, why: why.to_owned() }
    }

    /// The answers to commands that are sent together; an error among them is an error.
    pub(super) fn ask(&mut self, commands: &[Words]) -> Result<Vec<OwnedFrame>, Error> {
        let mut bytes = Vec::new();
        commands.iter().for_each(|command| encode(command, &mut bytes));
        self.stream.write_all(&bytes).map_err(|why| Error::Unreachable(self.address.clone(), why))?;
        let mut answers = Vec::with_capacity(commands.len());
        for command in commands {
            match self.read(&command[0])? {
                OwnedFrame::Error(why) => return Err(self.refused(&command[0], &why)),
                answer => answers.push(answer),
            }
        }
        Ok(answers)
    }

    /// The answer to one command.
    pub(super) fn call(&mut self, command: &Words) -> Result<OwnedFrame, Error> {
        let mut answers = self.ask(std::slice::from_ref(command))?;
        answers.pop().ok_or_else(|| self.refused(&command[0], "nothing"))
    }

    fn read(&mut self, command: &[u8]) -> Result<OwnedFrame, Error> {
        loop {
            match decode(&self.unread) {
                Ok(Some((frame, used))) => {
                    self.unread.drain(..used);
                    return Ok(frame);
                }
                Ok(None) if self.unread.len() < ANSWER_BYTES => {}
                Ok(None) => return Err(self.refused(command, "an answer that is too long")),
                Err(why) => return Err(self.refused(command, &format!("what is no RESP ({why})"))),
            }
            let mut chunk = [0; 64 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(self.refused(command, "nothing: it closed the connection")),
                Ok(read) => self.unread.extend_from_slice(&chunk[..read]),
                Err(why) => return Err(Error::Unreachable(self.address.clone(), why)),
            }
        }
    }
}

/// The bytes of an answer that is a text.
pub(super) fn bytes(frame: &OwnedFrame) -> &[u8] {
    match frame {
        OwnedFrame::BulkString(bytes) | OwnedFrame::SimpleString(bytes) => bytes,
        _ => b"",
    }
}

/// The text of an answer.
pub(super) fn text(frame: &OwnedFrame) -> String {
    match frame {
        OwnedFrame::Integer(number) => number.to_string(),
        other => String::from_utf8_lossy(bytes(other)).into_owned(),
    }
}

/// The number of an answer.
pub(super) fn number(frame: &OwnedFrame) -> i64 {
    match frame {
        OwnedFrame::Integer(number) => *number,
        _ => 0,
    }
}

/// The items of an answer that is a list.
pub(super) fn items(frame: &OwnedFrame) -> &[OwnedFrame] {
    match frame {
        OwnedFrame::Array(items) => items,
        _ => &[],
    }
}

/// What follows a name in a list of names and values.
pub(super) fn named<'f>(frame: &'f OwnedFrame, name: &str) -> Option<&'f OwnedFrame> {
    items(frame).chunks_exact(2).find(|pair| bytes(&pair[0]) == name.as_bytes()).map(|pair| &pair[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_tls_are_not_passed_over_where_there_is_none() {
        let ca = Trust { tls_ca: Some("ca.pem".into()), ..Trust::default() };
        let name = Trust { tls_name: Some("host".to_owned()), ..Trust::default() };
        for trust in [&ca, &name] {
            let plain: Address = "redis://:secret@host:6380".parse().unwrap();
            let why = plain.trusting(trust).unwrap_err().to_string();
            assert!(why.starts_with("host:6380: ") && why.contains("write rediss://HOST:PORT"), "{why}");
            let secret: Address = "rediss://:secret@host:6380".parse().unwrap();
            assert_eq!(secret.trusting(trust).unwrap().trust.as_ref(), Some(trust));
        }
    }

    #[test]
    fn addresses_are_taken_as_clients_write_them() {
        let plain: Address = "10.0.0.1:7001".parse().unwrap();
        assert_eq!((plain.to_string().as_str(), &plain.password), ("10.0.0.1:7001", &None));
        let full: Address = "redis://me:p%40ss@host:6380/0".parse().unwrap();
        assert_eq!((full.to_string().as_str(), full.user.as_deref()), ("host:6380", Some("me")));
        assert_eq!(full.password.as_deref(), Some("p@ss"));
        for (text, shown) in [("[::1]:7001", "[::1]:7001"), ("redis://:secret@[::1]", "[::1]:6379")] {
            let address: Address = text.parse().unwrap();
            assert_eq!((address.host.as_str(), address.to_string().as_str()), ("::1", shown));
        }
        let secret: Address = "rediss://host:6390".parse().unwrap();
        assert_eq!((secret.to_string().as_str(), secret.trust.is_some()), ("host:6390", true));
        assert!(!plain.is_by_tls() && !plain.trusting(&Trust::default()).unwrap().is_by_tls());
        assert!(secret.tls().is_err(), "somebody must vouch for it");
        for wrong in ["", ":7001", "host:port", "rediss://", "redis://host/3", "host:70000"] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }
}
