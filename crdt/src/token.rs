//! Tokens: what a client at a distance has seen of an object.
//!
//! A client that keeps no replica reads, thinks, and sends back what it wants changed, together with the token it was
//! given. The replica then edits on its behalf: what came in between was not seen, and stays.

use causal::{Seal, Token, TokenError};
use xxhash_rust::xxh3::xxh3_64;

use crate::{Delta, Edit, Error, Replica, State, StoreBytes};

/// Object and type, as the place a token is bound to.
fn place<S: StoreBytes>(object: &[u8]) -> Vec<u8> {
    let mut name = String::new();
    S::name(&mut name);
    [name.as_bytes(), b"\0", object].concat()
}

fn refused<A>(why: TokenError) -> Error<A> {
    match why {
        TokenError::OtherPlace | TokenError::NotSealed | TokenError::Sealed | TokenError::WrongSeal => {
            Error::ForeignToken
        }
        TokenError::TooLong | TokenError::Damaged | TokenError::TooNew(_) | TokenError::Malformed(_) => {
            Error::Token(why)
        }
    }
}

/// What changes whenever anything does: a removal changes no context.
fn fingerprint<S: StoreBytes>(state: &State<S>) -> [u8; 8] {
    xxh3_64(&state.dots().to_bytes()).to_be_bytes()
}

impl<S: StoreBytes> State<S> {
    /// What has been seen here, for a client that reads this now: text of the size of the context. `object` is what the
    /// application calls this object; the token is good for no other, and for no other type. O(n).
    ///
    /// # Errors
    /// [`Error::Token`] if it would be longer than a token may be.
    pub fn token(&self, seal: &Seal, object: &[u8]) -> Result<String, Error<S::Actor>> {
        let token = Token { context: self.context().clone(), note: fingerprint(self).to_vec() };
        seal.to_text(&token, &place::<S>(object)).map_err(refused)
    }
}

impl<S: StoreBytes> Replica<S> {
    /// [`Self::edit_at`] on behalf of the client who was given `token`: only what that client had seen is replaced or
    /// removed. O(n).
    ///
    /// ```
    /// use causal::{Minter, Seal};
    /// use crdt::{AwSet, Error, Replica};
    /// let seal = Seal::new(&[7; 32]);
    /// let mut cart = Replica::<AwSet<u64, String>>::new(Minter::once(1));
    /// let _ = cart.edit(|cart| cart.add("milk"))?;
    /// let token = cart.state().token(&seal, b"ann's cart")?;       // the client reads: milk
    /// let _ = cart.edit(|cart| cart.add("milk"))?;                 // meanwhile somebody adds it again
    /// let _ = cart.edit_seen(&seal, b"ann's cart", &token, 0, |cart| cart.remove("milk"))?;
    /// assert!(cart.contains("milk"));                              // what was added since was not removed
    /// let elsewhere = cart.edit_seen(&seal, b"bob's cart", &token, 0, |cart| cart.remove("milk"));
    /// assert_eq!(elsewhere.err(), Some(Error::ForeignToken));
    /// # Ok::<(), Error<u64>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::ForeignToken`], [`Error::Token`]; [`Error::Behind`] if this replica lacks what the client has seen;
    /// [`Error::Stale`] if what was seen has moved on and cannot be changed as it was: a number's running total is to be
    /// taken back, or an element of a sequence is named by its index, and anything in the object is not as it was; those
    /// of [`Self::edit`]. Nothing is changed then.
    pub fn edit_seen<R>(
        &mut self,
        seal: &Seal,
        object: &[u8],
        token: &str,
        wall_ms: u64,
        change: impl FnOnce(&mut Edit<'_, S>) -> Result<R, Error<S::Actor>>,
    ) -> Result<Delta<S>, Error<S::Actor>> {
        let token: Token<S::Actor> = seal.from_text(&place::<S>(object), token).map_err(refused)?;
        let is_unchanged = token.context == *self.state().context() && token.note == fingerprint(self.state());
        self.edit_for(token.context, is_unchanged, wall_ms, change)
    }
}

#[cfg(test)]
mod tests {
    use causal::{Minter, Seal};

    use crate::{AwMap, Counter, Error, MvRegister, Num, Replica, Text};

    fn seal() -> Seal {
        Seal::new(&[7; 32])
    }

    #[test]
    fn a_write_replaces_what_its_client_had_seen_and_no_more() {
        let mut register = Replica::<MvRegister<u64, u8>>::new(Minter::once(1));
        let _ = register.edit(|it| it.write(1)).unwrap();
        let token = register.state().token(&seal(), b"x").unwrap();
        let _ = register.edit(|it| it.write(2)).unwrap();
        let _ = register.edit_seen(&seal(), b"x", &token, 0, |it| it.write(3)).unwrap();
        assert!(register.values().eq(&[2, 3]));
    }

