//! The two versions of the protocol that a connection can speak.

/// Which version of the protocol a connection's replies are written in.
///
/// A connection starts in RESP2 and changes with `HELLO`.
///
/// ```
/// use server::resp::Protocol;
///
/// assert_eq!(Protocol::from_version(3), Some(Protocol::Resp3));
/// assert_eq!(Protocol::from_version(4), None);
/// assert_eq!(Protocol::default().version(), 2);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Strings, errors, integers, arrays.
    #[default]
    Resp2,
    /// Also doubles, booleans, maps, sets, pushes and verbatim strings.
    Resp3,
}

impl Protocol {
    /// The protocol that `HELLO` asks for by number, if we speak it.
    pub fn from_version(version: i64) -> Option<Self> {
        match version {
            2 => Some(Self::Resp2),
            3 => Some(Self::Resp3),
            _ => None,
        }
    }

    /// The number that `HELLO` and `CLIENT LIST` show.
    pub fn version(self) -> i64 {
        match self {
            Self::Resp2 => 2,
            Self::Resp3 => 3,
        }
    }
}
