//! Where somebody is reached: a host, by name or by address, and perhaps a port.

use std::fmt;
use std::io;
use std::net::{Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::str::FromStr;
use std::time::{Duration, Instant};

use crate::config::ServeOptions;
use crate::error::Error;

/// How long a name may be unknown: those of containers are known only some time after they have started.
const NAME_TIME: Duration = Duration::from_secs(10);
/// How soon it is looked up again.
const AGAIN_TIME: Duration = Duration::from_millis(200);

/// A host and perhaps a port.
///
/// ```
/// use server::place::Place;
///
/// let place: Place = "db-1.example.org:16379".parse()?;
/// assert_eq!((place.host(), place.port()), ("db-1.example.org", Some(16379)));
/// assert_eq!("[::1]:7".parse::<Place>()?.to_string(), "[::1]:7");
/// assert_eq!("10.0.0.2".parse::<Place>()?.port(), None);
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    host: String,
    port: Option<u16>,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_bare = text.parse::<Ipv6Addr>().is_ok() || text.ends_with(']');
        let (host, port) = match text.rsplit_once(':').filter(|_| !is_bare) {
            Some((host, port)) => (host, Some(port.parse().map_err(|_| format!("{port} is no port"))?)),
            None => (text, None),
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let is_name = !host.is_empty() && !host.contains(['/', '@', ' ', '[', ']']);
        if !is_name || (host.contains(':') && host.parse::<Ipv6Addr>().is_err()) {
            return Err("it takes a name or an address of a host, and a port behind a colon".to_owned());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') { write!(f, "[{}]", self.host) } else { f.write_str(&self.host) }?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl Place {
    /// One that says its port.
    ///
    /// # Errors
    /// A sentence, if it does not.
    pub fn with_port(text: &str) -> Result<Self, String> {
        let place: Self = text.parse()?;
        if place.port.is_some() { Ok(place) } else { Err("it takes the port too: HOST:PORT".to_owned()) }
    }

    /// The host.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, if it says one.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The same host, at this port if none was said.
    #[must_use]
    pub fn or_port(&self, port: u16) -> Self {
        Self { host: self.host.clone(), port: self.port.or(Some(port)) }
    }

    /// Its address; a name is looked up again for a while if it is not known yet.
    ///
    /// # Errors
    /// What the system says of the name.
    pub fn resolve(&self) -> io::Result<SocketAddr> {
        let place = (self.host.as_str(), self.port.unwrap_or(0));
        until_known(NAME_TIME, || place.to_socket_addrs()?.next().ok_or_else(|| io::ErrorKind::NotFound.into()))
    }
}

/// Where clients and other nodes are told to reach this one.
pub(crate) fn advertised(
    options: &ServeOptions,
    clients: SocketAddr,
    peers: SocketAddr,
) -> Result<(SocketAddr, SocketAddr), Error> {
    let resolve = |place: &Place, port: u16| {
        let place = place.or_port(port);
        place.resolve().map_err(|why| Error::Unresolved(place.to_string(), why))
    };
    let for_clients = options.advertise.as_ref().map_or(Ok(clients), |place| resolve(place, clients.port()))?;
    let for_peers = match (&options.peer_advertise, &options.advertise) {
        (Some(place), _) => resolve(place, peers.port())?,
        (None, Some(_)) => SocketAddr::new(for_clients.ip(), peers.port()),
        (None, None) => peers,
    };
    // Clients that are told no address take the one by which they have come.
    if options.join.is_some() && for_peers.ip().is_unspecified() {
        return Err(Error::NowhereToReach(for_peers));
    }
    Ok((for_clients, for_peers))
}

fn until_known<T>(limit: Duration, mut look_up: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let began = Instant::now();
    loop {
        match look_up() {
            Err(_) if began.elapsed() < limit => std::thread::sleep(AGAIN_TIME),
            looked_up => return looked_up,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_names_or_addresses_of_either_family() {
        for (text, host, port) in [
            ("host", "host", None),
            ("host:1", "host", Some(1)),
            ("10.0.0.1:65535", "10.0.0.1", Some(65_535)),
            ("::1", "::1", None),
            ("[fe80::2]", "fe80::2", None),
            ("[::1]:7", "::1", Some(7)),
        ] {
            let place: Place = text.parse().unwrap();
            assert_eq!((place.host(), place.port()), (host, port), "{text}");
            assert_eq!(place.to_string().parse::<Place>().unwrap(), place);
        }
        for wrong in ["", ":7", "host:", "host:x", "host:70000", "a b:1", "http://host:1", "x@host:1", "a:b:1", "[]:1"]
        {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
        assert!(Place::with_port("host").is_err() && Place::with_port("host:1").is_ok());
    }

    #[test]
    fn a_name_that_is_not_known_at_once_is_looked_up_again() {
        let mut looks = 0;
        let known = until_known(Duration::from_secs(60), || {
            looks += 1;
            if looks < 3 { Err(io::ErrorKind::NotFound.into()) } else { Ok(looks) }
        });
        assert_eq!(known.unwrap(), 3);
        let never = until_known(Duration::ZERO, || Err::<(), _>(io::ErrorKind::NotFound.into()));
        assert_eq!(never.unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!("localhost:5".parse::<Place>().unwrap().resolve().unwrap().port(), 5);
    }
}
