//! Clients that wait for keys to change.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use replica::Batch;
use tokio::sync::Notify;

type Keys = HashMap<Vec<u8>, Vec<Arc<Notify>>>;

/// Who waits for which keys of this node.
#[derive(Debug, Default)]
pub struct WaitingClients {
    keys: Mutex<Keys>,
    /// How many there are: most writes look no further.
    count: AtomicUsize,
}

/// One client that waits, until this is dropped.
#[derive(Debug)]
pub struct Waiting<'w> {
    all: &'w WaitingClients,
    keys: Vec<Vec<u8>>,
    wake: Arc<Notify>,
}

impl WaitingClients {
    fn with<T>(&self, work: impl FnOnce(&mut Keys) -> T) -> T {
        work(&mut self.keys.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits for these keys, behind those that wait already.
    pub fn enter(&self, keys: &[Vec<u8>]) -> Waiting<'_> {
        let wake = Arc::new(Notify::new());
        self.with(|all| {
            for key in keys {
                all.entry(key.clone()).or_default().push(Arc::clone(&wake));
            }
        });
        self.count.fetch_add(1, Ordering::SeqCst);
        Waiting { all: self, keys: keys.to_vec(), wake }
    }

    /// How many clients wait.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Wakes whoever waits for keys that a batch changes, the longest waiting first.
    pub fn wake(&self, batch: &Batch) {
        if self.count() > 0 {
            self.with(|all| {
                for key in batch.keys() {
                    all.get(key).into_iter().flatten().for_each(|wake| wake.notify_one());
                }
            });
        }
    }
}

impl Waiting<'_> {
    /// One of the keys has changed.
    pub async fn changed(&self) {
        self.wake.notified().await;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.all.with(|all| {
            for key in &self.keys {
                if let Some(waiting) = all.get_mut(key) {
                    waiting.retain(|wake| !Arc::ptr_eq(wake, &self.wake));
                    if waiting.is_empty() {
                        all.remove(key);
                    }
                }
            }
        });
        self.all.count.fetch_sub(1, Ordering::SeqCst);
    }
}
