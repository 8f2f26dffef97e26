//! The scripts a node knows, by the SHA-1 of their text: EVALSHA names them so.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sha1::{Digest as _, Sha1};

/// How much text is kept; beyond that everything is forgotten, and clients send it again.
const TEXT_BYTES: usize = 32 * 1024 * 1024;

/// Scripts by their names.
#[derive(Debug, Default)]
pub struct Scripts(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    texts: HashMap<String, Arc<[u8]>>,
    bytes: usize,
}

/// The SHA-1 of a text, as hexadecimal digits.
#[must_use]
pub fn sha1_hex(text: &[u8]) -> String {
    Sha1::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Scripts {
    fn with<T>(&self, work: impl FnOnce(&mut Known) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps a script, and gives its name.
    pub fn keep(&self, text: &[u8]) -> String {
        let name = sha1_hex(text);
        self.with(|known| {
            if !known.texts.contains_key(&name) {
                if known.bytes + text.len() > TEXT_BYTES {
                    *known = Known::default();
                }
                known.bytes += text.len();
                known.texts.insert(name.clone(), text.into());
            }
        });
        name
    }

    /// The script of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<[u8]>> {
        self.with(|known| known.texts.get(name).cloned())
    }

    /// Forgets all of them.
    pub fn clear(&self) {
        self.with(|known| *known = Known::default());
    }
}