    #[test]
    fn a_token_of_another_type_seal_or_release_is_an_error_and_nothing_is_changed() {
        let counter = Replica::<Counter<u64>>::new(Minter::once(1));
        let token = counter.state().token(&seal(), b"x").unwrap();
        let mut num = Replica::<Num<u64>>::new(Minter::once(1));
        assert_eq!(num.edit_seen(&seal(), b"x", &token, 0, |it| it.set(1)).err(), Some(Error::ForeignToken));
        let other = num.state().token(&Seal::new(&[8; 32]), b"x").unwrap();
        assert_eq!(num.edit_seen(&seal(), b"x", &other, 0, |it| it.set(1)).err(), Some(Error::ForeignToken));
        let damaged = num.edit_seen(&seal(), b"x", "&&&", 0, |it| it.set(1));
        assert!(matches!(damaged, Err(Error::Token(_))));
        assert!(num.state().context().is_empty());
    }

    #[test]
    fn a_replica_that_lacks_what_the_client_has_seen_says_so() {
        let [mut a, mut b] = [1, 2].map(|actor| Replica::<MvRegister<u64, u8>>::new(Minter::once(actor)));
        let delta = a.edit(|it| it.write(1)).unwrap();
        let token = a.state().token(&seal(), b"x").unwrap();
        assert_eq!(b.edit_seen(&seal(), b"x", &token, 0, |it| it.write(2)).err(), Some(Error::Behind));
        b.apply(&delta).unwrap();
        let _ = b.edit_seen(&seal(), b"x", &token, 0, |it| it.write(2)).unwrap();
        assert!(b.values().eq(&[2]));
    }

    /// A total that has moved on holds increments nobody had seen then: taking it back would take them back too, and
    /// leaving it would leave what was seen.
    #[test]
    fn a_number_that_moved_on_is_not_reset_and_is_added_to_all_the_same() {
        let mut num = Replica::<Num<u64>>::new(Minter::once(1));
        let _ = num.edit(|it| it.add(5)).unwrap();
        let token = num.state().token(&seal(), b"x").unwrap();
        let _ = num.edit(|it| it.add(2)).unwrap();
        assert_eq!(num.edit_seen(&seal(), b"x", &token, 0, |it| it.set(9)).err(), Some(Error::Stale));
        assert_eq!(num.edit_seen(&seal(), b"x", &token, 0, |it| it.clear()).err(), Some(Error::Stale));
        let _ = num.edit_seen(&seal(), b"x", &token, 0, |it| it.add(1)).unwrap();
        assert_eq!(num.value(), Some(8));
        let token = num.state().token(&seal(), b"x").unwrap();
        let _ = num.edit_seen(&seal(), b"x", &token, 0, |it| it.set(9)).unwrap();
        assert_eq!(num.value(), Some(9));
    }

    /// Indexes count what is there now: "the second" is another one once something came or went before it.
    #[test]
    fn an_index_means_nothing_once_anything_has_changed() {
        let mut text = Replica::<Text<u64>>::new(Minter::once(1));
        let _ = text.edit(|it| it.push("abc")).unwrap();
        let token = text.state().token(&seal(), b"x").unwrap();
        let _ = text.edit_seen(&seal(), b"x", &token, 0, |it| it.remove(0..1)).unwrap();
        let stale = [
            text.edit_seen(&seal(), b"x", &token, 0, |it| it.remove(1..2)),
            text.edit_seen(&seal(), b"x", &token, 0, |it| it.insert(2, "x")),
        ];
        assert!(stale.into_iter().all(|outcome| outcome.err() == Some(Error::Stale)));
        assert_eq!(text.to_string(), "bc");
    }

    #[test]
    fn a_text_that_is_as_it_was_seen_can_be_cleared_and_written_anew() {
        let mut text = Replica::<Text<u64>>::new(Minter::once(1));
        let _ = text.edit(|it| it.push("abc")).unwrap();
        let token = text.state().token(&seal(), b"x").unwrap();
        let _ = text.edit_seen(&seal(), b"x", &token, 0, |it| it.clear().and(it.push("d"))).unwrap();
        assert_eq!(text.to_string(), "d");
    }

    /// Also what is waiting for its place was not seen.
    #[test]
    fn clearing_a_text_leaves_what_its_client_had_not_seen() {
        let [mut a, mut b] = [1, 2].map(|actor| Replica::<AwMap<u8, Text<u64>>>::new(Minter::once(actor)));
        let _ = a.edit(|map| map.at(7).push("a")).unwrap();
        let token = a.state().token(&seal(), b"x").unwrap();
        let first = b.edit(|map| map.at(7).push("12")).unwrap();
        let second = b.edit(|map| map.at(7).push("34")).unwrap();
        a.apply(&second).unwrap(); // waits for the first
        let _ = a.edit_seen(&seal(), b"x", &token, 0, |map| map.remove(7)).unwrap();
        a.apply(&first).unwrap();
        assert_eq!(a.get(&7).unwrap().to_string(), "1234");
    }
}
